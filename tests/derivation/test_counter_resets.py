"""Resets by order, shift or day, and the tag that keeps the last total."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from edge_agent.config.conditions import condition
from edge_agent.config.signals import Resets
from edge_agent.config.tagmap import Rule
from edge_agent.model.movement import Flag
from edge_agent.model.reading import Quality, TagRef
from tests.derivation.plant import FINAL, NOON, ORDER, Bench, counter

OUT = {Flag.SPANNED_OUTAGE}
RESET = {Flag.RESET}
FINAL_RESET = {Flag.RESET, Flag.FINAL_TOTAL}
BY_ORDER = frozenset({Resets.ORDER})
MIDNIGHT = NOON.replace(hour=5)  # 06:00 in Berlin, where the posting day starts


def per_order(**about: Any) -> Rule:
    about = {"wraps_at": None, "resets": BY_ORDER, "order": ORDER, "final_tag": FINAL, **about}
    return counter("per_order", **about)


# resets by order


def finals(value: int) -> Bench:
    """Order A has run up to 5000; the total of the order before it was `value`."""
    return Bench(per_order()).order("A").read(5000).read(value, FINAL)


BY_LAST_TOTAL = [
    ("before the reset is seen", lambda b: b.after(0.5).read(5007, FINAL).after(0.5).order("B").read(3).rest(2.2)),
    ("after the reset is seen", lambda b: b.after(1).order("B").read(3).after(1).read(5007, FINAL).rest(2.2)),
    ("order last", lambda b: b.after(1).read(5007, FINAL).read(3).after(1).order("B").rest(2.2)),
]


@pytest.mark.parametrize(("name", "script"), BY_LAST_TOTAL)
def test_the_last_total_makes_what_ran_before_the_reset_exact(name: str, script: Any) -> None:
    bench = script(finals(4711))
    assert (bench.of("A"), bench.of("B")) == (7, 3), name
    assert (bench.doubts(), bench.holes()) == ([], [])
    assert bench.journal.flags() == FINAL_RESET


def test_without_a_last_total_what_ran_before_the_reset_is_a_gap_of_the_old_order() -> None:
    bench = finals(4711).after(1).order("B").read(3).rest(2.2)
    assert (bench.of("A"), bench.of("B")) == (0, 3)
    assert bench.holes() == [("reset", 0, 27)]
    assert bench.journal.gaps[0].key.order == "A"


def test_a_last_total_that_was_there_before_is_none() -> None:
    """Its value of an order long ago, shown again after a reconnect."""
    bench = Bench(per_order()).order("A").read(5007, FINAL).read(5000).away(1)
    bench.read(5007, FINAL, age=9000).read(5000).after(1).order("B").read(3).rest(2.2)
    assert (bench.of("A"), bench.of("B")) == (0, 3)
    assert bench.holes() == [("reset", 0, 27)]


def test_a_last_total_written_again_with_the_same_value_is_new() -> None:
    bench = finals(5007).after(1).read(5007, FINAL).order("B").read(3).rest(2.2)
    assert (bench.of("A"), bench.of("B")) == (7, 3)


def test_a_last_total_counts_once() -> None:
    bench = finals(4711).after(1).read(5007, FINAL).order("B").read(3).rest(2.2)
    bench.after(1).read(20).after(1).order("C").read(1).rest(2.2)
    assert (bench.of("B"), bench.of("C")) == (20, 1)
    assert bench.holes() == [("reset", 0, 29)]


def test_a_last_total_above_what_can_have_run_goes_to_review() -> None:
    bench = finals(4711).after(1).read(5500, FINAL).order("B").read(3).rest(2.2)
    assert (bench.of("A"), bench.of("B")) == (0, 3)
    assert (bench.doubts(), bench.holes()) == ([("final-total", [0, 500])], [])


def test_a_last_total_below_what_was_seen_is_of_another_reset() -> None:
    bench = finals(4711).after(1).read(4990, FINAL).order("B").read(3).rest(2.2)
    assert (bench.of("A"), bench.of("B")) == (0, 3)
    assert (bench.doubts(), [cause for cause, *_ in bench.holes()]) == ([], ["reset"])


def test_a_last_total_after_an_outage_may_be_that_of_an_order_nobody_saw() -> None:
    """In ten minutes order B came and went: 5,100 is its total as well as it may be that of A."""
    bench = finals(4711).away(600).read(5100, FINAL).order("C").read(30).rest(2.2)
    assert (bench.of("A"), bench.of("B"), bench.of("C")) == (0, 0, 30)
    assert bench.doubts() == []
    assert bench.holes() == [("reset", 0, 600 * 25 + 5 - 30)]


def test_a_last_total_after_an_outage_too_short_for_another_order_is_exact() -> None:
    """Nothing counts 5,007 from zero in ten seconds: what the total ended is what was counted before."""
    bench = finals(4711).away(10).read(5007, FINAL).order("B").read(3).rest(2.2)
    assert (bench.of("A"), bench.of("B")) == (7, 3)
    assert (bench.doubts(), bench.holes()) == ([], [])


def test_a_last_total_that_is_no_number_is_counted() -> None:
    bench = finals(4711).read(None, FINAL, quality=Quality.BAD)
    assert bench.journal.counts["not_a_total"] == 1


def test_a_wrap_that_fits_as_well_leaves_the_last_total_a_candidate() -> None:
    bench = Bench(per_order(wraps_at=10_000)).order("A").read(9_990).read(1, FINAL)
    bench.after(0.5).read(9_995, FINAL).order("B").read(1).rest(2.2)
    assert bench.doubts() == [("reset-or-wrap", [6, 11])]


def test_the_last_total_of_a_counter_that_wrapped_before_its_reset() -> None:
    bench = Bench(per_order(wraps_at=10_000, max_rate=Decimal(5))).order("A").read(9_995).read(1, FINAL)
    bench.after(2).read(2, FINAL).order("B").read(1, continuous=False).rest(2.2)
    assert bench.doubts() == [("reset-or-wrap", [6, 6, 8, 8])]


def test_the_count_waits_for_the_new_order_up_to_settle() -> None:
    bench = Bench(per_order()).order("A").read(5000).after(1).read(0).after(0.5).read(9).after(0.5)
    assert bench.booked == 0
    bench.order("B").rest(2.2).after(0.1).read(12)
    assert (bench.of("A"), bench.of("B")) == (0, 12)


def test_another_order_while_the_reset_of_the_one_before_is_held_does_not_get_its_count() -> None:
    """The count fell with order B. That C comes while it is held back makes none of it C's for certain."""
    bench = Bench(per_order()).order("A").read(5000).after(1).order("B").read(3).after(0.5).read(20)
    bench.after(1).order("C").read(45).rest(2.2)
    assert (bench.of("B"), bench.of("C")) == (0, 0)
    assert bench.doubts() == [("straddled-order", [45, 45])]
    assert bench.holes() == [("reset", 0, 22)], "2.5 s at 25 and a burst of 5, less 45"


