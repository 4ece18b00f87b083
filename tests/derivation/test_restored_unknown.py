"""Rules that a restored store does not know: their epoch, and what is there at the first sight (invariant 13)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from edge_agent.config.signals import Flow, Handshake, Kind, Level
from edge_agent.config.tagmap import Rule
from edge_agent.model.confirmation import Block
from edge_agent.model.event import Entered, Entry
from edge_agent.model.movement import EventType
from edge_agent.model.signal_state import ConfirmationState
from edge_agent.model.state import EPOCH_LEAP, RESTORES, RuleState
from tests.derivation.plant import CASES, SSCC, Bench, counter, handshake
from tests.derivation.vessels import flow, level

UNKNOWN = ("restored", 0, None)
BEYOND = 1 + EPOCH_LEAP


def restored(*rules: Rule) -> Bench:
    """A bench over a store that was restored from a backup without these rules."""
    bench = Bench(*rules)
    bench.state.rules[RESTORES] = RuleState(ConfirmationState(0, restored=True))
    return bench


def by(kind: Kind) -> Rule:
    rule = handshake()
    assert isinstance(rule.signal, Handshake)
    return replace(rule, signal=replace(rule.signal, kind=kind, modulus=8 if kind is Kind.RING else 2))


def epochs(bench: Bench) -> set[int]:
    return {epoch for _, epoch in bench.journal.epochs}


def test_a_counter_begins_beyond_all_of_the_lost_store_and_says_what_nobody_knows() -> None:
    bench = restored(counter("plain")).read(500).after(1).read(510)

    assert (epochs(bench), bench.booked, bench.holes(), bench.doubts()) == ({BEYOND}, 10, [UNKNOWN], [])
    (gap,) = bench.journal.gaps
    assert "compare with what receivers hold" in gap.message
    assert gap.until - gap.since < timedelta(seconds=1)


@pytest.mark.parametrize("rule", [level(), flow()], ids=["level", "flow"])
def test_so_do_levels_and_flows(rule: Rule) -> None:
    assert isinstance(rule.signal, Level | Flow)
    bench = restored(rule)
    bench.read(60, rule.signal.tag)

    signal = bench.state.rules[rule.name].signal
    assert signal is not None
    assert (signal.epoch, bench.holes()) == (BEYOND, [UNKNOWN])


def test_what_people_enter_takes_no_place_of_the_lost_store() -> None:
    bench = restored(handshake()).tick()
    entry = Entry("form-1", "A. Kern", "dropped", bench.now.wall)

    bench.feed(Entered(entry, EventType.SCRAPPED, "900001", Decimal(3), "pcs", bench.now, from_="L3-OUT"))

    assert (epochs(bench), bench.booked) == ({BEYOND}, 3)


def test_restored_twice_it_begins_beyond_both() -> None:
    bench = restored(counter("plain")).tick()
    noted = bench.state.rules[RESTORES]
    assert noted.signal is not None
    bench.state.rules[RESTORES] = replace(noted, signal=replace(noted.signal, restored=True))

    bench.read(500)

    assert epochs(bench) == {BEYOND + EPOCH_LEAP}


def test_a_counter_in_the_place_of_another_signal_goes_on_after_its_epochs() -> None:
    bench = Bench(handshake()).block(7, 6)
    bench.map_is(replace(counter("plain"), name="pallet_out")).read(500)

    assert epochs(bench) == {1, 2}


def test_without_a_restore_nothing_is_said() -> None:
    bench = Bench(counter("plain"), handshake()).read(500).block(7, 6)

    assert (epochs(bench), bench.booked, bench.holes(), bench.doubts()) == ({1}, 960, [], [])


def test_a_block_that_waits_is_reviewed_and_the_next_one_booked() -> None:
    bench = restored(handshake()).block(7, 6)
    assert (bench.booked, bench.holes(), bench.doubts()) == (0, [UNKNOWN], [("restored", [0, 960])])
    assert [one.result for one in bench.journal.acknowledgements] == [4]

    bench.released(7).block(8, 7, sscc="P2")

    assert (epochs(bench), bench.booked, len(bench.doubts()), len(bench.holes())) == ({BEYOND}, 960, 1, 1)


@pytest.mark.parametrize("number", [0, 7])
def test_a_block_that_is_acknowledged_is_where_it_goes_on_from(number: int) -> None:
    bench = restored(handshake()).block(number, number)
    assert (bench.booked, bench.holes(), bench.doubts()) == (0, [UNKNOWN], [])

    bench.block(number + 1, number, sscc="P2")

    assert (epochs(bench), bench.booked, bench.doubts()) == ({BEYOND}, 960, [])


@pytest.mark.parametrize(("kind", "number", "waiting"), [(Kind.BITS, 1, 0), (Kind.RING, 1, 1)])
def test_so_it_is_with_bits_and_rings(kind: Kind, number: int, waiting: int) -> None:
    bench = restored(by(kind))
    values = {CASES: bench.reading(40, CASES), SSCC: bench.reading("P1", SSCC)}

    bench.feed(Block("pallet_out", number, 0, values, bench.now, waiting=waiting))

    assert (epochs(bench), bench.booked) == ({BEYOND}, 0)
    assert (bench.holes(), bench.doubts()) == ([UNKNOWN], [("restored", [0, 960])])


def test_events_are_booked_since_listening_began() -> None:
    bench = restored(by(Kind.EVENT)).feed(Block("pallet_out", 0, 0, {}, Bench(handshake()).now))
    values = {CASES: bench.reading(40, CASES), SSCC: bench.reading("P1", SSCC)}

    bench.feed(Block("pallet_out", 0, 0, values, bench.now, event="e1"))

    assert (epochs(bench), bench.booked, bench.holes(), bench.doubts()) == ({BEYOND}, 960, [UNKNOWN], [])
