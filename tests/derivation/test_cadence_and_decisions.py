"""When pending lines become events, and what a person's word on a review does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from edge_agent.derivation.cadence import LINES_PER_EVENT
from edge_agent.derivation.engine import Engine
from edge_agent.model.movement import Cause, Decision, EventType, LineState, Verdict
from edge_agent.model.reading import Instant, TagRef
from tests.derivation.plant import AT_ONCE, EVERY_MINUTE, ORDER, Bench, counter, handshake, tag_map

OTHER = TagRef("plc", "other")


def sizes(bench: Bench) -> list[list[int]]:
    return [[int(line.quantity) for line in event.lines] for event in bench.material_events()]


def due(bench: Bench) -> datetime | None:
    return bench.state.cadences["packaging"].due


def test_at_once() -> None:
    bench = Bench(counter(cadence=AT_ONCE)).read(0).after(1).read(5).after(1).read(9)

    assert sizes(bench) == [[5], [4]]
    assert bench.state.rules["u16"].pending == ()
    assert bench.state.cadences == {}


def test_every_minute_from_the_first_pending_line() -> None:
    bench = Bench(counter()).read(0).rest(20).read(5)
    assert due(bench) == bench.now.wall + timedelta(minutes=1)

    bench.rest(30).read(9).rest(29.8)
    assert sizes(bench) == []
    assert sizes(bench.after(0.2).tick()) == [[9]]
    assert due(bench) is None
    assert sizes(bench.rest(120)) == [[9]]


def test_a_cut_missed_during_downtime_happens_once() -> None:
    bench = Bench(counter()).read(0).after(1).read(5).lost().after(1800).tick().rest(3)
    assert sizes(bench) == [[5]]

    assert sizes(bench.up().read(900).rest(61)) == [[5], [895]]


def test_a_wall_clock_set_back_does_not_put_the_cut_off() -> None:
    bench = Bench(counter()).read(0).after(1).read(5)
    bench.now = Instant(bench.now.wall - timedelta(days=1), bench.now.monotonic_ns + 10**9, bench.now.boot_id)

    assert sizes(bench.tick().tick()) == [[5]]


def test_cut_on_request_takes_everything_and_nothing_twice() -> None:
    bench = Bench(counter("u16"), counter("u32", tag=OTHER)).read(0).read(0, OTHER).after(1).read(5).read(7, OTHER)

    assert sizes(bench.cut().cut()) == [[5, 7]]
    assert sizes(bench.rest(61)) == [[5, 7]]


def test_one_event_for_each_order_and_type() -> None:
    rules = [counter("u16", order=ORDER), counter("u32", order=ORDER, tag=OTHER)]
    rules[1] = replace(rules[1], event=EventType.PRODUCED)
    bench = Bench(*rules).order("A").read(0).read(0, OTHER).after(1).read(5).read(7, OTHER)
    bench.after(5).order("B").after(5).read(6).read(9, OTHER).cut()

    places = [(str(event.type), event.lines[0].key.order) for event in bench.material_events()]
    assert sorted(places) == [
        ("material.consumed", "A"),
        ("material.consumed", "B"),
        ("material.produced", "A"),
        ("material.produced", "B"),
    ]
    assert bench.booked == 15


def test_a_long_list_of_lines_is_cut_into_several_events() -> None:
    bench = Bench(handshake(cadence=EVERY_MINUTE)).block(0, 0)
    for number in range(1, LINES_PER_EVENT + 6):
        bench.after(1).block(number, number - 1, sscc=f"P{number}", cases=1)
    bench.cut()

    assert [len(event.lines) for event in bench.material_events()] == [LINES_PER_EVENT, 5]
    assert [line.key.container for line in bench.material_events()[1].lines] == [f"P{n}" for n in range(41, 46)]


def test_lines_that_a_new_map_moves_to_another_cadence_are_not_forgotten() -> None:
    for cadence, wait in ((replace(EVERY_MINUTE, name="bulk"), 61.0), (AT_ONCE, 0.2)):
        bench = Bench(counter()).read(0).after(1).read(5)
        bench.engine = Engine(tag_map(counter(cadence=cadence)))

        assert sizes(bench.rest(wait)) == [[5]]


def test_a_review_leaves_nothing_due() -> None:
    bench = Bench(counter(order=ORDER)).order("A").read(0).away(10).order("B", age=5).read(50)

    assert (bench.doubts(), bench.state.cadences) == ([("straddled-order", [50, 50])], {})


def fell(bench: Bench) -> Bench:
    return bench.read(5000).after(0.1).read(4000).rest(2)


def test_every_review_and_gap_is_announced_on_ops() -> None:
    bench = fell(Bench(counter())).restarted(10).read(20).rest(2)

    announced = [(event.type, event.stream) for event in bench.journal.events]
    assert announced == [(EventType.IN_REVIEW, "ops"), *2 * [(EventType.EXCEPTION, "ops")]]
    assert [(gap.cause, int(gap.minimum)) for gap in bench.journal.gaps] == 2 * [(Cause.RESET, 0)]


@pytest.mark.parametrize(
    ("decide", "booked", "events"),
    [
        (lambda b: b.decide(2), 4000, [[4000]]),
        (lambda b: b.decide(3), 64_536, [[64_536]]),
        (lambda b: b.decide(3, found=4_100), 4_100, [[4_100]]),
        (lambda b: b.decide(1, found=17), 17, [[17]]),
        (lambda b: b.decide(1), 0, []),
        (lambda b: b.decide(None), 0, []),
    ],
    ids=["one candidate", "another", "found instead", "found instead of nothing", "the candidate 0", "rejected"],
)
def test_a_decision_on_a_doubtful_quantity(
    decide: Callable[[Bench], Bench], booked: int, events: list[list[int]]
) -> None:
    bench = decide(fell(Bench(counter())))

    assert (bench.booked, sizes(bench)) == (booked, events)
    for event in bench.material_events():
        assert isinstance(event.about, Decision)
        assert (event.about.by, event.about.verdict) == ("anna", Verdict.ACCEPTED)
        assert event.stream == "routine"
    assert bench.after(0.1).read(4003).booked == booked + 3


@pytest.mark.parametrize(
    ("candidate", "state", "booked"),
    [(1, LineState.BOOKED_BY_REVIEW, 50), (2, LineState.BOOKED_BY_REVIEW, 50), (None, LineState.REJECTED, 0)],
)
def test_a_decision_on_a_doubtful_order_keeps_its_place_in_the_identity(
    candidate: int | None, state: LineState, booked: int
) -> None:
    bench = Bench(counter(order=ORDER)).order("A").read(0).away(10).order("B", age=5).read(50)
    bench.after(0.1).read(55).decide(candidate).cut()

    assert bench.booked == booked + 5
    assert [mark.state for mark in bench.journal.lines.values()] == [state, LineState.CUT]


def test_decisions_on_several_reviews_of_one_rule_do_not_meet() -> None:
    bench = fell(Bench(counter())).after(1).read(3000).rest(2)
    first, second = bench.journal.reviews

    assert bench.decide(2, second).decide(2, first).booked == 7000
    assert len(bench.material_events()) == 2
