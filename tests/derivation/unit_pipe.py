"""A physical pipe: single units enter at one end, each knowing its order and lot, and are counted at the other.

It moves in steps of 100 ms. The counter is read when it changes (as a subscription does) or now and then (as a poll
does); what surrounds it is told with the next reading, or by itself. Between which two readings a change happened is
kept as the counter's own totals: that, and no more, is what the readings leave open. While a subscription is silent the
counter stood, as the next thing that it tells proves; a session that is lost proves nothing. It knows no formulas.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import NamedTuple

from edge_agent.config.tagmap import Rule
from edge_agent.derivation.engine import Engine, Input
from edge_agent.model.reading import Instant, Link, Quality, Reading, Scalar, SourceChange, TagRef, Tick
from edge_agent.model.state import State
from edge_agent.store import checkpoint
from tests.derivation.plant import BOOTED, COUNT, NOON, ORDER, Journal, tag_map
from tests.derivation.stepwise import Stepwise
from tests.derivation.surroundings import STEP

LOT = TagRef("plc", "lot")


class Unit(NamedTuple):
    """One unit: for which order and lot it was put in; none where that was before anybody looked."""

    order: str | None
    lot: str | None


class Open(NamedTuple):
    """The place of a change as the readings show it: its first unit is one of these; they were `steps` apart."""

    low: int
    high: int
    steps: int


@dataclass
class UnitPipe:
    """`units` are in it. `every` steps the counter is polled; 0: it is told when it changes."""

    rule: Rule
    units: int
    every: int = 0
    step: int = 0
    counted: list[Unit] = field(default_factory=list)
    journal: Journal = field(default_factory=Journal)
    open: list[Open] = field(default_factory=list)
    orders: int = 1
    lots: int = 1
    up: bool = True
    told_late: bool = False
    """The tags of order and lot cannot be read yet."""

    def __post_init__(self) -> None:
        self.inside: deque[Unit] = deque([Unit(None, None)] * self.units)
        self.engine, self.stepwise, self.state = Engine(tag_map(self.rule)), Stepwise(tag_map(self.rule)), State()
        self._read_at, self._read = self._told_at = -1, 0
        self._silent: list[Open] = []
        self._changed_unread = False
        self.open.append(Open(0, self.units, 10_000))
        self._shown: int | None = None
        self._changes: list[tuple[int, int]] = []
        self._news: list[Reading] = []
        self.fold(SourceChange("plc", Link.UP, self.now, BOOTED))
        if not self.told_late:
            self._tell()
        self._look(continuous=False)

    @property
    def now(self) -> Instant:
        """The machine's clock at the end of this step."""
        return Instant(NOON + self.step * STEP, 10**12 + self.step * 10**8, "boot-1")

    def run(self, steps: int, pattern: Sequence[int]) -> None:
        """Put units in by a repeating pattern; as many come out."""
        for units in islice(cycle(pattern), steps):
            self.step += 1
            for _ in range(units):
                self.inside.append(Unit(f"O{self.orders}", f"L{self.lots}"))
                self.counted.append(self.inside.popleft())
            if self.up and (not self.every or self.step % self.every == 0):
                self._look(continuous=not self.every)

    def change(self, what: str, *, sampled: bool) -> None:
        """Another order or lot from the next unit on; told by itself, or as the server samples it: with the count."""
        if what == "order":
            self.orders += 1
        else:
            self.lots += 1
        if self.told_late:
            self._changed_unread = True
            return
        sampled = sampled or any(one.source_time > self.now.wall for one in self._news if one.source_time is not None)
        if sampled or self._read_at != self.step:
            self._changes.append((self._read_at, self._read))
        else:
            self._silent.append(Open(0, 0, 0))
        self._remember(self._context(ORDER if what == "order" else LOT, age=-1 if sampled else 0))
        if not sampled:
            self._deliver()

    def read_at_last(self, *, long_known: bool) -> None:
        """Order and lot can be read from now on: they are what they have been all the time, or since just now."""
        if self.told_late:
            self.told_late = False
            long_known = long_known and not self._changed_unread
            if not long_known:
                self._changes.append((-1, -self.units))
            self._tell(age=10_000 if long_known else 0)

    def outage(self, steps: int, pattern: Sequence[int], change: str | None) -> None:
        """Nobody looks; an order or lot that came and went meanwhile nobody could know of."""
        self.run(1, (0,))
        self._deliver()
        self.fold(SourceChange("plc", Link.LOST, self.now))
        self.up = False
        unread = (-1, -self.units)
        self._changes += [unread if one.low == 0 < one.high else self._told_at for one in self._silent]
        self._silent, (self._read_at, self._read) = [], self._told_at
        self.run(steps // 2, pattern)
        if change is not None:
            self.change(change, sampled=steps > 1)
        self.run(steps - steps // 2, pattern)
        self.up = True
        self.fold(SourceChange("plc", Link.UP, self.now, BOOTED))
        self._look(continuous=False)

    def restart(self) -> None:
        """The agent begins anew from what it stored; nothing runs meanwhile that it does not see afterwards."""
        stored: dict[str, dict[str, object]] = {}
        for kind, name, body, _ in checkpoint.rows(self.state):
            stored.setdefault(kind, {})[name] = checkpoint.decoded(kind, body)
        tags = {str(tag): tag for tag in self.engine._map.tags}
        self.state = State(
            rules=stored.get("rule", {}),  # type: ignore[arg-type]  # by the kind's name
            contexts={tags[name]: one for name, one in stored.get("context", {}).items()},  # type: ignore[misc]  # by the kind's name
            sources=stored.get("source", {}),  # type: ignore[arg-type]  # by the kind's name
            cadences=stored.get("cadence", {}),  # type: ignore[arg-type]  # by the kind's name
        )
        self.outage(0, (0,), None)

    def fold(self, *inputs: Input) -> None:
        """Fold both ways and commit."""
        outcome = self.engine.fold(self.state, inputs)
        assert self.stepwise.fold(self.state, inputs) == outcome
        self.journal.take(outcome)
        self.state.adopt(outcome.changed)

    def _look(self, *, continuous: bool) -> None:
        """The counter is looked at: between this look and the one before lie the changes not yet placed."""
        for before, low in self._changes:
            self._silent.append(Open(self.units + low, self.units + len(self.counted), self.step - before))
        self._changes = []
        self._read_at, self._read = self.step, len(self.counted)
        if not continuous or self._shown != len(self.counted):
            self._shown = len(self.counted)
            self._told_at = (self.step, self._shown)
            self.open += self._silent
            self._silent = []
            self._remember(self._reading(COUNT, self._shown, continuous=continuous))
        self._deliver()

    def _tell(self, age: int = 10_000) -> None:
        self._remember(self._context(ORDER, age), self._context(LOT, age))
        self._deliver()

    def _context(self, tag: TagRef, age: int = 0) -> Reading:
        value = f"O{self.orders}" if tag == ORDER else f"L{self.lots}"
        return self._reading(tag, value, age=age)

    def _reading(self, tag: TagRef, value: Scalar, *, age: int = 0, continuous: bool = True) -> Reading:
        time = NOON + (self.step - age) * STEP
        return Reading(tag, value, Quality.GOOD, self.now, source_time=time, continuous=continuous)

    def _remember(self, *news: Reading) -> None:
        self._news += news

    def _deliver(self) -> None:
        if self.up and self._news:
            news, self._news, now = self._news, [], self.now
            self.fold(*(Reading(r.tag, r.value, r.quality, now, 0, r.source_time, None, r.continuous) for r in news))
            self.fold(Tick(now))
