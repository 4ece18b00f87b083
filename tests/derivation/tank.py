"""A tank that knows litres, and what an agent would be told of it. It knows nothing of the engine's formulas.

What is used, filled in and lifted off is known to the litre at any second; the sensor trembles, sloshes, swings with
the temperature, resolves coarsely, ends at its top, and its timestamps repeat and skip.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from math import cos, pi, sin
from random import Random

from edge_agent.config.tagmap import Rule
from edge_agent.derivation.booking import Books
from edge_agent.derivation.counter_terms import EPOCH_TAG
from edge_agent.derivation.engine import Engine, Input
from edge_agent.derivation.levelling import LevelRule
from edge_agent.model.movement import LineState
from edge_agent.model.reading import Instant, Link, Quality, Reading, SourceChange, Tick
from edge_agent.model.state import State
from tests.derivation.plant import BOOTED, NOON, Journal, tag_map
from tests.derivation.vessels import LEVEL

DAY = 86_400


@dataclass
class Sensor:
    """What the tank shows: litres of noise and of thermal swing (to each side), of a step, and the top it stops at."""

    noise: float = 0.0
    swing: float = 0.0
    step: float = 0.0
    top: float = float("inf")


@dataclass
class Tank:
    """The tank, the agent beside it, and the truth: litres `used`, seconds `troubled` by a refill or the top."""

    rule: Rule
    contents: float = 1000.0
    sensor: Sensor = field(default_factory=Sensor)
    seed: int = 1
    poll: int = 1

    def __post_init__(self) -> None:
        self.engine = Engine(tag_map(self.rule))
        self.state, self.journal = State(), Journal()
        self.used, self.troubled = 0.0, 0.0
        self.second = 0
        self.lifted = False
        self.up = True
        self.tared = 0.0
        self._slosh = (0.0, 0.0)
        self._random = Random(self.seed)
        self._fold(SourceChange("plc", Link.UP, self._now(), BOOTED))

    # what happens

    def run(self, seconds: int, rate: float = 0.0, fill: float = 0.0) -> None:
        """Litres a second flow out, and in."""
        for _ in range(seconds // self.poll):
            self.second += self.poll
            self.used += rate * self.poll
            self.contents += (fill - rate) * self.poll
            self.troubled += self.poll if fill or self.contents >= self.sensor.top else 0
            self._show()

    def slosh(self, litres: float) -> None:
        """The agitator, or a truck: the surface swings, and calms down in a minute or so."""
        self._slosh = (litres, float(self.second))

    def lift(self, seconds: int) -> None:
        """The container is lifted off, and set back."""
        self.lifted = True
        self.run(seconds)
        self.lifted = False
        self.run(self.poll)

    def stutter(self, litres: float, rows: int) -> None:
        """The device sends one trembling value again and again, under one timestamp."""
        one = self._reading(self.shown() + litres)
        self._fold(*(one for _ in range(rows)))

    def spike(self, litres: float) -> None:
        """One wrong value."""
        self.second += self.poll
        self._fold(self._reading(self.shown() + litres))

    def bad(self, seconds: int, rate: float = 0.0) -> None:
        """The tag has no good value for a while."""
        for _ in range(seconds // self.poll):
            self.second += self.poll
            self.used += rate * self.poll
            self.contents -= rate * self.poll
            self._fold(Reading(LEVEL, None, Quality.BAD, self._now()))

    def outage(self, seconds: int, rate: float = 0.0) -> None:
        """The session is lost; the tank is used on."""
        self._fold(SourceChange("plc", Link.LOST, self._now()))
        self.up = False
        self.run(seconds, rate)
        self.up = True
        self._fold(SourceChange("plc", Link.UP, self._now(), BOOTED))

    def pause(self, seconds: int, rate: float = 0.0, fill: float = 0.0, *, rebase: bool) -> None:
        """Readings are no evidence for a while: `rebase` takes a new baseline after it."""
        self._told(lambda meter, work: meter.pause(work, self._now()))
        self.run(seconds, rate, fill)
        self._told(lambda meter, work: meter.resume(work, self._now(), rebase=rebase))

    def tare(self, seconds: int, rate: float = 0.0) -> None:
        """The scale is tared: it shows 50 L less, and the contents are what they were. It is used on meanwhile."""
        self.run(seconds, rate)
        self.tared = 50.0 - self.tared
        self._told(lambda meter, work: meter.sign(work, EPOCH_TAG, self._now().wall))
        self.run(self.poll)

    # the truth beside the books

    def span(self) -> tuple[float, float]:
        """Litres that the books say were used: at the least, and at the most."""
        states = (LineState.PENDING, LineState.CUT, LineState.BOOKED_BY_REVIEW)
        marks = self.journal.lines.values()
        low = high = float(sum(mark.line.quantity for mark in marks if mark.state in states))
        for review in self.journal.reviews.values():
            quantities = [float(way.quantity) for way in review.candidates]
            low, high = low + min(quantities), high + max(quantities)
        for gap in self.journal.gaps:
            assert gap.maximum is not None
            low, high = low + float(gap.minimum), high + float(gap.maximum)
        return low, high

    def check(self, within: float) -> None:
        """What was used lies in what the books say, or next to it; and what they leave open has a reason."""
        self.journal.check()
        low, high = self.span()
        assert low - within <= self.used <= high + within, f"{self.used} L were used, the books say {low} to {high}"
        unseen = sum((gap.until - gap.since).total_seconds() for gap in self.journal.gaps)
        most = self.troubled + 90 * len(self.journal.gaps)
        assert unseen <= most, f"{unseen} s are said to be unseen, {most} s were"

    def shown(self) -> float:
        """What the sensor shows now."""
        if self.lifted:
            return 0.0
        amplitude, since = self._slosh
        calm: float = 0.97 ** (self.second - since)
        value = self.contents - self.tared + self.sensor.swing * sin(2 * pi * self.second / DAY)
        value += amplitude * calm * cos(2 * pi * self.second / 7) + self._random.uniform(-1, 1) * self.sensor.noise
        if self.sensor.step:
            value = round(value / self.sensor.step) * self.sensor.step
        return min(max(value, 0.0), self.sensor.top)

    def _told(self, tell: Callable[[LevelRule, Books], None]) -> None:
        """The rule's meter is told what conditions and the tare's tag say."""
        work, meter = Books(self.engine._map, self.state), self.engine._meters["level"]
        assert isinstance(meter, LevelRule)
        tell(meter, work)
        work.outcome.changed = work.state.own()
        self.journal.take(work.outcome)
        self.state.adopt(work.outcome.changed)

    def _show(self) -> None:
        if self.up:
            self._fold(self._reading(self.shown()))

    def _now(self) -> Instant:
        return Instant(NOON + timedelta(seconds=self.second), 10**12 + self.second * 10**9, "boot-1")

    def _reading(self, value: float) -> Reading:
        now = self._now()
        stamped = now.wall - timedelta(milliseconds=self._random.choice((0, 0, 250, 900)))
        return Reading(LEVEL, Decimal(str(round(value, 4))), Quality.GOOD, now, 0, stamped)

    def _fold(self, *inputs: Input) -> None:
        outcome = self.engine.fold(self.state, (*inputs, Tick(self._now())))
        self.journal.take(outcome)
        self.state.adopt(outcome.changed)
