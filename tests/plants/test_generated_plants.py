"""300 plants of 50 steps each: what is booked, in review and in gaps accounts for what truly moved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_agent.derivation import counter, counter_decisions, posting
from edge_agent.derivation.context import attribute
from edge_agent.derivation.counter_terms import book, settled_at
from tests.plants.document import DOCUMENT, DOCUMENTED, written
from tests.plants.tally import tally

PLANTS, PARTS = 300, 10
Patch = pytest.MonkeyPatch


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_the_books_agree_with_what_truly_moved(part: int, tmp_path: Path) -> None:
    assert tally(range(part, PLANTS, PARTS), tmp_path).wrong == []


def takes_every_fall_for_a_reset(patch: Patch) -> None:
    def observe(spec: Any, _unproven: Any, state: Any, seen: Any) -> Any:
        fell = seen.raw < state.last_raw
        begun = replace(state, epoch=state.epoch + 1, first_raw=0, last_raw=0, wraps=0) if fell else state
        return book(spec, begun, seen, seen.raw - begun.last_raw, ())

    patch.setattr(counter, "observe", observe)


def forgets_what_ran_unseen(patch: Patch) -> None:
    for module in (counter, counter_decisions):
        patch.setattr(module, "progress", lambda _spec, state, seen, *_rest: (settled_at(state, seen), ()))


def guesses_the_order(patch: Patch) -> None:
    def newest(rule: Any, within: Any, lasted: Any, brief: Any) -> Any:
        return attribute(rule, replace(within, settings=within.settings[-1:]), lasted, brief)

    patch.setattr(posting, "attribute", newest)


def is_silent_about_gaps(patch: Patch) -> None:
    patch.setattr(posting, "_hole", lambda *_about: None)


@pytest.mark.parametrize(
    "plant", [takes_every_fall_for_a_reset, forgets_what_ran_unseen, guesses_the_order, is_silent_about_gaps]
)
def test_a_planted_bug_is_found(plant: Callable[[Patch], None], monkeypatch: Patch, tmp_path: Path) -> None:
    plant(monkeypatch)

    assert tally(range(20), tmp_path, shorten=False).wrong


def test_the_table_of_the_page_is_what_comes_out(tmp_path: Path) -> None:
    assert written(tally(range(DOCUMENTED), tmp_path)) == DOCUMENT.read_text(encoding="utf-8")
