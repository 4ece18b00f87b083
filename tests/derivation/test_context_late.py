"""A change of context that is told late: what is pending is put right, what was sent is said."""

from __future__ import annotations

from typing import Any

from edge_agent.config.conditions import condition
from edge_agent.model.movement import Cause, EventType, LineState, Notice
from edge_agent.model.reading import TagRef
from tests.derivation.plant import COUNT, Bench, counter

OTHER, GATE = TagRef("mes", "order"), TagRef("mes", "gate")


def running(**changes: Any) -> Bench:
    """Ten units a second for order A; the order's tag is on another source, which has been silent for a minute."""
    bench = Bench(counter(order=OTHER, **changes)).read("A", OTHER).read(0, COUNT)
    return bench.read("", TagRef("mes", "other")).after(1)


def ran(bench: Bench, seconds: int, start: int = 0) -> Bench:
    for second in range(1, seconds + 1):
        bench.after(1).read(start + 10 * second)
    return bench


def notices(bench: Bench) -> list[Notice]:
    return [event.about for event in bench.journal.events if isinstance(event.about, Notice)]


def test_a_change_that_is_told_at_once_is_no_late_one() -> None:
    bench = ran(running(), 10).read("B", OTHER, age=3).after(1).read(110)

    assert (bench.of("A"), bench.of("B"), notices(bench), bench.doubts()) == (100, 10, [], [])


def test_what_is_pending_and_straddles_it_goes_to_review() -> None:
    bench = ran(running(), 30).read("B", OTHER, age=15)

    assert (bench.booked, bench.doubts(), notices(bench)) == (0, [("straddled-order", [300, 300])], [])
    (review,) = bench.journal.reviews.values()
    assert [way.key.order for way in review.candidates] == ["A", "B"]
    assert bench.after(1).read(310).of("B") == 10


def test_what_is_pending_and_ran_wholly_after_it_is_put_right() -> None:
    bench = ran(running(), 10).cut()
    ran(bench, 10, 100).read("B", OTHER, age=9.5)

    assert (bench.of("A"), bench.of("B"), bench.doubts(), notices(bench)) == (100, 100, [], [])
    assert [mark.state for mark in bench.journal.lines.values()] == [LineState.CUT, LineState.PENDING]


def test_what_was_sent_stays_and_is_said_with_a_proposed_reversal() -> None:
    bench = ran(running(), 10).cut()
    ran(bench, 10, 100).cut().read("B", OTHER, age=15)

    assert (bench.of("A"), bench.of("B"), bench.doubts()) == (200, 0, [])
    (notice,) = notices(bench)
    assert (notice.cause, int(notice.quantity), notice.key.order) == (Cause.BACKDATED, 200, "A")
    assert "order B since" in notice.message
    assert "sent: 100 of order A, 100 of order A." in notice.message
    assert [(one.epoch, one.from_position, int(one.quantity)) for one in notice.carried] == [(1, 0, 100), (1, 100, 100)]
    assert "reverse" in notice.message
    assert not [event for event in bench.journal.events if event.type is EventType.REVERSED]


def test_what_was_sent_before_it_is_not_concerned() -> None:
    bench = ran(running(), 10).cut().after(30).read("B", OTHER, age=20)

    assert notices(bench) == []


def test_a_condition_that_had_long_ceased_to_hold() -> None:
    bench = Bench(counter(only_while=condition("mes.gate"))).read(True, GATE).read(0).after(1)
    ran(bench, 10).cut()
    ran(bench, 10, 100).read(False, GATE, age=9.5)
    assert (bench.booked, bench.excluded, notices(bench)) == (100, 100, [])

    bench.read(True, GATE).after(1)
    ran(bench, 10, 200).cut().read(False, GATE, age=8)
    assert [(one.cause, int(one.quantity)) for one in notices(bench)] == [(Cause.BACKDATED, 100)]


def test_lot_and_order_of_several_rules_are_put_right_alike() -> None:
    rules = (counter(order=OTHER), counter("u32", order=OTHER, tag=TagRef("plc", "more")))
    bench = Bench(*rules).read("A", OTHER).read(0).read(0, TagRef("plc", "more")).after(1)
    for count in range(10, 200, 10):
        bench.after(1).read(count).read(count, TagRef("plc", "more"))
    bench.read("B", OTHER, age=9)

    assert [cause for cause, _ in bench.doubts()] == ["straddled-order", "straddled-order"]
