"""The physical oracle proves nothing unless it catches these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import Phase, given, settings

from edge_agent.config.signals import Counter
from edge_agent.config.tagmap import Cadence, Unproven
from edge_agent.derivation import counter, counter_decisions, counting, posting, steady
from edge_agent.derivation.booking import Books
from edge_agent.derivation.context import Attribution, attribute
from edge_agent.derivation.counter_terms import book, settled_at
from edge_agent.derivation.findings import Delta
from edge_agent.model.signal_state import CounterState
from tests.derivation.audit import Script, play, scripts

Patch = pytest.MonkeyPatch
QUICK = settings(
    max_examples=5000, derandomize=True, database=None, phases=[Phase.generate], report_multiple_bugs=False
)
"""Stops at the first script that shows the bug; which one it is depends on what else is imported."""


def books_twice_after_a_hold(patch: Patch) -> None:
    def twice_booked(spec: Counter, state: CounterState, seen: Any, delta: int, flags: Any) -> Any:
        after, found = right(spec, state, seen, delta, flags)
        twice = [replace(one, from_position=one.from_position - delta) for one in found if isinstance(one, Delta)]
        return after, tuple(twice if state.hold else found)

    right = book
    patch.setattr(counter_decisions, "book", twice_booked)


def takes_every_fall_for_a_wrap(patch: Patch) -> None:
    def decide(spec: Counter, state: CounterState, seen: Any, _room: Any) -> Any:
        wrap = (spec.modulus or 0) + seen.raw - state.last_raw
        return book(spec, replace(state, wraps=state.wraps + 1), seen, wrap, ())

    patch.setattr(counter_decisions, "_decide_fallen", decide)


def adopts_a_glitch_as_baseline(patch: Patch) -> None:
    def observe(spec: Counter, unproven: Unproven, state: CounterState, seen: Any) -> Any:
        after, found = right(spec, unproven, state, seen)
        return (settled_at(state, seen), ()) if after.hold else (after, found)

    right = counter.observe
    patch.setattr(counter, "observe", observe)


def runs_on_through_an_outage(patch: Patch) -> None:
    """The short cut takes what it may not."""
    patch.setattr(steady, "_is_plain", lambda *_about: True)


def drops_what_ran_in_an_outage(patch: Patch) -> None:
    def progress(spec: Counter, state: CounterState, seen: Any, *rest: Any) -> Any:
        return (settled_at(state, seen), ()) if state.outage else right(spec, state, seen, *rest)

    right = counter_decisions.progress
    patch.setattr(counter_decisions, "progress", progress)
    patch.setattr(counter, "progress", progress)


def overlooks_signs(patch: Patch) -> None:
    patch.setattr(counting, "with_sign", lambda _spec, state, *_: state)


def settles_out_of_sight(patch: Patch) -> None:
    patch.setattr(counter, "out_of_sight", lambda state, *, outage: replace(state, outage=state.outage or outage))


def guesses_the_number_of_turns(patch: Patch) -> None:
    patch.setattr(counter_decisions, "_unseen", lambda *_: None)


def keeps_the_old_order(patch: Patch) -> None:
    patch.setattr(posting, "attribute", lambda *about: Attribution(attribute(*about).settings[:1]))


def loses_a_cut(patch: Patch) -> None:
    def emit(books: Books, cadence: Cadence, lines: Any, decision: Any = None) -> None:
        if len(books.outcome.events) != 1:
            right(books, cadence, lines, decision)

    right = Books.emit
    patch.setattr(Books, "emit", emit)


@pytest.mark.parametrize(
    "plant",
    [
        books_twice_after_a_hold,
        takes_every_fall_for_a_wrap,
        adopts_a_glitch_as_baseline,
        drops_what_ran_in_an_outage,
        runs_on_through_an_outage,
        overlooks_signs,
        settles_out_of_sight,
        guesses_the_number_of_turns,
        keeps_the_old_order,
        loses_a_cut,
    ],
)
def test_a_planted_bug_is_found(plant: Callable[[Patch], None], monkeypatch: Patch) -> None:
    @QUICK
    @given(scripts())
    def holds(script: Script) -> None:
        play(script)

    plant(monkeypatch)

    with pytest.raises(AssertionError):
        holds()
