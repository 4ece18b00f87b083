"""Readings a second through counter rules with context: pure computing on one core, no store, no device."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from benchmarks.inputs import Deliveries
from benchmarks.plant import Plant
from benchmarks.report import Goal, Result, figures, ratio
from benchmarks.scale import Scale, seconds, settle
from edge_agent.derivation.engine import Engine
from edge_agent.model.reading import Reading, SourceChange, Tick
from edge_agent.model.state import State

NAME = "engine"
TITLE = (
    "readings through counter rules with order, condition, cadence and posting day; one core by its processor time, "
    "nothing stored"
)

_OURS = "readings folded"
_BARE = "bare subtraction of the same readings"
_FLAT = "rate in the last fifth over the first fifth"
_TARGET = 100_000
_TOGETHER = 5
"""Deliveries of a group: what waits at full load is folded 5,000 inputs at a time (`pipeline.GROUP_INPUTS`)."""


def run(scale: Scale) -> Result:
    """Fold deliveries of 1,000 tags; beside it what a dictionary and a subtraction cost."""
    tags, groups = scale.of(1000, 20), scale.of(60, 10)
    with scale.scratch() as folder:
        engine = Engine(Plant(tags, gated=True).load(folder))
    rounds, missing = [], 0
    for _ in range(scale.repeats):
        deliveries = Deliveries(tags, 0.1)
        first, rest = deliveries.first(), [_group(deliveries) for _ in range(groups)]
        bare = seconds(partial(_subtract, rest), time.process_time)
        times, booked = _fold(engine, first, rest)
        missing += tags * groups * _TOGETHER - booked
        fifth = max(1, groups // 5)
        rounds.append(
            {
                _BARE: tags * groups * _TOGETHER / bare,
                _OURS: tags * groups * _TOGETHER / sum(times),
                _FLAT: sum(times[:fifth]) / sum(times[-fifth:]),
            }
        )
    found = figures({_BARE: "readings/s", _OURS: "readings/s", _FLAT: ""}, rounds)
    over = ratio("ours / bare subtraction", found[_OURS], found[_BARE])
    goals = (Goal(found[_OURS], _TARGET, at_least=True), Goal(found[_FLAT], 0.8, at_least=True))
    shape = f"{tags} tags, each with a rule; a cut each minute; {_TOGETHER} readings of each tag in a group"
    notes = (shape, f"readings that were not booked: {missing}")
    return Result(NAME, TITLE, (*found.values(), over), goals, notes)


def _group(deliveries: Deliveries) -> list[Reading | Tick]:
    """What one fold is given."""
    group: list[Reading | Tick] = []
    for _ in range(_TOGETHER):
        group += [*deliveries.next(), Tick(deliveries.now)]
    return group


def _fold(
    engine: Engine, first: Sequence[Reading | SourceChange], rest: Sequence[Sequence[Reading | Tick]]
) -> tuple[list[float], int]:
    """Processor seconds of each group, and how many readings were booked."""
    state, times, booked = State(), [], 0
    state.adopt(engine.fold(state, first).changed)
    settle()
    for group in rest:
        began = time.process_time()
        outcome = engine.fold(state, group)
        state.adopt(outcome.changed)
        times.append(time.process_time() - began)
        booked += sum(number for (_, what), number in outcome.counts.items() if what == "booked")
    return times, booked


def _subtract(groups: Sequence[Sequence[Reading | Tick]]) -> int:
    """The least that anybody must do: look up the last value of a tag, subtract, remember, add up."""
    last: dict[object, int] = {}
    total = 0
    for group in groups:
        for item in group:
            value = item.value if isinstance(item, Reading) else None
            if isinstance(item, Reading) and isinstance(value, int):
                total += value - last.get(item.tag, value)
                last[item.tag] = value
    return total
