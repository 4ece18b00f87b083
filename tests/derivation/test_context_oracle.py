"""Context and gating against a line whose pieces know where they belong.

Whatever changes, and whatever nobody sees: every piece is booked, in review or excluded, once; a piece that is booked
to the wrong order or lot, or booked or left out against its condition, was counted within two sampling periods of such
a change, and its line says so; and what was certain is never in review.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.config.conditions import Condition, condition
from edge_agent.derivation import context, counting, gating, pipe, posting, steady
from edge_agent.derivation.booking import Books
from edge_agent.derivation.context import Setting
from edge_agent.derivation.engine import Engine
from edge_agent.model.movement import Flag, LineState
from edge_agent.model.state import State
from tests.derivation.plant import ORDER, Journal, counter, tag_map
from tests.derivation.planting import fails_within
from tests.derivation.stepwise import Stepwise
from tests.derivation.surroundings import LOT, Line, Piece

RUNNING = condition("plc.state == packml.Execute")
FLAGS = {"order": Flag.STRADDLED_ORDER, "lot": Flag.STRADDLED_LOT, "runs": Flag.STRADDLED_CONDITION}
NEAR = 3
"""Steps: the reading that straddles is at most two sampling periods wide, and a change lies between two steps."""
PIECES = st.sampled_from([(0,), (1,), (0, 1), (2,), (0, 0, 0, 2), (1, 0, 2)])
WHAT = st.sampled_from(["order", "lot", "state"])
OPS = st.one_of(
    st.tuples(st.just("run"), st.integers(1, 40), PIECES),
    st.tuples(st.just("change"), WHAT, st.just(())),
    st.tuples(st.just("blind"), st.integers(1, 12), PIECES),
    st.tuples(st.just("outage"), st.tuples(st.integers(1, 60), st.lists(WHAT, max_size=2)), PIECES),
)
LAGS = st.sampled_from([(0, 0), (0, 0), (7, 0), (0, 9)])
SCRIPTS = st.tuples(LAGS, st.integers(1, 3), st.lists(OPS, min_size=3, max_size=14))
Script = tuple[tuple[int, int], int, list[tuple[str, Any, tuple[int, ...]]]]


def play(script: Script) -> tuple[Line, Journal]:
    """Run a script, fold what it delivers both ways, and audit."""
    (lag, in_pipe), publish, ops = script
    line = Line(lag, in_pipe)
    rule = counter("count", order=ORDER, lot_from=LOT, only_while=RUNNING, wraps_at=None, max_rate=None)
    rule = replace(rule, lag=in_pipe or lag * timedelta(milliseconds=100))
    line.run(2, (0,), publish=publish)
    for name, what, pieces in (*ops, ("run", 12, (0,))):
        if name == "run":
            line.run(what, pieces, publish=publish)
        elif name == "change":
            line.change(what)
        elif name == "blind":
            line.blind(what, pieces, publish)
        else:
            line.outage(what[0], pieces, what[1], publish)
    line.run(30, (0,), publish=5)
    state, journal, engine, stepwise = State(), Journal(), Engine(tag_map(rule)), Stepwise(tag_map(rule))
    for delivery in line.deliveries:
        outcome = engine.fold(state, delivery)
        assert stepwise.fold(state, delivery) == outcome
        journal.take(outcome)
        state.adopt(outcome.changed)
    journal.check()
    audit(line, journal)
    return line, journal


def audit(line: Line, journal: Journal) -> None:
    """Every piece once; and each where it belongs, or flagged and near a change, or in review for a reason."""
    covered: list[int] = []
    for mark in journal.lines.values():
        proof, key = mark.line.evidence, mark.line.key
        mine = line.counted[proof.from_position : proof.to_position]
        covered += range(proof.from_position, proof.to_position)
        if mark.state is LineState.IN_REVIEW:
            _check_review(line, journal, mine, mark.review or "")
            continue
        excluded = mark.state is LineState.EXCLUDED
        for piece in mine:
            wrong = _wrong(piece, key.order, key.lot, excluded=excluded)
            for part in wrong:
                assert FLAGS[part] in proof.flags, f"{piece} in {mark}: the {part} is wrong, and nothing says so"
                assert _is_near(line, piece, part), f"{piece} in {mark}: no change of {part} is near"
    if journal.lines or not (line.lag or line.pipe):  # too few pieces have come out of the pipe
        ran = max(covered, default=-1) + 1 if line.pipe else len(line.counted)
        assert sorted(covered) == list(range(ran)), f"{sorted(covered)} of {len(line.counted)}"


def _wrong(piece: Piece, order: str | None, lot: str | None, *, excluded: bool) -> list[str]:
    if excluded:
        return ["runs"] if piece.runs else []
    parts = {"order": piece.order != order, "lot": piece.lot != lot, "runs": not piece.runs}
    return [part for part, wrong in parts.items() if wrong]


def _is_near(line: Line, piece: Piece, part: str) -> bool:
    """Whether the piece was counted close to a change of `part`: in time, or (pipe) in pieces."""
    value = getattr(piece, part)
    where = line.counted.index(piece)
    reach = line.counted[max(0, where - 12) : where + 12] if line.pipe else line.counted
    near = [one for one in reach if line.pipe or abs(one.step - piece.step) <= NEAR]
    return any(getattr(one, part) != value for one in near) or _edge(line, piece, part)


def _edge(line: Line, piece: Piece, part: str) -> bool:
    """A change with nothing counted just beside it: the tags themselves changed near the piece."""
    steps = line.history[max(0, piece.step - NEAR - line.lag - 1) : piece.step + NEAR - line.lag]
    index = {"order": 0, "lot": 1}.get(part)
    if index is None:
        return any(began - NEAR <= piece.step <= ended + NEAR for began, ended in line.turns)
    return len({one[index] for one in steps}) > 1


def _check_review(line: Line, journal: Journal, mine: list[Piece], name: str) -> None:
    """The truth of each piece is among the candidates, and nothing that was certain is asked."""
    review = journal.reviews[name]
    offered = {(way.key.order, way.key.lot) for way in review.candidates if way.quantity}
    may_be_excluded = any(not way.quantity for way in review.candidates)
    for piece in mine:
        if piece.order in line.orders_told and piece.lot in line.lots_told:
            told = (piece.order, piece.lot) in offered if piece.runs else may_be_excluded
            assert told or _first_of_all(line, review.opened), f"{piece} is not among {review.candidates}"


def _first_of_all(line: Line, opened: object) -> bool:
    """What was in the pipe before anybody looked is nobody's for certain."""
    return bool(line.pipe or line.lag)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_piece_goes_where_it_belongs_or_is_asked_for() -> None:
    seen: Tally[str] = Tally()

    @settings(max_examples=400, derandomize=True, database=None, deadline=None)
    @given(SCRIPTS)
    def holds(script: Script) -> None:
        _, journal = play(script)
        seen.update(str(review.cause) for review in journal.reviews.values())
        seen.update(str(flag) for flag in journal.flags())
        seen.update(str(mark.state) for mark in journal.lines.values())

    holds()
    assert seen.keys() >= {
        *("straddled-order", "straddled-lot", "straddled-condition", "straddledOrder", "straddledLot"),
        *("straddledCondition", "excluded", "pending", "in_review", "order-unknown"),
    }


