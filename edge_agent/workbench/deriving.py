"""What a map derives from a recording: the engine's own fold, on the recording's time (docs/workbench.md). Pure.

Time is an input of the engine. Between two deliveries ticks come as the pipeline's do, but only those that may decide
something: while a value is held, and when a cadence is due. So a month takes seconds.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from decimal import Decimal

from edge_agent.config.tagmap import Rule, TagMap
from edge_agent.derivation.amounts import exact
from edge_agent.derivation.context import waits_for
from edge_agent.derivation.engine import Engine, Input
from edge_agent.model.movement import Flag, Gap, Line, LineState, Notice, Review
from edge_agent.model.outcome import EpochMark, LineMark, Outcome
from edge_agent.model.reading import TICK_SECONDS, Tick
from edge_agent.model.state import State
from edge_agent.workbench.confirmations import confirmed
from edge_agent.workbench.recording import Delivery
from edge_agent.workbench.standing import still_open
from edge_agent.workbench.values import instant

_TICK = timedelta(seconds=TICK_SECONDS)
BOOKED = (LineState.PENDING, LineState.CUT, LineState.BOOKED_BY_REVIEW)


@dataclass(slots=True)
class Derived:
    """Everything that the fold's outcomes said: what a store would hold."""

    lines: dict[tuple[str, int, int], LineMark] = field(default_factory=dict)
    epochs: dict[tuple[str, int], EpochMark] = field(default_factory=dict)
    reviews: list[Review] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    counts: Tally[tuple[str, str]] = field(default_factory=Tally)
    baselines: set[str] = field(default_factory=set)
    """Rules whose first value was only where they began."""
    waiting: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Counters whose newest value is not counted yet at the end: that value, and the word for what it waits for."""
    open: list[tuple[str, str]] = field(default_factory=list)
    """What stands open at the end and is in no review or gap yet: the rule, and how it stands."""

    def take(self, outcome: Outcome) -> None:
        """One outcome more; the newest mark of a line is where it stands."""
        self.lines.update(outcome.lines)
        for name, mark in outcome.epochs.items():
            if name not in self.epochs and mark.epoch == 1 and mark.first_raw == mark.last_raw:
                self.baselines.add(mark.rule)
        self.epochs.update(outcome.epochs)
        self.reviews += outcome.reviews
        self.gaps += outcome.gaps
        self.notices += (event.about for event in outcome.events if isinstance(event.about, Notice))
        self.counts.update(outcome.counts)

    def lines_of(self, rule: str, *states: LineState) -> list[Line]:
        """A rule's lines that stand at one of `states`."""
        marks = (mark for (name, _, _), mark in self.lines.items() if name == rule)
        return [mark.line for mark in marks if mark.state in states]

    def flags_of(self, rule: str) -> set[Flag]:
        """Every flag of a rule's lines."""
        marks = (mark for (name, _, _), mark in self.lines.items() if name == rule)
        return {flag for mark in marks for flag in mark.line.evidence.flags}


def derive(tag_map: TagMap, deliveries: Sequence[Delivery]) -> Derived:
    """Fold a recording, and let time run on after its end until nothing waits for it alone."""
    fold = _Fold(tag_map)
    for delivery in confirmed(tag_map, deliveries):
        fold.run_to(delivery.at.wall)
        fold.step(delivery.inputs, delivery.at.wall)
    fold.run_out()
    return fold.derived


def quantity_of(line: Line, rule: Rule) -> Decimal:
    """A line's quantity in the unit of the rule's material, below zero where it moved back (an up-down counter).

    What an order had left is cut in the unit's base.
    """
    unit = rule.material.unit
    quantity = line.quantity if line.unit == unit.name else exact(line.quantity, 1 / unit.factor)
    places = (line.key.from_, line.key.to)
    is_back = line.key.event is not rule.event or (None not in places and places == (rule.to, rule.from_))
    return -quantity if is_back else quantity


def _patience(rule: Rule) -> timedelta:
    """How long at the most what a delivery has left open waits for time alone: all durations of the rule together."""
    figures = (getattr(part, one.name) for part in (rule, rule.signal) for one in fields(part))
    return sum((figure for figure in figures if isinstance(figure, timedelta)), timedelta(0))


class _Fold:
    """The engine with its state, and the recording's time."""

    def __init__(self, tag_map: TagMap) -> None:
        self.derived = Derived()
        self._engine = Engine(tag_map)
        self._state = State()
        self._rules = tag_map.rules
        self._patience = {name: _patience(rule) for name, rule in tag_map.rules.items()}
        self._now: datetime | None = None
        self._delivered: datetime | None = None

    def step(self, inputs: Iterable[Input], at: datetime) -> None:
        """Fold what arrived at one instant."""
        self._fold(inputs, at)
        self._delivered = at

    def run_to(self, until: datetime) -> None:
        """Let time pass up to `until`, which is no part of it."""
        while (at := min(self._due(), default=until)) < until:
            self._tick(at)

    def run_out(self) -> None:
        """Let time run on to the last delivery plus what anything waits."""
        if self._delivered is not None:
            end = self._delivered + max(self._patience.values(), default=timedelta(0))
            self.run_to(end)
            self._tick(end)
            self.derived.waiting = dict(self._waiting(end))
            for name, rule in self._rules.items():
                known = self._state.rules.get(name)
                if known is not None:
                    self.derived.open += ((name, one) for one in still_open(rule, known.signal, self._delivered))

    def _waiting(self, end: datetime) -> Iterator[tuple[str, tuple[str, str]]]:
        for name, rule in self._rules.items():
            known = self._state.rules.get(name)
            if known is not None and known.uncounted is not None:
                yield name, (known.uncounted.raw_after, waits_for(rule, self._state, end) or "order_unknown")

    def _due(self) -> Iterator[datetime]:
        """When a tick may decide something."""
        if self._now is None or self._delivered is None:
            return
        soon = self._now + _TICK
        if any(self._now < self._delivered + self._patience[name] for name in self._state.held):
            yield soon
        for cadence in self._state.cadences.values():
            for due in (cadence.due, cadence.ended):
                if due is not None:
                    yield max(due, soon)

    def _tick(self, at: datetime) -> None:
        self._fold((Tick(instant(at)),), at)

    def _fold(self, inputs: Iterable[Input], at: datetime) -> None:
        outcome = self._engine.fold(self._state, inputs)
        self._state.adopt(outcome.changed)
        self.derived.take(outcome)
        self._now = at
