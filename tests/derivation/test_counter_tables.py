"""Every row of the two counter tables of derivation.md, as a named case."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

import pytest

from edge_agent.config.tagmap import Resets, Rule, Unproven
from edge_agent.model.movement import Flag
from edge_agent.model.reading import Quality
from edge_agent.model.state import CounterState
from tests.derivation.plant import COUNT, EPOCH, Bench, counter


@dataclass(frozen=True)
class Case:
    """A script, and what it must lead to. `last` is where the counter stands afterwards."""

    name: str
    rule: Rule
    script: Callable[[Bench], Bench]
    booked: int
    last: int
    doubts: list[tuple[str, list[int]]] = field(default_factory=list)
    holes: list[tuple[str, int, int | None]] = field(default_factory=list)
    flags: set[Flag] = field(default_factory=set)


BOOK = Unproven.BOOK
NEVER = frozenset({Resets.NEVER})
OUT = {Flag.SPANNED_OUTAGE}

FIRST_TABLE = [
    Case("first ever", counter(), lambda b: b.read(1000), 0, 1000),
    Case("in band", counter(), lambda b: b.read(1000).after(0.1).read(1005), 5, 1005),
    Case("unchanged", counter(), lambda b: b.read(1000).after(0.1).read(1000), 0, 1000),
    Case("top of the band", counter(), lambda b: b.read(0).after(0.2).read(10), 10, 10),
    Case(
        "just above the band",
        counter(),
        lambda b: b.read(0).after(0.2).read(11).rest(2),
        0,
        11,
        doubts=[("rose-too-fast", [0, 11])],
    ),
    Case(
        "above the band for a moment: late, not wrong",
        counter(),
        lambda b: b.read(0).after(0.2).read(11).after(0.2).read(13),
        13,
        13,
        flags={Flag.GLITCH},
    ),
    Case(
        "glitch down (500,000 to 0 to 500,012 books 12)",
        counter("u32"),
        lambda b: b.read(500_000).after(0.3).read(0).after(0.3).read(500_012),
        12,
        500_012,
        flags={Flag.GLITCH},
    ),
    Case(
        "glitch up",
        counter("u32"),
        lambda b: b.read(500_000).after(0.3).read(4_000_000_000).after(1.5).read(500_012),
        12,
        500_012,
        flags={Flag.GLITCH},
    ),
    Case(
        "glitch to two values, longer together than settle",
        counter(),
        lambda b: b.read(500).after(0.1).read(60_000).after(1.5).read(0).after(1.5).tick().read(503),
        3,
        503,
        flags={Flag.GLITCH},
    ),
    Case(
        "held for a sign when the value goes bad: not settled by time",
        counter(),
        lambda b: (
            b.read(65_300)
            .away(1, None)
            .read(65_300)
            .after(0.1)
            .feed(b.reading(65_301), b.reading(None, quality=Quality.BAD))
            .rest(12)
            .after(0.1)
            .read(60)
            .rest(2)
        ),
        0,
        60,
        doubts=[("reset-or-wrap", [60, 296])],
    ),
    Case(
        "a glitch while a reset settles is not what it settles at",
        counter(epoch_tag=EPOCH),
        lambda b: (
            b.read(1, EPOCH).read(500).read(2, EPOCH).after(1).read(3).after(1).read(300).rest(1.4).read(9).rest(2)
        ),
        9,
        9,
        holes=[("reset", 0, 81)],
        flags={Flag.RESET},
    ),
    Case(
        "glitch up after a long rest is not progress",
        counter(),
        lambda b: b.read(500).after(3600).read(20_000).after(1).read(503),
        3,
        503,
        flags={Flag.GLITCH},
    ),
    Case(
        "glitch, a sign seen meanwhile, value within the room: both candidates",
        counter(),
        lambda b: b.read(10).after(0.1).read(60_000).restarted(1).read(30).rest(2),
        0,
        30,
        doubts=[("reset-or-glitch", [20, 30])],
    ),
    Case(
        "glitch, a sign seen meanwhile, value beyond the room",
        counter("u32"),
        lambda b: b.read(500_000).after(0.1).read(0).restarted(1).read(500_005),
        5,
        500_005,
        flags={Flag.GLITCH, Flag.SPANNED_OUTAGE},
    ),
    Case(
        "in the band with a sign, never left it: both candidates once settled",
        counter(),
        lambda b: b.read(10).restarted(10).read(30).rest(2),
        0,
        30,
        doubts=[("reset-or-glitch", [20, 30])],
    ),
    Case(
        "in the band with a sign, value beyond the room: retained",
        counter(),
        lambda b: b.read(5000).restarted(10).read(5030).rest(2),
        30,
        5030,
        flags=OUT,
    ),
    Case(
        "from zero with a sign: both ways the same quantity, what ran before a reset is a gap",
        counter(),
        lambda b: b.read(0).restarted(10).read(30).rest(2),
        30,
        30,
        holes=[("reset", 0, 225)],
        flags={Flag.RESET, Flag.SPANNED_OUTAGE},
    ),
    Case(
        "settled above, by a reading",
        counter(),
        lambda b: b.read(100).after(0.1).read(5000).after(2).read(5001),
        0,
        5001,
        doubts=[("rose-too-fast", [0, 4901])],
    ),
    Case(
        "settled above, by a tick",
        counter(),
        lambda b: b.read(100).after(0.1).read(5000).rest(2),
        0,
        5000,
        doubts=[("rose-too-fast", [0, 4900])],
    ),
    Case(
        "outruns max_rate for good: decided all the same",
        counter("u32"),
        lambda b: [b.after(0.1).read(1000 + 100 * n) for n in range(202)][-1],
        0,
        21_100,
        doubts=[("rose-too-fast", [0, 20_100])],
    ),
    Case(
        "not good, then good",
        counter(),
        lambda b: b.read(100).after(0.1).read(None, quality=Quality.BAD).after(0.1).read(105),
        5,
        105,
        flags={Flag.SKIPPED_READINGS},
    ),
    Case(
        "uncertain is not good",
        counter(),
        lambda b: b.read(100).after(0.1).read(9, quality=Quality.UNCERTAIN).after(0.1).read(105),
        5,
        105,
        flags={Flag.SKIPPED_READINGS},
    ),
    Case(
        "no whole number",
        counter(),
        lambda b: b.read(100).read(Decimal("NaN")).read(True).read("7").read(Decimal("1.5")).after(0.1).read(101),
        1,
        101,
        flags={Flag.SKIPPED_READINGS},
    ),
    Case(
        "a value that wraps_at says is never shown",
        counter(wraps_at=10_000),
        lambda b: b.read(9_990).after(0.1).read(12_000).rest(3).after(0.1).read(4).rest(2),
        14,
        4,
        flags={Flag.WRAPPED, Flag.SKIPPED_READINGS},
    ),
    Case(
        "unseen through bad values so long that several wraps fit",
        counter(wraps_at=1000),
        lambda b: b.read(100).after(0.1).read(0, quality=Quality.BAD).after(60).read(150),
        0,
        150,
        doubts=[("several-wraps", [50, 1050])],
    ),
]

SECOND_TABLE = [
    Case(
        "no sign, wrap within the room (65530 to 4 books 10)",
        counter(),
        lambda b: b.read(65_530).after(0.5).read(4).rest(2),
        10,
        4,
        flags={Flag.WRAPPED},
    ),
    Case(
        "wrap settled by a reading, running on",
        counter(),
        lambda b: b.read(65_530).after(0.5).read(4).after(1).read(20).after(1).read(40),
        46,
        40,
        flags={Flag.WRAPPED},
    ),
    Case(
        "wrap of 32 bits",
        counter("u32"),
        lambda b: b.read((1 << 32) - 1).after(0.5).read(0).rest(2),
        1,
        0,
        flags={Flag.WRAPPED},
    ),
    Case(
        "wrap of a signed counter goes to its least value",
        counter("s16"),
        lambda b: b.read(32_760).after(1).read(-32_760).rest(2),
        16,
        -32_760,
        flags={Flag.WRAPPED},
    ),
    Case(
        "signed reset: the value since, and a gap with bounds",
        counter(),
        lambda b: b.read(5000).restarted(10).read(20).rest(2),
        20,
        20,
        holes=[("reset", 0, 235)],
        flags={Flag.RESET, Flag.SPANNED_OUTAGE},
    ),
    Case(
        "reset signed by the epoch tag",
        counter(epoch_tag=EPOCH),
        lambda b: b.read(1, EPOCH).read(5000).after(1).read(2, EPOCH).read(3).rest(2),
        3,
        3,
        holes=[("reset", 0, 27)],
        flags={Flag.RESET},
    ),
    Case(
        "the sign may come after the value, while it is held",
        counter(epoch_tag=EPOCH),
        lambda b: b.read(1, EPOCH).read(5000).after(1).read(3).after(1).read(2, EPOCH).rest(2),
        3,
        3,
        holes=[("reset", 0, 27)],
        flags={Flag.RESET},
    ),
    Case(
        "signed reset of a counter without rate: unbounded gap",
        counter("plain", max_rate=None),
        lambda b: b.read(5000).restarted(10).read(20).rest(2),
        20,
        20,
        holes=[("reset", 0, None)],
        flags={Flag.RESET, Flag.SPANNED_OUTAGE},
    ),
    Case(
        "sign, and both wrap and reset fit",
        counter(),
        lambda b: b.read(65_530).restarted(10).read(20).rest(2),
        0,
        20,
        doubts=[("reset-or-wrap", [20, 26])],
    ),
    Case(
        "no sign, no wrap that fits: restored or preset, reset, or wrapped",
        counter(),
        lambda b: b.read(5000).after(0.1).read(4000).rest(2),
        0,
        4000,
        doubts=[("fell", [0, 4000, 64_536])],
    ),
    Case(
        "no sign, settled by a reading",
        counter("plain"),
        lambda b: b.read(5000).after(0.1).read(4000).after(2).read(4010),
        0,
        4010,
        doubts=[("fell", [0, 4010])],
    ),
    Case(
        "a preset after a long rest is no wrap",
        counter(),
        lambda b: b.read(60_000).after(3600).read(100).rest(2),
        0,
        100,
        doubts=[("fell", [0, 100, 5636])],
    ),
    Case(
        "sign, but the value is beyond the room: restored",
        counter(),
        lambda b: b.read(5000).restarted(10).read(4000).rest(2),
        0,
        4000,
        doubts=[("fell", [0, 4000, 64_536])],
    ),
    Case(
        "preset to a negative value: no negative candidate",
        counter("plain"),
        lambda b: b.read(50).restarted(10).read(-7).rest(2),
        0,
        -7,
        doubts=[("fell", [0])],
    ),
    Case(
        "a signed counter with a sign, negative all the while: too far from zero for a reset",
        counter("s16"),
        lambda b: b.read(-30_000).restarted(10).read(-29_900).rest(2),
        100,
        -29_900,
        flags=OUT,
    ),
    Case(
        "a signed counter, reset and run past its largest value since",
        counter("s16"),
        lambda b: b.read(-30_000).restarted(1400).read(-31_000).rest(2),
        34_536,
        -31_000,
        holes=[("reset", 0, 469)],
        flags={Flag.RESET, Flag.SPANNED_OUTAGE},
    ),
    Case(
        "a signed counter comes up to zero by a reset",
        counter("s16"),
        lambda b: b.read(-700).restarted(10).read(3).rest(2),
        3,
        3,
        holes=[("reset", 0, 252)],
        flags={Flag.RESET, Flag.SPANNED_OUTAGE},
    ),
    Case(
        "resets: [never] heeds no sign",
        counter(resets=NEVER),
        lambda b: b.read(65_530).restarted(10).read(20).rest(2),
        26,
        20,
        flags={Flag.WRAPPED, Flag.SPANNED_OUTAGE},
    ),
]

OUTAGES = [
    Case("one line, flagged", counter(), lambda b: b.read(100).away(600).read(9000), 8900, 9000, flags=OUT),
    Case(
        "a wrap during the outage",
        counter(),
        lambda b: b.read(65_000).away(600).read(400).rest(2),
        936,
        400,
        flags={Flag.WRAPPED, *OUT},
    ),
    Case(
        "more than review_over",
        counter(review_over=Decimal(1000)),
        lambda b: b.read(100).away(600).read(1101),
        0,
        1101,
        doubts=[("review-over", [0, 1001])],
    ),
    Case(
        "just review_over",
        counter(review_over=Decimal(1000)),
        lambda b: b.read(100).away(600).read(1100),
        1000,
        1100,
        flags=OUT,
    ),
    Case(
        "review_over by a wrap",
        counter(review_over=Decimal(1000)),
        lambda b: b.read(65_000).away(600).read(1000).rest(2),
        0,
        1000,
        doubts=[("review-over", [0, 1536])],
    ),
    Case(
        "several wraps fit",
        counter(wraps_at=1000),
        lambda b: b.read(100).away(90).read(150),
        0,
        150,
        doubts=[("several-wraps", [50, 1050, 2050])],
    ),
    Case(
        "several wraps fit, the same value shown",
        counter(wraps_at=1000),
        lambda b: b.read(100).away(40).read(100),
        0,
        100,
        doubts=[("several-wraps", [0, 1000])],
    ),
    Case(
        "several wraps fit, a lower value",
        counter(wraps_at=1000),
        lambda b: b.read(100).away(90).read(50).rest(2),
        0,
        50,
        doubts=[("several-wraps", [950, 1950])],
    ),
    Case(
        "StartTime unreadable: unproven, review by default",
        counter(),
        lambda b: b.read(100).away(60, None).read(400).rest(2),
        0,
        400,
        doubts=[("unproven", [300, 400])],
    ),
    Case(
        "StartTime unreadable: unproven, booked where the map says so",
        counter(unproven=BOOK),
        lambda b: b.read(100).away(60, None).read(400).rest(2),
        300,
        400,
        flags={Flag.UNPROVEN, *OUT},
    ),
    Case(
        "unproven: book does not guess the number of wraps",
        counter(unproven=BOOK, wraps_at=1000),
        lambda b: b.read(100).away(60, None).read(400).rest(2),
        0,
        400,
        doubts=[("several-wraps", [300, 1300])],
    ),
    Case(
        "StartTime unreadable, but too far from zero for a reset: proven",
        counter(),
        lambda b: b.read(30_000).away(60, None).read(30_400).rest(2),
        400,
        30_400,
        flags=OUT,
    ),
    Case(
        "reset or wrap, and several turns fit: all are named",
        counter(wraps_at=1000),
        lambda b: b.read(900).restarted(60).read(50).rest(2),
        0,
        50,
        doubts=[("reset-or-wrap", [50, 150, 1150])],
    ),
]


@pytest.mark.parametrize("case", FIRST_TABLE + SECOND_TABLE + OUTAGES, ids=lambda case: case.name)
def test_row(case: Case) -> None:
    bench = case.script(Bench(case.rule))

    assert bench.booked == case.booked
    assert bench.doubts() == case.doubts
    assert bench.holes() == case.holes
    assert bench.journal.flags() == case.flags
    state = bench.state.rules[case.rule.name].signal
    assert isinstance(state, CounterState)
    assert (state.last_raw, state.hold) == (case.last, None)

    before = bench.booked  # never stuck: whatever was decided, the next readings book again
    bench.after(0.1).read(case.last + 2, COUNT).after(0.1).read(case.last + 5, COUNT)
    assert bench.booked == before + 5


def test_counts_what_was_no_reading() -> None:
    bench = Bench(counter(), ranges={COUNT: (Decimal(0), Decimal(9000))})
    bench.read(None, quality=Quality.BAD).read(100).read(9001).read(True).after(0.1).read(103)

    assert bench.journal.counts == {"not_a_reading": 3, "baseline": 1, "booked": 1}
    assert bench.booked == 3


def test_the_lag_between_two_readings_of_a_stale_session_is_stated() -> None:
    bench = Bench(counter()).read(100).away(60).read(300)

    (mark,) = bench.journal.lines.values()
    assert mark.line.time - mark.line.start_time == timedelta(seconds=60)
    assert (mark.line.evidence.raw_before, mark.line.evidence.raw_after) == ("100", "300")
