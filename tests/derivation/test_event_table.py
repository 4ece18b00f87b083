"""Handshakes by OPC UA events: an EventId is one transaction, and what nobody heard is a gap."""

from __future__ import annotations

from dataclasses import replace

from edge_agent.config.signals import Handshake, Kind
from edge_agent.config.tagmap import Rule
from edge_agent.model.confirmation import Block, Result
from edge_agent.model.signal_state import HandshakeState
from edge_agent.model.state import EPOCH_LEAP
from tests.derivation.plant import CASES, ORDER, SSCC, Bench, handshake

UNHEARD = [("in-doubt", 0, None)]


def events(order: bool = False) -> Rule:
    rule = handshake(order=ORDER) if order else handshake()
    assert isinstance(rule.signal, Handshake)
    return replace(rule, signal=replace(rule.signal, kind=Kind.EVENT, ack=rule.signal.trigger, result=None, modulus=0))


def begins(b: Bench) -> Bench:
    """Listening begins."""
    return b.feed(Block("pallet_out", 0, 0, {}, b.now))


def event(b: Bench, name: str, number: int, sscc: str = "P1", cases: int = 40, *, conflicting: bool = False) -> Bench:
    values = {CASES: b.reading(cases, CASES), SSCC: b.reading(sscc, SSCC)}
    return b.feed(Block("pallet_out", number, 0, values, b.now, conflicting, event=name))


def answers(b: Bench) -> list[tuple[int, Result]]:
    return [(one.number, one.result) for one in b.journal.acknowledgements]


def test_each_event_is_booked_under_its_own_name_whatever_it_says() -> None:
    bench = event(event(begins(Bench(events())), "aa", 1), "bb", 2)

    assert (bench.booked, bench.doubts(), bench.holes()) == (1920, [], [])
    assert answers(bench) == [(1, Result.DONE), (2, Result.DONE)]
    assert [one.key for one in bench.journal.natural_keys] == ["pallet_out/event/aa", "pallet_out/event/bb"]


def test_an_event_that_comes_again_is_answered_again_and_not_booked() -> None:
    bench = event(event(event(begins(Bench(events())), "aa", 1), "bb", 2), "aa", 3)

    assert (bench.booked, bench.doubts()) == (1920, [])
    assert answers(bench)[-1] == (3, Result.DONE)
    assert bench.journal.counts["repeated"] == 1


def test_one_that_only_the_store_remembers_is_the_same_too() -> None:
    bench = event(begins(Bench(events())), "aa", 1, conflicting=True)

    assert (bench.booked, bench.doubts(), answers(bench)) == (0, [], [(1, Result.DONE)])


def test_what_was_emitted_while_nobody_listened_is_a_gap_but_not_at_the_very_first() -> None:
    bench = begins(Bench(events()))
    assert bench.holes() == []
    begins(event(bench, "aa", 1).restarted(5))
    assert bench.holes() == UNHEARD
    event(bench, "bb", 2)
    assert bench.booked == 1920


def test_an_event_that_fails_its_checks_is_reviewed_once_and_answered() -> None:
    bench = event(event(begins(Bench(events())), "aa", 1, cases=0), "aa", 2, cases=0)

    assert bench.doubts() == [("failed-check", [0])]
    assert answers(bench) == [(1, Result.FAILED_CHECK), (2, Result.DONE)]


def test_without_its_order_an_event_is_reviewed_not_guessed() -> None:
    bench = event(begins(Bench(events(order=True))), "aa", 1)
    assert bench.doubts() == [("order-unknown", [0, 960])]
    assert answers(bench) == [(1, Result.IN_REVIEW)]


def test_after_a_restore_a_gap_is_stated_and_a_new_epoch_begins() -> None:
    bench = event(begins(Bench(events())), "aa", 1)
    rule = bench.state.rules["pallet_out"]
    assert rule.signal is not None
    bench.state.rules["pallet_out"] = replace(rule, signal=replace(rule.signal, restored=True))
    event(begins(bench), "bb", 1)

    after = bench.state.rules["pallet_out"].signal
    assert isinstance(after, HandshakeState)
    assert (after.epoch, bench.holes(), bench.booked) == (1 + EPOCH_LEAP, [("restored", 0, None)], 1920)
