"""Counters that show what `wraps_at` says they never do: nothing after it is a certain wrap."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest

from edge_agent.config.signals import Direction
from edge_agent.model.movement import Cause, Flag, Notice
from tests.derivation.plant import EPOCH, Bench, counter
from tests.derivation.rows import Case, check

SKIPPED = {Flag.SKIPPED_READINGS}

ROWS = [
    Case(
        "off by one: the highest value is shown",
        counter(wraps_at=65_535),
        lambda b: b.read(65_530).after(0.2).read(65_535).after(0.2).read(4).rest(2),
        0,
        4,
        doubts=[("beyond-wraps-at", [9, 10])],
        holes=[("beyond-wraps-at", 0, 5)],
    ),
    Case(
        "it ran on far beyond, and fell",
        counter(wraps_at=10_000),
        lambda b: _ran_on(b, 9_990, 10_135).after(0.2).read(3).rest(2),
        5,
        3,
        doubts=[("beyond-wraps-at", [8, 143, 144])],
        holes=[("beyond-wraps-at", 0, 6)],
    ),
    Case(
        "it ran on beyond, and was reset",
        counter(wraps_at=10_000, epoch_tag=EPOCH),
        lambda b: _ran_on(b.read(1, EPOCH), 9_990, 10_135).after(0.2).read(2, EPOCH).read(3).rest(2),
        5,
        3,
        doubts=[("beyond-wraps-at", [8, 143, 144])],
        holes=[("beyond-wraps-at", 0, 6)],
    ),
    Case(
        "it ran on beyond, and no wrap brings it where it is then",
        counter(wraps_at=10_000),
        lambda b: _ran_on(b, 9_990, 10_135).after(0.2).read(4_000).rest(2),
        5,
        4_000,
        doubts=[("beyond-wraps-at", [140, 4_140])],
        holes=[("beyond-wraps-at", 0, 10)],
    ),
    Case(
        "counting down it wraps to what is never shown",
        counter(direction=Direction.DOWN, wraps_at=1, wraps_to=-65_534),
        lambda b: b.read(5).after(0.2).read(65_535).after(0.2).read(65_530).rest(2),
        0,
        -65_530,
        doubts=[("beyond-wraps-at", [5, 10, 11])],
        holes=[("beyond-wraps-at", 0, 4)],
    ),
    Case(
        "a false value that comes and goes disproves nothing",
        counter(wraps_at=65_535),
        lambda b: b.read(65_530).after(0.2).read(65_535).after(0.2).read(65_533).after(0.2).read(4).rest(2),
        9,
        4,
        flags={*SKIPPED, Flag.WRAPPED},
    ),
]


def _ran_on(bench: Bench, first: int, last: int) -> Bench:
    """Five a step of 0.2 s, which is as fast as it can."""
    bench.read(first)
    for shown in range(first + 5, last + 1, 5):
        bench.after(0.2).read(shown)
    return bench


@pytest.mark.parametrize("case", ROWS, ids=lambda case: case.name)
def test_row(case: Case) -> None:
    check(case)


def notices(bench: Bench) -> list[Notice]:
    said = [event.about for event in bench.journal.events]
    return [one for one in said if isinstance(one, Notice) and one.cause is Cause.BEYOND_WRAP]


def test_it_is_said_once_as_soon_as_it_is_seen() -> None:
    bench = _ran_on(Bench(counter(wraps_at=10_000)), 9_990, 10_135)
    (notice,) = notices(bench)
    assert notice.quantity == 0
    assert notice.message.startswith("it shows 10000, which `wraps_at` says it never does")

    bench.after(0.2).read(3).rest(2)
    _ran_on(bench.after(400).read(9_990), 9_995, 10_135)
    assert len(notices(bench)) == 1


def test_every_later_fall_is_doubted_until_the_map_is_mended() -> None:
    bench = Bench(counter(wraps_at=65_535)).read(65_530).after(0.2).read(65_535).after(0.2).read(4).rest(2)
    bench.after(0.1).read(7).away(2621).read(65_532).after(0.4).read(2).rest(2)
    assert bench.doubts()[1:] == [("beyond-wraps-at", [2, 5, 6])]

    bench.map_is(counter(wraps_at=65_536)).away(2619).read(65_532).after(0.4).read(3).rest(2)
    assert (len(bench.doubts()), bench.booked) == (2, 3 + 65_525 + 65_530 + 7)


def test_beyond_reach_it_is_a_false_value_like_any() -> None:
    bench = Bench(counter(wraps_at=10_000)).read(9_990).after(0.1).read(4_294_967_295).after(0.5).read(4).rest(2)
    assert (bench.booked, bench.doubts(), notices(bench)) == (14, [], [])


@pytest.mark.parametrize("seed", range(20))
def test_the_truth_lies_in_what_is_open(seed: int) -> None:
    """A machine of 16 bits, and a map that says otherwise; what proves so is seen, then nothing for a while."""
    rng = random.Random(seed)
    wraps_at = rng.choice([65_535, 65_000, 60_000, 32_767])
    bench = Bench(counter(wraps_at=wraps_at))
    first = total = wraps_at - rng.randrange(10, 40)
    bench.read(first)
    while total < wraps_at:
        total = min(total + rng.randrange(0, 6), wraps_at)
        bench.after(0.2).read(total)
    for _ in range(rng.randrange(100)):
        total = min(total + rng.randrange(0, 6), 65_535)
        bench.after(0.2).read(total)
    further = 65_536 - total + rng.randrange(60)
    bench.after(further / 20).read((total + further) % 65_536).rest(3)

    reviews = [[way.quantity for way in one.candidates] for one in bench.journal.reviews.values()]
    most = sum(gap.maximum or Decimal(0) for gap in bench.journal.gaps)
    low, high = (bench.booked + sum(pick(ways) for ways in reviews) for pick in (min, max))
    assert reviews
    assert low <= total + further - first <= high + most
