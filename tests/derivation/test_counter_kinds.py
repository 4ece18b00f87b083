"""Counters of other kinds: down, up-down, stopping, of floats."""

from __future__ import annotations

import struct
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.config.signals import Direction, Resets
from edge_agent.config.tagmap import Rule
from edge_agent.derivation.engine import Engine
from edge_agent.model.movement import EventType, Flag, Line
from edge_agent.sources.decimals import shortest
from tests.derivation.plant import COUNT, EPOCH, NOON, Bench, counter, tag_map
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
        holes=[("reset", 0, 7)],
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
        holes=[("saturated", 0, 1), ("saturated", 0, 1505), ("reset", 0, 50)],
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
        holes=[("saturated", 0, 305), ("reset", 0, 50)],
        flags=RESET,
    ),
    Case(
        "stopped, then another value without a sign",
        stopping(),
        lambda b: b.read(999).after(10).read(40).rest(2),
        0,
        40,
        doubts=[("fell", [0, 40])],
        holes=[("saturated", 0, 255), ("reset", 0, 55)],
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


@pytest.mark.parametrize(("then", "on"), [(-13, 0), (-10, 3)])
def test_an_up_down_counter_below_zero_may_have_been_reset_and_run_back(then: int, on: int) -> None:
    bench = Bench(both_ways()).read(-13).restarted(1).read(then).rest(2.2)
    (review,) = bench.journal.reviews.values()
    offered = [(str(one.key.event), one.key.to, int(one.quantity)) for one in review.candidates]
    assert offered == [(CONSUMED, None, on), (RETURNED, "L3-HOPPER", -then)]
    assert (bench.booked, [cause for cause, *_ in bench.holes()]) == (0, ["reset"])


def test_what_an_up_down_counter_ran_back_may_be_accepted() -> None:
    bench = Bench(both_ways()).read(5000).restarted(1).read(-3).rest(2.2)
    (review,) = bench.journal.reviews.values()
    ways = [(str(one.key.event), int(one.quantity)) for one in review.candidates]
    assert ways == [(CONSUMED, 0), (RETURNED, 3), (RETURNED, 5003)]
    bench.decide(2)
    (event,) = bench.material_events()
    assert (str(event.type), event.lines[0].key.to, int(event.lines[0].quantity)) == (RETURNED, "L3-HOPPER", 3)


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
    assert fallen.doubts() == [("fell", [0, 500, 3500])]


def test_a_restart_of_an_up_down_counter_near_its_beginning_is_in_review() -> None:
    bench = Bench(both_ways()).read(100).restarted(10).read(40).rest(2.2)
    assert bench.booked == 0
    assert [cause for cause, _ in bench.doubts()] == ["reset-or-glitch"]
    assert bench.state.rules["both"].signal is not None


def test_an_up_down_counter_reset_from_far_away() -> None:
    bench = Bench(both_ways()).read(5000).restarted(10).read(40).rest(2.2)
    assert (bench.booked, bench.journal.flags()) == (40, RESET | OUT)


@settings(max_examples=100, derandomize=True, database=None, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-6, 6), st.booleans()), min_size=1, max_size=60), st.sampled_from([-5, 0, 3, 5000])
)
def test_an_up_down_counter_books_each_way_what_ran_that_way(steps: list[tuple[int, bool]], start: int) -> None:
    """Pieces go past an encoder forth and back; far from zero a broken session does not matter."""
    bench, shown = Bench(both_ways()).read(start), start
    forth = back = 0
    for pieces, broken in steps:
        shown += pieces
        forth, back = forth + max(pieces, 0), back + max(-pieces, 0)
        bench = bench.after(0.1).away(1) if broken and abs(shown) > 200 else bench.after(0.3)
        bench.read(shown)
    ways = {CONSUMED: 0, RETURNED: 0}
    for event, _, _, pieces in moved(bench):
        ways[event] += pieces
    assert ways == {CONSUMED: forth, RETURNED: back}
    assert bench.doubts() == []


def test_a_map_that_makes_an_up_down_counter_one_that_counts_up_books_nothing_back() -> None:
    bench = Bench(both_ways()).read(100).after(1).read(90)
    bench.map = tag_map(counter("both", wraps_at=None, from_="L3-HOPPER"))
    bench.engine = Engine(bench.map)
    bench.after(1).read(92).rest(2.2).after(1).read(95)
    assert bench.doubts() == [("rose-too-fast", [0, 182])]  # what it had counted is of the other kind: a person looks
    assert [event for event, *_ in moved(bench)] == [RETURNED, CONSUMED]


# what else happens to counters


def test_a_replaced_device_shows_whatever_it_shows_and_its_serial_number_is_the_sign() -> None:
    serial = counter("u32", epoch_tag=EPOCH, resets=frozenset({Resets.NEVER}))
    bench = Bench(serial).read(4711, EPOCH).read(120_000).lost().after(600).up().read(9999, EPOCH).read(2_000).rest(2.2)
    assert (bench.booked, bench.holes()) == (2_000, [("reset", 0, 13_005)])  # new, and 2000 in ten minutes
    bench.lost().after(600).up().read(10_001, EPOCH).read(88_000).rest(2.2)
    assert bench.doubts() == [("rose-too-fast", [0, 86_000])]  # a used one
    bench.after(0.1).read(88_002, COUNT)
    assert bench.booked == 2_002
