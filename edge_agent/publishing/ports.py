"""What the relay needs of others, as ports: the outbox of the store, the status board, named kill points."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from edge_agent.model.event import StoredEvent

Probe = Callable[[str], None]
"""Called with the name of the point the relay has just passed: `after-publish`, `after-puback`, `after-mark`."""

Latency = Callable[[float], None]
"""Told the seconds from handing an event to the session to its PUBACK."""


Void = Callable[[StoredEvent, str], Awaitable[None]]
"""Accounts for an event that cannot be published, and why: `sequence.voided` goes out in its place (invariant 9)."""


def no_latency(_seconds: float) -> None:
    """Nobody wants to know."""


class Outbox(Protocol):
    """Stored events on their way out; sequences are contiguous per stream and start at 1."""

    def head(self, stream: str) -> int:
        """The highest sequence committed; 0 where there is none."""
        ...

    def head_hash(self, stream: str) -> str:
        """SHA-256 of the bytes of the event at `head`; 64 zeros where there is none."""
        ...

    def delivered(self, stream: str) -> int:
        """Up to where the broker has acknowledged, as marked."""
        ...

    def anchored(self, stream: str) -> int:
        """Up to where the anchor outside the database vouches: nothing above may be published."""
        ...

    def source(self, stream: str) -> str:
        """The CloudEvents source of a stream."""
        ...

    async def unsent(self, stream: str, after: int, limit: int) -> Sequence[StoredEvent]:
        """The events above `after`, in order, at most `limit`."""
        ...

    async def mark(self, delivered: Mapping[str, int]) -> None:
        """Remember that the broker has acknowledged everything up to these sequences."""
        ...

    async def anchor(self) -> None:
        """Write and fsync the anchor up to the present heads."""
        ...

    async def wait(self) -> None:
        """Return when something was committed since the last call."""
        ...

    async def oldest_undelivered(self, stream: str) -> datetime | None:
        """When the oldest event not yet acknowledged was recorded."""
        ...


class LinkStatus(Protocol):
    """Where the state of the broker connection is shown; it logs once on loss and once on recovery."""

    def up(self, component: str, detail: str = "") -> None:
        """The component works."""
        ...

    def lost(self, component: str, why: str) -> None:
        """The component does not work."""
        ...
