"""A line whose PLC latches its counter in the scan in which the order changes; every unit knows its order.

It scans in steps of 100 ms. Four tags are seen of it: the counter, the order, the latched count, the number of changes;
as a subscription shows what changed (the last two perhaps later than the rest), or as a poll shows all. Sessions break,
and the line runs on. It knows nothing of the engine's formulas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import cycle, islice

from edge_agent.config.signals import AtChange
from edge_agent.config.tagmap import Rule
from edge_agent.derivation.engine import Engine
from edge_agent.model.reading import Instant, Link, Quality, Reading, Scalar, SourceChange, TagRef, Tick
from edge_agent.model.state import State
from tests.derivation.plant import BOOTED, COUNT, NOON, ORDER, Journal, counter, tag_map
from tests.derivation.stepwise import Stepwise
from tests.derivation.surroundings import STEP

LATCH, CHANGES = TagRef("plc", "count_at_change"), TagRef("plc", "changes")
MODULUS = 65_536


def latched(**changes: object) -> Rule:
    """A counter of at most 30 a second whose PLC latches; the number of changes is a uint16."""
    return counter(
        **{"order": ORDER, "max_rate": 30, "at_change": AtChange(LATCH, CHANGES, MODULUS), **changes}  # type: ignore[arg-type]  # by name
    )


@dataclass
class LatchingLine:
    """`every`: it is polled so often, in steps; 0: by a subscription that is published every `publish` steps.

    The latched count is told `late` steps late, the number of changes `later`.
    """

    every: int = 0
    publish: int = 1
    late: int = 0
    later: int = 0
    first: int = 0
    number: int = 7
    step: int = 0
    made: list[tuple[str, int]] = field(default_factory=list)
    """Each unit's order, and the step it was made in."""
    turned: list[tuple[int, int]] = field(default_factory=list)
    """Each change: its step, and how many units had been made."""
    read: list[tuple[int, int]] = field(default_factory=list)
    """Each time that the counter was read: the step, and how many units had been made."""
    told_orders: set[Scalar | None] = field(default_factory=set)
    up: bool = True
    journal: Journal = field(default_factory=Journal)
    without: Journal = field(default_factory=Journal)
    """What is booked by a rule that does not know what is latched."""

    def __post_init__(self) -> None:
        sampling = timedelta(milliseconds=100) * max(self.every, 1)
        self.rule = latched(sampling=sampling)
        self.engine, self.stepwise, self.state = Engine(tag_map(self.rule)), Stepwise(tag_map(self.rule)), State()
        self._plain, self._plain_state = Engine(tag_map(latched(sampling=sampling, at_change=None))), State()
        self.orders, self.latch = 1, self.first
        self._since: dict[TagRef, int] = dict.fromkeys((COUNT, ORDER, LATCH, CHANGES), -10_000)
        self._told: dict[TagRef, Scalar] = {}
        self._queue: list[Reading] = []
        self._fold(SourceChange("plc", Link.UP, self.now, BOOTED))
        self._see(fresh=True)
        self._deliver()

    @property
    def now(self) -> Instant:
        """The machine's clock at the end of this step."""
        return Instant(NOON + self.step * STEP, 10**12 + self.step * 10**8, "boot-1")

    @property
    def shown(self) -> int:
        """What the counter shows."""
        return (self.first + len(self.made)) % MODULUS

    def run(self, steps: int, pattern: Sequence[int], change_at: Sequence[int] = ()) -> None:
        """Make units by a repeating pattern; another order begins after so many of these steps."""
        for n, units in enumerate(islice(cycle(pattern), steps)):
            self.step += 1
            if units:
                self._since[COUNT] = self.step
            for unit in range(units):
                if n in change_at and unit == units // 2:
                    self._change()
                self.made.append((f"O{self.orders}", self.step))
            if n in change_at and not units:
                self._change()
            if self.up and self.every:
                if self.step % self.every == 0:
                    self._see(fresh=True)
                    self._deliver()
            elif self.up:
                self._see(fresh=False)
                if self.step % self.publish == 0:
                    self._deliver()

    def outage(self, steps: int, pattern: Sequence[int], change_at: Sequence[int]) -> None:
        """Nobody looks; the line goes on."""
        self._deliver()
        self._fold(SourceChange("plc", Link.LOST, self.now))
        self.up, self._queue = False, []
        self.run(steps, pattern, change_at)
        self.up = True
        self._fold(SourceChange("plc", Link.UP, self.now, BOOTED))
        self._see(fresh=True)
        self._deliver()

    def _change(self) -> None:
        """The scan in which the order changes: what the programs of docs/plc do."""
        self.orders += 1
        self.number = (self.number + 1) % MODULUS
        if self.latch != self.shown:
            self._since[LATCH] = self.step
        self.latch = self.shown
        self._since[ORDER] = self._since[CHANGES] = self.step
        self.turned.append((self.step, len(self.made)))

    def _see(self, *, fresh: bool) -> None:
        values: dict[TagRef, Scalar] = {
            COUNT: self.shown,
            LATCH: self.latch,
            ORDER: f"O{self.orders}",
            CHANGES: self.number,
        }
        for tag, value in values.items():
            delay = {LATCH: self.late, CHANGES: self.later}.get(tag, 0)
            if not fresh and (self._told.get(tag) == value or self.step < self._since[tag] + delay):
                continue
            self._told[tag] = value
            stamp = None if self.every else NOON + self._since[tag] * STEP
            self._queue.append(Reading(tag, value, Quality.GOOD, self.now, 0, stamp, None, not fresh))
            if tag == COUNT:
                self.read.append((self.step, len(self.made)))
            if tag == ORDER:
                self.told_orders.add(value)

    def _deliver(self) -> None:
        now, waiting, self._queue = self.now, self._queue, []
        if waiting:
            self._fold(
                *(Reading(r.tag, r.value, r.quality, now, 0, r.source_time, None, r.continuous) for r in waiting)
            )
        self._fold(Tick(now))

    def _fold(self, *inputs: Reading | SourceChange | Tick) -> None:
        outcome = self.engine.fold(self.state, inputs)
        assert self.stepwise.fold(self.state, inputs) == outcome
        self.journal.take(outcome)
        self.state.adopt(outcome.changed)
        outcome = self._plain.fold(self._plain_state, [one for one in inputs if not _is_latch(one)])
        self.without.take(outcome)
        self._plain_state.adopt(outcome.changed)


def _is_latch(one: Reading | SourceChange | Tick) -> bool:
    return isinstance(one, Reading) and one.tag in {LATCH, CHANGES}
