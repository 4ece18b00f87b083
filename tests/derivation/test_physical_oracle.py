"""The counter rules against a line that counts physical units and never looks at raw differences.

Whatever the script does, to the unit and by order: booked + what truly ran in the intervals in review + what truly ran
in the gaps = what was made; nothing is ever booked that was not made; a gap's truth lies within its bounds.

A review names the truth among its candidates where one cause can explain it: a wrap, several wraps or a climb unseen
(up to eight turns), a reset before which nothing ran unseen, a restored or preset value with the line at rest. It never
opens for a plain wrap, a glitch shorter than `settle`, an outage with less room than the modulus, or a signed reset
that no wrap could explain, unless the order changed and the session broke before the counter was seen again.
"""

from __future__ import annotations

from collections import Counter as Tally

import pytest
from hypothesis import example, given, settings

from tests.derivation.audit import Script, play, scripts

EXERCISED = {
    *("fell", "reset-or-glitch", "reset-or-wrap", "rose-too-fast", "several-wraps", "straddled-order", "unproven"),
    *("glitch", "reset", "skippedReadings", "spannedOutage", "wallClockElapsed", "wrapped", "gap"),
}

REGRESSIONS: list[Script] = [
    # A value held for a sign, and the bad one after it, in one delivery: a tick then settled it while it was bad.
    (
        "u16",
        65_288,
        2,
        [
            ("outage", {"steps": 135, "pattern": (0,)}),
            ("server_restart", {"does": "retain", "before": 0, "after": 0, "pattern": (0,), "told": False}),
            ("run", {"steps": 2, "pattern": (1,)}),
            ("bad_quality", {"steps": 121, "pattern": (2, 3)}),
        ],
        [1],
    ),
    # A signed counter comes up to zero by a reset: it had been taken for a jump.
    (
        "s16",
        -7,
        1,
        [("server_restart", {"does": "reset", "before": 0, "after": 1, "pattern": (1,), "told": True})],
        [1],
    ),
    # At rest since before the order changed: a bad value had stretched the interval back over the change.
    ("u16", 0, 1, [("change_order", {}), ("bad_quality", {"steps": 1, "pattern": (1,)})], [1]),
    # The same value with the same source time after an outage with room for whole turns.
    ("700", 0, 1, [("run", {"steps": 1}), ("outage", {"steps": 277, "pattern": (0,)})], [1]),
    # StartTime unreadable once, then the same again.
    (
        "u16",
        65_535,
        1,
        [
            ("server_restart", {"does": "retain", "before": 0, "after": 0, "pattern": (0,), "told": False}),
            ("run", {"steps": 30, "pattern": (1,)}),
            ("outage", {"steps": 8, "pattern": (0,)}),
        ],
        [1],
    ),
    # From zero with a sign: both ways book the same, but what ran before the reset is a gap.
    (
        "u16",
        0,
        1,
        [
            ("change_order", {}),
            ("server_restart", {"does": "reset", "before": 1, "after": 1, "pattern": (1,), "told": True}),
        ],
        [1],
    ),
    # It turns over while the value that a restart has left is held: a reset could show that too.
    (
        "700",
        537,
        1,
        [
            ("run", {"steps": 40, "pattern": (1,)}),
            ("server_restart", {"does": "retain", "after": 44, "pattern": (1, 2, 0), "before": 33, "told": True}),
            ("run", {"steps": 300, "pattern": (2, 3)}),
        ],
        [1],
    ),
]


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_every_unit_is_booked_in_review_or_in_a_gap() -> None:
    seen: Tally[str] = Tally()

    @settings(max_examples=300, derandomize=True, database=None)
    @given(scripts())
    def holds(script: Script) -> None:
        audit = play(script)
        seen.update(str(review.cause) for review in audit.journal.reviews.values())
        seen.update(str(flag) for flag in audit.journal.flags())
        seen.update("gap" for _ in audit.journal.gaps)

    for script in REGRESSIONS:
        holds = example(script)(holds)
    holds()
    assert seen.keys() >= EXERCISED, f"never seen: {EXERCISED - seen.keys()}"
