"""Every row of the second counter table of derivation.md, and outages: how a settled value is decided."""

from __future__ import annotations

from decimal import Decimal

import pytest

from edge_agent.config.signals import Resets
from edge_agent.config.tagmap import Unproven
from edge_agent.model.movement import Flag
from tests.derivation.plant import EPOCH, counter
from tests.derivation.rows import Case, check

BOOK = Unproven.BOOK
NEVER = frozenset({Resets.NEVER})
OUT = {Flag.SPANNED_OUTAGE}

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
        holes=[("reset", 0, 235)],
    ),
    Case(
        "no sign, no wrap that fits: restored or preset, reset, or wrapped",
        counter(),
        lambda b: b.read(5000).after(0.1).read(4000).rest(2),
        0,
        4000,
        doubts=[("fell", [0, 4000, 64_536])],
        holes=[("reset", 0, 7)],
    ),
    Case(
        "no sign, settled by a reading",
        counter("plain"),
        lambda b: b.read(5000).after(0.1).read(4000).after(2).read(4010),
        0,
        4010,
        doubts=[("fell", [10, 4010])],
        holes=[("reset", 0, 47)],
    ),
    Case(
        "restored or preset, and running on while it is held",
        counter(),
        lambda b: b.read(5000).after(0.1).read(4000).after(1).read(4010).after(1.5).read(4025),
        0,
        4025,
        doubts=[("fell", [25, 4025, 64_561])],
        holes=[("reset", 0, 45)],
    ),
    Case(
        "jumped, and running on while it is held",
        counter("plain"),
        lambda b: b.read(5000).after(0.1).read(9000).after(1).read(9010).after(1.5).read(9025),
        0,
        9025,
        doubts=[("rose-too-fast", [25, 4025])],
    ),
    Case(
        "emptied, and running on while it is held: a reset and a preset come to the same",
        counter("plain"),
        lambda b: b.read(5000).after(0.1).read(0).after(1).read(10).rest(2),
        0,
        10,
        doubts=[("fell", [10])],
        holes=[("reset", 0, 22)],
    ),
    Case(
        "a preset after a long rest is no wrap",
        counter(),
        lambda b: b.read(60_000).after(3600).read(100).rest(2),
        0,
        100,
        doubts=[("fell", [0, 100, 5636])],
        holes=[("reset", 0, 55)],
    ),
    Case(
        "sign, but the value is beyond the room: restored",
        counter(),
        lambda b: b.read(5000).restarted(10).read(4000).rest(2),
        0,
        4000,
        doubts=[("fell", [0, 4000, 64_536])],
        holes=[("reset", 0, 255)],
    ),
    Case(
        "preset to a negative value: no negative candidate",
        counter("plain"),
        lambda b: b.read(50).restarted(10).read(-7).rest(2),
        0,
        -7,
        doubts=[("fell", [0])],
        holes=[("reset", 0, 255)],
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
        holes=[("reset", 0, 1105)],
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
        holes=[("reset", 0, 1455)],
    ),
]


@pytest.mark.parametrize("case", SECOND_TABLE + OUTAGES, ids=lambda case: case.name)
def test_decision(case: Case) -> None:
    check(case)
