"""What levels and scales are known for, case by case: tare, stable flag, print, pauses, orders, refills, reloads."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from edge_agent.config.signals import PER_UNIT
from edge_agent.config.tagmap import OnSpan, Rule, Split
from edge_agent.derivation.booking import Books
from edge_agent.model.measured import LevelState
from edge_agent.model.movement import EventType, Flag
from edge_agent.model.reading import Quality
from edge_agent.model.state import EPOCH_LEAP, State
from edge_agent.store.checkpoint import decoded, rows
from tests.derivation.plant import ORDER, Bench, counter
from tests.derivation.vessels import LEVEL, PRINTED, STABLE, TARE, level, positions


def litres(value: float) -> Decimal:
    return Decimal(str(round(value, 3)))


def go(bench: Bench, start: float, seconds: int, rate: float = 0.0) -> float:
    """A reading each second, falling by `rate`; answers where it ends."""
    for n in range(1, seconds + 1):
        bench.after(1).read(litres(start - rate * n), LEVEL, continuous=False)
    return start - rate * seconds


def at_rest(contents: float = 1000, **changes: Any) -> Bench:
    """A level that has come to rest."""
    bench = Bench(level(**changes))
    if bench.map.rules["level"].order is not None:
        bench.order("A")
    go(bench, contents, 20)
    return bench


def state_of(bench: Bench) -> LevelState:
    signal = bench.state.rules["level"].signal
    assert isinstance(signal, LevelState)
    return signal


def meter(bench: Bench, what: str, **about: Any) -> None:
    """Pause or resume the rule's meter, as conditions do."""
    work = Books(bench.map, bench.state)
    getattr(bench.engine._meters["level"], what)(work, bench.now, **about)
    work.outcome.changed = work.state.own()
    bench.journal.take(work.outcome)
    bench.state.adopt(work.outcome.changed)
    bench.journal.check()


def test_the_first_level_is_a_baseline() -> None:
    bench = at_rest()
    assert bench.booked == 0
    assert state_of(bench).mark == positions(1000)


def test_less_than_the_hysteresis_is_no_use_and_more_is() -> None:
    bench = at_rest()
    go(bench, 996, 30)
    assert bench.booked == 0
    go(bench, 994, 30)
    assert 5 <= bench.booked <= 6


def test_a_value_that_stands_needs_no_other_reading() -> None:
    bench = at_rest()
    bench.after(1).read(litres(990), LEVEL).rest(20)
    assert bench.booked == 10
    assert not state_of(bench).waits


def test_a_single_wrong_value_is_nothing() -> None:
    bench = at_rest()
    go(bench, 6000, 1)
    go(bench, 1000, 40)
    go(bench, 0, 1)
    go(bench, 1000, 40)
    assert (bench.booked, bench.holes(), bench.doubts()) == (0, [], [])


def test_a_rise_that_is_no_refill_is_set_against_later_falls() -> None:
    bench = at_rest()
    warm = go(bench, 1000, 60, -1)
    go(bench, warm, 60)
    go(bench, warm, 60, 1)
    go(bench, 1000, 60)
    assert bench.booked == 0
    go(bench, 980, 30)
    assert bench.booked == 20


def test_a_refill_is_recognised_and_what_ran_meanwhile_is_a_gap() -> None:
    bench = at_rest()
    full = go(bench, 1000, 50, -10)
    go(bench, full, 60)
    ((cause, low, high),) = bench.holes()
    assert (bench.booked, cause, low) == (0, "refill", 0)
    assert high is not None
    assert 100 <= high <= 2 * 110
    go(bench, go(bench, full, 30, 1), 40)
    assert 25 <= bench.booked <= 30


def test_many_small_rises_are_a_refill_as_well() -> None:
    bench, now = at_rest(), 1000.0
    for _ in range(3):
        now = go(bench, now, 20, -5)
        go(bench, now, 60)
    assert [cause for cause, _, _ in bench.holes()] == ["refill"]
    go(bench, now - 30, 40)
    assert bench.booked == pytest.approx(30, abs=101)


