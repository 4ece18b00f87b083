"""Flow rules against a pipe that knows litres: to the millionth, whatever is queued, constant or polled."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.config.signals import PER_UNIT
from tests.derivation.pipe import Pipe
from tests.derivation.plant import ORDER
from tests.derivation.vessels import flow

GRAIN = Fraction(1, PER_UNIT)
RATES = st.sampled_from([Fraction(0), Fraction(1), Fraction("7.3"), Fraction(40), Fraction("79.9")])
STEP = st.one_of(
    st.tuples(st.just("run"), st.integers(1, 40), RATES, st.integers(1, 7)),
    st.tuples(st.just("stand"), st.integers(1, 200), RATES, st.integers(1, 7)),
    st.tuples(st.just("order"), st.integers(1, 5), RATES, st.integers(1, 7)),
    st.tuples(st.just("spike"), st.integers(90, 9000), RATES, st.integers(1, 7)),
    st.tuples(st.just("outage"), st.integers(11, 100), RATES, st.integers(1, 7)),
)
Steps = list[tuple[str, int, Fraction, int]]


def play(steps: Steps, *, continuous: bool = True) -> Pipe:
    """Run the steps; a second at rest after each lets the books be compared."""
    pipe = Pipe(flow(order=ORDER, by_exception=continuous), continuous)
    for n, (name, number, rate, publish) in enumerate(steps):
        match name:
            case "run":
                pipe.run(number, rate, publish=publish)
            case "stand":
                pipe.run(number, publish=publish)
            case "order":
                pipe.next_order(f"{n}")
                pipe.run(number, rate, publish=publish)
            case "spike":
                pipe.spike(number)
            case "outage":
                pipe.outage(number, rate)
        check_at_most(pipe)
    pipe.run(2, pipe.rate / 2 + Fraction("3.7"))
    check(pipe)
    return pipe


def check_at_most(pipe: Pipe) -> None:
    """Never more than flowed; a value that seemed to stand until an outage is not more than the gap says."""
    pipe.journal.check()
    assert Fraction(pipe.journal.booked()) <= pipe.flowed + GRAIN + pipe.hidden + 20


def check(pipe: Pipe) -> None:
    """Booked, and unseen within its bounds, is what flowed."""
    pipe.journal.check()
    assert not pipe.journal.reviews
    booked = Fraction(pipe.journal.booked())
    low = high = booked
    for gap in pipe.journal.gaps:
        assert gap.maximum is not None
        low, high = low + Fraction(gap.minimum), high + Fraction(gap.maximum)
    assert low - GRAIN <= pipe.flowed <= high + GRAIN
    if not pipe.journal.gaps:
        assert abs(booked - pipe.flowed) <= GRAIN
        for order, litres in pipe.by_order.items():
            assert abs(Fraction(pipe.journal.booked(order, any_order=False)) - litres) <= GRAIN, order


@pytest.mark.slow
@pytest.mark.timeout(400)
@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.lists(STEP, min_size=1, max_size=12))
def test_what_flowed_is_booked_or_in_a_gap(steps: Steps) -> None:
    play(steps)


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(st.lists(STEP, min_size=1, max_size=6))
def test_a_polled_meter(steps: Steps) -> None:
    play([step for step in steps if step[0] != "spike"], continuous=False)
