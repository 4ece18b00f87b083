"""The transaction-counter handshake: which block is new, which comes again, and what the PLC is answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

import pytest

from edge_agent.config.tagmap import Rule
from edge_agent.model.confirmation import Result
from edge_agent.model.movement import Decision, Flag, LineState
from edge_agent.model.reading import Quality, Scalar
from edge_agent.model.signal_state import HandshakeState
from tests.derivation.plant import CASES, NOON, ORDER, Bench, handshake

Answers = list[tuple[int, Result]]
DONE, FAILED, CONFLICT, IN_REVIEW = Result.DONE, Result.FAILED_CHECK, Result.CONFLICT, Result.IN_REVIEW
RING = handshake(modulus=100)
ANEW: list[tuple[str, int, int | None]] = [("number-fell", 0, None)]
"""Whatever was shown after the latest number is not known."""


@dataclass(frozen=True)
class Case:
    """A script, the pieces booked, and every answer to the PLC. A case is 24 pieces."""

    name: str
    script: Callable[[Bench], Bench]
    booked: int
    answers: Answers
    doubts: list[tuple[str, list[int]]] = field(default_factory=list)
    holes: list[tuple[str, int, int | None]] = field(default_factory=list)
    rule: Rule = field(default_factory=handshake)


CASES_OF_THE_TABLE = [
    Case("first sight, answered: where we begin", lambda b: b.block(7, 7), 0, []),
    Case("first sight, waiting: booked", lambda b: b.block(7, 6), 960, [(7, DONE)]),
    Case("first sight of a new PLC, nothing yet", lambda b: b.block(0, 0), 0, []),
    Case("the next number", lambda b: b.block(7, 7).block(8, 7), 960, [(8, DONE)]),
    Case("a partial pallet", lambda b: b.block(7, 7).block(8, 7, cases=3), 72, [(8, DONE)]),
    Case(
        "the same number again: answered again, no event",
        lambda b: b.block(7, 7).block(8, 7).block(8, 7).block(8, 7),
        960,
        [(8, DONE)] * 3,
    ),
    Case(
        "the same number again after the release",
        lambda b: b.block(7, 7).block(8, 7).released(8).block(8, 8).block(8, 7),
        960,
        [(8, DONE)] * 2,
    ),
    Case(
        "the same number, other content: conflict, once",
        lambda b: b.block(7, 7).block(8, 7).block(8, 7, cases=12).block(8, 7, cases=12),
        960,
        [(8, DONE), (8, CONFLICT), (8, CONFLICT)],
        doubts=[("conflict", [0, 288])],
    ),
    Case(
        "the same number, a tag not readable now: no other content",
        lambda b: b.block(7, 7).block(8, 7).block(8, 7, quality=Quality.BAD),
        960,
        [(8, DONE)] * 2,
    ),
    Case(
        "the number after a conflict",
        lambda b: b.block(7, 7).block(8, 7).block(8, 7, cases=12).block(9, 8, cases=1),
        984,
        [(8, DONE), (8, CONFLICT), (9, DONE)],
        doubts=[("conflict", [0, 288])],
    ),
    Case(
        "skipped numbers",
        lambda b: b.block(7, 7).block(11, 10),
        960,
        [(11, DONE)],
        holes=[("skipped-numbers", 0, None)],
    ),
    Case(
        "the number wraps",
        lambda b: b.block(98, 98).block(99, 98).block(0, 99),
        1920,
        [(99, DONE), (0, DONE)],
        rule=RING,
    ),
    Case(
        "the same number after a restart",
        lambda b: b.block(6, 6).block(7, 6).restarted(5).block(7, 6),
        960,
        [(7, DONE)] * 2,
    ),
    Case(
        "the next number, answered by another already",
        lambda b: b.block(6, 6).block(7, 7),
        0,
        [],
        doubts=[("conflict", [0, 960])],
    ),
    Case(
        "a lower number without a sign",
        lambda b: b.block(7, 7).block(3, 2),
        0,
        [(3, IN_REVIEW)],
        doubts=[("number-fell", [0, 960])],
        holes=ANEW,
    ),
    Case(
        "an older number brought back by a restart may be booked already",
        lambda b: b.block(7, 7).restarted(5).block(3, 2),
        0,
        [(3, IN_REVIEW)],
        doubts=[("number-fell", [0, 960])],
        holes=ANEW,
    ),
    Case(
        "a lower number without a sign comes again",
        lambda b: b.block(7, 7).block(3, 2).block(3, 2).block(4, 3, cases=1),
        24,
        [(3, IN_REVIEW), (3, IN_REVIEW), (4, DONE)],
        doubts=[("number-fell", [0, 960])],
        holes=ANEW,
    ),
    Case(
        "a trigger withdrawn before our answer is in doubt, and comes again",
        lambda b: b.block(7, 7).block(8, 7).block(7, 7).block(8, 7),
        960,
        [(8, DONE)] * 2,
        holes=[("in-doubt", 0, 0)],
    ),
    Case(
        "withdrawn where the number wraps",
        lambda b: b.block(99, 99).block(0, 99).block(99, 99).block(0, 99),
        960,
        [(0, DONE)] * 2,
        holes=[("in-doubt", 0, 0)],
        rule=RING,
    ),
    Case(
        "no container",
        lambda b: b.block(7, 7).block(8, 7, sscc=None).block(9, 8),
        960,
        [(8, FAILED), (9, DONE)],
        doubts=[("failed-check", [0, 960])],
    ),
    Case(
        "its natural key is in the store",
        lambda b: b.block(7, 7).block(8, 7, conflicting=True).block(8, 7),
        0,
        [(8, CONFLICT)] * 2,
        doubts=[("conflict", [0, 960])],
    ),
    Case(
        "acknowledged by another before we saw it",
        lambda b: b.block(7, 7).block(8, 8).block(8, 8).block(9, 8, cases=1),
        24,
        [(9, DONE)],
        doubts=[("conflict", [0, 960])],
    ),
    Case("the answer could not be read: not a block", lambda b: b.block(7, 7).block(8, None), 0, []),
]


@pytest.mark.parametrize("case", CASES_OF_THE_TABLE, ids=lambda case: case.name)
def test_handshake(case: Case) -> None:
    check(case)


def check(case: Case) -> None:
    """The case's script does what it says."""
    bench = case.script(Bench(case.rule))

    assert bench.booked == case.booked
    assert [(one.number, one.result) for one in bench.journal.acknowledgements] == case.answers
    assert bench.doubts() == case.doubts
    assert bench.holes() == case.holes
    keys = [one.key for one in bench.journal.natural_keys]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(
    "cases",
    [0, -1, None, True, "40", Decimal("NaN"), Decimal("Infinity"), Decimal("1E-12"), 5000],
    ids=str,
)
def test_a_block_that_fails_its_checks_is_refused_and_reviewed_and_stops_nothing(cases: Scalar | None) -> None:
    bench = Bench(handshake(), ranges={CASES: (Decimal(-10), Decimal(100))}).block(7, 7)
    bench.block(8, 7, cases=cases).block(8, 7, cases=cases).block(9, 8, cases=2)

    assert bench.doubts() == [("failed-check", [0])]
    assert bench.booked == 48
    assert [one.result for one in bench.journal.acknowledgements] == [FAILED, FAILED, DONE]


