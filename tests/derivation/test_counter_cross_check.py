"""A second counter of the same flow: what it proves, what it leaves open, and where the two part."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from edge_agent.config.signals import Counter, CrossCheck
from edge_agent.config.tagmap import Rule, Unproven
from edge_agent.model.movement import Flag
from edge_agent.model.reading import Quality, TagRef
from tests.derivation.plant import COUNT, SECOND, Bench, counter

BESIDE = TagRef("plc", "beside")
HOUR = timedelta(hours=1)
SAMPLING = timedelta(milliseconds=100)


def checked(tag: TagRef = BESIDE, *, factor: Fraction = Fraction(1), **about: Any) -> Rule:
    """A uint16 beside a counter of the same pieces, on the same device unless told otherwise; they may part by 4 %."""
    every, amount = about.pop("every", HOUR), about.pop("amount", Decimal(0))
    check = CrossCheck(tag, factor, SAMPLING, every, Fraction(4, 100), amount)
    return counter("checked", cross_check=check, **about)


def both(bench: Bench, first: int, second: int | Decimal, **about: Any) -> Bench:
    """What the two counters of a line's pieces show."""
    spec = bench.map.rules["checked"].signal
    assert isinstance(spec, Counter)
    assert spec.cross_check is not None
    return bench.read(first, COUNT, **about).read(second, spec.cross_check.tag, **about)


FLOWS: list[tuple[Any, ...]] = [
    # name, figures, script, booked, doubts, flags
    ("ran on through an outage without a StartTime", {}, (100, 5000, 400, 5300), 300, [], {Flag.CROSS_CHECKED}),
    ("was reset and climbed past", {}, (100, 5000, 900, 6000), 900, [], {Flag.RESET}),
    ("neither agrees", {}, (100, 5000, 900, 5200), 0, [("unproven", [800, 900])], set()),
    ("both agree", {}, (5, 5000, 305, 5302), 0, [("unproven", [300, 305])], set()),
]


@pytest.mark.parametrize(
    ("name", "figures", "values", "booked", "doubts", "flags"), FLOWS, ids=lambda one: str(one)[:40]
)
def test_an_outage_without_a_starttime(
    name: str, figures: Any, values: tuple[int, ...], booked: int, doubts: list[Any], flags: set[Flag]
) -> None:
    first, second, then, after = values
    bench = both(Bench(checked(**figures)), first, second).away(60, None)
    both(bench, then, after).rest(2.2)
    assert (bench.booked, bench.doubts()) == (booked, doubts), name
    assert bench.journal.flags() - {Flag.SPANNED_OUTAGE} == flags


def test_without_its_reading_a_second_counter_proves_nothing() -> None:
    bench = both(Bench(checked()), 100, 5000).away(60, None).read(400).rest(2.2)
    assert (bench.booked, bench.doubts()) == (0, [("unproven", [300, 400])])


def test_a_second_counter_that_may_have_been_reset_as_well_proves_nothing() -> None:
    bench = both(Bench(checked()), 100, 100)
    bench.away(60, None)
    both(bench, 400, 400).rest(2.2)
    assert (bench.booked, bench.doubts()) == (0, [("unproven", [300, 400])])


def test_the_number_of_turns_in_a_long_outage() -> None:
    bench = both(Bench(checked(wraps_at=1000)), 100, 50_000)
    bench.away(90)
    both(bench, 150, 51_060).rest(2.2)
    assert (bench.booked, bench.doubts()) == (1050, [])
    assert bench.journal.flags() == {Flag.WRAPPED, Flag.CROSS_CHECKED, Flag.SPANNED_OUTAGE}


def test_a_preset_with_the_line_at_rest_books_nothing_and_is_said() -> None:
    bench = both(Bench(checked(SECOND, wraps_at=None)), 5000, 70_000, continuous=False)
    for _ in range(30):
        both(bench.after(0.1), 4000, 70_000, continuous=False)
    assert (bench.booked, bench.doubts()) == (0, [])
    assert [cause for cause, *_ in bench.holes()] == ["preset"]
    both(bench.after(0.1), 4002, 70_002, continuous=False)
    assert bench.booked == 2


def test_a_preset_on_a_running_line_books_what_was_seen_since() -> None:
    bench = both(Bench(checked(SECOND, wraps_at=None)), 5000, 70_000, continuous=False)
    for n in range(1, 31):
        both(bench.after(0.1), 4000 + 2 * n, 70_000 + 2 * n, continuous=False)
    cause, least, most = bench.holes()[0]
    assert (bench.booked, bench.doubts(), cause) == (58, [], "preset")
    assert least <= 2 <= (most or 0)  # two ran between the last look and the preset


def test_a_jump_that_both_have_made_ran_that_fast() -> None:
    bench = both(Bench(checked(max_rate=None, wraps_at=None)), 100, 5000)
    assert both(bench.after(1), 9100, 14_000).booked == 9000


def test_it_never_corrects() -> None:
    bench = both(Bench(checked()), 0, 0)
    for n in range(1, 100):
        both(bench.after(0.1), 2 * n, 3 * n)
    assert bench.booked == 198


@pytest.mark.parametrize(
    ("per_piece", "holes"),
    [((1, 1), []), ((2, 2), []), ((2, 3), [("cross-check", 0, 480)]), ((3, 2), [("cross-check", 0, 0)])],
)
def test_where_the_two_part_an_exception_says_so_once_a_period(per_piece: tuple[int, int], holes: list[Any]) -> None:
    bench = both(Bench(checked(every=timedelta(seconds=50))), 0, 0)
    for n in range(1, 497):
        both(bench.after(0.1), per_piece[0] * n, per_piece[1] * n)
    assert bench.holes() == []
    for n in range(497, 503):
        both(bench.after(0.1), per_piece[0] * n, per_piece[1] * n)
    found = bench.holes()
    assert [hole[0] for hole in found] == [hole[0] for hole in holes]
    for mine, expected in zip(found, holes, strict=True):
        assert abs(int(mine[2] or 0) - expected[2]) <= 25
    assert bench.booked == per_piece[0] * 502


def test_other_units_are_compared_in_counts_of_the_first() -> None:
    bench = both(Bench(checked(factor=Fraction(24), every=timedelta(seconds=10))), 0, Decimal("10.0"))
    for n in range(1, 150):
        both(bench.after(0.1), 2 * n, Decimal(10) + Decimal(2 * n) / 24)
    assert bench.holes() == []


def test_what_is_no_number_is_not_compared_and_counted() -> None:
    bench = both(Bench(checked()), 0, 0)
    bench.read(None, BESIDE, quality=Quality.BAD).read("7", BESIDE).read(True, BESIDE)
    assert bench.journal.counts["not_compared"] == 3


def test_unproven_book_books_without_asking() -> None:
    bench = both(Bench(checked(unproven=Unproven.BOOK)), 100, 5000)
    bench.away(60, None)
    both(bench, 400, 5300).rest(2.2)
    assert bench.booked == 300
