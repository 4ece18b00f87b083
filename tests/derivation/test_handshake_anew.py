"""A transaction counter whose count began anew: what may have been shown and lost is a gap, stated once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.derivation.plant import Bench, handshake
from tests.derivation.test_handshake_table import ANEW, CONFLICT, DONE, IN_REVIEW, Case, check

NAMELESS = handshake(container=None)
CASES_OF_THE_TABLE = [
    Case(
        "a lower number after a restart: the count began anew",
        lambda b: b.block(7, 7).restarted(5).block(1, 0, sscc="P2").block(1, 0, sscc="P2").block(2, 1, sscc="P3"),
        1920,
        [(1, DONE), (1, DONE), (2, DONE)],
        holes=ANEW,
    ),
    Case(
        "a lower number after a restart, answered",
        lambda b: b.block(7, 7).restarted(5).block(0, 0).block(0, 0).block(1, 0, sscc="P2"),
        960,
        [(1, DONE)],
        holes=ANEW,
    ),
    Case(
        "numbers up to one that is answered already may have been confirmed unseen",
        lambda b: b.block(7, 7).restarted(5).block(3, 3, sscc="P2").block(4, 3, sscc="P3"),
        960,
        [(4, DONE)],
        holes=ANEW,
    ),
    Case(
        "a lower number, answered, without a sign: nobody waits",
        lambda b: b.block(7, 7).block(0, 0).block(1, 0, sscc="P2"),
        960,
        [(1, DONE)],
        holes=ANEW,
    ),
    Case(
        "the sign of the restart comes after the number has fallen",
        lambda b: b.block(7, 7).block(3, 2, sscc="P2").restarted(5).block(3, 2, sscc="P2").block(4, 3, sscc="P3"),
        960,
        [(3, IN_REVIEW), (3, IN_REVIEW), (4, DONE)],
        doubts=[("number-fell", [0, 960])],
        holes=ANEW,
    ),
    Case(
        "a count that began anew may show again what was booked under its old number",
        lambda b: b.block(6, 6, sscc="P0").block(7, 6).restarted(5).block(1, 0).block(2, 1, sscc="P2"),
        1920,
        [(7, DONE), (1, IN_REVIEW), (2, DONE)],
        doubts=[("number-fell", [0, 960])],
        holes=ANEW,
    ),
    Case(
        "a PLC that brings back an older count shows again what was booked, one after the other",
        lambda b: (
            b.block(5, 5, sscc="P0")
            .block(6, 5)
            .block(7, 6, sscc="P2")
            .restarted(5)
            .block(5, 5, sscc="P0")
            .block(6, 5)
            .block(7, 6, sscc="P2")
            .block(8, 7, sscc="P3")
        ),
        2880,
        [(6, DONE), (7, DONE), (6, IN_REVIEW), (7, IN_REVIEW), (8, DONE)],
        doubts=[("number-fell", [0, 960])] * 2,
        holes=ANEW,
    ),
    Case(
        "without names, a content like an earlier one is in doubt as far as the numbers were shown",
        lambda b: b.block(5, 5).block(6, 5).restarted(5).block(5, 5).block(6, 5).block(7, 6),
        1920,
        [(6, DONE), (6, IN_REVIEW), (7, DONE)],
        doubts=[("number-fell", [0, 960])],
        holes=ANEW,
        rule=NAMELESS,
    ),
    Case(
        "the number goes on after a restart",
        lambda b: b.block(7, 7).restarted(5).block(8, 7, sscc="P2").restarted(5).block(8, 8, sscc="P2"),
        960,
        [(8, DONE)],
    ),
    Case(
        "a count at its beginning goes on after a restart, or began anew",
        lambda b: b.block(0, 0).restarted(5).block(0, 0).restarted(5).block(1, 0, sscc="P2").block(2, 1, sscc="P3"),
        1920,
        [(1, DONE), (2, DONE)],
        holes=ANEW,
    ),
    Case(
        "the first number again after a restart: it, by its name",
        lambda b: b.block(0, 0).block(1, 0).restarted(5).block(1, 0),
        960,
        [(1, DONE)] * 2,
    ),
    Case(
        "the first number again after a restart, without a name: it, or the first of a new count",
        lambda b: b.block(0, 0).block(1, 0).restarted(5).block(1, 0).block(1, 0),
        960,
        [(1, DONE)] * 3,
        holes=ANEW,
        rule=NAMELESS,
    ),
    Case(
        "the same number with other content after a restart: so far the count came again",
        lambda b: b.block(7, 7).block(8, 7).restarted(5).block(8, 7, sscc="P2"),
        960,
        [(8, DONE), (8, CONFLICT)],
        doubts=[("conflict", [0, 960])],
        holes=ANEW,
    ),
    Case(
        "a number far on after a restart, and a content taken before",
        lambda b: b.block(0, 0, sscc="P0").block(1, 0).restarted(5).block(8, 7).block(9, 8, sscc="P2"),
        1920,
        [(1, DONE), (8, IN_REVIEW), (9, DONE)],
        doubts=[("number-fell", [0, 960])],
        holes=[("skipped-numbers", 0, None)],
    ),
]


@pytest.mark.parametrize("case", CASES_OF_THE_TABLE, ids=lambda case: case.name)
def test_a_count_that_began_anew(case: Case) -> None:
    check(case)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (
            lambda b: b.restarted(5).block(0, 0),
            "after a restart of the PLC, at 0: what was confirmed after number 7",
        ),
        (lambda b: b.restarted(5).block(2, 2), "at 2: what was confirmed after number 7 and before number 2 is"),
        (lambda b: b.block(3, 2), "without a sign of a restart, at 3: what was confirmed after number 7 and before"),
    ],
    ids=["nothing yet", "some confirmed unseen", "no sign"],
)
def test_a_gap_says_between_which_numbers_to_look(script: Callable[[Bench], Bench], said: str) -> None:
    (gap,) = script(Bench(handshake()).block(7, 7)).journal.gaps
    assert said in gap.message
    assert "compare with the PLC's own list" in gap.message
