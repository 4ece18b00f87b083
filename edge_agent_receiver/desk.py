"""What all parts of the inbox share."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import count

from edge_agent_receiver.discrepancies import Discrepancies
from edge_agent_receiver.sources import Sources
from edge_agent_receiver.timing import Timing


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to be published with QoS 1, not retained. `key`: tell `Inbox.sent` once the broker has it."""

    topic: str
    payload: bytes
    key: str | None = None


@dataclass(slots=True)
class Desk:
    """Settings, the sources, what is counted, and what is to be logged. `run` is unique to this run of the inbox."""

    system: str
    root: str
    run: str
    prove: bool
    timing: Timing
    sources: Sources
    discrepancies: Discrepancies
    counts: Counter[str] = field(default_factory=Counter)
    notices: list[str] = field(default_factory=list)
    now: float = 0.0
    """The moment of the call that is being served, in seconds since 1970."""
    last_error: str | None = None
    """What `post` raised last."""
    refused_because: str | None = None
    """Why an agent refused a message of answers last; None once it took one."""
    _numbers: count[int] = field(default_factory=lambda: count(1))

    def nonce(self) -> str:
        """Unique over all runs, also those that a backup has made forgotten."""
        return f"{self.run}-{next(self._numbers):06d}"
