"""A level that is lost sight of: before its first window is full, in a pause, at its end, exchanged."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from edge_agent.config.conditions import condition
from edge_agent.config.tagmap import Pause
from edge_agent.model.reading import Quality, TagRef
from tests.derivation.plant import NOON, Bench
from tests.derivation.test_levels import at_rest, go, meter, state_of
from tests.derivation.vessels import LEVEL, STABLE, level


def test_out_of_sight_before_the_baseline_is_a_gap_from_the_first_reading_on() -> None:
    bench = Bench(level())
    go(bench, 1000, 3)
    bench.away(40)
    go(bench, 940, 30)
    ((cause, low, high),) = bench.holes()
    assert (bench.booked, cause, low) == (0, "not-seen", 0)
    assert high is not None
    assert 60 <= high <= 2 * (3 + 40 + 10)
    assert bench.journal.gaps[0].since == NOON + timedelta(seconds=1)
    go(bench, 930, 30)
    assert bench.booked == 10


def test_bad_quality_before_the_baseline_is_the_same() -> None:
    bench = Bench(level())
    go(bench, 1000, 3)
    bench.after(1).read(None, LEVEL, quality=Quality.BAD).after(30)
    go(bench, 960, 30)
    assert [cause for cause, _, _ in bench.holes()] == ["not-seen"]


def test_what_is_exchanged_is_used_before_it_is_known() -> None:
    bench = at_rest(300)
    go(bench, 0, 20)
    go(bench, go(bench, 800, 40, 1), 30)
    assert bench.doubts() == [("fell-too-fast", [0, 0, 300])]
    ((cause, low, high),) = bench.holes()
    assert (cause, low) == ("fell-too-fast", 0)
    assert high is not None
    assert bench.booked < 40 <= bench.booked + high


def test_a_refill_under_way_when_it_is_paused_is_no_credit() -> None:
    bench = at_rest()
    now = go(bench, 1000, 15, -10)
    meter(bench, "pause")
    now = go(bench, now, 40, -10)
    meter(bench, "resume", rebase=True)
    go(bench, now, 30)
    assert [cause for cause, _, _ in bench.holes()] == ["paused"]
    go(bench, now - 10, 30)
    assert bench.booked == 10


def test_at_the_sensors_end_after_an_outage_is_a_gap_as_ever() -> None:
    bench = at_rest(blind_above=Decimal(2000))
    bench.away(10)
    go(bench, 2000, 60)
    go(bench, 1000, 30)
    ((cause, low, high),) = bench.holes()
    assert (cause, low) == ("clipped", 0)
    assert high is not None
    assert high >= 100


def test_the_first_reading_of_a_pause_is_no_evidence_of_use() -> None:
    valve = TagRef("plc", "valve")
    bench = Bench(replace(level(), pause=Pause(condition("plc.valve"), rebase=True))).read(True, valve)
    go(bench, 1000, 20)
    assert state_of(bench).paused is not None
    bench.after(1).read(False, valve)
    go(bench, 960, 30)
    assert (bench.booked, [cause for cause, _, _ in bench.holes()]) == (0, ["paused"])


def test_a_flag_that_is_stable_after_an_outage_says_nothing_of_the_weight_before_it() -> None:
    bench = Bench(level(stable=STABLE)).read(True, STABLE)
    go(bench, 300, 20)
    bench.away(60)
    for _ in range(3):
        bench.after(1).read(True, STABLE)
    go(bench, 700, 60)
    ((cause, low, high),) = bench.holes()
    assert (bench.booked, cause, low) == (0, "refill", 0)
    assert high is not None
    assert high >= 2 * 60
