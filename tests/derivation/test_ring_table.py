"""The ring buffer: which entry is new, which comes again, and what a ring that began anew leaves open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest

from edge_agent.config.signals import Handshake, Kind
from edge_agent.config.tagmap import Rule
from edge_agent.model.confirmation import Block, Result
from edge_agent.model.reading import TagRef
from edge_agent.model.signal_state import HandshakeState
from edge_agent.model.state import EPOCH_LEAP
from tests.derivation.plant import CASES, SSCC, Bench, handshake

DONE, FAILED, CONFLICT, IN_REVIEW = Result.DONE, Result.FAILED_CHECK, Result.CONFLICT, Result.IN_REVIEW
SLOTS = 4
NUMBER = TagRef("plc", "number")


def ring(*, numbered: bool = False) -> Rule:
    """Pallets confirmed by a ring of four slots. A pallet is 40 cases of 24 pieces."""
    rule = handshake()
    assert isinstance(rule.signal, Handshake)
    number = NUMBER if numbered else None
    return replace(rule, signal=replace(rule.signal, kind=Kind.RING, modulus=SLOTS, number=number))


def entry(b: Bench, tail: int, waiting: int, sscc: str = "P1", cases: int = 40, number: int | None = None) -> Bench:
    """The entry at `tail`, one of those `waiting`."""
    values = {CASES: b.reading(cases, CASES), SSCC: b.reading(sscc, SSCC)}
    if number is not None:
        values[NUMBER] = b.reading(number, NUMBER)
    return b.feed(Block("pallet_out", (tail + 1) % SLOTS, tail, values, b.now, waiting=waiting))


def empty(b: Bench, tail: int) -> Bench:
    return b.feed(Block("pallet_out", tail, tail, {}, b.now))


def taken(b: Bench, tail: int, waiting: int, sscc: str) -> Bench:
    """An entry, and its tail written."""
    return entry(b, tail, waiting, sscc).released((tail + 1) % SLOTS)


def two(b: Bench) -> Bench:
    """P1 and P2 have been taken from slots 0 and 1."""
    return taken(taken(empty(b, 0), 0, 2, "P1"), 1, 1, "P2")


@dataclass(frozen=True)
class Case:
    """A script, the pieces booked, every answer to the PLC, the reviews and gaps. A pallet is 960 pieces."""

    name: str
    script: Callable[[Bench], Bench]
    booked: int
    answers: list[tuple[int, Result]]
    doubts: list[tuple[str, list[int]]] = field(default_factory=list)
    holes: Sequence[tuple[str, int, int | None]] = ()


ANEW = [("skipped-numbers", 0, None)]
OF_TWO = [(1, DONE), (2, DONE)]
CASES_OF_THE_TABLE = [
    Case("first sight, nothing waits: where we begin", lambda b: empty(b, 3), 0, []),
    Case("first sight, entries wait: booked", lambda b: entry(b, 3, 2), 960, [(0, DONE)]),
    Case(
        "one after the other, over the end",
        lambda b: taken(taken(two(b), 2, 2, "P3"), 3, 1, "P4"),
        3840,
        [*OF_TWO, (3, DONE), (0, DONE)],
    ),
    Case(
        "killed before the tail was written: again, not booked again",
        lambda b: entry(entry(empty(b, 0), 0, 2), 0, 3),
        960,
        [(1, DONE)] * 2,
    ),
    Case("killed after the tail was written", lambda b: entry(entry(empty(b, 0), 0, 2), 1, 1, "P2"), 1920, OF_TWO),
    Case("PLC restart keeps the ring", lambda b: entry(two(b).restarted(5), 2, 1, "P3"), 2880, [*OF_TWO, (3, DONE)]),
    Case(
        "PLC restart while the tail is at 0: the ring goes on, or it began anew; said once",
        lambda b: entry(empty(taken(empty(b, 3), 3, 1, "P1").restarted(5), 0), 0, 1, "P3").released(1).restarted(5),
        1920,
        [(0, DONE), (1, DONE)],
        holes=ANEW,
    ),
    Case(
        "PLC restart before the tail was written",
        lambda b: entry(entry(empty(b, 0), 0, 1).restarted(5), 0, 1),
        960,
        [(1, DONE)] * 2,
    ),
    Case(
        "PLC restart empties the ring: said, and goes on",
        lambda b: entry(empty(two(b).restarted(5), 0), 0, 1, "P3"),
        2880,
        [*OF_TWO, (1, DONE)],
        holes=ANEW,
    ),
    Case(
        "PLC restart brings entries back that were taken",
        lambda b: taken(taken(taken(two(b).restarted(5), 0, 3, "P1"), 1, 2, "P2"), 2, 1, "P3"),
        2880,
        [*OF_TWO, (1, IN_REVIEW), (2, IN_REVIEW), (3, DONE)],
        doubts=[("in-doubt", [0, 960])] * 2,
        holes=ANEW,
    ),
    Case(
        "the tail goes back by one after it was written",
        lambda b: entry(two(b), 1, 1, "P2"),
        1920,
        [*OF_TWO, (2, IN_REVIEW)],
        doubts=[("in-doubt", [0, 960])],
        holes=ANEW,
    ),
    Case(
        "the tail goes back by one, and another entry stands there",
        lambda b: entry(entry(empty(b, 0), 0, 1), 0, 1, "P9"),
        1920,
        [(1, DONE)] * 2,
        holes=ANEW,
    ),
    Case(
        "somebody else moved the tail",
        lambda b: entry(two(b), 3, 1, "P4"),
        2880,
        [*OF_TWO, (0, DONE)],
        holes=ANEW,
    ),
    Case(
        "the head overtook the tail: what was overwritten is a gap, what stands there is new",
        lambda b: entry(taken(empty(b, 0), 0, 3, "P1"), 1, 1, "P6"),
        1920,
        OF_TWO,
        holes=ANEW,
    ),
    Case(
        "the waiting entries are gone",
        lambda b: empty(entry(empty(b, 0), 0, 3).released(1), 1),
        960,
        [(1, DONE)],
        holes=ANEW,
    ),
    Case(
        "an entry that fails its checks: review, and the next one",
        lambda b: entry(entry(empty(b, 0), 0, 2, cases=0).released(1), 1, 1, "P2"),
        960,
        [(1, FAILED), (2, DONE)],
        doubts=[("failed-check", [0])],
    ),
    Case(
        "the refused entry comes again: refused again, reviewed once",
        lambda b: entry(entry(empty(b, 0), 0, 1, cases=0), 0, 1, cases=0),
        0,
        [(1, FAILED)] * 2,
        doubts=[("failed-check", [0])],
    ),
    Case(
        "pallets of one content, no restart: all new",
        lambda b: taken(taken(empty(b, 0), 0, 2, "P"), 1, 1, "P"),
        1920,
        OF_TWO,
    ),
]


@pytest.mark.parametrize("case", CASES_OF_THE_TABLE, ids=lambda case: case.name)
def test_ring(case: Case) -> None:
    bench = case.script(Bench(ring()))

    assert bench.booked == case.booked
    assert [(one.number, one.result) for one in bench.journal.acknowledgements] == case.answers
    assert bench.doubts() == case.doubts
    assert bench.holes() == list(case.holes)
    keys = [one.key for one in bench.journal.natural_keys]
    assert len(keys) == len(set(keys))


def test_entries_with_a_number_are_never_in_doubt() -> None:
    bench = Bench(ring(numbered=True))
    entry(empty(bench, 0), 0, 2, number=7).released(1)
    entry(bench, 1, 1, number=8).released(2)
    entry(bench.restarted(5), 0, 3, number=7).released(1)
    entry(bench, 1, 2, number=8).released(2)
    entry(bench, 2, 1, number=9)

    assert (bench.booked, bench.doubts(), bench.holes()) == (2880, [], ANEW)
    assert [one.result for one in bench.journal.acknowledgements] == [DONE] * 5


def test_a_ring_and_numbers_that_began_anew_are_one_gap() -> None:
    bench = Bench(ring(numbered=True))
    entry(entry(empty(bench, 0), 0, 2, number=7).released(1), 1, 1, number=8).released(2)
    entry(bench.restarted(5), 0, 1, "P2", number=1)

    assert (bench.booked, bench.doubts(), bench.holes()) == (2880, [], ANEW)


def test_an_overrun_that_indices_hide_shows_in_the_numbers() -> None:
    bench = Bench(ring(numbered=True))
    entry(empty(bench, 0), 0, 1, number=7).released(1)
    entry(bench, 1, 1, number=12)

    assert (bench.booked, bench.holes()) == (1920, ANEW)


@pytest.mark.parametrize("waiting", [0, 2])
def test_after_a_restore_the_entry_at_the_tail_is_for_a_person_and_the_next_is_booked(waiting: int) -> None:
    bench = taken(empty(Bench(ring()), 0), 0, 1, "P1")
    rule = bench.state.rules["pallet_out"]
    assert rule.signal is not None
    bench.state.rules["pallet_out"] = replace(rule, signal=replace(rule.signal, restored=True))
    if waiting:
        taken(bench, 3, 2, "P8")
    else:
        empty(bench, 0)

    after = bench.state.rules["pallet_out"].signal
    assert isinstance(after, HandshakeState)
    assert (after.epoch, after.restored) == (1 + EPOCH_LEAP, False)
    assert bench.holes() == [("restored", 0, None)]
    assert bench.doubts() == ([("restored", [0, 960])] if waiting else [])
    assert bench.booked == 960
    entry(bench, 0, 1, "P9")
    assert bench.booked == 1920