def test_a_movement_without_a_container_tag_merges_no_numbers_into_doubt() -> None:
    bench = Bench(handshake(container=None)).block(7, 7).block(8, 7).block(9, 8, cases=1)

    assert [event.lines[0].quantity for event in bench.material_events()] == [960, 24]


def test_each_container_has_a_line_and_event_of_its_own() -> None:
    bench = Bench(handshake()).block(7, 7).block(8, 7, sscc=" P8 ").block(9, 8, sscc="P9", cases=1)

    lines = [line for event in bench.material_events() for line in event.lines]
    assert [(line.key.container, int(line.quantity), int(line.source_quantity)) for line in lines] == [
        ("P8", 960, 40),
        ("P9", 24, 1),
    ]
    assert [line.source_unit for line in lines] == ["case", "case"]
    assert [one.key for one in bench.journal.natural_keys] == ["pallet_out/1/8", "pallet_out/1/9"]


def test_quantities_are_converted_exactly_or_not_at_all() -> None:
    rule = handshake(factor=Fraction(1, 8))
    bench = (
        Bench(rule)
        .block(7, 7)
        .block(8, 7, cases=9)
        .block(9, 8, cases=Decimal("0.4"))
        .block(10, 9, cases=Decimal("0.00000001"))
    )

    assert bench.booked == Decimal("1.175")
    assert bench.doubts() == [("failed-check", [0])]


