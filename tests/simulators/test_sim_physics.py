"""The plant as physics: nothing comes from nothing, and never faster than a bottle a tick."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent_simulators.physics import TICKS_PER_SECOND, TOP_SPEED, Palletiser, Plant

MOVES = st.lists(
    st.tuples(st.booleans(), st.booleans(), st.integers(500, TOP_SPEED), st.integers(1, 200)), min_size=1, max_size=20
)


def run(seed: int, moves: list[tuple[bool, bool, int, int]], reject_rate: float) -> tuple[Plant, list[tuple[int, int]]]:
    plant = Plant(seed, 10_000, reject_rate)
    made = []
    for feeding, halted, speed, ticks in moves:
        plant.feeding, plant.halted, plant.speed = feeding, halted, speed
        for _ in range(ticks):
            tick = plant.tick()
            made.append((tick.preforms, tick.bottles + tick.rejects))
    return plant, made


@given(st.integers(), MOVES, st.floats(0, 1))
def test_every_preform_becomes_a_bottle_or_a_reject(
    seed: int, moves: list[tuple[bool, bool, int, int]], reject_rate: float
) -> None:
    plant, made = run(seed, moves, reject_rate)
    assert plant.preforms == plant.bottles + plant.rejects + plant.in_transit
    assert plant.preforms == sum(entered for entered, _ in made)
    plant.feeding = plant.halted = False
    while not plant.at_rest:
        plant.tick()
    assert plant.preforms == plant.bottles + plant.rejects


@given(st.integers(), MOVES)
def test_at_most_twenty_units_a_second(seed: int, moves: list[tuple[bool, bool, int, int]]) -> None:
    _, made = run(seed, moves, 0.01)
    for window in range(2, TICKS_PER_SECOND + 1):
        for units in zip(*made, strict=True):
            most = max((sum(units[at : at + window]) for at in range(len(units))), default=0)
            assert most <= window


def test_the_top_speed_is_twelve_a_second() -> None:
    plant, made = run(1, [(True, False, TOP_SPEED, 100 * TICKS_PER_SECOND)], 0)
    assert plant.preforms == 1_200
    seconds = [sum(entered for entered, _ in made[at : at + TICKS_PER_SECOND]) for at in range(len(made) - 20)]
    assert max(seconds) == 12
    with pytest.raises(ValueError, match="millibottles"):
        plant.speed = TOP_SPEED + 1


@given(st.integers(), MOVES)
def test_the_same_seed_makes_the_same_plant(seed: int, moves: list[tuple[bool, bool, int, int]]) -> None:
    assert run(seed, moves, 0.05)[1] == run(seed, moves, 0.05)[1]


@given(st.integers(1, 60), st.lists(st.integers(0, 1), max_size=4_000), st.sets(st.integers(0, 4_000)))
def test_bottles_are_on_pallets_in_cases_or_loose(capacity: int, bottles: list[int], discharges: set[int]) -> None:
    palletiser = Palletiser(capacity)
    gone = []
    for place, count in enumerate(bottles):
        gone.append(palletiser.add(count))
        if place in discharges:
            gone.append(palletiser.discharge())
    assert sum(bottles) == 24 * (sum(gone) + palletiser.stacked) + palletiser.loose
    assert all(cases <= capacity for cases in gone)
    assert palletiser.loose < 24
