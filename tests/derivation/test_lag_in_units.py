"""A lag in units against a pipe of single units: nothing goes wrong, and nothing is asked that the readings answer."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.derivation import pipe, posting
from edge_agent.model.movement import Flag, LineState
from tests.derivation.plant import ORDER, Bench, counter
from tests.derivation.planting import fails_within
from tests.derivation.unit_pipe import LOT, Open, Unit, UnitPipe

BRIEF = 2
"""Steps, each a sampling period: a change between two readings so far apart goes to what was before."""
FLAGS = {"order": Flag.STRADDLED_ORDER, "lot": Flag.STRADDLED_LOT}
PATTERNS = st.sampled_from([(0,), (1,), (0, 1), (2,), (0, 0, 3), (1, 0, 2), (5,)])
WHAT = st.sampled_from(["order", "order", "lot"])
OPS = st.one_of(
    st.tuples(st.just("run"), st.integers(1, 40), PATTERNS),
    st.tuples(st.just("change"), WHAT, st.booleans()),
    st.tuples(st.just("outage"), st.tuples(st.integers(0, 40), st.one_of(st.none(), WHAT)), PATTERNS),
    st.tuples(st.just("restart"), st.none(), st.none()),
    st.tuples(st.just("read"), st.booleans(), st.none()),
)
SCRIPTS = st.tuples(
    st.sampled_from([5, 20, 60]),
    st.sampled_from([0, 0, 1, 2, 3, 10]),
    st.booleans(),
    st.lists(OPS, min_size=3, max_size=14),
)
Script = tuple[int, int, bool, list[tuple[str, Any, Any]]]


def play(script: Script) -> UnitPipe:
    """Run a script until all that it changed has come out, and audit."""
    units, every, told_late, ops = script
    rule = replace(counter("count", order=ORDER, lot_from=LOT, wraps_at=None, max_rate=None), lag=units)
    line = UnitPipe(rule, units, every, told_late=told_late)
    for name, one, other in (*ops, ("read", False, None)):
        match name:
            case "run":
                line.run(one, other)
            case "change":
                line.change(one, sampled=other)
            case "outage":
                line.outage(one[0], other, one[1])
            case "restart":
                line.restart()
            case _:
                line.read_at_last(long_known=one)
    line.run(len(line.counted) // 2 + units + 20, (2,))
    line.restart()
    audit(line)
    return line


def audit(line: UnitPipe) -> None:
    """Every unit once; where the readings tell whose it is, it is there, and else flagged or in review."""
    line.journal.check()
    covered: list[int] = []
    for mark in line.journal.lines.values():
        proof, key = mark.line.evidence, mark.line.key
        for place in range(proof.from_position, proof.to_position):
            covered.append(place)
            unit, doubts = line.counted[place], [one for one in line.open if one.low <= place < one.high]
            if mark.state is LineState.IN_REVIEW:
                _check_review(line, unit, doubts, mark.review or "")
                continue
            wrong = {part for part in FLAGS if getattr(unit, part) != getattr(key, part)}
            assert {FLAGS[part] for part in wrong} <= {*proof.flags}, f"{place}: {unit} is in {key}"
            assert not wrong or any(one.steps <= BRIEF for one in doubts), f"{place}: {unit} is in {key}"
        in_it = [one for one in line.open if one.low < proof.to_position and one.high > proof.from_position]
        if mark.state is not LineState.IN_REVIEW and {*FLAGS.values()} & {*proof.flags}:
            assert any(one.steps <= BRIEF for one in in_it), f"{mark}: flagged, but certain"
    assert sorted(covered) == list(range(len(line.counted)))


def _check_review(line: UnitPipe, unit: Unit, doubts: list[Open], name: str) -> None:
    review = line.journal.reviews[name]
    assert any(one.steps > BRIEF for one in doubts), f"{unit} is certain, and asked for: {review}"
    offered = {(way.key.order, way.key.lot) for way in review.candidates}
    before_anybody_looked = any(one.low == 0 for one in doubts)
    assert before_anybody_looked or (unit.order, unit.lot) in offered, f"{unit} is not among {offered}"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_unit_is_its_orders_and_only_what_the_readings_leave_open_is_asked_for() -> None:
    seen: Tally[str] = Tally()

    @settings(max_examples=250, derandomize=True, database=None, deadline=None, report_multiple_bugs=False)
    @given(SCRIPTS)
    def holds(script: Script) -> None:
        journal = play(script).journal
        seen.update(str(review.cause) for review in journal.reviews.values())
        seen.update(str(flag) for flag in journal.flags())

    holds()
    assert seen.keys() >= {"straddled-order", "straddled-lot", "order-unknown", "straddledOrder", "straddledLot"}


def test_a_change_inside_the_first_lag_is_placed_by_the_readings_around_it() -> None:
    """Read each second, 5 a second; the order changes after 45, and the first 100 nobody knows."""
    bench = Bench(counter(order=ORDER, lag=100)).order("A", age=100).read(0, continuous=False)
    for count in range(5, 250, 5):
        bench.after(0.5)
        if count == 50:
            bench.order("B")
        bench.after(0.5).read(count, continuous=False)

    assert bench.doubts() == [("order-unknown", [100]), ("straddled-order", [5, 5])]
    assert (bench.of("A"), bench.of("B")) == (45, 95)


@pytest.mark.parametrize(("age", "unknown"), [(3600, 100), (0, 130)])
def test_an_order_that_is_read_late_says_since_when_it_runs(age: float, unknown: int) -> None:
    bench = Bench(counter(order=ORDER, lag=100)).read(0)
    for count in range(10, 250, 10):
        bench.after(1).read(count)
        if count == 30:
            bench.order("A", age=age)

    assert (bench.doubts(), bench.of("A")) == ([("order-unknown", [unknown])], 240 - unknown)


def test_what_has_waited_long_enough_does_not_wait_for_another_unit() -> None:
    bench = Bench(counter(order=ORDER, lag=20)).read(0).after(1).read(30).after(1).order("A", age=3600).tick()

    assert (bench.doubts(), bench.of("A")) == ([("order-unknown", [20])], 10)


# what the oracle must catch

Patch = pytest.MonkeyPatch


def spreads_a_change_over_all_that_waits(patch: Patch) -> None:
    """As it was before: a change was noted when what waits was booked."""

    def noted(*about: Any, **more: Any) -> Any:
        found, waiting = right(*about, **more), more["waiting"]
        ran = 0 if waiting is None else waiting.to_position - waiting.from_position
        before = about[2].coming if about[2] is not None else ()
        spread = (
            tuple(one if one in before else replace(one, low=one.low - ran) for one in found.coming) if found else ()
        )
        return found and replace(found, coming=spread)

    right = pipe.noted
    patch.setattr(posting, "noted", noted)


def lets_a_change_out_one_unit_late(patch: Patch) -> None:
    right = pipe.part_out
    patch.setattr(pipe, "part_out", lambda one, start, end: right(one, max(start - 1, 0), max(end - 1, 1)))


def forgets_what_waits(patch: Patch) -> None:
    right = pipe.noted
    patch.setattr(posting, "noted", lambda *about, **more: right(*about, **{**more, "waiting": None}))


def knows_all_once_it_knows_the_order(patch: Patch) -> None:
    def begun(rule: Any, *about: Any, **more: Any) -> Any:
        return replace(right(rule, *about, **more), unknown=rule.pipe)

    right = pipe._begun
    patch.setattr(pipe, "_begun", begun)


def takes_all_for_brief(patch: Patch) -> None:
    right = pipe.part_out
    patch.setattr(pipe, "part_out", lambda *about: right(*about)._replace(brief=True))


def asks_for_all_that_comes_out_with_what_is_open(patch: Patch) -> None:
    """As it was before: the delta that crosses the range went to review as a whole."""
    patch.setattr(posting, "parts_out", lambda one, units: [pipe.part_out(one, 0, units)])


@pytest.mark.parametrize(
    "plant",
    [
        spreads_a_change_over_all_that_waits,
        lets_a_change_out_one_unit_late,
        forgets_what_waits,
        knows_all_once_it_knows_the_order,
        takes_all_for_brief,
        asks_for_all_that_comes_out_with_what_is_open,
    ],
)
def test_a_planted_bug_of_the_pipe_is_found(plant: Callable[[Patch], None], monkeypatch: Patch) -> None:
    plant(monkeypatch)
    fails_within(400, SCRIPTS, play)
