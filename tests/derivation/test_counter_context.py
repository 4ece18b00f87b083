"""Around the counters: elapsed time, silence and doubt, whose a quantity is, which day it belongs to."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest

from edge_agent.config.tagmap import OnSpan, Split
from edge_agent.model.movement import Cause, Flag, LineState
from edge_agent.model.reading import Instant, Link, Quality, SourceChange, TagRef
from edge_agent.model.signal_state import CounterState
from tests.derivation.plant import COUNT, EPOCH, NOON, ORDER, Bench, counter

BERLIN = ZoneInfo("Europe/Berlin")


def signal(bench: Bench, rule: str = "u16") -> CounterState:
    found = bench.state.rules[rule].signal
    assert isinstance(found, CounterState)
    return found


# elapsed time


def test_elapsed_is_monotonic_when_the_wall_clock_is_set_forward() -> None:
    bench = Bench(counter()).read(100).lost()
    bench.now = Instant(bench.now.wall + timedelta(hours=2), bench.now.monotonic_ns + 10**9, bench.now.boot_id)
    bench.up().read(1000, source_time=None).rest(2)

    assert bench.doubts() == [("rose-too-fast", [0, 900])]  # 900 in a second, whatever the wall clock says


def test_elapsed_across_a_reboot_is_by_the_wall_clock_and_flagged() -> None:
    bench = Bench(counter()).read(100).lost().reboot(600).up().read(9000)

    assert bench.booked == 8900
    assert bench.journal.flags() == {Flag.SPANNED_OUTAGE, Flag.WALL_CLOCK_ELAPSED}


def test_among_values_of_one_delivery_elapsed_is_source_time() -> None:
    bench = Bench(counter()).read(100).after(10)
    bench.feed(bench.reading(120, age=9), bench.reading(200, age=5), bench.reading(290, age=1))

    assert bench.booked == 190
    assert bench.state.rules["u16"].pending[0].evidence.samples == 3


def test_source_time_is_capped_by_the_time_since_the_last_delivery() -> None:
    bench = Bench(counter()).read(100).after(0.2)
    bench.feed(bench.reading(101, age=4), bench.reading(180, age=0)).rest(2)  # 4 s claimed between them, 0.2 s passed

    assert bench.booked == 1
    assert bench.doubts() == [("rose-too-fast", [0, 79])]


def test_a_time_out_of_all_bounds_is_refused_and_flagged() -> None:
    bench = Bench(counter()).read(100).after(1).read(110, source_time=datetime(1601, 2, 1, tzinfo=BERLIN))

    (line,) = bench.state.rules["u16"].pending
    assert (line.time, line.evidence.flags) == (bench.now.wall, (Flag.SOURCE_TIME_REFUSED,))


# doubt and silence


@pytest.mark.parametrize("away", [3.0, 60.0])
def test_a_hold_while_the_source_is_lost_is_not_decided_by_ticks(away: float) -> None:
    bench = Bench(counter()).read(5000).after(0.1).read(7).lost().rest(away)
    assert (bench.booked, bench.doubts()) == (0, [])

    bench.up().tick().read(5010)
    assert (bench.booked, bench.doubts()) == (10, [])


def test_after_an_outage_a_hold_waits_for_a_reading_of_its_own() -> None:
    bench = Bench(counter()).read(5000).after(0.1).read(7).lost().after(60).up().rest(5)
    assert bench.doubts() == []

    bench.read(8).rest(1.8)
    assert bench.doubts() == []
    assert bench.rest(0.4).doubts() == [("fell", [0, 8, 60_544])]


def test_an_agent_that_starts_with_a_hold_waits_for_the_source() -> None:
    bench = Bench(counter()).read(5000).after(0.1).read(7)
    bench.after(30).feed(SourceChange("plc", Link.LOST, bench.now)).rest(4)  # as the pipeline says at its start
    assert bench.doubts() == []


def test_a_hold_is_not_decided_while_the_value_is_bad() -> None:
    bench = Bench(counter()).read(5000).after(0.1).read(7).after(0.1).read(None, quality=Quality.BAD).rest(10)
    assert bench.doubts() == []

    assert bench.read(5010).booked == 10


def test_a_value_that_was_not_written_since_ran_nowhere() -> None:
    """A weekend is long enough for many turns; the device's time of the value says that there were none."""
    bench = Bench(counter()).read(100)
    stamped = bench.now.wall
    bench.away(2 * 86_400).read(100, source_time=stamped, continuous=False).after(0.1).read(103)

    assert (bench.booked, bench.doubts()) == (3, [])


def test_a_start_time_that_could_not_be_read_once_is_compared_when_it_can() -> None:
    bench = Bench(counter()).read(100).away(5, None).read(120).rest(2)
    assert bench.doubts() == [("unproven", [20, 120])]

    bench.away(5).read(150)
    assert bench.booked == 30  # the same StartTime as before: the server has run on


