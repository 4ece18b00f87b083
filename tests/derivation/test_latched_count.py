"""A count that the PLC latches with the change of order: exact where it is sure, as without it where it is not."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.config.signals import AtChange, Direction
from edge_agent.config.tagmap import Split
from edge_agent.derivation import counting, latch, posting
from edge_agent.model.movement import Flag, LineState
from edge_agent.model.reading import Quality, Reading
from edge_agent.model.signal_state import Latched
from tests.derivation.latching_line import CHANGES, LATCH, MODULUS, LatchingLine, latched
from tests.derivation.plant import ORDER, Bench
from tests.derivation.planting import fails_within
from tests.derivation.surroundings import LOT, STATE
from tests.derivation.test_context_oracle import RUNNING

NEAR = 3
"""Sampling periods: the delta that straddles briefly is at most two of them wide."""
PATTERNS = st.sampled_from([(0,), (1,), (0, 1), (2,), (0, 0, 3), (1, 0, 2)])
AT = st.lists(st.integers(0, 30), max_size=3).map(tuple)
OPS = st.one_of(
    st.tuples(st.just("run"), st.integers(1, 40), PATTERNS, AT),
    st.tuples(st.just("outage"), st.integers(1, 80), PATTERNS, AT),
)
SCRIPTS = st.tuples(
    st.sampled_from([0, 0, 0, 1, 5, 20]),
    st.integers(1, 4),
    st.sampled_from([(0, 0), (0, 0), (0, 0), (1, 0), (0, 2), (4, 1), (30, 0)]),
    st.sampled_from([0, 0, 65_500]),
    st.sampled_from([7, 65_534, 0]),
    st.lists(OPS, min_size=2, max_size=10),
)
Script = tuple[int, int, tuple[int, int], int, int, list[tuple[str, int, tuple[int, ...], tuple[int, ...]]]]


def play(script: Script) -> LatchingLine:
    """Run a script, and audit."""
    every, publish, (late, later), first, number, ops = script
    line = LatchingLine(every, publish, late, later, first, number)
    for name, steps, pattern, change_at in ops:
        (line.run if name == "run" else line.outage)(steps, pattern, change_at)
    line.run(60, (1,))
    line.run(60, (0,))
    audit(line, in_step=(late, later) == (0, 0))
    return line


def audit(line: LatchingLine, *, in_step: bool) -> None:
    """Every unit once; booked where it belongs, or flagged and near; certain wherever the latch makes it so."""
    line.journal.check()
    covered: list[int] = []
    for mark in line.journal.lines.values():
        proof = mark.line.evidence
        held = proof.from_position < MODULUS <= proof.to_position  # for a while, from the wrap on
        for place in range(proof.from_position - line.first, proof.to_position - line.first):
            covered.append(place)
            order, step = line.made[place]
            certain = in_step and not held and _is_settled(line, place)
            if mark.state is LineState.IN_REVIEW:
                offered = {way.key.order for way in line.journal.reviews[mark.review or ""].candidates}
                assert order in offered or order not in line.told_orders, f"{place}: {order} is not in {offered}"
                assert not certain, f"{place} is asked for, and it was latched"
            elif order != mark.line.key.order and not _is_lost(line, place, mark.line.key.order):
                near = any(abs(turn - step) <= NEAR * max(line.every, 1) for turn, _ in line.turned)
                assert near, f"{place}: {order} is in {mark.line.key}"
                assert Flag.STRADDLED_ORDER in proof.flags, f"{place}: {order} is in {mark.line.key}"
                assert not certain, f"{place} is misplaced, and it was latched"
    assert sorted(covered) == list(range(len(line.made)))


def _is_lost(line: LatchingLine, place: int, order: str | None) -> bool:
    """Whether a unit's order came and went unseen, and the unit is where it would be without a latch as well."""
    marks = (one for one in line.without.lines.values() if one.state is not LineState.IN_REVIEW)
    spans = [one.line.evidence for one in marks if one.line.key.order == order]
    unseen = line.made[place][0] not in line.told_orders
    return unseen and any(one.from_position <= place + line.first < one.to_position for one in spans)


def _is_settled(line: LatchingLine, place: int) -> bool:
    """Whether between the two readings around a unit there was one change, at another count than the one before.

    One that came when the counter had stood already may belong to either of two readings, so none in the one before;
    nor is another delivered together with it: of both only what was latched last is looked at.
    """
    before = max((one for one in line.read if one[1] <= place), default=(0, 0))
    after = min((one for one in line.read if one[1] > place), default=(line.step, len(line.made)))
    earlier = max((step for step, _ in line.read if step < before[0]), default=0)
    turns = [n for n, (step, _) in enumerate(line.turned) if earlier - line.publish < step < after[0] + line.publish]
    if len(turns) != 1:
        return False
    n = turns[0]
    others = line.turned[n - 1][1] if n else 0
    numbers = line.number - len(line.turned) + n + 1
    return line.turned[n][1] != others and numbers % MODULUS != 1


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_unit_is_its_orders_and_one_change_is_exact() -> None:
    seen: Tally[str] = Tally()

    @settings(max_examples=400, derandomize=True, database=None, deadline=None, report_multiple_bugs=False)
    @given(SCRIPTS)
    def holds(script: Script) -> None:
        line = play(script)
        seen.update(str(review.cause) for review in line.journal.reviews.values())
        seen.update(str(flag) for flag in line.journal.flags())
        seen.update(line.journal.counts)

    holds()
    assert seen.keys() >= {"straddled-order", "straddledOrder", "spannedOutage", "wrapped"}


