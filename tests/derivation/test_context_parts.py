"""Lot, container, operator and order of a counter, each from its own tag; and what is still in the pipe."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from edge_agent.config.tagmap import CutAt, Rule, Split
from edge_agent.model.movement import Flag, Line, LineState
from edge_agent.model.reading import TagRef
from tests.derivation.plant import EVERY_MINUTE, ORDER, Bench, counter

LOT, DRUM, WHO = (TagRef("plc", name) for name in ("lot", "drum", "who"))
LAG = timedelta(seconds=45)


def lots(**changes: Any) -> Rule:
    return counter(lot_from=LOT, **changes)


def booked(bench: Bench) -> list[tuple[Any, ...]]:
    """Each line booked: what it belongs to (order, lot, container, operator) and how much it is."""
    marks = bench.journal.lines.values()
    return [
        (*_of(mark.line), int(mark.line.quantity))
        for mark in marks
        if mark.state in (LineState.PENDING, LineState.CUT, LineState.BOOKED_BY_REVIEW)
    ]


def _of(line: Line) -> tuple[str | None, ...]:
    return line.key.order, line.key.lot, line.key.container, line.key.operator


# lots, containers, operators


def test_a_change_of_lot_closes_the_line_at_that_instant() -> None:
    bench = Bench(lots()).read("L1", LOT).read(0).after(1).read(10).after(1).read("L2", LOT).after(1).read(15)

    assert booked(bench) == [(None, "L1", None, None, 10), (None, "L2", None, None, 5)]
    assert bench.cut().material_events()[0].lines[1].key.lot == "L2"


def test_a_delta_that_straddles_a_change_of_lot_briefly_goes_to_the_old_one() -> None:
    bench = Bench(lots()).read("L1", LOT).read(0).after(0.15).read("L2", LOT).after(0.05).read(4)

    assert booked(bench) == [(None, "L1", None, None, 4)]
    assert bench.journal.flags() == {Flag.STRADDLED_LOT}


@pytest.mark.parametrize(
    ("split", "lines", "doubts"),
    [
        (None, [], [("straddled-lot", [50, 50])]),
        (Split.OLD, [(None, "L1", None, None, 50)], []),
        (Split.NEW, [(None, "L2", None, None, 50)], []),
    ],
)
def test_a_longer_one(split: Split | None, lines: list[tuple[Any, ...]], doubts: list[tuple[str, list[int]]]) -> None:
    bench = Bench(lots(split=split)).read("L1", LOT).read(0).away(10).read("L2", LOT, age=5).read(50)
    assert (booked(bench), bench.doubts()) == (lines, doubts)

    if doubts:
        (review,) = bench.journal.reviews.values()
        assert [way.key.lot for way in review.candidates] == ["L1", "L2"]
        assert booked(bench.decide(2)) == [(None, "L2", None, None, 50)]


def test_order_and_lot_that_change_at_once_are_offered_as_they_were() -> None:
    bench = Bench(lots(order=ORDER)).read("L1", LOT).order("A").read(0).away(10)
    bench.read("L2", LOT, age=5).order("B", age=5).read(50)
    (review,) = bench.journal.reviews.values()

    assert [(way.key.order, way.key.lot) for way in review.candidates] == [("A", "L1"), ("B", "L2")]


def test_the_counter_waits_for_the_tag_of_its_lot() -> None:
    bench = Bench(lots()).read(0).after(1).read(10)
    assert (bench.booked, bench.journal.counts["lot_unknown"]) == (0, 1)

    bench.feed(bench.reading("L1", LOT, age=60), bench.reading(10))
    assert booked(bench) == [(None, "L1", None, None, 10)]


def test_each_container_has_lines_of_its_own_that_grow() -> None:
    bench = Bench(counter(container=DRUM)).read("D1", DRUM).read(0)
    for count in (3, 6, 9):
        bench.after(1).read(count)
    bench.after(1).read("D2", DRUM).after(1).read(11)

    assert booked(bench) == [(None, None, "D1", None, 9), (None, None, "D2", None, 2)]


def test_a_container_that_changed_unseen_is_asked_for() -> None:
    bench = Bench(counter(container=DRUM)).read("D1", DRUM).read(0).away(10).read("D2", DRUM, age=5).read(50)

    assert bench.doubts() == [("straddled-container", [50, 50])]


def test_who_worked_is_remarked_and_never_asked_for() -> None:
    bench = Bench(counter(operator=WHO)).read(0).after(1).read(2).read("anna", WHO).after(1).read(5)
    bench.after(1).read("ben", WHO).after(1).read(9).away(10).read("carl", WHO, age=5).read(50)

    assert booked(bench) == [
        (None, None, None, None, 2),
        (None, None, None, "anna", 3),
        (None, None, None, "ben", 4),
        (None, None, None, None, 41),
    ]
    assert (bench.doubts(), Flag.STRADDLED_OPERATOR in bench.journal.flags()) == ([], True)


def test_what_is_consumed_says_the_lot_that_was_being_made_of_it() -> None:
    bench = Bench(counter(into_lot=LOT)).read(0).after(1).read(2).read("B1", LOT).after(1).read(5)
    bench.after(1).read("B2", LOT).after(1).read(9).away(10).read("B3", LOT, age=5).read(50)
    into = [(mark.line.key.into_lot, int(mark.line.quantity)) for mark in bench.journal.lines.values()]

    assert into == [(None, 2), ("B1", 3), ("B2", 4), (None, 41)]
    assert (bench.doubts(), Flag.STRADDLED_INTO_LOT in bench.journal.flags()) == ([], True)
    sent = bench.cut().material_events()[0]
    assert [line.key.into_lot for line in sent.lines] == [None, "B1", "B2", None]


def test_the_lot_that_is_made_is_that_of_a_lag_before() -> None:
    bench = Bench(counter(into_lot=LOT, lag=LAG)).read("B1", LOT, age=100).read(0).after(1).read(10).read("B2", LOT)
    for count in (20, 30, 40):
        bench.after(14.9).read(count)
    bench.after(1).read(45)
    into = [(mark.line.key.into_lot, int(mark.line.quantity)) for mark in bench.journal.lines.values()]

    assert (into, bench.doubts()) == ([("B1", 40), ("B2", 5)], [])


@pytest.mark.parametrize("or_at", [CutAt.LOT_CHANGE, CutAt.SHIFT_END])
def test_a_change_of_lot_may_cut(or_at: CutAt) -> None:
    slow = replace(EVERY_MINUTE, every=timedelta(hours=1), or_at=frozenset({or_at}))
    bench = Bench(lots(cadence=slow)).read("L1", LOT).read(0).after(1).read(10).read("L2", LOT)
    bench.after(1).read(15).rest(4)

    events = [[(line.key.lot, int(line.quantity)) for line in event.lines] for event in bench.material_events()]
    assert events == ([[("L1", 10)]] if or_at is CutAt.LOT_CHANGE else [])


# a lag in time


def test_what_is_counted_belongs_to_the_order_of_a_lag_before() -> None:
    bench = Bench(counter(order=ORDER, lag=LAG)).order("A", age=100).read(0).after(1).read(10).order("B")
    for count in (20, 30, 40):
        bench.after(14.9).read(count)
    bench.after(1).read(45)

    assert (bench.of("A"), bench.of("B"), bench.doubts()) == (40, 5, [])


def test_around_the_lagged_change_a_delta_straddles() -> None:
    bench = Bench(counter(order=ORDER, lag=LAG)).order("A", age=100).read(0).after(1).read(10).order("B")
    bench.after(44.95).read(11).after(0.1).read(13).after(0.1).read(14)

    assert (bench.of("A"), bench.of("B")) == (13, 1)
    assert bench.journal.flags() == {Flag.STRADDLED_ORDER}


def test_conditions_and_operators_have_no_lag() -> None:
    bench = Bench(counter(operator=WHO, order=ORDER, lag=LAG)).order("A", age=100).read("anna", WHO).read(0)
    bench.after(1).read(10).read("ben", WHO).after(1).read(12)

    assert booked(bench) == [("A", None, None, "anna", 10), ("A", None, None, "ben", 2)]


def test_what_was_in_the_pipe_before_anybody_looked_is_asked_for_once() -> None:
    bench = Bench(counter(order=ORDER, lag=LAG)).order("A", age=2).read(0)
    for count in range(10, 60, 10):
        bench.after(10).read(count)
    assert (bench.booked, bench.doubts()) == (0, [("order-unknown", [50])])

    assert bench.after(1).read(55).of("A") == 5


def test_with_a_lag_an_order_is_cut_only_when_its_last_has_come_out() -> None:
    slow = replace(EVERY_MINUTE, every=timedelta(hours=1), or_at=frozenset({CutAt.ORDER_CHANGE}))
    bench = Bench(counter(order=ORDER, lag=LAG, cadence=slow)).order("A", age=100).read(0).after(1).read(10).order("B")
    bench.after(1).read(20).rest(20)
    assert bench.material_events() == []

    bench.after(30).read(25).rest(5)
    assert [[(line.key.order, int(line.quantity)) for line in one.lines] for one in bench.material_events()] == [
        [("A", 20)]
    ]


# a lag in units


def piped(bench: Bench) -> Bench:
    """What the pipe held before anybody looked has come out and is in review."""
    bench.order("A", age=100).read(0)
    for count in range(100, 400, 100):
        bench.after(10).read(count)
    bench.after(10).read(320)
    assert (bench.booked, bench.doubts()) == (0, [("order-unknown", [320])])
    return bench


def test_a_change_takes_effect_after_so_many_more_units() -> None:
    bench = piped(Bench(counter(order=ORDER, lag=320))).after(1).read(330).after(1).order("B")
    for count in range(350, 660, 10):
        bench.after(1).read(count)
    assert (bench.of("A"), bench.of("B")) == (330, 0)

    bench.after(1).read(655)
    assert (bench.of("A"), bench.of("B")) == (330, 5)
    assert len(bench.doubts()) == 1


def test_a_unit_that_nobody_can_tell_goes_to_the_old_order_flagged() -> None:
    bench = piped(Bench(counter(order=ORDER, lag=320))).after(1).read(330).after(0.15).order("B").after(0.05).read(334)
    for count in range(340, 645, 10):
        bench.after(1).read(count)
    bench.after(1).read(649).after(1).read(652).after(0.1).read(653).after(0.1).read(656)

    # B came after unit 330 to 334, so its first one is 651 to 655: what nobody can tell ends there
    assert (bench.of("A"), bench.of("B")) == (334, 2)
    assert Flag.STRADDLED_ORDER in bench.journal.flags()
    assert bench.after(0.1).read(658).of("B") == 4


def test_units_that_ran_unseen_widen_what_nobody_can_tell() -> None:
    bench = Bench(counter(order=ORDER, lag=20, split=Split.REVIEW)).order("A", age=100).read(0).after(1).read(20)
    bench.after(1).read(40).order("B").away(5, None).read(50).rest(3)  # B has 20 to go; 10 or 50 ran
    assert bench.doubts()[-1] == ("unproven", [10, 10, 50, 50])

    bench.after(1).read(55).after(1).read(70).after(1).read(73)
    assert bench.doubts()[2:] == [("straddled-order", [10, 10])]  # after 10 more at least 20 have run
    assert (bench.of("A"), bench.of("B")) == (20, 13)


def test_a_wrap_is_no_end_of_the_pipe() -> None:
    bench = Bench(counter(order=ORDER, lag=20)).order("A", age=100).read(65_530).after(1).read(5).after(1).read(15)
    bench.rest(3)

    assert (bench.doubts(), bench.of("A")) == ([("order-unknown", [20])], 1)
    assert bench.after(1).read(20).of("A") == 6
