"""A PLC's own block numbers that may have begun anew after a restart, in bits and in a ring: what may be lost is a gap.

A number of 0 or 1 that was the latest one is it again, or the first of a new count. Only a container tells.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from edge_agent.config.signals import Handshake, Kind
from edge_agent.config.tagmap import Rule
from edge_agent.derivation import confirmed
from edge_agent.model.confirmation import Block
from edge_agent.model.reading import Scalar, TagRef
from tests.derivation.confirming_plcs import NUMBER, SLOTS, BitsPlc, Plc, RingPlc
from tests.derivation.handshake_world import KEEPS, World, numbered
from tests.derivation.plant import CASES, SSCC, Bench

KINDS = pytest.mark.parametrize("kind", [Kind.BITS, Kind.RING])
ANEW = ("skipped-numbers", 0, None)


def nameless(kind: Kind) -> Rule:
    """Blocks with the PLC's own number and a quantity: nothing else tells one from another."""
    rule = numbered(kind)
    assert isinstance(rule.signal, Handshake)
    return replace(rule, signal=replace(rule.signal, container=None))


@dataclass
class Told:
    """A bench that is told of blocks, each answered and over, with their numbers; a pallet is 40 cases of 24."""

    kind: Kind
    rule: Rule
    tail: int = 0

    def __post_init__(self) -> None:
        self.bench = Bench(self.rule)
        first = (0, 0) if self.kind is Kind.BITS else (self.tail, self.tail)
        self.bench.feed(Block(self.rule.name, *first, {}, self.bench.now))

    def shows(self, *numbers: int, cases: int = 40, sscc: str = "P1", answered: bool = True) -> Told:
        for number in numbers:
            values: dict[TagRef, Scalar] = {CASES: cases, SSCC: sscc, NUMBER: number}
            read = {tag: self.bench.reading(value, tag) for tag, value in values.items()}
            at = (1, 0) if self.kind is Kind.BITS else ((self.tail + 1) % SLOTS, self.tail)
            self.bench.feed(Block(self.rule.name, *at, read, self.bench.now, waiting=1))
            if answered:
                self._over(at[0])
        return self

    def restarted(self, *, empties: bool = True) -> Told:
        self.bench.restarted(5)
        self.tail = 0 if empties else self.tail
        return self

    def _over(self, number: int) -> None:
        self.bench.released(number)
        if self.kind is Kind.BITS:
            self.bench.block(0, 1).released(0)
        self.tail = (self.tail + 1) % SLOTS


Script = Callable[[Told], Told]


@KINDS
@pytest.mark.parametrize(
    ("script", "booked", "gaps"),
    [
        (lambda t: t.shows(1).restarted().shows(1), 1, 1),
        (lambda t: t.shows(0).restarted().shows(0), 1, 1),
        (lambda t: t.shows(1).restarted().shows(1, answered=False).shows(1, 2, 3), 3, 1),
        (lambda t: t.shows(1, answered=False).restarted().shows(1, 2), 2, 1),
        (lambda t: t.shows(1).restarted().shows(1).restarted().shows(1), 1, 2),
        (lambda t: t.shows(1, 2, 3, 4).restarted().shows(1, 2, 3, 4, 5), 5, 1),
        (lambda t: t.shows(0).restarted().shows(1), 2, 1),
        (lambda t: t.shows(65535).restarted().shows(0), 2, 1),
    ],
    ids=[
        "1 again",
        "0 again",
        "said once",
        "not answered before the restart",
        "each restart for itself",
        "a whole count again",
        "1 after 0: it went on, or began anew",
        "0 after the largest: it wrapped, or began anew",
    ],
)
def test_without_a_name_a_number_like_the_latest_leaves_open_what_may_be_lost(
    kind: Kind, script: Script, booked: int, gaps: int
) -> None:
    bench = script(Told(kind, nameless(kind))).bench
    assert (bench.booked, bench.doubts(), bench.holes()) == (booked * 960, [], [ANEW] * gaps)
    assert all("compare with the PLC's own list" in gap.message for gap in bench.journal.gaps)


def test_a_container_names_it() -> None:
    told = Told(Kind.BITS, numbered(Kind.BITS)).shows(1).restarted().shows(1, 1, 2)
    assert (told.bench.booked, told.bench.doubts(), told.bench.holes()) == (1920, [], [])


