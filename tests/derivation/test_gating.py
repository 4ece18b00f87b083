"""Conditions at work: what runs while they hold, while they do not, and while nobody knows."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from edge_agent.config.conditions import condition
from edge_agent.config.tagmap import Pause, Rule, Split
from edge_agent.derivation.engine import Engine
from edge_agent.model.confirmation import Result
from edge_agent.model.movement import Cause, Flag, LineState
from edge_agent.model.reading import Instant, Quality, Reading, TagRef
from tests.derivation.plant import COUNT, ORDER, Bench, counter, handshake, tag_map

STATE, VALVE = TagRef("plc", "state"), TagRef("tanks", "valve")
RUNNING = condition("plc.state == packml.Execute")
FLUSHING = condition("tanks.valve")


def gated(**changes: Any) -> Rule:
    return counter(**{"only_while": RUNNING, **changes})


def started(rule: Rule, state: int = 6) -> Bench:
    """The counter stands at 0, its condition has been known for a while."""
    return Bench(rule).read(state, STATE).read(0).after(1)


# only_while


def test_a_state_that_packml_does_not_have_is_counted_each_time_that_it_comes() -> None:
    by_name = Bench(gated(), gated(name="other"), counter("free")).read("Execute", STATE).read(0).after(1).read(10)
    for said in ("Exceute", "Exceute", "Held", "6", "Execute"):
        by_name.after(1).read(said, STATE)
    by_name.after(1).read(40)

    assert by_name.journal.counts["no_packml_state"] == 4
    by_number = started(gated())
    for number in (2, 0, 18, 6):
        by_number.after(1).read(number, STATE)
    assert by_number.journal.counts["no_packml_state"] == 1


def test_what_runs_while_it_does_not_hold_is_excluded_and_accounted_for() -> None:
    bench = (
        started(gated()).read(10).after(1).read(2, STATE).after(1).read(30).after(1).read(6, STATE).after(1).read(35)
    )

    assert (bench.booked, bench.excluded, bench.doubts()) == (15, 20, [])
    assert bench.journal.counts["excluded"] == 1
    assert [(mark.state, int(mark.line.quantity)) for mark in bench.journal.lines.values()] == [
        (LineState.PENDING, 10),
        (LineState.EXCLUDED, 20),
        (LineState.PENDING, 5),
    ]


def test_what_is_excluded_in_one_go_is_one_line_and_no_event() -> None:
    bench = started(gated(), 2)
    for count in range(5, 50, 5):
        bench.after(0.1).read(count)

    assert (bench.booked, bench.excluded, len(bench.journal.lines)) == (0, 45, 1)
    assert bench.cut().journal.events == []


def test_a_delta_that_straddles_briefly_goes_with_the_former_state_flagged() -> None:
    bench = started(gated()).read(10).after(0.15).read(2, STATE).after(0.05).read(14)
    assert (bench.booked, bench.excluded) == (14, 0)
    assert bench.journal.flags() == {Flag.STRADDLED_CONDITION}

    bench.after(1).read(20).after(0.05).read(6, STATE).after(0.05).read(21).after(0.1).read(22)
    assert (bench.booked, bench.excluded) == (15, 7)


@pytest.mark.parametrize(
    ("split", "booked", "excluded", "doubts"),
    [
        (None, 0, 0, [("straddled-condition", [0, 50])]),
        (Split.REVIEW, 0, 0, [("straddled-condition", [0, 50])]),
        (Split.OLD, 50, 0, []),
        (Split.NEW, 0, 50, []),
    ],
)
def test_a_longer_straddling_delta(
    split: Split | None, booked: int, excluded: int, doubts: list[tuple[str, list[int]]]
) -> None:
    rule = gated(split=split, only_while=condition("tanks.valve"))
    bench = Bench(rule).read(True, VALVE).read(0).after(1).read(None, quality=Quality.BAD)
    bench.after(5).read(False, VALVE).after(5).read(50)

    assert (bench.booked, bench.excluded, bench.doubts()) == (booked, excluded, doubts)


def test_while_the_condition_is_not_known_the_counter_waits_and_then_asks() -> None:
    bench = started(gated()).read(10).after(1).read(None, STATE, quality=Quality.BAD)
    for count in range(20, 60, 10):
        bench.after(1).read(count)
    assert (bench.booked, bench.excluded, bench.doubts()) == (10, 0, [])
    assert bench.journal.counts["condition_unknown"] == 4

    bench.after(1).read(6, STATE).after(1).read(60)
    assert (bench.booked, bench.excluded, bench.doubts()) == (10, 0, [("straddled-condition", [0, 50])])
    assert bench.after(0.1).read(62).booked == 12


def test_accepting_that_it_was_excluded_books_nothing() -> None:
    bench = started(gated()).read(10).after(1).read(None, STATE, quality=Quality.BAD).after(1).read(20)
    bench.after(1).read(6, STATE).after(1).read(30)
    (review,) = bench.journal.reviews.values()
    assert [(int(way.quantity), way.why) for way in review.candidates] == [
        (20, "order none"),
        (0, "excluded, as its condition says"),
    ]

    bench.decide(2)
    assert bench.booked == 10
    assert bench.journal.in_state(LineState.REJECTED) == 20


def test_a_moment_that_nobody_knows_goes_with_the_former_state() -> None:
    bench = started(gated()).read(10).after(0.05).read(None, STATE, quality=Quality.BAD).after(0.05).read(11)
    bench.after(0.05).read(6, STATE).after(0.05).read(12)

    assert (bench.booked, bench.doubts()) == (12, [])
    assert Flag.STRADDLED_CONDITION in bench.journal.flags()


def test_a_lost_source_leaves_its_conditions_unknown() -> None:
    bench = started(gated()).read(10).away(20).read(6, STATE).read(60)

    assert (bench.booked, bench.doubts()) == (10, [("straddled-condition", [0, 50])])


def test_and_a_rule_may_say_that_it_goes_on_as_before() -> None:
    bench = started(gated(split=Split.OLD)).read(10).away(20).read(6, STATE).read(60)

    assert (bench.booked, bench.doubts()) == (60, [])
    assert bench.journal.flags() >= {Flag.SPANNED_OUTAGE, Flag.STRADDLED_CONDITION}


def test_the_counter_waits_until_its_condition_has_been_read() -> None:
    bench = Bench(gated()).read(0).after(1).read(10)
    assert (bench.booked, bench.journal.counts["condition_unknown"]) == (0, 1)

    bench.after(1).read(6, STATE, source_time=bench.now.wall).after(1).read(20)
    assert bench.doubts() == [("condition-unknown", [0, 20])]


def test_a_condition_that_the_device_says_has_long_held_covers_what_ran_before() -> None:
    bench = Bench(gated()).read(0).after(1).read(10)
    bench.feed(bench.reading(6, STATE, age=60), bench.reading(10))

    assert (bench.booked, bench.doubts()) == (10, [])


def test_in_one_delivery_the_conditions_tag_comes_first() -> None:
    bench = started(gated()).read(10).after(1)
    bench.feed(bench.reading(20), bench.reading(2, STATE, age=0.5))
    bench.after(1).read(30)

    assert (bench.booked, bench.excluded, bench.doubts()) == (10, 20, [])


def test_a_condition_compares_what_the_range_bounds_and_a_value_beyond_it_is_none() -> None:
    level = TagRef("plc", "level")
    rule = counter(only_while=condition("plc.level > 20"))
    bench = Bench(rule, ranges={level: (Decimal(0), Decimal(100))}).read(30, level).read(0).after(1).read(5)
    bench.after(1).read(101, level).after(1).read(9)

    assert (bench.booked, bench.journal.counts["condition_unknown"]) == (5, 1)


def test_a_quantity_that_is_doubted_while_excluded_is_a_gap_and_asks_nobody() -> None:
    bench = started(gated(), 2).read(5000).rest(3)

    assert (bench.booked, bench.doubts(), bench.holes()) == (0, [], [("rose-too-fast", 0, 5000)])


def test_order_and_condition_change_together() -> None:
    both = counter(order=ORDER, only_while=condition('plc.order != ""'))
    bench = Bench(both).order("A").read(0).after(1).read(10).after(1).order("").after(1).read(14).after(1)
    bench.order("B").after(1).read(20)

    assert (bench.of("A"), bench.of("B"), bench.of(None), bench.excluded) == (10, 6, 0, 4)


# pause_while


@pytest.mark.parametrize(("rebase", "booked", "excluded"), [(True, 15, 40), (False, 55, 0)])
def test_a_pause(rebase: bool, booked: int, excluded: int) -> None:
    bench = Bench(counter(pause=Pause(FLUSHING, rebase))).read(False, VALVE).read(0).after(1).read(10)
    bench.after(1).read(True, VALVE).after(1).read(30).after(1).read(50)
    assert (bench.booked, bench.doubts()) == (10, [])

    bench.after(1).read(False, VALVE).after(1).read(55)
    assert (bench.booked, bench.excluded, bench.doubts()) == (booked, excluded, [])


def test_after_a_pause_that_books_there_is_one_line_for_all_of_it() -> None:
    bench = Bench(counter(pause=Pause(FLUSHING, rebase=False))).read(False, VALVE).read(0).after(1).read(10).cut()
    bench.read(True, VALVE)
    for count in range(20, 60, 10):
        bench.after(1).read(count)
    assert bench.journal.counts["paused"] == 4

    bench.after(1).read(False, VALVE).after(0.1).read(60)
    (line,) = bench.state.rules["u16"].pending
    assert (int(line.quantity), line.evidence.flags) == (50, ())


class Level:
    """A meter that sees to its pauses by itself."""

    def __init__(self, rule: Rule) -> None:
        self.rule, self.source, self.tags, self.epoch_tag = rule, "plc", (COUNT,), None
        self.told: list[str] = []

    def read(self, work: object, reading: Reading, time: object, *, refused: bool) -> None:
        """Takes nothing in."""

    def settle(self, work: object, now: Instant) -> None:
        """Waits for nothing."""

    def sign(self, work: object, what: str, time: object) -> None:
        """Is never reset."""

    def returned(self, work: object) -> None:
        """Sees no outage."""

    def pause(self, work: object, now: Instant) -> None:
        self.told.append("pause")

    def resume(self, work: object, now: Instant, *, rebase: bool) -> None:
        self.told.append(f"resume {rebase}")


def test_a_meter_that_pauses_by_itself_is_told_once_each_way() -> None:
    rule = counter(pause=Pause(FLUSHING, rebase=True))
    bench = Bench(rule)
    level = Level(rule)
    bench.engine._meters[rule.name] = level
    for value in (False, True, None, True, False, False, True):
        quality = Quality.GOOD if value is not None else Quality.BAD
        bench.after(1).read(value, VALVE, quality=quality)

    assert level.told == ["resume True", "pause", "resume True", "pause"]


# handshakes


@pytest.mark.parametrize(
    ("state", "booked", "excluded", "doubts", "result"),
    [
        (6, 960, 0, [], Result.DONE),
        (2, 0, 960, [], Result.DONE),
        (None, 0, 0, [("condition-unknown", [0, 960])], Result.IN_REVIEW),
    ],
)
def test_a_confirmation(
    state: int | None, booked: int, excluded: int, doubts: list[tuple[str, list[int]]], result: Result
) -> None:
    bench = Bench(handshake(only_while=RUNNING))
    bench.read(state, STATE, quality=Quality.GOOD if state else Quality.BAD).after(1).block(1, 0)

    assert (bench.booked, bench.excluded, bench.doubts()) == (booked, excluded, doubts)
    assert [one.result for one in bench.journal.acknowledgements] == [result]
    bench.released(1).block(1, 1)
    assert (bench.booked, bench.excluded) == (booked, excluded)


def test_the_cause_is_a_word_that_machines_read() -> None:
    assert {str(Cause.STRADDLED_CONDITION), str(Cause.CONDITION_UNKNOWN)} == {
        "straddled-condition",
        "condition-unknown",
    }


def test_what_waited_is_decided_when_its_condition_is_known_though_the_counter_stands() -> None:
    bench = started(gated()).read(10).after(1).read(None, STATE, quality=Quality.BAD).after(1).read(30).rest(2)
    assert (bench.booked, bench.doubts()) == (10, [])

    bench.read(6, STATE).rest(1)
    assert bench.doubts() == [("condition-unknown", [0, 20])]
    assert bench.read(33).booked == 13


def test_a_pause_that_books_does_so_when_it_ends_though_the_counter_stands() -> None:
    bench = Bench(counter(pause=Pause(FLUSHING, rebase=False))).read(False, VALVE).read(0).after(1).read(10)
    bench.after(1).read(True, VALVE).after(1).read(30).rest(1).read(False, VALVE).rest(1)

    assert (bench.booked, bench.doubts()) == (30, [])


def test_what_waits_ran_before_its_source_was_lost() -> None:
    bench = started(counter(only_while=FLUSHING), 6).read(True, VALVE).after(1).read(10).after(1)
    bench.read(None, VALVE, quality=Quality.BAD).after(1).read(30).lost().rest(2)
    assert (bench.booked, bench.doubts()) == (10, [])

    assert (bench.read(True, VALVE).rest(2).booked, bench.doubts()) == (10, [("condition-unknown", [0, 20])])


def test_a_condition_that_a_new_map_brings_begins_with_what_is_known() -> None:
    bench = started(gated()).read(10)
    bench.engine = Engine(tag_map(gated(only_while=condition("plc.state in (packml.Execute, packml.Held)"))))
    bench.after(1).tick().after(1).read(20)

    assert (bench.booked, bench.doubts()) == (20, [])