def test_coarse_steps_near_empty_book_nothing() -> None:
    bench = at_rest(20)
    for n in range(200):
        go(bench, 20 if n % 7 else 17.5, 1 + n % 3)
    assert bench.booked == 0


def test_the_strapping_table_says_what_a_reading_means() -> None:
    table = ((0, 0), (Fraction(1, 2), 100 * PER_UNIT), (Fraction(3, 2), 1100 * PER_UNIT))
    bench = at_rest(1.5, table=table, bounded=True)
    go(bench, 1.0, 300)
    assert [ways for _, ways in bench.doubts()] == [[0, 0, 500]], "half a metre in a second"
    bench = at_rest(1.0, table=table, bounded=True, max_rate=None)
    go(bench, 0.25, 60)
    assert bench.booked == 600 - 50


def test_beyond_its_table_a_level_is_unseen_and_what_ran_there_is_a_gap() -> None:
    """Filled over the table's end and used up again: nothing of that was seen, and it is no zero use."""
    table = ((0, 0), (Fraction(3, 2), 1100 * PER_UNIT))
    bench = at_rest(1.5, table=table, bounded=True, max_rate=Fraction(10))
    go(bench, 1.9, 120)
    go(bench, 1.5, 60)
    assert bench.journal.counts["clipped"] == 120
    assert [cause for cause, _, _ in bench.holes()] == ["clipped"]
    assert bench.journal.gaps[0].maximum is not None
    assert bench.journal.gaps[0].maximum >= 10 * 120


def test_production_into_a_tank_counts_rises_and_no_withdrawal() -> None:
    bench = at_rest(event=EventType.PRODUCED, rises=True)
    now = go(bench, 1000, 100, -1)
    go(bench, now, 40)
    assert 93 <= bench.booked <= 101
    low = go(bench, now, 60, 10)
    go(bench, low, 60)
    assert [cause for cause, _, _ in bench.holes()] == ["refill"]
    assert "the contents fell" in bench.journal.gaps[0].message
    before = bench.booked
    go(bench, low + 20, 60)
    assert before + 15 <= bench.booked <= before + 25


def test_a_tare_step_is_no_use() -> None:
    bench = at_rest(300, tare=TARE)
    bench.read(Decimal(0), TARE)
    bench.after(1).feed(bench.reading(litres(250), LEVEL), bench.reading(Decimal(50), TARE))
    go(bench, 250, 30)
    assert (bench.booked, [cause for cause, _, _ in bench.holes()], bench.doubts()) == (0, ["tare"], [])
    go(bench, 240, 30)
    assert bench.booked == 10


def test_a_tare_that_is_told_after_the_step_settles_it() -> None:
    bench = at_rest(300, tare=TARE)
    bench.read(Decimal(0), TARE)
    go(bench, 250, 5)
    bench.after(1).read(Decimal(50), TARE)
    go(bench, 250, 30)
    assert (bench.booked, [cause for cause, _, _ in bench.holes()], bench.doubts()) == (0, ["tare"], [])


def test_a_scale_in_motion_is_no_reading_and_its_last_value_counts_once_it_is_stable() -> None:
    bench = Bench(level(stable=STABLE)).read(True, STABLE)
    go(bench, 300, 20)
    bench.read(False, STABLE)
    go(bench, 320, 5)
    go(bench, 280, 1)
    assert bench.journal.counts["unstable"] == 6
    bench.read(True, STABLE).rest(20)
    assert bench.booked == 20


def test_what_the_scale_printed_is_kept() -> None:
    bench = at_rest(300, printed=PRINTED)
    bench.read("00290.0 kg N", PRINTED)
    go(bench, 290, 20)
    (mark,) = bench.journal.lines.values()
    assert mark.line.evidence.raw_after == '290.0 "00290.0 kg N"'