# tables


def running(**changes: Any) -> Bench:
    """Order A runs, 100 were counted; the last change was the 7th, at a count of 40."""
    bench = Bench(latched(**changes)).order("A", age=100).read(40, LATCH).read(7, CHANGES)
    return bench.read(100, continuous=False)


def changed(bench: Bench, count: int, number: int = 8, **about: Any) -> list[Reading]:
    """What the PLC writes in the scan in which B begins."""
    return [
        bench.reading(count, LATCH, continuous=False, **about),
        bench.reading(number, CHANGES, continuous=False, **about),
        bench.reading("B", ORDER, continuous=False, **about),
    ]


def test_a_change_in_a_long_silence_is_exact() -> None:
    bench = running().away(600)
    bench.feed(bench.reading(900, continuous=False), *changed(bench, 350, age=300))

    assert (bench.of("A"), bench.of("B"), bench.doubts()) == (250, 550, [])
    spans = [(one.line.evidence.from_position, one.line.evidence.to_position) for one in bench.journal.lines.values()]
    assert (sorted(spans), bench.journal.flags()) == ([(100, 350), (350, 900)], {Flag.SPANNED_OUTAGE})


@pytest.mark.parametrize(("count", "a", "b"), [(100, 0, 4), (101, 1, 3), (104, 4, 0)])
def test_a_brief_one_is_too_and_nothing_straddles(count: int, a: int, b: int) -> None:
    bench = running().after(0.1)
    bench.feed(*changed(bench, count), bench.reading(104))

    assert (bench.of("A"), bench.of("B"), bench.journal.flags()) == (a, b, set())


@pytest.mark.parametrize("split", Split)
def test_nothing_straddles_that_split_could_send_elsewhere(split: Split) -> None:
    bench = running(split=split).away(60)
    bench.feed(bench.reading(300, continuous=False), *changed(bench, 250))

    assert (bench.of("A"), bench.of("B"), bench.doubts()) == (150, 50, [])


def test_the_lot_may_change_with_it() -> None:
    bench = Bench(latched(lot_from=LOT)).order("A", age=100).read("L1", LOT, age=100).read(40, LATCH).read(7, CHANGES)
    bench.read(100, continuous=False).away(60)
    bench.feed(*changed(bench, 250), bench.reading("L2", LOT, continuous=False), bench.reading(300, continuous=False))

    keys = {(one.line.key.order, one.line.key.lot): int(one.line.quantity) for one in bench.journal.lines.values()}
    assert (keys, bench.doubts()) == ({("A", "L1"): 150, ("B", "L2"): 50}, [])


def test_a_wrap_in_between_counts() -> None:
    for at, a in ((65_535, 35), (0, 36), (10, 46)):
        bench = Bench(latched()).order("A", age=100).read(40, LATCH).read(7, CHANGES).read(65_500, continuous=False)
        bench.away(60)
        bench.feed(*changed(bench, at), bench.reading(60, continuous=False)).after(2.5).read(60, continuous=False)
        assert (bench.of("A"), bench.of("B"), bench.doubts()) == (a, 96 - a, []), at


def test_a_counter_that_counts_down() -> None:
    bench = Bench(latched(direction=Direction.DOWN, wraps_at=None)).order("A", age=100)
    bench.read(900, LATCH).read(7, CHANGES).read(800, continuous=False).away(60)
    bench.feed(*changed(bench, 700), bench.reading(500, continuous=False))

    assert (bench.of("A"), bench.of("B")) == (100, 200)


@pytest.mark.parametrize(
    ("count", "number", "said"),
    [
        pytest.param(40, 8, 0, id="an old count: nothing proves that it is of this change"),
        pytest.param(250, 7, 0, id="no number: the count may be of any change"),
        pytest.param(250, 9, 0, id="two changes: one was not seen"),
        pytest.param(99, 8, 1, id="before the last reading"),
        pytest.param(301, 8, 1, id="after what is shown"),
    ],
)
def test_what_is_not_sure_is_as_without_it(count: int, number: int, said: int) -> None:
    bench = running().away(60)
    bench.feed(*changed(bench, count, number), bench.reading(300, continuous=False))

    assert (bench.booked, bench.doubts()) == (0, [("straddled-order", [200, 200])])
    assert bench.journal.counts["latch_contradicts"] == said


def test_a_number_that_may_have_begun_anew_proves_nothing() -> None:
    bench = Bench(latched()).order("A", age=100).read(40, LATCH).read(0, CHANGES).read(100, continuous=False).away(60)
    bench.feed(*changed(bench, 250, 1), bench.reading(300, continuous=False))

    assert bench.doubts() == [("straddled-order", [200, 200])]


