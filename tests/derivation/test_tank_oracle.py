"""Level rules against a tank that knows litres: what the books say, with reviews and gaps, is what was used.

Within one deadband (the hysteresis, and what smoothing leaves of the trembling at its two ends), whenever the tank has
been at rest for a while; while it is used, the smoothed level is late by its window, and never more is booked.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.derivation.tank import DAY, Sensor, Tank
from tests.derivation.vessels import level

DEADBAND = 5.0
TREMBLING = 3.0
LAG = 6.0
"""What is used in half a window: so late is the smoothed level that is the baseline."""
Step = tuple[str, dict[str, Any]]


def play(steps: list[Step], sensor: Sensor, seed: int = 1) -> Tank:
    """Run the steps, each followed by a look at the books, and rest at the end of each."""
    tank = Tank(level(blind_above=sensor.top if sensor.top < 1e9 else None), 1000.0, sensor, seed)
    tank.run(60)
    for name, drawn in steps:
        getattr(tank, name)(**drawn)
        assert tank.span()[0] <= tank.used + DEADBAND + TREMBLING, "more is booked than was used"
        tank.run(160)
        tank.check(DEADBAND + TREMBLING)
    return tank


RATE = st.sampled_from([0.0, 0.2, 0.7, 1.5])
STEPS = st.one_of(
    st.tuples(st.just("run"), st.fixed_dictionaries({"seconds": st.integers(5, 300), "rate": RATE})),
    st.tuples(
        st.just("run"),
        st.fixed_dictionaries({"seconds": st.integers(60, 120), "rate": RATE, "fill": st.sampled_from([6.0, 20.0])}),
    ),
    st.tuples(st.just("slosh"), st.fixed_dictionaries({"litres": st.floats(1, 12)})),
    st.tuples(st.just("lift"), st.fixed_dictionaries({"seconds": st.integers(2, 50)})),
    st.tuples(st.just("stutter"), st.fixed_dictionaries({"litres": st.sampled_from([-9.0, 9.0]), "rows": st.just(40)})),
    st.tuples(st.just("spike"), st.fixed_dictionaries({"litres": st.sampled_from([-900.0, -10.0, 10.0, 4000.0])})),
    st.tuples(st.just("bad"), st.fixed_dictionaries({"seconds": st.integers(1, 60), "rate": RATE})),
    st.tuples(st.just("outage"), st.fixed_dictionaries({"seconds": st.integers(1, 200), "rate": RATE})),
)
SENSORS = st.builds(Sensor, noise=st.sampled_from([0.0, 1.0]), step=st.sampled_from([0.0, 1.0, 2.5]))


@pytest.mark.slow
@pytest.mark.timeout(400)
@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(st.lists(STEPS, min_size=1, max_size=10), SENSORS, st.integers(1, 1000))
def test_what_was_used_is_what_the_books_say(steps: list[Step], sensor: Sensor, seed: int) -> None:
    tank = play(steps, sensor, seed)
    assert not tank.journal.reviews, [review.message for review in tank.journal.reviews.values()]


def unrested(steps: list[Step], sensor: Sensor, seed: int = 1) -> Tank:
    """Run the steps one right after the other, from the first reading on, and rest only at the end."""
    tank = Tank(level(), 2000.0, sensor, seed)
    tank.run(1)
    for name, drawn in steps:
        getattr(tank, name)(**drawn)
    tank.run(160)
    tank.journal.check()
    low, high = tank.span()
    within = DEADBAND + TREMBLING + LAG
    assert low - within <= tank.used <= high + within, f"{tank.used} L were used, the books say {low} to {high}"
    return tank


BRIEF = st.sampled_from([1, 2, 3, 5, 8, 15, 40])
OUT_OF_SIGHT = st.one_of(
    st.tuples(
        st.sampled_from(["run", "bad", "outage", "tare"]), st.fixed_dictionaries({"seconds": BRIEF, "rate": RATE})
    ),
    st.tuples(st.just("lift"), st.fixed_dictionaries({"seconds": BRIEF})),
    st.tuples(
        st.just("pause"),
        st.fixed_dictionaries(
            {"seconds": BRIEF, "rate": RATE, "fill": st.sampled_from([0, 12]), "rebase": st.just(True)}
        ),
    ),
    st.tuples(st.just("pause"), st.fixed_dictionaries({"seconds": BRIEF, "rate": RATE, "rebase": st.just(False)})),
)


@pytest.mark.slow
@pytest.mark.timeout(400)
@settings(max_examples=120, deadline=None, derandomize=True, database=None)
@given(st.lists(OUT_OF_SIGHT, min_size=1, max_size=8), SENSORS, st.integers(1, 1000))
def test_whatever_takes_the_sight_of_it_the_books_hold_what_was_used(
    steps: list[Step], sensor: Sensor, seed: int
) -> None:
    unrested(steps, sensor, seed)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_month_at_rest_books_nothing() -> None:
    rule = level(
        sampling=timedelta(minutes=1),
        window=timedelta(minutes=16),
        settle=timedelta(minutes=32),
        hysteresis=40,
        refill_min=200,
    )
    tank = Tank(rule, 6000.0, Sensor(noise=8.0, swing=30.0, step=2.0), poll=60)
    tank.run(30 * DAY)
    assert tank.journal.booked() == 0
    assert not tank.journal.gaps
    assert not tank.journal.reviews


def test_a_swing_wider_than_the_hysteresis_is_booked_once_and_never_again() -> None:
    rule = level(
        sampling=timedelta(minutes=5), window=timedelta(minutes=40), settle=timedelta(minutes=40), hysteresis=5
    )
    tank = Tank(rule, 6000.0, Sensor(swing=30.0), poll=300)
    tank.run(2 * DAY)
    once = tank.journal.booked()
    assert 0 < once <= 61
    tank.run(10 * DAY)
    assert tank.journal.booked() == once


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_month_of_use_and_refills() -> None:
    rule = level(
        sampling=timedelta(minutes=1),
        window=timedelta(minutes=8),
        settle=timedelta(minutes=16),
        hold=timedelta(minutes=30),
        hysteresis=10,
        refill_min=300,
        max_rate="0.1",
    )
    tank = Tank(rule, 4000.0, Sensor(noise=2.0, step=1.0), poll=60)
    for day in range(30):
        tank.run(6 * 3600, rate=0.03)
        tank.run(3600, rate=0.02, fill=0.7)
        tank.slosh(20)
        tank.run(9 * 3600, rate=0.05 if day % 2 else 0.01)
        tank.run(8 * 3600)
        low, high = tank.span()
        assert low - 16 <= tank.used <= high + 16
    assert len(tank.journal.gaps) == 30
    assert not tank.journal.reviews
    assert high - low < 30 * 0.1 * (3600 + 3600)


def test_a_sensor_at_its_end_is_never_zero_use() -> None:
    tank = play(
        [
            ("run", {"seconds": 100, "fill": 12.0}),
            ("run", {"seconds": 200, "rate": 1.5}),
            ("run", {"seconds": 200, "rate": 1.5}),
        ],
        Sensor(noise=1.0, top=2000.0),
    )
    assert [gap.cause for gap in tank.journal.gaps] == ["clipped"]
    assert tank.journal.counts["clipped"] > 100


def test_a_drum_that_stays_away_is_a_persons_to_decide() -> None:
    tank = Tank(level(), 200.0)
    tank.run(60)
    tank.run(100, rate=0.5)
    tank.run(60)
    tank.lift(90)
    (review,) = tank.journal.reviews.values()
    assert sorted(float(way.quantity) for way in review.candidates) == [0, 0, 150]
    tank.run(60)
    tank.run(100, rate=0.5)
    tank.run(60)
    low, high = tank.span()
    assert low == pytest.approx(100, abs=DEADBAND)
    assert [gap.cause for gap in tank.journal.gaps] == ["refill"]
    assert high > 100