def test_a_container_set_back_in_time_was_never_away() -> None:
    bench = at_rest(300)
    go(bench, 0, 50)
    go(bench, 290, 30)
    assert (bench.booked, bench.doubts(), bench.holes()) == (10, [], [])
    assert Flag.GLITCH in bench.journal.flags()


def test_a_container_exchanged_for_a_full_one_is_a_persons_to_decide() -> None:
    bench = at_rest(300)
    go(bench, 0, 20)
    go(bench, 800, 40)
    assert bench.doubts() == [("fell-too-fast", [0, 0, 300])]
    go(bench, 790, 30)
    assert bench.booked == 10


def test_a_pause_with_rebase_takes_a_new_baseline() -> None:
    bench = at_rest()
    meter(bench, "pause")
    go(bench, 1800, 50)
    meter(bench, "resume", rebase=True)
    go(bench, 1800, 30)
    ((cause, low, high),) = bench.holes()
    assert (bench.booked, cause, low) == (0, "paused", 0)
    assert high is not None
    assert 100 <= high <= 120
    go(bench, 1790, 30)
    assert bench.booked == 10


def test_a_pause_with_book_books_the_difference() -> None:
    bench = at_rest()
    meter(bench, "pause")
    for n in range(25):
        go(bench, 1000 - 40 * (n % 2), 1)
    meter(bench, "resume", rebase=False)
    go(bench, 970, 30)
    assert (bench.booked, bench.holes()) == (30, [])


def test_material_that_falls_after_the_valve_belongs_to_the_order_that_opened_it() -> None:
    bench = at_rest(order=ORDER, after_flow=timedelta(seconds=2))
    go(bench, 1000, 20, 1)
    bench.order("B")
    go(bench, 980, 2, 2)
    go(bench, 976, 40)
    assert (bench.of("A"), bench.of("B")) == (24, 0)
    go(bench, 976, 20, 1)
    go(bench, 956, 30)
    assert bench.of("A") == 24
    assert 15 < bench.of("B") <= 20
    assert bench.doubts() == []


def test_an_order_that_changed_while_nothing_ran_leaves_no_doubt() -> None:
    bench = at_rest(order=ORDER)
    go(bench, 990, 60)
    bench.order("B")
    go(bench, 990, 600)
    go(bench, 980, 30)
    assert (bench.of("A"), bench.of("B"), bench.doubts()) == (10, 10, [])


def test_a_split_that_the_rule_names_is_kept() -> None:
    bench = at_rest(order=ORDER, split=Split.NEW)
    go(bench, 1000, 4, 1)
    bench.order("B")
    go(bench, 996, 10, 1)
    go(bench, 986, 30)
    assert bench.of("A") == 0
    assert bench.of("B") >= 10


@pytest.mark.parametrize("on_span", [OnSpan.END, OnSpan.REVIEW])
def test_each_posting_day_has_its_own(on_span: OnSpan) -> None:
    bench = Bench(level(on_span=on_span))
    bench.after(17 * 3600 + 58 * 60)  # two minutes before 06:00 in Berlin
    go(bench, 1000, 20)
    now = go(bench, 1000, 100, 0.5)
    now = go(bench, now, 60, 0.5)
    go(bench, now, 30)
    days = {mark.line.key.posting_day for mark in bench.journal.lines.values()}
    assert len(days) == 2
    assert len(bench.doubts()) == (on_span is OnSpan.REVIEW)


def test_what_ran_in_an_outage_is_booked_and_flagged() -> None:
    bench = at_rest()
    bench.away(60)
    go(bench, 940, 30)
    assert (bench.booked, bench.doubts()) == (60, [])
    assert Flag.SPANNED_OUTAGE in bench.journal.flags()