def test_a_count_shown_at_another_time_than_the_change_is_of_another() -> None:
    bench = running().away(60)
    news = [*changed(bench, 250, age=30)[:2], *changed(bench, 250, age=5)[2:]]
    bench.feed(*news, bench.reading(300, continuous=False))

    assert bench.doubts() == [("straddled-order", [200, 200])]


def test_a_count_that_comes_after_the_reading_is_too_late_and_never_taken_for_the_next() -> None:
    bench = running().after(0.1)
    order = changed(bench, 0)[2]
    bench.feed(order, bench.reading(104)).feed(*changed(bench, 102)[:2]).after(0.1).read(108, continuous=False)
    assert (bench.of("A"), bench.of("B"), bench.journal.flags()) == (4, 4, {Flag.STRADDLED_ORDER})

    bench.away(60)
    bench.feed(bench.reading("C", ORDER, continuous=False), bench.reading(300, continuous=False))
    assert bench.doubts() == [("straddled-order", [192, 192])]


def test_review_over_a_bad_latch_and_an_unproven_count_stay_for_a_person() -> None:
    over = running(review_over=100).away(60)
    over.feed(*changed(over, 250), over.reading(300, continuous=False)).rest(3)
    assert {cause for cause, _ in over.doubts()} == {"review-over"}

    bad = running().away(60)
    bad.feed(*changed(bad, 250, quality=Quality.BAD), bad.reading("B", ORDER), bad.reading(300, continuous=False))
    assert bad.doubts() == [("straddled-order", [200, 200])]

    lost = running().away(60, None)
    lost.feed(*changed(lost, 250), lost.reading(300, continuous=False)).rest(3)
    assert lost.doubts() == [("unproven", [200, 200, 300, 300])]


def test_a_condition_in_doubt_stays_in_doubt() -> None:
    bench = Bench(latched(only_while=RUNNING)).order("A", age=100).read(6, STATE, age=100)
    bench.read(40, LATCH).read(7, CHANGES).read(100, continuous=False).away(60)
    bench.read(6, STATE).feed(*changed(bench, 250), bench.reading(300, continuous=False)).rest(1)

    assert bench.booked == 0
    assert {cause for cause, _ in bench.doubts()} <= {"condition-unknown", "straddled-condition"}


# what the oracle must catch

Patch = pytest.MonkeyPatch


def takes_a_stale_latch(patch: Patch) -> None:
    patch.setattr(latch, "_is_fresh", lambda *_: True)


def asks_for_no_number(patch: Patch) -> None:
    def fresh(spec: AtChange, one: Any, delta: Any) -> bool:
        return one.count_before is not None and one.count != one.count_before

    patch.setattr(latch, "_is_fresh", fresh)


def forgets_the_wrap(patch: Patch) -> None:
    right = latch.change_in

    def change_in(rule: Any, state: Any, spec: Any, *about: Any, **more: Any) -> Any:
        return right(rule, state, replace(spec, wraps_at=None), *about, **more)

    patch.setattr(counting, "change_in", change_in)


def _moved(patch: Patch, by: int) -> None:
    right = latch.change_in

    def change_in(*about: Any, **more: Any) -> Any:
        found = right(*about, **more)
        if found is None or found.parts is None or len(found.parts) < 2:
            return found
        first, second = found.parts
        parts = (first._replace(units=first.units + by), second._replace(units=second.units - by))
        return latch.Change(tuple(part for part in parts if part.units))

    patch.setattr(counting, "change_in", change_in)


def is_off_by_one_unit(patch: Patch) -> None:
    _moved(patch, 1)


def is_short_by_one_unit(patch: Patch) -> None:
    _moved(patch, -1)


def reads_the_latch_after_the_counter(patch: Patch) -> None:
    patch.setattr(counting, "with_count", lambda known, counts, time: known or Latched())


def never_lets_a_latch_grow_old(patch: Patch) -> None:
    patch.setattr(counting, "read_until", lambda known, until: known)


def gives_both_parts_to_the_old_order(patch: Patch) -> None:
    right = posting._parts

    def parts(*about: Any) -> Any:
        found = list(right(*about))
        first = found[0][1]
        return [(proof, part and first and part._replace(pairs=first.pairs)) for proof, part in found]

    patch.setattr(posting, "_parts", parts)


def test_a_wrap_that_is_forgotten_is_found(monkeypatch: Patch) -> None:
    """It leaves the change in review: that is no fault of the books, but not what was asked for."""
    forgets_the_wrap(monkeypatch)
    with pytest.raises(AssertionError):
        test_a_wrap_in_between_counts()


@pytest.mark.parametrize(
    "plant",
    [
        takes_a_stale_latch,
        asks_for_no_number,
        is_off_by_one_unit,
        is_short_by_one_unit,
        reads_the_latch_after_the_counter,
        never_lets_a_latch_grow_old,
        gives_both_parts_to_the_old_order,
    ],
)
def test_a_planted_bug_of_the_latch_is_found(plant: Callable[[Patch], None], monkeypatch: Patch) -> None:
    plant(monkeypatch)
    fails_within(500, SCRIPTS, play)
