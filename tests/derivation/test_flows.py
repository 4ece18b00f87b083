"""What flow meters are known for, case by case: gaps, spikes, clocks, reverse flow, two in series, reloads."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from edge_agent.config.conditions import condition
from edge_agent.config.tagmap import Pause
from edge_agent.derivation.booking import Books
from edge_agent.model.measured import FlowState
from edge_agent.model.movement import Flag
from edge_agent.model.reading import Quality, TagRef
from edge_agent.model.state import EPOCH_LEAP, State
from edge_agent.store.checkpoint import decoded, rows
from tests.derivation.plant import ORDER, Bench
from tests.derivation.vessels import FLOW, SECOND, SYRUP, flow

POLLED = {"by_exception": False}


def polled(bench: Bench, rate: float | str, seconds: int, **about: Any) -> Bench:
    """A reading each second at one rate, in litres a minute."""
    for _ in range(seconds):
        bench.after(1).read(Decimal(str(rate)), FLOW, continuous=False, **about)
    return bench


def running(**changes: Any) -> Bench:
    """A polled flow of 60 L/min, one litre a second, whose first reading has been seen."""
    return Bench(flow(**{**POLLED, **changes})).read(Decimal(60), FLOW, continuous=False)


def state_of(bench: Bench) -> FlowState:
    signal = bench.state.rules["flow"].signal
    assert isinstance(signal, FlowState)
    return signal


def meter(bench: Bench, what: str, **about: Any) -> None:
    work = Books(bench.map, bench.state)
    getattr(bench.engine._meters["flow"], what)(work, bench.now, **about)
    work.outcome.changed = work.state.own()
    bench.journal.take(work.outcome)
    bench.state.adopt(work.outcome.changed)
    bench.journal.check()


def test_a_straight_line_between_two_readings() -> None:
    bench = running()
    bench.after(4).read(Decimal(30), FLOW, continuous=False)
    assert bench.booked == 3


def test_a_gap_is_stated_with_bounds_and_never_counted() -> None:
    bench = running()
    polled(bench.after(29), 60, 3)
    assert bench.booked == 2
    assert bench.holes() == [("not-seen", 0, 40)]


def test_a_gap_without_a_rate_has_no_upper_bound() -> None:
    bench = running(max_rate=None)
    polled(bench.after(29), 60, 1)
    assert bench.holes() == [("not-seen", 0, None)]


@pytest.mark.parametrize("spike", ["5000", "-81", None, "text"])
def test_a_spike_is_no_reading(spike: str | None) -> None:
    bench = running()
    polled(bench, 60, 3)
    value = spike if spike in {None, "text"} else Decimal(str(spike))
    bench.after(1).read(value, FLOW, continuous=False)
    polled(bench, 60, 3)
    assert (bench.booked, bench.holes()) == (7, [])
    assert bench.journal.counts["not_a_reading"] == 1
    assert Flag.SKIPPED_READINGS in bench.journal.flags()


def test_a_timestamp_that_repeats_adds_nothing() -> None:
    bench = running()
    polled(bench, 60, 2)
    for _ in range(20):
        bench.feed(bench.reading(Decimal(60), FLOW, continuous=False))
    polled(bench, 60, 2)
    assert bench.booked == 4


@pytest.mark.parametrize("stood", [4, 30])
def test_a_value_polled_again_with_its_old_timestamp_has_stood(stood: int) -> None:
    """The valve opens in the second before the last reading: no straight line since the stamp."""
    bench = Bench(flow(max_gap=timedelta(seconds=3), **POLLED)).read(Decimal(0), FLOW, continuous=False)
    for second in range(1, stood + 1):
        bench.after(1).read(Decimal(0), FLOW, continuous=False, age=second)
    polled(bench, 60, 1)
    assert bench.booked == Decimal("0.5")
    assert bench.journal.gaps == []


@pytest.mark.parametrize("by", [4, -4])
def test_a_clock_that_is_set_counts_no_time_twice_and_loses_none(by: int) -> None:
    bench = running()
    polled(bench, 60, 20)
    polled(bench, 60, 20, age=by)
    polled(bench, 60, 20)
    assert bench.booked == 60
    assert Flag.SOURCE_TIME_REFUSED in bench.journal.flags()


def test_what_flows_back_is_set_against_what_flows_on() -> None:
    bench = running()
    polled(bench, 60, 10)
    polled(bench, -30, 1)
    before = bench.booked
    polled(bench, -30, 9)
    polled(bench, 60, 1)
    assert bench.booked == before
    polled(bench, 60, 10)
    assert bench.booked == Decimal(16), "10 + 0.25 - 4.5 + 0.25 + 10 litres"


def test_what_flowed_back_is_set_against_what_flows_on_beyond_a_gap() -> None:
    bench = polled(running(), 60, 10)
    polled(bench, -30, 10)
    assert bench.booked == Decimal("10.25"), "of which 4.5 litres have flowed back"
    polled(bench.after(59), 0, 1)
    assert bench.holes() == [("not-seen", 0, 80)], "80 L/min for a minute; none of it is booked"
    polled(bench, 60, 10)
    assert bench.booked == Decimal("15.25"), "10.25 - 4.5 + 0.5 + 9 litres, if nothing flowed in the gap"


def test_less_than_the_low_cut_is_no_flow() -> None:
    bench = running(low_cut=round(Fraction("0.2") * 10**12 / 60))
    polled(bench, "0.1", 100)
    assert bench.booked == Decimal("0.5")


def test_a_constant_flow_is_booked_without_another_reading() -> None:
    bench = Bench(flow()).read(Decimal(60), FLOW)
    bench.rest(40)
    assert 20 <= bench.booked <= 30
    bench.after(0.2).read(Decimal(0), FLOW)
    assert bench.booked == pytest.approx(Decimal("39.7"), abs=Decimal("0.01"))


def test_two_meters_in_series_that_agree_within_their_tolerance() -> None:
    bench = running(check={"share": Fraction(4, 100)})
    for _ in range(200):
        bench.after(1).feed(
            bench.reading(Decimal(60), FLOW, continuous=False), bench.reading(Decimal(58), SECOND, continuous=False)
        )
    assert bench.holes() == []
    assert bench.booked == 200


def test_two_meters_in_series_that_disagree_are_an_exception() -> None:
    bench = running(check={"share": Fraction(4, 100)})
    for _ in range(130):
        bench.after(1).feed(
            bench.reading(Decimal(60), FLOW, continuous=False), bench.reading(Decimal(57), SECOND, continuous=False)
        )
    assert [(cause, low, high) for cause, low, high in bench.holes()] == [("cross-check", 0, 3)] * 2
    assert "plc.flow counted 60 L, plc.second 57 L" in bench.journal.gaps[0].message
    assert bench.booked == 130, "the rule's own meter counts all the same"


def test_a_pause_leaves_out_what_it_measured_or_books_it() -> None:
    for rebase, booked in ((True, 20), (False, 30)):
        bench = running()
        polled(bench, 60, 10)
        meter(bench, "pause")
        polled(bench, 60, 10)
        assert bench.booked == 10
        meter(bench, "resume", rebase=rebase)
        polled(bench, 60, 10)
        assert bench.booked == booked
        assert bench.holes() == ([("paused", 10, 10)] if rebase else [])


def test_a_flow_first_read_in_a_pause_is_left_out_as_well() -> None:
    valve = TagRef("plc", "valve")
    bench = Bench(replace(flow(), pause=Pause(condition("plc.valve"), rebase=True))).read(True, valve)
    polled(bench, 60, 11)
    bench.read(False, valve)
    polled(bench, 60, 10)
    assert bench.holes() == [("paused", 10, 10)]
    assert bench.booked == 10


def test_a_change_of_order_parts_the_flow_to_the_second() -> None:
    bench = Bench(flow(order=ORDER)).order("A")
    bench.read(Decimal(60), FLOW)
    bench.after(7).order("B")
    bench.after(5).read(Decimal(0), FLOW)
    assert (bench.of("A"), bench.of("B"), bench.doubts()) == (7, Decimal("4.5"), [])


def test_a_restore_books_nothing_by_itself() -> None:
    bench = running()
    polled(bench, 60, 5)
    state = bench.state.rules["flow"]
    assert state.signal is not None
    bench.state.rules["flow"] = replace(state, signal=replace(state.signal, restored=True))
    polled(bench, 60, 6)
    assert (bench.booked, [cause for cause, _, _ in bench.holes()]) == (10, ["restored"])
    assert state_of(bench).epoch == 1 + EPOCH_LEAP


def test_another_density_values_nothing_anew() -> None:
    bench = running(conversion="1 L = 1 kg")
    polled(bench, 60, 10)
    bench.map_is(flow(litres="1.3", conversion="1 L = 1.3 kg", max_rate=150, **POLLED))
    polled(bench, 60, 11)
    (before, after) = [mark.line for mark in bench.journal.lines.values()]
    assert before.quantity == 10
    assert after.quantity == Decimal("1.15") + 13, "the line between the two readings, then the new density"
    assert [one.evidence.conversion for one in (before, after)] == ["1 L = 1 kg", "1 L = 1.3 kg"]


def test_a_flow_is_remembered_across_a_restart() -> None:
    bench = running(check={"share": Fraction(1, 10)}).read(Decimal(59), SECOND)
    polled(bench, 60, 5)
    (row,) = [row for row in rows(State(rules=bench.state.rules)) if row[0] == "rule"]
    assert decoded("rule", row[2]) == bench.state.rules["flow"]


def test_a_precision_carries_its_remainder() -> None:
    bench = running(material=replace(SYRUP, precision=Decimal("0.5")))
    sent = Decimal(0)
    for n in range(1, 61):
        polled(bench, "7.7", 11).cut()
        lines = [line for event in bench.material_events() for line in event.lines]
        sent = sum((line.quantity for line in lines), Decimal(0))
        assert sent % Decimal("0.5") == 0
        assert 0 <= bench.booked - sent < Decimal("0.5"), n
    assert bench.journal.sent() == sent


def test_a_bad_value_on_a_meter_that_stood_costs_only_its_second() -> None:
    bench = Bench(flow()).read(Decimal(60), FLOW)
    bench.after(300).read(None, FLOW, quality=Quality.BAD)
    bench.after(60).read(Decimal(0), FLOW)
    assert bench.booked == 299
    assert bench.holes() == [("not-seen", 0, Decimal("81.333334"))]
    assert timedelta(seconds=61) == bench.journal.gaps[0].until - bench.journal.gaps[0].since
