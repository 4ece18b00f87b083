"""Cases of whose a count is, and of what stays open, prove nothing unless they fail with these bugs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from edge_agent.derivation import counter_decisions, counter_reset, counter_terms, posting
from edge_agent.derivation.booking import Books
from edge_agent.derivation.context import settings_in
from edge_agent.derivation.counter_terms import Way
from tests.derivation import test_context_parts as parts
from tests.derivation import test_counter_context as around
from tests.derivation import test_counter_cross_check as beside
from tests.derivation import test_counter_decisions as table
from tests.derivation import test_counter_kinds as kinds
from tests.derivation import test_counter_resets as resets
from tests.derivation.rows import check

Patch = pytest.MonkeyPatch


def belongs_to_when_it_was_decided(patch: Patch) -> None:
    patch.setattr(counter_terms, "reached", lambda _state, seen: seen.time)


def offers_nothing_where_a_value_was_put(patch: Patch) -> None:
    patch.setattr(counter_decisions, "ran_in_sight", lambda _state: 0)


def forgets_what_ran_before_a_fall(patch: Patch) -> None:
    patch.setattr(counter_decisions, "_before_it", lambda *_: None)


def takes_the_latest_order_for_the_reset(patch: Patch) -> None:
    patch.setattr(counter_reset, "_came_with", lambda _counter, state, _shown: state.latest and (state.latest,) * 2)


def takes_the_first_order_for_the_reset(patch: Patch) -> None:
    patch.setattr(counter_reset, "_came_with", lambda _counter, state, _shown: state.due and (state.due,) * 2)


def asks_conditions_of_the_change(patch: Patch) -> None:
    right = settings_in
    patch.setattr(posting, "settings_in", lambda rule, state, since, until, _ran=None: right(rule, state, since, until))


def books_what_ran_back_as_what_ran_on(patch: Patch) -> None:
    def reset_way(*about: Any) -> Way:
        return (way := right(*about))._replace(counts=abs(way.counts))

    right = counter_decisions._reset_way
    patch.setattr(counter_decisions, "_reset_way", reset_way)


def forgets_the_lot_that_is_made(patch: Patch) -> None:
    right = Books.key
    patch.setattr(Books, "key", lambda *about: replace(right(*about), into_lot=None))


def _row(name: str) -> Callable[[], None]:
    return partial(check, next(case for case in table.SECOND_TABLE if case.name == name))


@pytest.mark.parametrize(
    ("plant", "case"),
    [
        (
            belongs_to_when_it_was_decided,
            partial(
                around.test_what_is_held_while_the_order_changes_ran_before_the_value_was_reached, 65_530, 4, 10, []
            ),
        ),
        (offers_nothing_where_a_value_was_put, _row("restored or preset, and running on while it is held")),
        (
            offers_nothing_where_a_value_was_put,
            beside.test_a_preset_on_a_running_line_books_what_was_seen_since,
        ),
        (forgets_what_ran_before_a_fall, _row("no sign, settled by a reading")),
        (takes_the_latest_order_for_the_reset, resets.test_of_several_orders_any_may_have_reset_it),
        (
            takes_the_first_order_for_the_reset,
            resets.test_of_several_orders_the_latest_has_reset_what_stood_until_then,
        ),
        (
            asks_conditions_of_the_change,
            partial(resets.test_an_order_told_after_the_reset_asks_conditions_of_when_it_ran, again=False),
        ),
        (
            asks_conditions_of_the_change,
            resets.test_what_ran_in_an_outage_waits_for_a_person_where_its_condition_is_not_known,
        ),
        (
            books_what_ran_back_as_what_ran_on,
            partial(kinds.test_an_up_down_counter_below_zero_may_have_been_reset_and_run_back, -10, 3),
        ),
        (forgets_the_lot_that_is_made, parts.test_what_is_consumed_says_the_lot_that_was_being_made_of_it),
    ],
)
def test_a_case_fails_with_its_bug(
    plant: Callable[[Patch], None], case: Callable[[], None], monkeypatch: Patch
) -> None:
    case()
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        case()
