"""Readings as a source delivers them, on a clock of their own: for what is measured without a device."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from benchmarks.plant import ORDER, SOURCE, tag_name
from edge_agent.derivation.engine import Engine
from edge_agent.model.outcome import Outcome
from edge_agent.model.reading import Instant, Link, Quality, Reading, SourceChange, TagRef, Tick
from edge_agent.model.state import State

_START = datetime(2026, 3, 2, 11, tzinfo=UTC)


class Deliveries:
    """One delivery after the other, `period` seconds apart: each tag has run on by one."""

    def __init__(self, tags: int, period: float = 1.0) -> None:
        self._refs = [TagRef(SOURCE, tag_name(number)) for number in range(tags)]
        self._period = timedelta(seconds=period)
        self._nanoseconds = int(period * 10**9)
        self._now = Instant(_START, 10**12, "bench")
        self._value = 0

    @property
    def now(self) -> Instant:
        """The instant of the newest delivery."""
        return self._now

    def first(self) -> list[Reading | SourceChange]:
        """The session begins: an order, and every counter at zero."""
        order = Reading(TagRef(SOURCE, ORDER), "A1", Quality.GOOD, self._now, source_time=self._now.wall)
        return [SourceChange(SOURCE, Link.UP, self._now, _START), order, *self._readings(continuous=False)]

    def next(self) -> list[Reading]:
        """The next delivery."""
        now = self._now
        self._now = Instant(now.wall + self._period, now.monotonic_ns + self._nanoseconds, now.boot_id)
        self._value += 1
        return self._readings(continuous=True)

    def _readings(self, *, continuous: bool) -> list[Reading]:
        now, value = self._now, self._value
        return [
            Reading(ref, value, Quality.GOOD, now, source_time=now.wall, server_time=now.wall, continuous=continuous)
            for ref in self._refs
        ]


def outcomes(engine: Engine, tags: int, groups: int) -> Iterator[Outcome]:
    """What the engine decides on `groups` deliveries of `tags` readings; the session's beginning comes first."""
    state, deliveries = State(), Deliveries(tags)
    for inputs in (deliveries.first(), *([] for _ in range(groups))):
        outcome = engine.fold(state, inputs or [*deliveries.next(), Tick(deliveries.now)])
        state.adopt(outcome.changed)
        yield outcome
