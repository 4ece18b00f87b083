"""Counters of other kinds: down, up-down, stopping, float, reset by order, shift or day with the last total."""

from __future__ import annotations

import struct
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from edge_agent.config.signals import Direction, Resets
from edge_agent.config.tagmap import Rule
from edge_agent.model.movement import EventType, Flag, Line
from edge_agent.model.reading import Quality
from edge_agent.sources.decimals import shortest
from tests.derivation.plant import COUNT, EPOCH, FINAL, NOON, ORDER, Bench, counter
from tests.derivation.rows import Case, check

OUT = {Flag.SPANNED_OUTAGE}
RESET = {Flag.RESET}
FINAL_RESET = {Flag.RESET, Flag.FINAL_TOTAL}
BY_ORDER = frozenset({Resets.ORDER})
MIDNIGHT = NOON.replace(hour=5)  # 06:00 in Berlin, where the posting day starts


def down(**about: Any) -> Rule:
    """A uint16 that counts down, and shows 65535 after 0."""
    return counter("down", direction=Direction.DOWN, wraps_at=1, wraps_to=-65535, **about)


def stopping(**about: Any) -> Rule:
    return counter("stopping", wraps_at=None, saturates_at=999, **about)


def per_order(**about: Any) -> Rule:
    about = {"wraps_at": None, "resets": BY_ORDER, "order": ORDER, "final_tag": FINAL, **about}
    return counter("per_order", **about)


KINDS = [
    Case("down: what it falls by is booked", down(), lambda b: b.read(500).after(1).read(480), 20, -480),
    Case(
        "down: it wraps at the lower end",
        down(),
        lambda b: b.read(6).after(1).read(65_530).rest(2),
        12,
        -65_530,
        flags={Flag.WRAPPED},
    ),
    Case(
        "down: a rise is what a fall is to others",
        down(),
        lambda b: b.read(500).after(0.1).read(40_000).rest(2),
        0,
        -40_000,
        doubts=[("fell", [0, 25_536, 26_036])],
    ),
    Case(
        "down: too fast",
        down(),
        lambda b: b.read(40_000).after(0.1).read(500).rest(2),
        0,
        -500,
        doubts=[("rose-too-fast", [0, 39_500])],
    ),
    Case(
        "down from a preset: reset to it, with a sign",
        counter("preset", direction=Direction.DOWN, wraps_at=None, resets_to=-500, epoch_tag=EPOCH),
        lambda b: b.read(1, EPOCH).read(40).after(1).read(2, EPOCH).read(497).rest(2),
        3,
        -497,
        holes=[("reset", 0, 27)],
        flags=RESET,
    ),
    Case(
        "down: a glitch",
        down(),
        lambda b: b.read(500).after(0.1).read(0).after(0.1).read(65_535).after(0.1).read(497),
        3,
        -497,
        flags={Flag.GLITCH},
    ),
    Case(
        "BCD: it wraps at 10000",
        counter("bcd", wraps_at=10_000),
        lambda b: b.read(9990).after(1).read(4).rest(2),
        14,
        4,
        flags={Flag.WRAPPED},
    ),
    Case(
        "stopped: what ran beyond in the same interval is a gap",
        stopping(),
        lambda b: b.read(990).after(1).read(999),
        9,
        999,
        holes=[("saturated", 0, 21)],
    ),
    Case(
        "stopped and reset with a sign: what ran meanwhile is a gap, what ran since is booked",
        stopping(epoch_tag=EPOCH),
        lambda b: b.read(1, EPOCH).read(990).after(0.2).read(999).rest(60).read(2, EPOCH).read(5).rest(2),
        14,
        5,
        holes=[("saturated", 0, 1), ("saturated", 0, 1455), ("reset", 0, 50)],
        flags=RESET,
    ),
    Case(
        "stopped from the first on, and polled",
        stopping(epoch_tag=EPOCH),
        lambda b: (
            b.read(1, EPOCH)
            .read(999, continuous=False)
            .after(10)
            .read(999, continuous=False)
            .after(2)
            .read(2, EPOCH)
            .read(5, continuous=False)
            .rest(2)
        ),
        5,
        5,
        holes=[("saturated", 0, 255), ("reset", 0, 50)],
        flags=RESET,
    ),
    Case(
        "stopped, then another value without a sign",
        stopping(),
        lambda b: b.read(999).after(10).read(40).rest(2),
        0,
        40,
        doubts=[("fell", [0, 40])],
        holes=[("saturated", 0, 205)],
    ),
    Case(
        "stopped through a glitch",
        stopping(),
        lambda b: b.read(990).after(0.2).read(999).after(1).read(3).after(0.5).read(999),
        9,
        999,
        holes=[("saturated", 0, 1)],
    ),
    Case(
        "above the highest value is no reading",
        stopping(),
        lambda b: b.read(900).after(1).read(1000).after(1).read(910),
        10,
        910,
        flags={Flag.SKIPPED_READINGS},
    ),
]


