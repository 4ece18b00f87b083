"""After a restore: what every system holds of a rule decides what is left to book; anything less is a person's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from edge_agent.config.tagmap import Cadence
from edge_agent.derivation.restored import decided
from edge_agent.model.movement import Decision, LineState
from edge_agent.model.signal_state import CounterState
from edge_agent.model.state import EPOCH_LEAP
from tests.derivation.plant import Bench, counter

BOTH = Cadence("packaging", timedelta(minutes=1), "routine", accepted_by=("mes", "erp"))
Said = Mapping[str, Mapping[tuple[str, int], int]]


def restored_at(baseline: int, shown: int, **about: Any) -> Bench:
    """A counter whose store goes back to `baseline` and which then shows `shown`."""
    bench = Bench(counter(cadence=BOTH, **about)).read(baseline)
    state = bench.state.rules["u16"]
    assert isinstance(state.signal, CounterState)
    bench.state.rules["u16"] = replace(state, signal=replace(state.signal, restored=True))
    return bench.after(0.1).read(shown)


def say(bench: Bench, said: Said) -> Decision | None:
    (review,) = bench.journal.reviews.values()
    return decided(review, bench.map.rules["u16"], said, bench.now.wall)


def both(position: int, epoch: int = 1) -> Said:
    return {"mes": {("u16", epoch): position}, "erp": {("u16", epoch): position}}


@pytest.mark.parametrize(("held", "left"), [(100, 50), (120, 30), (150, 0)])
def test_what_the_lost_store_had_sent_is_not_booked_again(held: int, left: int) -> None:
    bench = restored_at(100, 150)
    decision = say(bench, both(held))
    assert decision is not None
    assert (decision.by, decision.reason) == (
        "statement of mes, erp",
        f"epoch 1 is held up to position {held} by mes, erp",
    )
    bench.feed(decision)
    assert bench.booked == left
    assert bench.journal.sent() == left
    assert bench.after(0.1).read(153).booked == left + 3


def test_the_epochs_of_the_lost_store_are_never_used_again() -> None:
    bench = restored_at(100, 150).after(0.1).read(153)
    assert max(epoch for _, epoch in bench.journal.epochs) == 1 + EPOCH_LEAP


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"mes": {("u16", 1): 120}},
        {"mes": {("u16", 1): 120}, "erp": {("u16", 1): 110}},
        {"mes": {("u16", 1): 120}, "erp": {("other", 1): 120}},
        both(120, epoch=2),
        {"mes": {("u16", 1): 120, ("u16", 2): 5}, "erp": {("u16", 1): 120, ("u16", 2): 5}},
        both(151),
        both(99),
    ],
    ids=["silence", "one alone", "differing", "another rule", "another epoch", "a later epoch", "beyond", "before"],
)
def test_anything_less_is_a_persons(said: Said) -> None:
    assert say(restored_at(100, 150), said) is None


def test_a_later_epoch_may_be_of_another_restore_of_the_same_backup() -> None:
    said = {system: {("u16", 1): 120, ("u16", 1 + EPOCH_LEAP): 140} for system in ("mes", "erp")}
    assert say(restored_at(100, 150), said) is None


def test_where_nobodys_word_is_needed_a_person_decides() -> None:
    bench = restored_at(100, 150)
    rule = replace(bench.map.rules["u16"], cadence=replace(BOTH, accepted_by=()))
    (review,) = bench.journal.reviews.values()
    assert decided(review, rule, both(120), bench.now.wall) is None


def test_a_wrap_or_a_reset_in_between_is_a_persons() -> None:
    assert say(restored_at(100, 90), both(100)) is not None, "one way to have wrapped"
    bench = Bench(counter(cadence=BOTH)).read(100)
    state = bench.state.rules["u16"]
    assert isinstance(state.signal, CounterState)
    bench.state.rules["u16"] = replace(state, signal=replace(state.signal, restored=True))
    bench.restarted(5).read(150)
    assert say(bench, both(100)) is None


@pytest.mark.parametrize(
    ("held", "candidate", "state"),
    [
        (100, 1, LineState.BOOKED_BY_REVIEW),
        (150, 2, LineState.REJECTED),
        (200, 2, LineState.REJECTED),
        (120, None, None),
    ],
)
def test_lines_that_waited_in_the_restored_store(held: int, candidate: int | None, state: LineState | None) -> None:
    """Positions 100 to 150 waited: they were sent whole or not at all."""
    bench = Bench(counter(cadence=BOTH, burst=Decimal(200))).read(0).after(1).read(100).cut().after(1).read(150)
    known = bench.state.rules["u16"]
    assert isinstance(known.signal, CounterState)
    bench.state.rules["u16"] = replace(known, signal=replace(known.signal, restored=True))
    bench.up().after(0.1).read(150)
    decision = say(bench, both(held))
    if candidate is None:
        assert decision is None
        return
    assert decision is not None
    assert decision.candidate == candidate
    bench.feed(decision)
    assert bench.journal.lines["u16", 1, 100].state is state
    assert bench.booked == Decimal(150 if state is LineState.BOOKED_BY_REVIEW else 100)
