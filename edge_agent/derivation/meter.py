"""What the engine asks of every rule whose quantity is measured: counters, levels, flows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable

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

    def sign(self, work: Books, what: str, time: datetime) -> None:
        """There is a sign of a reset, which came at `time`."""
        ...

    def returned(self, work: Books) -> None:
        """The source is back: what is seen next spans an outage."""
        ...


@runtime_checkable
class Pausable(Protocol):
    """A meter that sees to its rule's `pause_while` by itself: a level, whose baseline moves with a refill."""

    def pause(self, work: Books, now: Instant) -> None:
        """The condition of the pause holds, or is not known."""
        ...

    def resume(self, work: Books, now: Instant, *, rebase: bool) -> None:
        """It holds no more: take a new baseline (`rebase`), or book what ran meanwhile."""
        ...