# restored


def test_after_a_restore_nothing_is_booked_by_itself() -> None:
    for value, doubts in (
        (100, []),
        (150, [("restored", [0, 50])]),
        (90, [("restored", [0, 65_526])]),
    ):
        bench = Bench(counter()).read(100)
        state = bench.state.rules["u16"]
        bench.state.rules["u16"] = type(state)(signal=_restored(signal(bench)), pending=state.pending)
        bench.after(0.1).read(value)

        assert (bench.booked, bench.doubts()) == (0, doubts)
        assert bench.after(0.1).read(value + 2).booked == 2


def _restored(state: CounterState) -> CounterState:
    return CounterState(1, state.first_raw, state.last_raw, 0, state.last_at, state.last_time, restored=True)


# orders


def test_a_delta_that_straddles_a_change_briefly_goes_to_the_old_order_flagged() -> None:
    bench = Bench(counter(order=ORDER)).order("A").read(0).after(0.15).order("B").after(0.05).read(4)

    assert (bench.of("A"), bench.of("B")) == (4, 0)
    assert bench.journal.flags() == {Flag.STRADDLED_ORDER}


@pytest.mark.parametrize(
    ("split", "a", "b", "doubts"),
    [
        (None, 0, 0, [("straddled-order", [50, 50])]),
        (Split.REVIEW, 0, 0, [("straddled-order", [50, 50])]),
        (Split.OLD, 50, 0, []),
        (Split.NEW, 0, 50, []),
    ],
)
def test_a_longer_straddling_delta(split: Split | None, a: int, b: int, doubts: list[tuple[str, list[int]]]) -> None:
    bench = Bench(counter(order=ORDER, split=split)).order("A").read(0).lost().after(10).up()
    bench.feed(bench.reading(50, continuous=False), bench.reading("B", ORDER, age=5, continuous=False))

    assert (bench.of("A"), bench.of("B"), bench.doubts()) == (a, b, doubts)


def test_only_the_order_is_doubted_and_a_person_settles_it() -> None:
    bench = Bench(counter(order=ORDER)).order("A").read(0).away(10).order("B", age=5).read(50)
    (review,) = bench.journal.reviews.values()
    assert not review.quantity_doubted
    assert [(int(one.quantity), one.key.order) for one in review.candidates] == [(50, "A"), (50, "B")]

    bench.decide(2)
    assert (bench.of("A"), bench.of("B")) == (0, 50)
    assert [mark.state for mark in bench.journal.lines.values()] == [LineState.BOOKED_BY_REVIEW]


def test_order_and_counter_stamped_alike_in_one_delivery_are_not_taken_for_one_order() -> None:
    bench = Bench(counter(order=ORDER)).order("A").read(0).away(60)
    bench.feed(bench.reading(50, continuous=False), bench.reading("B", ORDER, continuous=False))

    assert (bench.of("A"), bench.doubts()) == (0, [("straddled-order", [50, 50])])


@pytest.mark.parametrize(
    ("first", "then", "booked"),
    [(0, 4, 4), (65_534, 2, 4)],
    ids=["a glitch", "a wrap"],
)
def test_what_is_held_after_a_change_of_order_at_rest_is_the_new_orders(first: int, then: int, booked: int) -> None:
    bench = Bench(counter(order=ORDER)).order("A").read(first).after(60).order("B").after(60)
    glitch = 60_000 if first == 0 else then
    bench.read(glitch).after(0.5).read(then).rest(2)

    assert (bench.of("A"), bench.of("B"), bench.doubts()) == (0, booked, [])


@pytest.mark.parametrize(
    ("first", "then", "booked", "doubts"),
    [(65_530, 4, 10, []), (5000, 4000, 0, [("fell", [0, 4000, 64_536])])],
    ids=["a wrap", "a preset"],
)
def test_what_is_held_while_the_order_changes_ran_before_the_value_was_reached(
    first: int, then: int, booked: int, doubts: list[tuple[str, list[int]]]
) -> None:
    bench = Bench(counter(order=ORDER)).order("A").read(first, continuous=False).after(0.1)
    bench.read(then, continuous=False).after(0.5).order("B")
    for _ in range(4):
        bench.after(0.5).read(then, continuous=False)

    assert (bench.of("A"), bench.of("B"), bench.doubts()) == (booked, 0, doubts)
    assert all(one.key.order == "A" for review in bench.journal.reviews.values() for one in review.candidates)


def test_what_runs_on_while_it_is_held_belongs_to_both_orders() -> None:
    bench = Bench(counter(order=ORDER)).order("A").read(65_530).after(0.1).read(4).after(0.5).order("B")
    bench.after(0.5).read(7).rest(2)

    assert bench.doubts() == [("straddled-order", [13, 13])]


