"""What the engine asks of every rule whose quantity is measured: counters, levels, flows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from edge_agent.config.tagmap import Rule
from edge_agent.derivation.booking import Books
from edge_agent.model.reading import Instant, Reading, TagRef


class Meter(Protocol):
    """A rule beside its signal; it holds no state of its own (that is in `Books`)."""

    @property
    def rule(self) -> Rule:
        """The rule."""
        ...

    @property
    def source(self) -> str:
        """The source whose session and restarts concern it."""
        ...

    @property
    def tags(self) -> Sequence[TagRef]:
        """The tags whose readings it takes, each once."""
        ...

    @property
    def epoch_tag(self) -> TagRef | None:
        """A tag whose change is a sign of a reset."""
        ...

    def read(self, work: Books, reading: Reading, time: datetime, *, refused: bool) -> None:
        """Take one reading of one of its tags in, at event time `time` (`refused`: not the device's own)."""
        ...

    def settle(self, work: Books, now: Instant) -> None:
        """Time has passed; called only while its state waits."""
        ...

    def sign(self, work: Books, what: str) -> None:
        """There is a sign of a reset."""
        ...

    def returned(self, work: Books) -> None:
        """The source is back: what is seen next spans an outage."""
        ...

    def pause(self, work: Books, now: Instant) -> None:
        """From now on readings are no evidence; a meter that is paused already stays so."""
        ...

    def resume(self, work: Books, now: Instant, *, rebase: bool) -> None:
        """Readings are evidence again: `rebase` takes a new baseline (a refill), else the difference is booked."""
        ...