# what the oracle must catch

Patch = pytest.MonkeyPatch


def books_what_is_excluded(patch: Patch) -> None:
    patch.setattr(Books, "exclude", Books.book)


def forgets_what_is_excluded(patch: Patch) -> None:
    patch.setattr(Books, "exclude", lambda *_: None)


def takes_unknown_for_true(patch: Patch) -> None:
    right = Condition.holds
    patch.setattr(Condition, "holds", lambda one, values: right(one, values) is not False)


def overlooks_a_lost_source(patch: Patch) -> None:
    patch.setattr(gating.Gates, "lost", lambda *_: [])


def knows_no_lag(patch: Patch) -> None:
    right = context._tracks
    none = timedelta(0)
    patch.setattr(context, "_tracks", lambda *about: (one._replace(lag=none) for one in right(*about)))


def lets_a_change_in_the_pipe_out_at_once(patch: Patch) -> None:
    def noted(*about: Any, **more: Any) -> Any:
        found = right(*about, **more)
        return found and replace(found, coming=tuple(replace(one, low=0, high=0) for one in found.coming))

    right = pipe.noted
    patch.setattr(posting, "noted", noted)


def takes_what_ran_unseen_for_brief(patch: Patch) -> None:
    right = pipe.parts_out
    patch.setattr(posting, "parts_out", lambda *about: (one._replace(brief=True) for one in right(*about)))
    patch.setattr(counting, "is_open", lambda *_: False)


def always_takes_what_was_before(patch: Patch) -> None:
    right = context.attribute
    patch.setattr(posting, "attribute", lambda rule, within, lasted, brief: right(rule, within, lasted, 1000 * brief))


def mixes_up_lots_and_orders(patch: Patch) -> None:
    right = Books.key

    def key(work: Books, rule: Any, setting: Setting, until: Any) -> Any:
        return right(work, rule, setting._replace(lot=setting.order and setting.order.replace("O", "L")), until)

    patch.setattr(Books, "key", key)


def short_cut_that_sees_no_condition(patch: Patch) -> None:
    patch.setattr(steady, "_gates", lambda rule: ())


@pytest.mark.parametrize(
    "plant",
    [
        books_what_is_excluded,
        forgets_what_is_excluded,
        takes_unknown_for_true,
        overlooks_a_lost_source,
        knows_no_lag,
        lets_a_change_in_the_pipe_out_at_once,
        takes_what_ran_unseen_for_brief,
        always_takes_what_was_before,
        mixes_up_lots_and_orders,
        short_cut_that_sees_no_condition,
    ],
)
def test_a_planted_bug_of_context_is_found(plant: Callable[[Patch], None], monkeypatch: Patch) -> None:
    plant(monkeypatch)
    fails_within(600, SCRIPTS, play)
