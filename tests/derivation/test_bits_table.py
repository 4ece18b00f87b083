"""The handshake in bits: which request is new, which comes again, what a person decides, what the PLC is answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from edge_agent.config.signals import Handshake, Kind
from edge_agent.config.tagmap import Rule
from edge_agent.model.confirmation import Block, Result
from edge_agent.model.reading import Quality, TagRef
from edge_agent.model.signal_state import HandshakeState, Phase
from edge_agent.model.state import EPOCH_LEAP
from tests.derivation.plant import CASES, ORDER, SSCC, Bench, handshake

DONE, FAILED, CONFLICT, IN_REVIEW = Result.DONE, Result.FAILED_CHECK, Result.CONFLICT, Result.IN_REVIEW
SET, RESET = (1, DONE), (0, DONE)
NUMBER = TagRef("plc", "number")


def bits(*, number: TagRef | None = None, **changes: Any) -> Rule:
    """Pallets confirmed in bits. A pallet is 40 cases of 24 pieces, container P1, unless told otherwise."""
    rule = handshake(**changes)
    assert isinstance(rule.signal, Handshake)
    return replace(rule, signal=replace(rule.signal, kind=Kind.BITS, modulus=2, number=number))


def idle(b: Bench) -> Bench:
    """Nothing is asked, nothing is answered: where a plant begins."""
    return b.block(0, 0)


def committed(b: Bench) -> Bench:
    """A pallet has been booked; our bit has not been written, as far as anybody knows."""
    return idle(b).block(1, 0)


def answered(b: Bench) -> Bench:
    return committed(b).released(1)


def closed(b: Bench) -> Bench:
    """The PLC has taken its request back; our bit still stands."""
    return answered(b).block(0, 1)


def over(b: Bench) -> Bench:
    return closed(b).released(0).block(0, 0)


def withdrawn(b: Bench) -> Bench:
    return committed(b).block(0, 0)


@dataclass(frozen=True)
class Case:
    """A script, the pieces booked, every answer to the PLC, the reviews and gaps. A pallet is 960 pieces."""

    name: str
    script: Callable[[Bench], Bench]
    booked: int
    answers: list[tuple[int, Result]]
    doubts: list[tuple[str, list[int]]] = field(default_factory=list)
    holes: Sequence[tuple[str, int, int | None]] = ()


IN_DOUBT = [("in-doubt", 0, 0)]
UNKNOWN = [("in-doubt", 0, None)]
CASES_OF_THE_TABLE = [
    Case("first sight, nothing asked", idle, 0, []),
    Case("first sight, our bit was left standing: reset", lambda b: b.block(0, 1), 0, [RESET]),
    Case("first sight, asked: booked", lambda b: b.block(1, 0), 960, [SET]),
    Case("first sight, asked and answered: where we begin", lambda b: b.block(1, 1), 0, []),
    Case("a whole handshake, and another with the same content", lambda b: over(over(b)), 1920, [SET, RESET] * 2),
    Case("a partial pallet", lambda b: idle(b).block(1, 0, cases=3), 72, [SET]),
    Case("asked still: answered again, not booked again", lambda b: committed(b).block(1, 0), 960, [SET] * 2),
    Case("killed between answer and release", lambda b: committed(b).block(1, 1).block(0, 1), 960, [SET, RESET]),
    Case("killed, and the PLC is done already", lambda b: committed(b).block(0, 1), 960, [SET, RESET]),
    Case("killed before the reset", lambda b: closed(b).block(0, 1).block(0, 1), 960, [SET] + [RESET] * 3),
    Case("killed after the reset", lambda b: closed(b).block(0, 0).block(1, 0), 1920, [SET, RESET, SET]),
    Case(
        "a tag not readable now is no other content",
        lambda b: committed(b).block(1, 0, quality=Quality.BAD),
        960,
        [SET] * 2,
    ),
    Case(
        "withdrawn before our answer: in doubt, said once",
        lambda b: withdrawn(b).block(0, 0),
        960,
        [SET],
        holes=IN_DOUBT,
    ),
    Case(
        "withdrawn, and asked again alike: the same", lambda b: withdrawn(b).block(1, 0), 960, [SET] * 2, holes=IN_DOUBT
    ),
    Case(
        "withdrawn, and asked with other content: a person decides",
        lambda b: withdrawn(b).block(1, 0, sscc="P2"),
        960,
        [SET, (1, CONFLICT)],
        doubts=[("conflict", [0, 960])],
        holes=IN_DOUBT,
    ),
    Case(
        "an answer written to a request just withdrawn: reset, and what comes again alike is for a person",
        lambda b: withdrawn(b).released(1).block(0, 1).released(0).block(1, 0),
        960,
        [SET, RESET, (1, IN_REVIEW)],
        doubts=[("in-doubt", [0, 960])],
        holes=IN_DOUBT,
    ),
    Case(
        "withdrawn and raised again between two looks",
        lambda b: _fell(committed(b), 1, 0),
        960,
        [SET] * 2,
        holes=IN_DOUBT,
    ),
    Case(
        "other content before our answer",
        lambda b: committed(b).block(1, 0, sscc="P2").block(1, 0, sscc="P2"),
        960,
        [SET] + [(1, CONFLICT)] * 2,
        doubts=[("conflict", [0, 960])],
    ),
    Case(
        "the PLC empties its block before it takes the request back",
        lambda b: answered(b).block(1, 1, cases=0),
        960,
        [SET],
    ),
    Case(
        "other content while our answer stands: said once",
        lambda b: answered(b).block(1, 1, sscc="P2").block(1, 1, sscc="P2").block(0, 1),
        960,
        [SET, RESET],
        doubts=[("conflict", [0, 960])],
    ),
    Case(
        "a quick PLC: low seen only in passing while our answer stands",
        lambda b: _fell(answered(b), 1, 1).block(1, 1),
        960,
        [SET],
        doubts=[("conflict", [0, 960])],
    ),
    Case(
        "a PLC that resets our bit by itself, low phase missed: other content is new",
        lambda b: answered(b).block(1, 0, sscc="P2"),
        1920,
        [SET] * 2,
    ),
    Case(
        "the same, same content: nothing tells them apart",
        lambda b: answered(b).block(1, 0),
        960,
        [SET, (1, IN_REVIEW)],
        doubts=[("in-doubt", [0, 960])],
    ),
    Case("raised before our bit was reset: new", lambda b: closed(b).block(1, 1, sscc="P2"), 1920, [SET, RESET, SET]),
    Case(
        "answered by another",
        lambda b: over(b).block(1, 1, sscc="P2").block(0, 1),
        960,
        [SET, RESET, RESET],
        doubts=[("conflict", [0, 960])],
    ),
    Case("PLC restart before our answer, asked still", lambda b: committed(b).restarted(5).block(1, 0), 960, [SET] * 2),
    Case("PLC restart lost our answer, asked still", lambda b: answered(b).restarted(5).block(1, 0), 960, [SET] * 2),
    Case(
        "PLC restart lost our answer, other content",
        lambda b: answered(b).restarted(5).block(1, 0, sscc="P2"),
        960,
        [SET, (1, IN_REVIEW)],
        doubts=[("in-doubt", [0, 960])],
    ),
    Case(
        "PLC restart lost request and answer, and asks again alike",
        lambda b: answered(b).restarted(5).block(0, 0).block(1, 0),
        960,
        [SET, (1, IN_REVIEW)],
        doubts=[("in-doubt", [0, 960])],
    ),
    Case(
        "PLC restart, then other content",
        lambda b: over(b).restarted(5).block(1, 0, sscc="P2"),
        1920,
        [SET, RESET, SET],
    ),
    Case(
        "PLC restart brings an older pallet back",
        lambda b: over(b).block(1, 0, sscc="P2").released(1).block(0, 1).released(0).restarted(5).block(1, 0),
        1920,
        [SET, RESET] * 2 + [(1, IN_REVIEW)],
        doubts=[("in-doubt", [0, 960])],
    ),
    Case(
        "one handshake after a PLC restart the doubt is over",
        lambda b: (
            over(b).restarted(5).block(1, 0, sscc="P2").released(1).block(0, 1).released(0).block(1, 0, sscc="P2")
        ),
        2880,
        [SET, RESET] * 2 + [SET],
    ),
    Case(
        "PLC restart brings back what was answered",
        lambda b: over(b).restarted(5).block(1, 1).block(0, 1),
        960,
        [SET, RESET, RESET],
    ),
    Case("our bit could not be read: not a block", lambda b: idle(b).block(1, None), 0, []),
    Case(
        "its natural key is in the store",
        lambda b: idle(b).block(1, 0, conflicting=True).block(1, 0),
        0,
        [(1, CONFLICT)] * 2,
        doubts=[("conflict", [0, 960])],
    ),
    Case(
        "a refused block comes again and again: one review, one gap, refused each time",
        lambda b: _cycle(_cycle(_cycle(idle(b), cases=0), cases=0), cases=0).block(1, 0),
        960,
        [(1, FAILED), RESET] * 3 + [SET],
        doubts=[("failed-check", [0])],
        holes=UNKNOWN,
    ),
    Case(
        "one in review comes again: noted, not booked, and the next like it is new",
        lambda b: _cycle(_cycle(committed(b).block(1, 0, sscc="P2"), sscc="P2"), sscc="P2").block(1, 0, sscc="P2"),
        1920,
        [SET] + [(1, CONFLICT)] * 2 + [RESET, SET, RESET, SET],
        doubts=[("conflict", [0, 960])],
        holes=UNKNOWN,
    ),
]


def _fell(b: Bench, number: int, ack: int) -> Bench:
    """The request stands, and was low in between."""
    values = {CASES: b.reading(40, CASES), SSCC: b.reading("P1", SSCC)}
    return b.feed(Block("pallet_out", number, ack, values, b.now, fell=True))


def _cycle(b: Bench, **block: Any) -> Bench:
    """Asked, answered, taken back, reset."""
    return b.block(1, 0, **block).released(1).block(0, 1).released(0)


@pytest.mark.parametrize("case", CASES_OF_THE_TABLE, ids=lambda case: case.name)
def test_bits(case: Case) -> None:
    bench = case.script(Bench(bits()))

    assert bench.booked == case.booked
    assert [(one.number, one.result) for one in bench.journal.acknowledgements] == case.answers
    assert bench.doubts() == case.doubts
    assert bench.holes() == list(case.holes)
    keys = [one.key for one in bench.journal.natural_keys]
    assert len(keys) == len(set(keys))


def test_without_anything_that_names_a_pallet_a_restart_leaves_the_next_one_to_a_person() -> None:
    bench = over(Bench(bits(container=None))).restarted(5).block(1, 0)
    assert (bench.booked, bench.doubts()) == (960, [("in-doubt", [0, 960])])


@pytest.mark.parametrize("before", [committed, answered], ids=lambda phase: phase.__name__)
def test_without_a_name_what_stands_after_a_restart_may_be_another_one_like_it(
    before: Callable[[Bench], Bench],
) -> None:
    bench = before(Bench(bits(container=None))).restarted(5).block(1, 0).block(1, 0)
    assert (bench.booked, bench.doubts(), bench.holes()) == (960, [], UNKNOWN)
    bench = before(Bench(bits())).restarted(5).block(1, 0).block(1, 0)
    assert (bench.booked, bench.doubts(), bench.holes()) == (960, [], [])


@pytest.mark.parametrize(
    ("numbers", "gaps"),
    [
        ((7, 1, 2), 1),
        ((7, 0, 1), 1),
        ((7, 2), 1),
        ((0, 1, 2), 0),
        ((65535, 0, 1), 0),
        ((2**32 - 1, 1, 2), 0),
        ((7, 8, 1), 1),
    ],
    ids=str,
)
def test_numbers_that_begin_anew_leave_open_what_was_shown_before(numbers: Sequence[int], gaps: int) -> None:
    bench = idle(Bench(bits(number=NUMBER)))
    for number in numbers:
        numbered(bench, number).released(1).block(0, 1).released(0)
    assert bench.holes() == [("skipped-numbers", 0, None)] * gaps
    assert bench.booked == 960 * len(numbers)


def numbered(b: Bench, number: int, cases: int = 40) -> Bench:
    values = {CASES: b.reading(cases, CASES), SSCC: b.reading("P1", SSCC), NUMBER: b.reading(number, NUMBER)}
    return b.feed(Block("pallet_out", 1, 0, values, b.now))


def test_a_number_in_the_block_tells_what_phases_cannot() -> None:
    bench = Bench(bits(number=NUMBER))
    numbered(idle(bench), 7).released(1).block(0, 1).released(0)
    numbered(bench, 7).released(1).block(0, 1).released(0).restarted(5)
    numbered(bench, 7).released(1).block(0, 1).released(0)
    numbered(bench, 8)

    assert (bench.booked, bench.doubts(), bench.holes()) == (1920, [], [])
    assert [one.result for one in bench.journal.acknowledgements] == [DONE] * 7


@pytest.mark.parametrize("before", [committed, answered, closed, over, withdrawn], ids=lambda phase: phase.__name__)
def test_with_a_number_the_phase_does_not_matter(before: Callable[[Bench], Bench]) -> None:
    """The one before carried no number that could be read; then 7, 7 again, 8; a restart, 7, 8 of other content, 12."""
    bench = before(Bench(bits(number=NUMBER)))
    start, gaps = int(bench.booked), len(bench.holes())
    numbered(numbered(numbered(bench, 7), 7), 8)
    assert int(bench.booked) - start == 2 * 960
    numbered(bench.restarted(5), 7)
    numbered(bench, 8, cases=3)
    assert (int(bench.booked) - start, bench.doubts()[-1]) == (2 * 960, ("conflict", [0, 72]))
    numbered(bench, 12)
    assert int(bench.booked) - start == 3 * 960
    assert bench.holes()[gaps:] == [("skipped-numbers", 0, None)] * 2


@pytest.mark.parametrize("number", [None, NUMBER], ids=["without a number", "with a number"])
def test_a_new_block_that_cannot_be_read_is_not_taken_for_the_one_before(number: TagRef | None) -> None:
    bench = over(Bench(bits(number=number))).block(1, 0, quality=Quality.BAD)
    assert bench.doubts() == [("failed-check", [0])]
    bench = committed(Bench(bits(number=number))).restarted(5).block(1, 0, quality=Quality.BAD)
    assert [cause for cause, _ in bench.doubts()] in (["conflict"], ["failed-check"])


def test_a_refused_block_with_a_number_is_refused_again_without_a_gap() -> None:
    bench = Bench(bits(number=NUMBER))
    numbered(idle(bench), 7, cases=0).released(1).block(0, 1).released(0)
    numbered(bench, 7, cases=0)
    assert (bench.doubts(), bench.holes()) == ([("failed-check", [0])], [])
    assert [one.result for one in bench.journal.acknowledgements] == [FAILED, DONE, FAILED]


def test_without_its_order_a_request_is_reviewed_not_guessed() -> None:
    bench = Bench(bits(order=ORDER)).block(1, 0)
    assert bench.doubts() == [("order-unknown", [0, 960])]
    bench.order("A").after(1).block(1, 0)
    assert [(one.number, one.result) for one in bench.journal.acknowledgements] == [(1, IN_REVIEW)] * 2
    assert bench.booked == 0


@pytest.mark.parametrize(
    ("block", "doubts", "answers"),
    [
        ((0, 0), [], [SET]),
        ((0, 1), [], [SET, RESET]),
        ((1, 0), [("restored", [0, 960])], [SET, (1, IN_REVIEW)]),
        ((1, 1), [("restored", [0, 960])], [SET]),
    ],
    ids=["nothing asked", "our bit stands", "asked", "answered"],
)
def test_after_a_restore_nothing_is_booked_by_itself_once(
    block: tuple[int, int], doubts: list[object], answers: list[object]
) -> None:
    bench = committed(Bench(bits()))
    rule = bench.state.rules["pallet_out"]
    assert isinstance(rule.signal, HandshakeState)
    bench.state.rules["pallet_out"] = replace(rule, signal=replace(rule.signal, restored=True))
    bench.block(*block)

    assert (bench.booked, bench.doubts(), bench.holes()) == (960, doubts, [("restored", 0, None)])
    assert [(one.number, one.result) for one in bench.journal.acknowledgements] == answers
    after = bench.state.rules["pallet_out"].signal
    assert isinstance(after, HandshakeState)
    assert (after.epoch, after.restored) == (1 + EPOCH_LEAP, False)
    bench.released(1).block(0, 1).released(0).block(1, 0, sscc="P9")
    assert bench.booked == 1920


def test_what_is_remembered_of_contents_is_bounded() -> None:
    bench = Bench(bits())
    for number in range(40):
        _cycle(bench, sscc=f"P{number}")
    signal = bench.state.rules["pallet_out"].signal
    assert isinstance(signal, HandshakeState)
    assert (len(signal.recent), signal.latest, signal.phase) == (16, 40, Phase.IDLE)