def test_what_cannot_have_run_in_an_outage_is_in_review() -> None:
    bench = at_rest()
    bench.away(60)
    go(bench, 700, 30)
    assert (bench.booked, bench.doubts()) == (0, [("fell-too-fast", [0, 300])])
    go(bench, 690, 30)
    assert bench.booked == 10


def test_after_a_restore_nothing_is_booked_by_itself() -> None:
    bench = at_rest()
    state = bench.state.rules["level"]
    assert state.signal is not None
    bench.state.rules["level"] = replace(state, signal=replace(state.signal, restored=True))
    go(bench, 950, 30)
    assert (bench.booked, bench.doubts()) == (0, [("restored", [0, 50])])
    assert state_of(bench).epoch == 1 + EPOCH_LEAP
    go(bench, 940, 30)
    assert bench.booked == 10


def test_another_density_values_nothing_anew() -> None:
    bench = at_rest(1000, litres="1.29", conversion="1 L = 1.29 kg", max_rate=5)
    now = go(bench, 1000, 20, 1)
    now = go(bench, now, 30)
    booked = bench.booked
    assert abs(booked - Decimal("25.8")) <= 5
    bench.map_is(level(litres="1.31", conversion="1 L = 1.31 kg", max_rate=5))
    now = go(bench, now, 60)
    assert (bench.booked, bench.doubts(), bench.holes()) == (booked, [], [])
    go(bench, now, 20, 1)
    go(bench, now - 20, 30)
    assert abs(bench.booked - (Decimal("25.8") + Decimal("26.2"))) <= 5
    told = [mark.line.evidence.conversion for mark in bench.journal.lines.values()]
    assert told == ["1 L = 1.29 kg", "1 L = 1.31 kg"], "lines of two densities are never one"


def test_another_unit_begins_an_epoch() -> None:
    bench = at_rest(1000)
    go(bench, 997, 20)
    bench.map_is(level(litres=1000, unit="mL", conversion="1 L = 1000 mL", hysteresis=5000, refill_min=200_000))
    go(bench, 997, 20)
    assert (bench.booked, [cause for cause, _, _ in bench.holes()]) == (0, ["conversion"])
    assert state_of(bench).epoch == 2


def test_a_net_quantity_says_so() -> None:
    bench = at_rest(net=True)
    go(bench, 990, 30)
    assert bench.journal.flags() == {Flag.NET}


def test_bad_values_are_no_reading_and_the_next_line_says_so() -> None:
    bench = at_rest()
    bench.after(1).read(None, LEVEL, quality=Quality.BAD)
    bench.after(1).read(True, LEVEL)
    go(bench, 990, 30)
    assert bench.journal.counts["not_a_reading"] == 2
    assert bench.booked == 10
    assert Flag.SKIPPED_READINGS in bench.journal.flags()


def test_a_renamed_rule_goes_on_where_it_was() -> None:
    bench = at_rest()
    go(bench, 990, 30)
    heir: Rule = replace(level(), name="syrup", was="level")
    bench.map_is(heir)
    outcome = bench.engine.inherit(bench.state)
    bench.journal.take(outcome)
    bench.state.adopt(outcome.changed)
    go(bench, 980, 30)
    assert bench.booked == 20
    bench.journal.check()


def test_a_rule_that_was_a_counter_begins_another_epoch() -> None:
    bench = Bench(replace(counter("plain"), name="level")).read(100).after(1).read(120)
    bench.map_is(level())
    go(bench, 1000, 20)
    go(bench, 990, 30)
    assert bench.booked == 30
    assert sorted(epoch for _, epoch in bench.journal.epochs) == [1, 2]


def test_a_level_is_remembered_across_a_restart() -> None:
    bench = at_rest(order=ORDER)
    go(bench, 0, 5)
    (row,) = [row for row in rows(State(rules=bench.state.rules)) if row[0] == "rule"]
    assert decoded("rule", row[2]) == bench.state.rules["level"]
