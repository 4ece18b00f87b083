"""The virtual line as its clients see it: registers, restarts, pallets, and a truth that adds up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent_simulators.faults import Kind
from edge_agent_simulators.plc import FILLER, INFEED, ORDER, PAL_ACK, PAL_SEQ, UINT16, UINT32
from edge_agent_simulators.virtual import Change, Event, Lost, Up, VirtualLine

Run = Callable[..., tuple[VirtualLine, list[Event]]]
START = datetime(2026, 3, 1, 6, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def plain(seed: int = 3) -> VirtualLine:
    line = VirtualLine(seed, None, START)
    line.start()
    return line


def at_rest(line: VirtualLine) -> None:
    line.stop()
    while not line.at_rest:
        line.advance(SECOND)


@settings(max_examples=25)
@given(st.integers(), st.integers(20, 150))
def test_without_faults_the_registers_tell_the_truth(seed: int, duration: int) -> None:
    line = plain(seed)
    before = line.snapshot()
    line.advance(duration * SECOND)
    at_rest(line)
    after, order = line.snapshot(), str(before[ORDER].value)
    preforms = (int(after[INFEED].value) - int(before[INFEED].value)) % UINT16
    bottles = (int(after[FILLER].value) - int(before[FILLER].value)) % UINT32
    assert line.totals()[f"consumed/300017/{order}/L3-HOPPER"] == preforms
    assert line.totals()[f"produced/900001/{order}/L3-OUT"] == bottles
    made = line.status()["made"]
    assert preforms == made["preforms"] == made["bottles"] + made["rejects"]


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from([20, 60, 90]))
def test_the_ledger_adds_up(whole_run: Run, seed: int, duration: int) -> None:
    line, _ = whole_run(seed, duration)
    sums: dict[str, int] = defaultdict(int)
    for key, units in line.totals().items():
        sums[key.split("/")[0]] += int(units)
        assert line.truth(key, START, line.now) == units
    status = line.status()
    assert sums["consumed"] == status["made"]["preforms"]
    assert sums["produced"] == status["made"]["bottles"] == sums["consumed"] - status["made"]["rejects"]
    assert sums["moved"] == 24 * sum(pallet.cases for pallet in line.pallets)
    assert sums["produced"] == sums["moved"] + status["loose_bottles"] + 24 * status["cases_on_pallet"]


@settings(max_examples=15)
@given(st.integers(0, 10**6))
def test_between_two_shown_values_lies_the_truth_unless_a_fault_does(whole_run: Run, seed: int) -> None:
    """Every step of a register that no fault touches is exactly the units made between its timestamps."""
    line, events = whole_run(seed, 90)
    order = {INFEED: "consumed/300017/{}/L3-HOPPER", FILLER: "produced/900001/{}/L3-OUT"}
    numbers = [planned.number for planned in line.plan.orders]
    modulus = {INFEED: UINT16, FILLER: UINT32}
    checked = 0
    for name, form in order.items():
        seen = [event for event in events if isinstance(event, (Up, Lost)) or event.name == name]
        for earlier, later in pairwise(seen):
            if not isinstance(earlier, Change) or not isinstance(later, Change):
                continue
            if any(f.ended and f.started <= later.timestamp and f.ended >= earlier.timestamp for f in line.faults):
                continue
            units = sum(line.truth(form.format(n), earlier.timestamp, later.timestamp) for n in numbers)
            assert (int(later.value) - int(earlier.value)) % modulus[name] == units
            checked += 1
    assert checked > 500


@settings(max_examples=15)
@given(st.integers(0, 10**6))
def test_no_window_shows_more_than_twenty_a_second(whole_run: Run, seed: int) -> None:
    line, _ = whole_run(seed, 60)
    for key in line.totals():
        if key.startswith("moved"):
            continue
        for place in range(600):
            since = START + place * timedelta(milliseconds=100)
            for width in (100, 300, 1000):
                made = line.truth(key, since, since + timedelta(milliseconds=width))
                assert made <= 20 * width / 1000


def test_it_rests_until_started_and_knows_its_first_order() -> None:
    line = VirtualLine(1, timedelta(seconds=60), START)
    assert line.advance(5 * SECOND) == []
    assert line.at_rest
    assert line.snapshot()[ORDER].value == line.plan.orders[0].number
    assert line.totals() == {}


def test_stop_brings_it_to_rest_and_start_runs_it_on() -> None:
    line = plain()
    line.advance(5 * SECOND)
    at_rest(line)
    totals = line.totals()
    line.advance(10 * SECOND)
    assert line.totals() == totals
    line.start()
    line.advance(5 * SECOND)
    assert sum(line.totals().values()) > sum(totals.values())


def test_a_glitch_shows_a_wrong_value_and_the_line_counts_on() -> None:
    line = plain()
    line.advance(5 * SECOND)
    before = int(line.snapshot()[INFEED].value)
    line.inject_glitch("preforms", 0, 10)
    line.advance(timedelta(milliseconds=200))
    assert line.snapshot()[INFEED].value == 0
    line.advance(SECOND)
    assert int(line.snapshot()[INFEED].value) - before == line.truth(
        line.faults[0].key or "", START + 5 * SECOND, line.now
    )
    fault = line.faults[0]
    assert fault.ended is not None
    assert fault.ended - fault.started == timedelta(milliseconds=500)
    assert not fault.ambiguous


def test_a_restart_is_seen_as_lost_and_up_and_nothing_can_be_read_meanwhile() -> None:
    line = plain()
    line.advance(5 * SECOND)
    before = line.snapshot()
    line.inject_restart(Kind.PLC_RESTART, 30)
    first = line.advance(SECOND)
    assert [type(event) for event in first] == [Lost]
    for refused in (line.snapshot, line.read_block, lambda: line.write_ack(1, 0)):
        with pytest.raises(ConnectionError, match="down"):
            refused()
    up = next(event for event in line.advance(SECOND) if isinstance(event, Up))
    assert up.start_time == up.timestamp == line.start_time > START
    after = line.snapshot()
    assert after[PAL_SEQ].timestamp == up.timestamp
    assert int(after[FILLER].value) > int(before[FILLER].value)
    with pytest.raises(ValueError, match="more than"):
        line.inject_restart(Kind.PLC_RESTART, 3)


def test_while_the_plc_is_down_nothing_enters_and_no_pallet_is_raised() -> None:
    line = plain()
    line.advance(5 * SECOND)
    order = str(line.snapshot()[ORDER].value)
    fault = line.inject_restart(Kind.PLC_RESTART, 60)
    line.advance(4 * SECOND)
    assert fault.ended is not None
    boot = fault.ended - timedelta(milliseconds=450)
    assert line.truth(f"consumed/300017/{order}/L3-HOPPER", fault.started, boot) == 0
    assert line.truth(f"produced/900001/{order}/L3-OUT", fault.started, boot) > 0
    at_rest(line)
    for _ in range(20):
        line.inject_restart(Kind.PLC_RESTART, 60)
        line.advance(3 * SECOND)
        line.start()
        line.advance(7 * SECOND)
        at_rest(line)
        block = line.read_block()
        line.write_ack(int(block[PAL_SEQ].value), 0)
    outages = [(f.started, f.ended - timedelta(milliseconds=450)) for f in line.faults if f.ended]
    raised = [pallet.raised for pallet in line.pallets if pallet.raised]
    assert len(raised) > 10
    assert not any(start < at < end for at in raised for start, end in outages)


def test_a_signed_reset_starts_from_zero_and_loses_what_coasted() -> None:
    line = plain()
    at_rest(line)
    line.set_register("bottles", 5_000)
    line.start()
    line.advance(5 * SECOND)
    shown = line.snapshot()[FILLER]
    fault = line.inject_restart(Kind.SIGNED_RESET, 30, "bottles", 0)
    line.advance(4 * SECOND)
    now = line.snapshot()[FILLER]
    assert fault.gaps == [fault.key]
    assert not fault.ambiguous
    assert fault.unseen > 0
    assert line.truth(fault.key or "", shown.timestamp, now.timestamp) == int(now.value) + fault.unseen


def test_a_reset_near_the_wrap_says_that_it_is_ambiguous() -> None:
    line = plain()
    line.advance(5 * SECOND)
    fault = line.inject_restart(Kind.SIGNED_RESET, 30, "bottles", 0)
    line.advance(3 * SECOND)
    assert fault.may_review == [fault.key]


def test_registers_and_order_are_set_at_rest_only() -> None:
    line = plain()
    line.advance(SECOND)
    with pytest.raises(ValueError, match="at rest only"):
        line.set_register("preforms", 5)
    with pytest.raises(ValueError, match="at rest only"):
        line.set_order("X")
    at_rest(line)
    line.set_register("preforms", 70_000)
    line.set_order("X")
    line.advance(SECOND)
    assert line.snapshot()[INFEED].value == 70_000 - UINT16
    assert line.snapshot()[ORDER].value == "X"


def test_only_ack_and_result_can_be_written() -> None:
    line = plain()
    with pytest.raises(PermissionError):
        line.write(PAL_SEQ, 5)
    line.write(PAL_ACK, 7)
    assert line.read_block()[PAL_ACK].value == 7


def test_the_next_order_runs_after_a_change_at_rest() -> None:
    line = plain()
    line.advance(10 * SECOND)
    line.next_order("4712")
    events = line.advance(20 * SECOND)
    change = next(event for event in events if isinstance(event, Change) and event.name == ORDER)
    assert change.value == "4712"
    assert line.totals()["consumed/300017/4712/L3-HOPPER"] > 0


def test_time_goes_on_only() -> None:
    line = plain()
    with pytest.raises(ValueError, match="time went back"):
        line.tick(START, [])
    with pytest.raises(ValueError, match="whole number of ticks"):
        line.advance(timedelta(milliseconds=70))