def test_after_a_skip_the_line_is_flagged_and_takes_its_place_in_a_new_epoch() -> None:
    bench = Bench(handshake()).block(7, 7).block(8, 7).block(11, 10)

    assert sorted(bench.journal.epochs) == [("pallet_out", 1), ("pallet_out", 2)]
    assert bench.journal.flags() == {Flag.SKIPPED_NUMBERS}


def test_the_order_is_that_of_the_moment() -> None:
    bench = (
        Bench(handshake(order=ORDER))
        .order("A")
        .block(7, 7)
        .after(5)
        .block(8, 7)
        .after(5)
        .order("B")
        .after(5)
        .block(9, 8, cases=1)
    )

    assert (bench.of("A"), bench.of("B")) == (960, 24)


def test_without_its_order_a_movement_is_reviewed_not_guessed() -> None:
    bench = Bench(handshake(order=ORDER)).block(7, 6)

    assert bench.doubts() == [("order-unknown", [0, 960])]
    assert [(one.number, one.result) for one in bench.journal.acknowledgements] == [(7, IN_REVIEW)]
    bench.order("A").after(1).block(7, 6).block(8, 7, cases=1)
    assert [one.result for one in bench.journal.acknowledgements] == [IN_REVIEW, IN_REVIEW, DONE]
    assert bench.of("A") == 24


@pytest.mark.parametrize(
    ("block", "doubts", "holes", "answers"),
    [
        ((8, 7), [], [], [(8, DONE)] * 2),
        ((9, 8), [("restored", [0, 960])], [], [(8, DONE), (9, IN_REVIEW)]),
        ((12, 11), [("restored", [0, 960])], [("restored", 0, None)], [(8, DONE), (12, IN_REVIEW)]),
        ((12, 12), [("restored", [0, 960])], [("restored", 0, None)], [(8, DONE)]),
    ],
    ids=["the same number", "the next", "some further on", "answered already"],
)
def test_after_a_restore_nothing_new_is_booked_by_itself(
    block: tuple[int, int], doubts: list[object], holes: list[object], answers: Answers
) -> None:
    bench = Bench(handshake()).block(7, 7).block(8, 7)
    rule = bench.state.rules["pallet_out"]
    assert isinstance(rule.signal, HandshakeState)
    was = rule.signal
    bench.state.rules["pallet_out"] = type(rule)(
        HandshakeState(
            was.epoch, was.first_number, was.latest, 0, was.content, was.result, released=False, restored=True
        ),
        rule.pending,
        rule.serial,
    )
    bench.block(*block)

    assert (bench.booked, bench.doubts(), bench.holes()) == (960, doubts, holes)
    assert [(one.number, one.result) for one in bench.journal.acknowledgements] == answers
    assert bench.block(block[0] + 1, block[0], cases=1).booked == 984


def test_what_a_person_decides_takes_the_numbers_place() -> None:
    bench = Bench(handshake()).block(7, 7).block(8, 7, sscc=None)
    assert [mark.state for mark in bench.journal.lines.values()] == [LineState.IN_REVIEW]

    bench.decide(1)
    assert bench.booked == 960
    assert isinstance(bench.material_events()[0].about, Decision)


def test_what_failed_its_check_is_booked_as_a_person_found_it() -> None:
    bench = Bench(handshake()).block(7, 7).block(8, 7, cases=-1)
    assert bench.doubts() == [("failed-check", [0])]

    bench.decide(1, found=936)
    assert bench.booked == 936
    (line,) = bench.material_events()[0].lines
    assert (line.key.container, str(line.source_quantity), line.source_unit) == ("P1", "936", "pcs")
    assert [mark.state for mark in bench.journal.lines.values()] == [LineState.BOOKED_BY_REVIEW]
    assert bench.block(9, 8, cases=1).booked == 936 + 24


def test_the_time_of_the_block_is_the_devices() -> None:
    bench = Bench(handshake()).block(7, 7).after(60).block(8, 7, age=2)

    (event,) = bench.material_events()
    assert (event.time - NOON).total_seconds() == 58
