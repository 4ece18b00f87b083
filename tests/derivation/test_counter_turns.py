"""Whole turns that nobody saw: what no continuous reading vouches for may have turned, with an outage or without."""

from __future__ import annotations

import random
from decimal import Decimal
from itertools import pairwise

import pytest

from edge_agent.model.movement import Flag
from tests.derivation.plant import Bench, counter
from tests.derivation.rows import Case, check

ROWS = [
    Case(
        "read again much later: whole turns fit",
        counter(),
        lambda b: b.read(100).after(4000).read(105, continuous=False),
        0,
        105,
        doubts=[("several-wraps", [5, 65_541])],
    ),
    Case(
        "read again much later, and it shows the same",
        counter(),
        lambda b: b.read(100).after(4000).read(100, continuous=False),
        0,
        100,
        doubts=[("several-wraps", [0, 65_536])],
    ),
    Case(
        "the same, stamped as before: nothing was written since",
        counter(),
        lambda b: b.read(100).after(4000).read(100, continuous=False, age=4000),
        0,
        100,
    ),
    Case(
        "a fall read much later: wraps of whole turns more",
        counter(),
        lambda b: b.read(65_500).after(4000).read(10, continuous=False).rest(2),
        0,
        10,
        doubts=[("several-wraps", [46, 65_582])],
    ),
    Case(
        "a value that was followed stood until it changed",
        counter(),
        lambda b: b.read(100).after(4000).read(105).after(4000).read(105),
        5,
        105,
    ),
    Case(
        "no turn more fits beside what is shown",
        counter(),
        lambda b: b.read(100).after(2625).read(200, continuous=False),
        100,
        200,
    ),
    Case(
        "polled as often as it should be",
        counter(wraps_at=100),
        lambda b: b.read(90).after(1).read(98, continuous=False).after(1).read(5, continuous=False).rest(2),
        15,
        5,
        flags={Flag.WRAPPED},
    ),
    Case(
        "followed, it may be held as long as a turn takes",
        counter(wraps_at=50),
        lambda b: b.read(40).after(0.5).read(5).after(1).read(5).after(1).read(5),
        15,
        5,
        flags={Flag.WRAPPED},
    ),
]


@pytest.mark.parametrize("case", ROWS, ids=lambda case: case.name)
def test_row(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_was_missed_is_open(seed: int) -> None:
    """A machine of 1,000 counts that is read now and then: what it truly ran is what is booked, or a candidate."""
    rng = random.Random(seed)
    bench, total, seconds = Bench(counter(wraps_at=1000)), rng.randrange(1000), [0.0]
    shown = [total]
    for _ in range(40):
        seconds.append(rng.choice([0.2, 1, 5, 30, 39, 41, 100, 200]))
        total += rng.randrange(round(seconds[-1] * 25) + 1)
        shown.append(total)
    for (before, after), lasted in zip(pairwise([shown[0], *shown]), seconds, strict=True):
        booked, reviews = bench.booked, len(bench.journal.reviews)
        bench.after(lasted).read(after % 1000, continuous=False).rest(4)
        fresh = list(bench.journal.reviews.values())[reviews:]
        ran = [{way.quantity for way in one.candidates} for one in fresh] or [{Decimal(bench.booked - booked)}]
        assert ran[0] >= {Decimal(after - before)}
