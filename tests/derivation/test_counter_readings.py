"""Every row of the first counter table of derivation.md: what a reading does."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from edge_agent.model.movement import Flag
from edge_agent.model.reading import Quality
from tests.derivation.plant import COUNT, EPOCH, Bench, counter
from tests.derivation.rows import Case, check

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
        holes=[("reset", 0, 275)],
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
        holes=[("reset", 0, 2)],
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
        holes=[("reset", 0, 225)],
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
        doubts=[("rose-too-fast", [1, 4901])],
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


@pytest.mark.parametrize("case", FIRST_TABLE, ids=lambda case: case.name)
def test_reading(case: Case) -> None:
    check(case)


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