def test_a_bad_value_does_not_stretch_the_interval_over_the_rest_before_it() -> None:
    bench = Bench(counter(order=ORDER)).order("A").read(0).after(60).order("B").after(60)
    bench.read(None, quality=Quality.BAD).after(1).read(20)

    assert (bench.of("B"), bench.doubts()) == (20, [])


def test_no_order_runs_where_the_tag_is_empty() -> None:
    bench = Bench(counter(order=ORDER)).order("").read(0).after(1).read(9)

    assert bench.of(None) == 9


def test_the_counter_waits_for_its_order_tag() -> None:
    bench = Bench(counter(order=ORDER)).read(0).after(1).read(10).after(1).read(20)
    assert (bench.booked, bench.journal.counts["order_unknown"]) == (0, 2)

    bench.feed(bench.reading("A", ORDER, source_time=NOON - timedelta(hours=1)), bench.reading(20))
    assert (bench.of("A"), bench.journal.flags()) == (20, set())


def test_an_order_that_began_later_than_the_quantity_is_not_guessed() -> None:
    bench = Bench(counter(order=ORDER)).read(0).away(20).order("A").read(20)

    assert bench.doubts() == [("order-unknown", [20])]
    assert bench.after(0.1).read(22).of("A") == 2


@pytest.mark.parametrize(
    ("followed", "booked", "doubts"), [(True, 20, []), (False, 10, [("several-wraps", [10, 1010])])]
)
def test_a_wait_so_long_that_several_wraps_fit(
    followed: bool, booked: int, doubts: list[tuple[str, list[int]]]
) -> None:
    """While it waits the counter is followed, as far as its readings vouch for the time between them."""
    bench = Bench(counter(order=ORDER, wraps_at=1000)).read(0).after(1).read(10)
    bench.after(60).order("A", age=70).read(20, continuous=followed)

    assert (bench.of("A"), bench.doubts()) == (booked, doubts)


def test_a_doubtful_quantity_is_offered_for_each_order_it_may_belong_to() -> None:
    bench = Bench(counter(order=ORDER)).order("A").read(100).away(10, None).order("B", age=5).read(150).rest(2)
    (review,) = bench.journal.reviews.values()

    assert review.cause is Cause.UNPROVEN
    offered = {(int(one.quantity), one.key.order) for one in review.candidates}
    assert offered == {(50, "A"), (50, "B"), (150, "A"), (150, "B")}


# posting days


def day_bench(on_span: OnSpan) -> Bench:
    """Half an hour before the posting day begins at 06:00 in Berlin."""
    bench = Bench(counter(on_span=on_span))
    start = datetime(2026, 3, 3, 5, 30, tzinfo=BERLIN)
    return bench.after((start - NOON).total_seconds()).read(0)


def test_posting_days_part_the_lines() -> None:
    bench = day_bench(OnSpan.END).after(60).read(10).after(1730).read(20).after(60).read(30)

    lines = [mark.line for mark in bench.journal.lines.values()]
    assert [(line.key.posting_day.day, int(line.quantity)) for line in lines] == [(2, 20), (3, 10)]
    assert bench.journal.flags() == set()


def test_a_line_over_the_start_of_the_day_goes_to_its_end_flagged() -> None:
    bench = day_bench(OnSpan.END).away(2000).read(50)

    (line,) = bench.state.rules["u16"].pending
    assert (line.key.posting_day.day, int(line.quantity)) == (3, 50)
    assert set(line.evidence.flags) == {Flag.SPANNED_OUTAGE, Flag.SPANS_POSTING_DAY}


def test_or_to_review() -> None:
    bench = day_bench(OnSpan.REVIEW).away(2000).read(50)

    (review,) = bench.journal.reviews.values()
    assert (bench.booked, review.cause) == (0, Cause.STRADDLED_DAY)
    assert [one.key.posting_day.day for one in review.candidates] == [3, 2]
    assert bench.decide(2).booked == 50


# several rules


def test_a_sign_concerns_the_counters_of_its_source_alone() -> None:
    other = TagRef("press", "total")
    bench = Bench(counter("u16"), counter("u32", tag=other)).read(100).read(100, other)
    bench.restarted(5)

    assert signal(bench).reset_signs == ("restart",)
    assert signal(bench, "u32").reset_signs == ()
    assert bench.read(110, other).booked == 10


def test_an_epoch_tag_that_shows_the_same_value_is_no_sign() -> None:
    bench = (
        Bench(counter(epoch_tag=EPOCH)).read(1, EPOCH).read(10).read(1, EPOCH).read(None, EPOCH, quality=Quality.BAD)
    )

    assert signal(bench).reset_signs == ()
    assert bench.read(2, EPOCH).state.rules["u16"].signal == signal(bench)
    assert signal(bench).reset_signs == ("epoch-tag",)


def test_a_quantity_is_converted_exactly() -> None:
    bench = Bench(counter(factor=Fraction(1, 8)))
    bench.read(0, COUNT).after(1).read(9, COUNT)

    assert bench.booked == Decimal("1.125")
