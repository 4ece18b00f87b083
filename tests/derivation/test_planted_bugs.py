"""The physical oracle proves nothing unless it catches these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import Phase, given, settings

from edge_agent.config.signals import Counter
from edge_agent.config.tagmap import Cadence, Unproven
from edge_agent.derivation import counter as patched
from edge_agent.derivation import posting, steady
from edge_agent.derivation.booking import Books
from edge_agent.derivation.context import Attribution, attribute
from edge_agent.derivation.findings import Delta
from edge_agent.model.state import CounterState
from tests.derivation.audit import Script, play, scripts

Patch = pytest.MonkeyPatch
QUICK = settings(
    max_examples=5000, derandomize=True, database=None, phases=[Phase.generate], report_multiple_bugs=False
)
"""Stops at the first script that shows the bug; which one it is depends on what else is imported."""


def books_twice_after_a_hold(patch: Patch) -> None:
    def book(counter: Counter, state: CounterState, seen: Any, delta: int, flags: Any) -> Any:
        after, found = right(counter, state, seen, delta, flags)
        twice = [replace(one, from_position=one.from_position - delta) for one in found if isinstance(one, Delta)]
        return after, tuple(twice if state.hold else found)

    right = patched._book
    patch.setattr(patched, "_book", book)


def takes_every_fall_for_a_wrap(patch: Patch) -> None:
    def decide(counter: Counter, state: CounterState, seen: Any, _room: Any) -> Any:
        wrap = (counter.modulus or 0) + seen.raw - state.last_raw
        return patched._book(counter, replace(state, wraps=state.wraps + 1), seen, wrap, ())

    patch.setattr(patched, "_decide_fallen", decide)


def adopts_a_glitch_as_baseline(patch: Patch) -> None:
    def observe(counter: Counter, unproven: Unproven, state: CounterState, seen: Any) -> Any:
        after, found = right(counter, unproven, state, seen)
        return (patched._advance(state, seen), ()) if after.hold else (after, found)

    right = patched.observe
    patch.setattr(patched, "observe", observe)


def runs_on_through_an_outage(patch: Patch) -> None:
    """The short cut takes what it may not."""
    patch.setattr(steady, "_is_plain", lambda *_about: True)


def drops_what_ran_in_an_outage(patch: Patch) -> None:
    def progress(counter: Counter, state: CounterState, seen: Any, *rest: Any) -> Any:
        return (patched._advance(state, seen), ()) if state.outage else right(counter, state, seen, *rest)

    right = patched._progress
    patch.setattr(patched, "_progress", progress)


def overlooks_signs(patch: Patch) -> None:
    patch.setattr(patched, "with_sign", lambda _counter, state, _sign: state)


def settles_out_of_sight(patch: Patch) -> None:
    patch.setattr(patched, "out_of_sight", lambda state, *, outage: replace(state, outage=state.outage or outage))


def guesses_the_number_of_turns(patch: Patch) -> None:
    patch.setattr(patched, "_unseen", lambda *_: None)


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
