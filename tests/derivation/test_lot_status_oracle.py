"""The status of lots against a plant whose every piece knows its lot and moment, and which messages LIMS sent when.

The truth: by the messages that were known at a moment, could this lot be used when this piece was consumed? Everything
is booked or held, nothing twice; whatever was consumed of a lot that could not be used is said, when it is known and
for the right cause, or held; and nothing is said or held of a lot that could be used.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.config.tagmap import LotPolicy
from edge_agent.derivation import lot_status, lots_told
from edge_agent.derivation.booking import Books
from edge_agent.derivation.lot_status import Unfit
from edge_agent.model.movement import Cause, LineState, Notice
from tests.derivation.lims import BOOK, HOLD, LOT, Lab, asking
from tests.derivation.plant import AT_ONCE, EVERY_MINUTE, counter
from tests.derivation.planting import fails_within

LOTS = st.sampled_from(["L1", "L2", "L3"])
STATUSES = st.sampled_from(["RELEASED", "RELEASED", "QA-HOLD", "QUARANTINE"])
OPS = st.one_of(
    st.tuples(st.just("run"), st.integers(1, 6), st.integers(1, 3)),
    st.tuples(st.just("lot"), LOTS, st.none()),
    st.tuples(st.just("say"), LOTS, st.tuples(STATUSES, st.none() | st.integers(-6, 8), st.integers(0, 9))),
    st.tuples(st.just("cut"), st.none(), st.none()),
)
SCRIPTS = st.lists(OPS, min_size=4, max_size=16)
Script = list[tuple[str, Any, Any]]


@dataclass(frozen=True)
class Sent:
    """A message about a lot: when it came, and what it said."""

    came: datetime
    since: datetime
    usable: bool
    until: datetime | None


@dataclass
class World:
    """The pieces in the order in which they were consumed, and what LIMS has said that was taken."""

    pieces: list[tuple[str, datetime]] = field(default_factory=list)
    sent: dict[str, list[Sent]] = field(default_factory=dict)

    def why(self, place: int, known: datetime) -> str | None:
        """Why the lot of a piece could not be used when it was consumed, by what was known at a moment."""
        lot, moment = self.pieces[place]
        holds = [one for one in self.sent.get(lot, []) if one.came <= known and one.since <= moment]
        if not holds:
            return "lot-not-told"
        last = max(holds, key=lambda one: (one.since, one.came))
        if not last.usable:
            return "lot-blocked"
        return "lot-expired" if last.until is not None and last.until < moment else None


def play(script: Script, policy: LotPolicy, *, at_once: bool) -> Tally[str]:
    """Run a script and audit after each step; what was seen."""
    rule = asking(counter("used", lot_from=LOT, wraps_at=None, cadence=AT_ONCE if at_once else EVERY_MINUTE), policy)
    lab, world = Lab(rule), World()
    say(lab, world, "L1", ("RELEASED", None, 9))
    lab.read("L1", LOT).read(0)
    lot, seen = "L1", Tally[str]()
    for what, one, other in script:
        lab.after(0.25)
        events = len(lab.journal.events)
        match what:
            case "run":
                for _ in range(one):
                    lab.after(1)
                    world.pieces += [(lot, lab.now.wall)] * other
                    before = len(lab.journal.events)
                    lab.read(len(world.pieces))
                    audit_run(lab, world, other, before, policy, at_once=at_once)
            case "lot":
                lot = one
                lab.read(lot, LOT)
            case "say":
                say(lab, world, one, other)
                seen.update(audit_told(lab, world, one, events))
            case _:
                lab.cut()
        lab.after(0.5)
    lab.cut()
    audit_books(lab, world, policy)
    seen.update(str(notice.cause) for notice in lab.notices())
    seen.update(f"held {review.cause}" for review in lab.journal.reviews.values())
    return seen


def say(lab: Lab, world: World, lot: str, message: tuple[str, int | None, int]) -> None:
    status, lasts, ago = message
    since = lab.now.wall - timedelta(seconds=ago)
    refused = any(one.since > since for one in world.sent.get(lot, []))
    lab.say(lot, status, ago=ago, lasts=lasts)
    assert bool(lab.refusals) == refused, f"{lot} {status} since {since}"
    lab.refusals.clear()
    if not refused:
        until = None if lasts is None else lab.now.wall + timedelta(seconds=lasts)
        world.sent.setdefault(lot, []).append(Sent(lab.now.wall, since, status == "RELEASED", until))


def notices(lab: Lab, since: int) -> list[Notice]:
    return [one.about for one in lab.journal.events[since:] if isinstance(one.about, Notice)]


def audit_run(lab: Lab, world: World, ran: int, before: int, policy: LotPolicy, *, at_once: bool) -> None:
    """What was consumed just now: said at once if it could not be used and its line has not said so, else not."""
    now, last = lab.now.wall, len(world.pieces) - 1
    said = [(str(one.cause), one.key.lot, int(one.quantity)) for one in notices(lab, before)]
    why, first = world.why(last, now), last - ran + 1
    mine = [(why, world.pieces[last][0], ran)]
    if at_once:
        assert said == (mine if why is not None and not policy.hold else [])
        in_review = [mark for mark in lab.journal.lines.values() if mark.state is LineState.IN_REVIEW]
        held = any(mark.line.evidence.from_position == first for mark in in_review)
        assert held == (policy.hold and why is not None)
        return
    (line,) = [m.line for m in lab.journal.lines.values() if m.line.evidence.to_position == last + 1]
    begun = line.evidence.from_position
    goes_on = begun < first and world.why(first - 1, now) == why
    assert said == (mine if why is not None and not goes_on else []), f"{line.key.lot} from {begun}"


def audit_told(lab: Lab, world: World, lot: str, events: int) -> list[str]:
    """What a message brought to light: exactly what it makes unusable of what is in the books already."""
    now = lab.now.wall
    said = notices(lab, events)
    before = now - timedelta(microseconds=1)
    booked = [mark.line for mark in lab.journal.lines.values() if mark.state in (LineState.CUT, LineState.PENDING)]
    wrong = 0
    for line in booked:
        last = line.evidence.to_position - 1
        if line.key.lot == lot and world.why(last, now) not in (None, world.why(last, before)):
            wrong += int(line.quantity)
    assert sum(int(one.quantity) for one in said) == wrong, [one.message for one in said]
    named = {(one.from_position, int(one.quantity)) for notice in said for one in notice.carried}
    cut = {n[2]: mark for n, mark in lab.journal.lines.items() if mark.state is LineState.CUT}
    assert all(int(cut[place].line.quantity) == quantity for place, quantity in named)
    return ["late"] if said else []


def audit_books(lab: Lab, world: World, policy: LotPolicy) -> None:
    """Every piece once; held if its lot could not be used by what was known when it was cut, and only then."""
    covered: list[int] = []
    for mark in lab.journal.lines.values():
        places = range(mark.line.evidence.from_position, mark.line.evidence.to_position)
        covered += places
        assert {world.pieces[place][0] for place in places} == {mark.line.key.lot}
        at_any_time = [lab.now.wall, *(one.came for one in world.sent.get(str(mark.line.key.lot), [])), mark.line.time]
        if policy.hold:
            for one, other in pairwise(places):
                known = world.pieces[other][1]
                assert (world.why(one, known) is None) == (world.why(other, known) is None), (
                    f"{one} and {other} in {mark}"
                )
        if mark.state is LineState.IN_REVIEW:
            assert policy.hold
            assert any(world.why(place, known) for place in places for known in at_any_time)
        else:
            assert mark.state is LineState.CUT
        if mark.state is LineState.CUT and policy.hold:
            assert any(world.why(places[-1], known) is None for known in at_any_time)
            held_by_all = [place for place in places if all(world.why(place, known) for known in at_any_time)]
            assert not held_by_all, f"{held_by_all} were sent, of {mark.line.key.lot}"
    assert sorted(covered) == list(range(len(world.pieces)))


CASES = [(BOOK, True), (BOOK, False), (HOLD, True), (HOLD, False)]


@pytest.mark.parametrize("case", CASES)
def test_what_was_consumed_of_a_lot_that_could_not_be_used_is_said_or_held(case: tuple[LotPolicy, bool]) -> None:
    (policy, at_once), seen = case, Tally[str]()

    @settings(max_examples=250, derandomize=True, database=None, deadline=None)
    @given(SCRIPTS)
    def holds(script: Script) -> None:
        seen.update(play(script, policy, at_once=at_once))

    holds()
    causes = {"lot-blocked", "lot-expired", "lot-not-told"}
    wanted = {"late"} | (set() if policy.hold and at_once else causes)
    assert seen.keys() >= wanted | ({f"held {cause}" for cause in causes} if policy.hold else set())


# what it must catch

Patch = pytest.MonkeyPatch
_RIGHT = lot_status.judged


def _judges(patch: Patch, judge: Callable[..., Unfit | None]) -> None:
    patch.setattr(lot_status, "judged", judge)
    patch.setattr(lots_told, "judged", judge)


def never_expires(patch: Patch) -> None:
    _judges(patch, lambda policy, said, at: _RIGHT(policy, tuple(replace(one, until=None) for one in said), at))


def takes_the_latest_for_what_was_so(patch: Patch) -> None:
    _judges(patch, lambda policy, said, at: _RIGHT(policy, said[-1:], max(at, said[-1].since) if said else at))


def takes_silence_for_a_release(patch: Patch) -> None:
    def judge(*about: Any) -> Unfit | None:
        found = _RIGHT(*about)
        return None if found is not None and found.cause is Cause.LOT_NOT_TOLD else found

    _judges(patch, judge)


def takes_every_word_for_a_release(patch: Patch) -> None:
    words = frozenset({"RELEASED", "QUARANTINE"})
    _judges(patch, lambda policy, said, at: _RIGHT(replace(policy, usable=words), said, at))


def hears_nothing_late(patch: Patch) -> None:
    patch.setattr(lots_told, "_say_late", lambda *_: None)


def says_everything_again(patch: Patch) -> None:
    right = lots_told._say_late
    patch.setattr(lots_told, "_say_late", lambda work, said, policy, since, _: right(work, said, policy, since, ()))


def forgets_what_was_sent(patch: Patch) -> None:
    patch.setattr(lot_status, "note", lambda *_: None)


def heeds_only_the_beginning_of_a_line(patch: Patch) -> None:
    right = Books.heed_status
    patch.setattr(Books, "heed_status", lambda work, line, grown=None: None if grown else right(work, line))


def says_it_with_every_reading(patch: Patch) -> None:
    right = Books.heed_status
    patch.setattr(Books, "heed_status", lambda work, line, _grown=None: right(work, line))


def takes_back_what_was_said_of_others(patch: Patch) -> None:
    """A slot that holds one lot only, and all lots of a plant in it."""
    patch.setattr(lot_status, "LOTS", 1)
    patch.setattr(lot_status, "SLOTS", 1)


def takes_what_is_old_for_new(patch: Patch) -> None:
    patch.setattr(lots_told, "told", lambda _state, _material, _lot: ())


OF_BOTH: list[Callable[[Patch], None]] = [
    never_expires,
    takes_the_latest_for_what_was_so,
    takes_silence_for_a_release,
    takes_every_word_for_a_release,
    hears_nothing_late,
    says_everything_again,
    forgets_what_was_sent,
    heeds_only_the_beginning_of_a_line,
    says_it_with_every_reading,
    takes_back_what_was_said_of_others,
    takes_what_is_old_for_new,
]


def holds_nothing(patch: Patch) -> None:
    patch.setattr(lot_status, "held", lambda *_: None)


def sets_free_what_was_held(patch: Patch) -> None:
    patch.setattr(lots_told, "_keep_held", lambda *_: None)


def lets_a_held_line_grow(patch: Patch) -> None:
    patch.setattr(Books, "_alike", lambda *_: True)


OF_HOLD: list[Callable[[Patch], None]] = [holds_nothing, sets_free_what_was_held, lets_a_held_line_grow]


@pytest.mark.parametrize(
    ("plant", "policy"), [*((plant, BOOK) for plant in OF_BOTH), *((plant, HOLD) for plant in OF_HOLD)]
)
def test_a_planted_bug_of_lots_is_found(plant: Callable[[Patch], None], policy: LotPolicy, monkeypatch: Patch) -> None:
    plant(monkeypatch)
    fails_within(400, SCRIPTS, lambda script: play(script, policy, at_once=False))