def test_an_order_that_comes_later_than_settle_is_no_sign() -> None:
    bench = Bench(per_order()).order("A").read(5000).after(1).read(0).rest(3)
    assert bench.doubts() == [("fell", [0])]
    bench.order("B").after(1).read(4).rest(2.2)
    assert bench.of("B") == 4


def test_a_counter_that_did_not_reset_with_its_order_runs_on() -> None:
    bench = Bench(per_order()).order("A").read(5000).after(0.1).order("B").after(0.05).read(5002).after(0.1).read(5004)
    assert (bench.of("A"), bench.of("B")) == (2, 2)
    bench.after(1).read(0).rest(2.2).after(0.1).read(2)  # it resets a second later, and the order is still the sign
    assert (bench.of("B"), bench.doubts()) == (4, [])
    assert bench.holes() == [("reset", 0, 30)]


def test_a_small_count_after_a_change_of_order_may_have_been_reset_or_not() -> None:
    bench = Bench(per_order()).order("A").read(10).after(1).order("B").read(12).rest(2.2)
    assert bench.booked == 0
    assert bench.doubts() == [("reset-or-glitch", [2, 12])]


def test_a_small_count_that_stood_long_after_its_order_changed_was_not_reset() -> None:
    bench = Bench(per_order()).order("A").read(10).after(1).order("B").after(60).read(12)
    assert bench.of("B") == 2


def test_a_counter_that_resets_by_order_heeds_no_restart() -> None:
    bench = Bench(per_order()).order("A").read(5000).restarted(10).read(3).rest(2.2)
    assert bench.doubts() == [("fell", [0, 3])]


