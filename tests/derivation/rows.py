"""A row of a counter table as a script and what it must lead to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from edge_agent.config.signals import Counter
from edge_agent.config.tagmap import Rule
from edge_agent.model.movement import Flag
from edge_agent.model.signal_state import CounterState
from tests.derivation.plant import COUNT, Bench


@dataclass(frozen=True)
class Case:
    """A script, and what it must lead to. `last` is where the counter stands afterwards."""

    name: str
    rule: Rule
    script: Callable[[Bench], Bench]
    booked: int | Decimal
    last: int
    doubts: list[tuple[str, list[int]]] = field(default_factory=list)
    holes: list[tuple[str, int, int | None]] = field(default_factory=list)
    flags: set[Flag] = field(default_factory=set)


def check(case: Case) -> None:
    """Run the script and compare; then the next readings must be booked again."""
    bench = case.script(Bench(case.rule))

    assert bench.booked == case.booked
    assert bench.doubts() == case.doubts
    assert bench.holes() == case.holes
    assert bench.journal.flags() == case.flags
    state = bench.state.rules[case.rule.name].signal
    assert isinstance(state, CounterState)
    assert (state.last_raw, state.hold) == (case.last, None)

    before = bench.booked  # never stuck: whatever was decided, the next readings book again
    bench.after(0.1).read(_shown(case, 2), COUNT).after(0.1).read(_shown(case, 5), COUNT)
    assert bench.booked == before + 5 * Decimal(case.rule.factor.numerator) / case.rule.factor.denominator


def _shown(case: Case, further: int) -> int | Decimal:
    """What the device shows so many counts further on."""
    spec = case.rule.signal
    assert isinstance(spec, Counter)
    shown = Decimal(spec.shows(case.last + further))
    return shown if spec.rounded else int(shown)