@pytest.mark.parametrize("case", [case for case in KINDS if "stopped" not in case.name], ids=lambda case: case.name)
def test_kind(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("case", [case for case in KINDS if "stopped" in case.name], ids=lambda case: case.name)
def test_stop(case: Case) -> None:
    bench = case.script(Bench(case.rule))
    assert (bench.booked, bench.doubts(), bench.holes()) == (case.booked, case.doubts, case.holes)
    assert bench.journal.flags() == case.flags


def test_evidence_shows_what_the_device_showed() -> None:
    bench = Bench(down()).read(500).after(1).read(480)
    (mark,) = bench.journal.lines.values()
    assert (mark.line.evidence.raw_before, mark.line.evidence.raw_after) == ("500", "480")


# floats


def single(value: float) -> Decimal:
    """What a device that holds a 32-bit float says, as the sources decode it."""
    (held,) = struct.unpack("<f", struct.pack("<f", value))
    return shortest(held, single=True)


def kilograms(**about: Any) -> Rule:
    """A float counter of at most 25 kg/s in steps of 0.01 kg."""
    about = {"max_rate": Decimal(2500), "burst": Decimal(500), "wraps_at": None, **about}
    return counter("kg", grain=Decimal("0.01"), rounded=True, factor=Fraction(1, 100), **about)


def test_a_32_bit_float_books_what_ran_to_the_grain_however_many_readings() -> None:
    bench = Bench(kilograms())
    bench.read(single(81_234.56))
    total = 8_123_456
    for step in range(1, 500):
        total += 7 * step % 11
        bench.after(0.1).read(single(total / 100))
    assert bench.booked == Decimal(total - 8_123_456) / 100
    assert bench.doubts() == []


def test_rounding_never_adds_up_and_a_tremble_below_the_grain_is_nothing() -> None:
    bench = Bench(kilograms()).read(Decimal("10.000"))
    for _ in range(100):
        bench.after(0.1).read(Decimal("10.004")).after(0.1).read(Decimal("10.001"))
    assert bench.booked == 0
    bench.after(0.1).read(Decimal("10.0149"))
    assert bench.booked == Decimal("0.01")


def test_a_float_counter_wraps_and_its_evidence_is_what_was_shown() -> None:
    bench = Bench(kilograms(wraps_at=1_000_000)).read(single(9999.5)).after(1).read(single(0.25)).rest(2)
    (mark,) = bench.journal.lines.values()
    assert (bench.booked, mark.line.source_quantity) == (Decimal("0.75"), Decimal("0.75"))
    assert (mark.line.evidence.raw_before, mark.line.evidence.raw_after) == ("9999.50", "0.25")
    assert bench.journal.flags() == {Flag.WRAPPED}


def test_the_next_float_that_a_device_can_hold_is_not_lost_at_the_limit() -> None:
    """Just below 2^24 a 32-bit float tells whole units apart, and no less."""
    whole = counter("whole", grain=Decimal(1), rounded=True, wraps_at=1 << 24)
    bench = Bench(whole).read(single((1 << 24) - 3))
    for value in ((1 << 24) - 2, (1 << 24) - 1, 0, 1):
        bench.after(0.2).read(single(value))
    bench.rest(2)
    assert bench.booked == 4


@pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("Infinity"), "7", True])
def test_what_is_no_number_is_no_reading_of_a_float(value: Any) -> None:
    bench = Bench(kilograms()).read(Decimal(5)).read(value).after(0.1).read(Decimal(6))
    assert bench.booked == 1
    assert bench.journal.counts["not_a_reading"] == 1


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


