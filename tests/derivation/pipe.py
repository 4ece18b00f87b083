"""A pipe that knows litres: what flows changes in straight lines, and what flowed is their exact area.

It is seen as an OPC UA server shows it (what changed in a sampling period, queued), or polled. It knows nothing of the
engine's formulas: areas are added up piece by piece, in fractions.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from edge_agent.config.tagmap import Rule
from edge_agent.derivation.engine import Engine, Input
from edge_agent.model.reading import Instant, Link, Quality, Reading, SourceChange, Tick
from edge_agent.model.state import State
from tests.derivation.plant import BOOTED, NOON, ORDER, Journal, tag_map
from tests.derivation.vessels import FLOW


@dataclass
class Pipe:
    """Litres a minute, changing once a second at the most; `by_order` is what truly flowed, in litres."""

    rule: Rule
    continuous: bool = True

    def __post_init__(self) -> None:
        self.engine = Engine(tag_map(self.rule))
        self.state, self.journal = State(), Journal()
        self.second = 0
        self.rate = Fraction(0)
        self.by_order: dict[str, Fraction] = {}
        self.hidden = Fraction(0)
        self.order = "A"
        self.queue: list[Reading] = []
        self._told: Decimal | None = None
        self.fold(SourceChange("plc", Link.UP, self.now(), BOOTED))
        self.fold(Reading(ORDER, "A", Quality.GOOD, self.now(), 0, self.now().wall, None, False))
        self._see(publish=1)

    @property
    def flowed(self) -> Fraction:
        """Litres so far, seen or not."""
        return sum(self.by_order.values(), Fraction(0))

    def run(self, seconds: int, to: Fraction | None = None, *, publish: int = 1, blind: bool = False) -> None:
        """Flow for a while, straight to another rate or on at this one; delivered every `publish` seconds."""
        start, end = self.rate, self.rate if to is None else to
        for n in range(1, seconds + 1):
            before = self.rate
            self.rate = Fraction(Decimal(str(round(float(start + (end - start) * n / seconds), 3))))
            area = (before + self.rate) / 2 / 60
            self.by_order[self.order] = self.by_order.get(self.order, Fraction(0)) + area
            self.hidden += area if blind else 0
            self.second += 1
            if not blind:
                self._see(publish)
        if not blind:
            self._deliver()

    def next_order(self, number: str) -> None:
        """Another order begins, now."""
        self.order = number
        self.fold(Reading(ORDER, number, Quality.GOOD, self.now(), 0, self.now().wall, None, True))

    def outage(self, seconds: int, to: Fraction) -> None:
        """Nobody sees what flows; afterwards it flows at another rate."""
        self.fold(SourceChange("plc", Link.LOST, self.now()))
        self.run(seconds, to, blind=True)
        self.fold(SourceChange("plc", Link.UP, self.now(), BOOTED))
        self.queue.append(self.reading(continuous=False))
        self._deliver()

    def spike(self, rate: int) -> None:
        """A value that no pump makes, and in the next second the true one."""
        self.second += 1
        area = self.rate / 60
        self.by_order[self.order] = self.by_order.get(self.order, Fraction(0)) + area
        self.fold(self.reading(shown=Decimal(rate)))
        self._told = None
        self.run(1)

    def reading(self, *, shown: Decimal | None = None, continuous: bool | None = None, age: int = 0) -> Reading:
        """What the meter shows."""
        value = Decimal(self.rate.numerator) / Decimal(self.rate.denominator) if shown is None else shown
        seen = self.continuous if continuous is None else continuous
        stamped = self.now().wall - timedelta(seconds=age)
        return Reading(FLOW, value, Quality.GOOD, self.now(), 0, stamped, None, seen)

    def now(self) -> Instant:
        """The instant at this second."""
        return Instant(self.at(self.second), 10**12 + self.second * 10**9, "boot-1")

    def at(self, second: int) -> datetime:
        """The wall clock at a second."""
        return NOON + timedelta(seconds=second)

    def fold(self, *inputs: Input) -> None:
        """Fold these, and a tick."""
        outcome = self.engine.fold(self.state, (*inputs, Tick(self.now())))
        self.journal.take(outcome)
        self.state.adopt(outcome.changed)

    def _see(self, publish: int) -> None:
        one = self.reading()
        if not self.continuous or one.value != self._told:
            self._told = Decimal(str(one.value))
            self.queue.append(one)
        if self.second % publish == 0:
            self._deliver()

    def _deliver(self) -> None:
        """What waits arrives together; its order on the wire is not that of its stamps."""
        now, waiting, self.queue = self.now(), self.queue, []
        late = [
            Reading(one.tag, one.value, one.quality, now, 0, one.source_time, None, one.continuous) for one in waiting
        ]
        self.fold(*(late[1::2] + late[::2] if len(late) > 2 else late))