@KINDS
@pytest.mark.parametrize("rule", [nameless, numbered], ids=["quantities only", "containers"])
def test_a_plc_that_goes_on_leaves_nothing_open(kind: Kind, rule: Callable[[Kind], Rule]) -> None:
    told = Told(kind, rule(kind)).shows(1, 2).restarted(empties=False).shows(3, 4, 5)
    assert (told.bench.booked, told.bench.doubts(), told.bench.holes()) == (5 * 960, [], [])


def test_the_latest_number_again_before_its_answer_was_seen_is_it_where_it_is_no_first_one() -> None:
    told = Told(Kind.BITS, nameless(Kind.BITS)).shows(6).shows(7, answered=False).restarted().shows(7, 8)
    assert (told.bench.booked, told.bench.doubts(), told.bench.holes()) == (3 * 960, [], [])


@pytest.mark.parametrize("number", [0, 1, 7])
@pytest.mark.parametrize("rule", [nameless, numbered], ids=["quantities only", "containers"])
def test_in_bits_other_content_under_the_latest_number_after_a_restart_is_a_review_and_a_gap(
    number: int, rule: Callable[[Kind], Rule]
) -> None:
    told = Told(Kind.BITS, rule(Kind.BITS)).shows(number).restarted().shows(number, cases=3)
    assert (told.bench.booked, told.bench.doubts()) == (960, [("conflict", [0, 72])])
    assert told.bench.holes() == [ANEW]
    told = Told(Kind.BITS, rule(Kind.BITS)).shows(number).shows(number, cases=3)
    assert (told.bench.doubts(), told.bench.holes()) == ([("conflict", [0, 72])], [])


@pytest.mark.parametrize("number", [0, 1])
def test_in_a_ring_other_content_under_the_latest_number_is_new_beside_the_gap(number: int) -> None:
    told = Told(Kind.RING, nameless(Kind.RING)).shows(number).restarted().shows(number, cases=3)
    assert (told.bench.booked, told.bench.doubts(), told.bench.holes()) == (960 + 72, [], [ANEW])


class _Forgetful(Plc):
    """Whenever it forgets its queue, its numbers begin anew at 1."""

    counted = 0

    def shows(self, pallet: str) -> dict[TagRef, Scalar]:
        return {**super().shows(pallet), NUMBER: self.moved.index(pallet) + 1 - self.counted}

    def restart(self, how: str) -> None:
        super().restart(how)
        if how == "forget":
            self.counted = len(self.moved)


class _Bits(_Forgetful, BitsPlc):
    pass


class _Ring(_Forgetful, RingPlc):
    pass


def _silently_lost(kind: Kind, seed: int, *, tells: bool = True) -> int:
    """Pallets neither booked nor in review after a bad day, where no gap of unknown amount says that any may be.

    What the PLC forgot before the agent had ever seen a number is before where the agent begins.
    """
    world = World(
        kind, seed, named=False, tells=tells, plc=_Bits() if kind is Kind.BITS else _Ring(), rule=nameless(kind)
    )
    world.walk(120, KEEPS - {"keep", "forget"})
    journal = world.agent.journal
    booked = sum(int(mark.line.source_quantity) // 40 for mark in journal.lines.values())
    forgotten = {*world.plc.forgotten}.difference(*(pallets for _, pallets in world.forgot))
    lost = len(world.plc.moved) - len(forgotten) - booked
    assert booked <= len(world.plc.moved), f"seed {seed}"
    return 0 if any(gap.maximum is None for gap in journal.gaps) else lost


@KINDS
@pytest.mark.parametrize("tells", [True, False], ids=["told of restarts", "not told"])
def test_a_plc_that_forgets_its_numbers_loses_nothing_silently(kind: Kind, tells: bool) -> None:
    assert [_silently_lost(kind, seed, tells=tells) for seed in range(40)] == [0] * 40


@KINDS
def test_a_planted_bug_loses_some(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """What says the same as an earlier one is it again, whatever happened in between."""
    monkeypatch.setattr(confirmed, "repeated", lambda _handshake, state, _block, latest: (state, ()))
    with pytest.raises(AssertionError):
        assert not any(_silently_lost(kind, seed) for seed in range(400))
