"""What every script guarantees, whatever its seed and duration."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent_simulators.faults import RESTARTS, Fault, Kind
from edge_agent_simulators.plan import make_plan
from edge_agent_simulators.plc import FILLER, INFEED, ORDER, UINT16, UINT32
from edge_agent_simulators.virtual import Change, Event, Lost, Up, VirtualLine

Run = Callable[..., tuple[VirtualLine, list[Event]]]

START = datetime(2026, 3, 1, 6, 0, tzinfo=UTC)
SEEDS = st.integers(0, 10**9)
DURATIONS = st.one_of(st.sampled_from([20, 60, 90]), st.floats(20, 240))
ALL = {"wrap16", "wrap32", "glitch", "signed_reset", "restored_retain", "plc_restart"}


def kinds(line: VirtualLine) -> Counter[str]:
    return Counter(fault.kind.value for fault in line.faults)


def seconds(fault: Fault) -> tuple[float, float]:
    assert fault.ended is not None
    return fault.started.timestamp(), fault.ended.timestamp()


def changes_of(events: list[Event], name: str) -> list[Change]:
    return [event for event in events if isinstance(event, Change) and event.name == name]


@settings(max_examples=40)
@given(SEEDS, DURATIONS)
def test_a_script_is_carried_out_whole_and_in_time(whole_run: Run, seed: int, duration: float) -> None:
    line, _ = whole_run(seed, duration)
    status = line.status()
    assert line.done
    assert line.at_rest
    assert status["script"]["left_out"] == 0
    assert status["outstanding"] == 0
    assert len(line.plan.orders) == (2 if duration < 58 else 3)
    assert status["order"] == line.plan.orders[-1].number
    found = kinds(line)
    assert {"wrap16", "wrap32", "glitch"} <= set(found)
    assert {fault.counter for fault in line.faults if fault.kind is Kind.GLITCH} == {"preforms", "bottles"}
    if duration >= 44:
        assert {"signed_reset", "restored_retain"} <= set(found)
    if duration >= 85:
        assert set(found) == ALL
        assert {f.counter for f in line.faults if f.kind is Kind.RESTORED_RETAIN} == {"preforms", "bottles"}
    assert status["partial_pallets"] >= len(line.plan.orders)


@settings(max_examples=40)
@given(SEEDS, DURATIONS)
def test_only_restored_values_are_ambiguous_and_enough_keys_stay_clean(
    whole_run: Run, seed: int, duration: float
) -> None:
    line, _ = whole_run(seed, duration)
    for fault in line.faults:
        assert fault.ambiguous == (fault.kind is Kind.RESTORED_RETAIN)
        assert bool(fault.gaps) == (fault.kind is Kind.SIGNED_RESET)
        if fault.kind is Kind.SIGNED_RESET:
            assert fault.counter == "bottles"
            assert 0 < fault.unseen <= 16
            assert fault.before is not None
            assert UINT32 - fault.before > 2_000
    spoiled = {key for fault in line.faults for key in (*fault.may_review, *fault.gaps)}
    clean = {key for key, units in line.totals().items() if units and key not in spoiled}
    assert len(clean) >= 3
    assert "moved/900001//L3-OUT" in clean


@settings(max_examples=40)
@given(SEEDS, DURATIONS)
def test_faults_are_spaced_so_that_each_settles(whole_run: Run, seed: int, duration: float) -> None:
    line, events = whole_run(seed, duration)
    for counter in ("preforms", "bottles"):
        spans = sorted(seconds(f) for f in line.faults if f.counter == counter or f.kind in RESTARTS)
        assert all(start - end >= 4 for (_, end), (start, _) in pairwise(spans))
    for change in changes_of(events, ORDER):
        for fault in line.faults:
            started, ended = seconds(fault)
            at = change.timestamp.timestamp()
            assert started - at >= 3 or at - ended >= (5 if fault.kind in RESTARTS else 3)
    assert all((f.ended or f.started) - f.started <= timedelta(seconds=3) for f in line.faults)


@settings(max_examples=30)
@given(SEEDS, DURATIONS)
def test_the_order_changes_at_rest(whole_run: Run, seed: int, duration: float) -> None:
    line, events = whole_run(seed, duration)
    changes = changes_of(events, ORDER)
    assert [change.value for change in changes] == [order.number for order in line.plan.orders[1:]]
    rest = timedelta(seconds=1.5)
    for change in changes:
        for order in line.plan.orders:
            for key in (f"consumed/300017/{order.number}/L3-HOPPER", f"produced/900001/{order.number}/L3-OUT"):
                assert line.truth(key, change.timestamp - rest, change.timestamp + rest) == 0
    started = {order.number for order in line.plan.orders}
    keys = {key.split("/")[2] for key in line.totals()} - {""}
    assert keys == started


@settings(max_examples=30)
@given(SEEDS, st.floats(44, 200))
def test_restarts_meet_a_moving_line_after_six_seconds(whole_run: Run, seed: int, duration: float) -> None:
    line, events = whole_run(seed, duration)
    restarts = [fault for fault in line.faults if fault.kind in RESTARTS]
    for fault in restarts:
        assert fault.started - START >= timedelta(seconds=6)
        key = f"consumed/300017/{fault.order}/L3-HOPPER"
        assert line.truth(key, fault.started - timedelta(seconds=2), fault.started) >= 8
    lost = [event.timestamp for event in events if isinstance(event, Lost)]
    up = [event.timestamp for event in events if isinstance(event, Up)]
    assert len(lost) == len(up) == len(restarts)
    down = [later - earlier for earlier, later in zip(lost, up, strict=True)]
    assert all(timedelta(seconds=1) <= length <= timedelta(seconds=3) for length in down)


def test_the_same_seed_is_the_same_script(whole_run: Run) -> None:
    first, events = whole_run(11, 90)
    again, same = whole_run(11, 90)
    assert events == same
    assert [fault.as_json() for fault in first.faults] == [fault.as_json() for fault in again.faults]
    assert first.totals() == again.totals()
    other, _ = whole_run(12, 90)
    assert other.totals() != first.totals()


def test_the_plant_moves_the_same_whatever_the_client_does(whole_run: Run) -> None:
    prompt, _ = whole_run(5, 90)
    slow, _ = whole_run(5, 90, ack_after=60)
    silent, _ = whole_run(5, 90, ack_after=10**6)

    def made(line: VirtualLine) -> dict[str, object]:
        return {key: units for key, units in line.totals().items() if not key.startswith("moved")}

    assert made(prompt) == made(slow) == made(silent)
    cases = [pallet.cases for pallet in prompt.pallets]
    assert [pallet.cases for pallet in slow.pallets] == cases[: len(slow.pallets)]
    assert len(silent.pallets) == 1
    assert silent.status()["outstanding"] == len(cases)


def test_both_counters_start_close_below_their_wrap() -> None:
    for seed in range(20):
        plan = make_plan(seed, 60)
        assert UINT16 - plan.preforms < 1_000
        assert UINT32 - plan.bottles < 10_000


def test_a_script_needs_time_for_two_orders() -> None:
    with pytest.raises(ValueError, match="at least 20 s"):
        make_plan(1, 19)


@pytest.mark.slow
def test_eight_hours_have_everything_many_times(whole_run: Run) -> None:
    began = time.process_time()
    line, events = whole_run(7, 8 * 3600)
    assert time.process_time() - began < 60
    assert line.done
    found = kinds(line)
    assert set(found) == ALL
    assert all(count >= 10 for count in found.values())
    assert len(line.plan.orders) == 24
    assert any(fault.reraised for fault in line.faults)
    assert any(fault.handshake_open for fault in line.faults)
    assert all(fault.ambiguous == (fault.kind is Kind.RESTORED_RETAIN) for fault in line.faults)
    spoiled = {key for fault in line.faults for key in (*fault.may_review, *fault.gaps)}
    assert len(set(line.totals()) - spoiled) >= 10
    for name in (INFEED, FILLER):
        stamps = [change.timestamp for change in changes_of(events, name)]
        gaps = [later - earlier for earlier, later in pairwise(stamps)]
        assert max(gaps) > timedelta(minutes=1)