@pytest.mark.parametrize(("last", "ways"), [(4990, [0]), (5500, [0, 500])])
def test_a_last_total_that_cannot_be_goes_to_review(last: int, ways: list[int]) -> None:
    bench = finals(4711).after(1).read(last, FINAL).order("B").read(3).rest(2.2)
    assert (bench.of("A"), bench.of("B")) == (0, 3)
    assert (bench.doubts(), bench.holes()) == ([("final-total", ways)], [])


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


# up and down


def both_ways(**about: Any) -> Rule:
    return counter("both", direction=Direction.UP_DOWN, wraps_at=None, from_="L3-HOPPER", **about)


def moved(bench: Bench) -> list[tuple[str, str | None, str | None, int]]:
    lines: list[Line] = [mark.line for _, mark in sorted(bench.journal.lines.items())]
    return [(str(one.key.event), one.key.from_, one.key.to, int(one.quantity)) for one in lines]


CONSUMED, RETURNED = str(EventType.CONSUMED), str(EventType.RETURNED)


def test_what_an_up_down_counter_runs_back_is_returned() -> None:
    bench = Bench(both_ways()).read(100).after(1).read(110).after(1).read(103).after(1).read(98).after(1).read(101)
    assert moved(bench) == [
        (CONSUMED, "L3-HOPPER", None, 10),
        (RETURNED, None, "L3-HOPPER", 12),
        (CONSUMED, "L3-HOPPER", None, 3),
    ]
    bench.cut()
    assert sorted(str(event.type) for event in bench.material_events()) == [CONSUMED, RETURNED]


def test_an_up_down_counter_goes_below_zero() -> None:
    bench = Bench(both_ways()).read(2).after(1).read(-5).after(1).read(-1)
    assert [way[-1] for way in moved(bench)] == [7, 4]
    assert [mark.line.evidence.raw_after for _, mark in sorted(bench.journal.lines.items())] == ["-5", "-1"]


@pytest.mark.parametrize("back", [503, 497])
def test_a_glitch_of_an_up_down_counter(back: int) -> None:
    bench = Bench(both_ways()).read(500).after(0.2).read(4000).after(0.2).read(back)
    assert (bench.booked, bench.doubts(), bench.journal.flags()) == (3, [], {Flag.GLITCH})


def test_an_up_down_counter_that_jumps_is_in_review_either_way() -> None:
    up = Bench(both_ways()).read(500).after(0.1).read(4000).rest(2.2)
    fallen = Bench(both_ways()).read(4000).after(0.1).read(500).rest(2.2)
    assert up.doubts() == [("rose-too-fast", [0, 3500])]
    assert fallen.doubts() == [("fell", [0, 500])]


def test_a_restart_of_an_up_down_counter_near_its_beginning_is_in_review() -> None:
    bench = Bench(both_ways()).read(100).restarted(10).read(40).rest(2.2)
    assert bench.booked == 0
    assert [cause for cause, _ in bench.doubts()] == ["reset-or-glitch"]
    assert bench.state.rules["both"].signal is not None


def test_an_up_down_counter_reset_from_far_away() -> None:
    bench = Bench(both_ways()).read(5000).restarted(10).read(40).rest(2.2)
    assert (bench.booked, bench.journal.flags()) == (40, RESET | OUT)


# what else happens to counters


def test_a_replaced_device_shows_whatever_it_shows_and_its_serial_number_is_the_sign() -> None:
    serial = counter("u32", epoch_tag=EPOCH, resets=frozenset({Resets.NEVER}))
    bench = Bench(serial).read(4711, EPOCH).read(120_000).lost().after(600).up().read(9999, EPOCH).read(2_000).rest(2.2)
    assert (bench.booked, bench.holes()) == (2_000, [("reset", 0, 13_005)])  # new, and 2000 in ten minutes
    bench.lost().after(600).up().read(10_001, EPOCH).read(88_000).rest(2.2)
    assert bench.doubts() == [("rose-too-fast", [0, 86_000])]  # a used one
    bench.after(0.1).read(88_002, COUNT)
    assert bench.booked == 2_002