def test_of_several_orders_any_may_have_reset_it() -> None:
    bench = Bench(per_order()).order("A").read(5000, continuous=False).after(1).order("B").after(0.5).order("C")
    bench.after(0.5).read(4, continuous=False).after(2.2).read(4, continuous=False)
    assert (bench.booked, bench.doubts()) == (0, [("straddled-order", [4, 4])])
    offered = [one.key.order for review in bench.journal.reviews.values() for one in review.candidates]
    assert offered == ["B", "C"]


def test_of_several_orders_the_latest_has_reset_what_stood_until_then() -> None:
    bench = Bench(per_order()).order("A").read(5000).after(1).order("").after(0.5).order("B").read(4).rest(2.2)
    assert (bench.of("B"), bench.doubts()) == (4, [])


@pytest.mark.parametrize("again", [True, False])
def test_an_order_told_after_the_reset_asks_conditions_of_when_it_ran(again: bool) -> None:
    stands, runs = TagRef("tanks", "valve"), condition("tanks.valve")
    bench = Bench(per_order(only_while=runs)).order("A").read(True, stands).read(5000).after(1).read(again, stands)
    bench.after(0.5).read(20).after(0.5).read(40).after(0.5).read(True, stands).order("B").rest(2.2)
    assert (bench.of("B"), bench.excluded) == ((40, 0) if again else (0, 40))


def test_what_ran_in_an_outage_waits_for_a_person_where_its_condition_is_not_known() -> None:
    stands = TagRef("plc", "level")
    bench = Bench(per_order(only_while=condition("plc.level > 1"))).order("A").read(5, stands).read(5000).away(10)
    bench.order("B").read(5, stands).read(176).rest(2.2)
    assert (bench.booked, [len(ways) for _, ways in bench.doubts()]) == (0, [2])


# resets by shift and day


def at(moment: Any, *resets: Resets, **about: Any) -> Bench:
    """A bench whose clock stands at a moment."""
    bench = Bench(counter("calendar", wraps_at=None, resets=frozenset(resets), **about))
    return bench.after((moment - bench.now.wall).total_seconds())


@pytest.mark.parametrize("resets", [Resets.DAY, Resets.SHIFT])
def test_a_reset_at_the_start_of_the_day_is_a_new_epoch_of_the_new_day(resets: Resets) -> None:
    bench = at(MIDNIGHT + timedelta(days=1, seconds=-1), resets).read(5000).after(1.5).read(3).rest(2.2)
    (mark,) = bench.journal.lines.values()
    assert (bench.booked, bench.journal.flags()) == (3, RESET)
    assert mark.line.start_time == MIDNIGHT + timedelta(days=1, seconds=0.4)
    assert mark.line.key.posting_day.isoformat() == "2026-03-03"
    assert bench.holes() == [("reset", 0, 39)]
    assert bench.journal.gaps[0].key.posting_day.isoformat() == "2026-03-02"


def test_a_device_whose_day_begins_a_moment_earlier() -> None:
    bench = at(MIDNIGHT + timedelta(days=1, seconds=-2), Resets.DAY).read(5000).after(0.5).read(0).after(0.5).read(6)
    bench.rest(3)
    assert (bench.booked, bench.doubts()) == (6, [])


def test_a_shift_that_begins_at_noon_is_no_day() -> None:
    late = NOON.replace(hour=13)
    bench = at(late - timedelta(seconds=1), Resets.DAY).read(5000).after(1.5).read(3).rest(2.2)
    assert bench.doubts() == [("fell", [0, 3])]


def test_a_day_that_passed_unseen_is_a_sign_too() -> None:
    bench = at(NOON, Resets.DAY).read(5000).away(86_400).read(900).rest(2.2)
    assert (bench.booked, bench.journal.flags()) == (900, RESET | OUT)


def test_days_that_pass_without_a_reset_do_not_disturb() -> None:
    bench = at(MIDNIGHT + timedelta(days=1, seconds=-1), Resets.DAY, Resets.SHIFT).read(5000)
    for count in range(5001, 5101):
        bench.after(0.1).read(count)
    assert (bench.booked, bench.doubts(), bench.holes()) == (100, [], [])
