"""Hypothesis strategies: every draft the derivation could hand over, and places for it."""

from __future__ import annotations

from datetime import UTC, date
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from edge_agent.model.event import FIRST_PREVHASH, Place
from edge_agent.model.movement import (
    Candidate,
    Cause,
    Decision,
    EventDraft,
    EventType,
    Evidence,
    Flag,
    Gap,
    Key,
    Line,
    Review,
    Verdict,
)
from tests.publishing.samples import MATERIALS, NOON, source

_text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30)
_quantity = st.decimals(0, Decimal(10**18 - 1), allow_nan=False, places=9).map(lambda d: d + 0)
_moment = st.datetimes(
    NOON.replace(year=2001, tzinfo=None), NOON.replace(year=2199, tzinfo=None), timezones=st.just(UTC)
)
_position = st.integers(-(2**63), 2**63)
_evidence = st.builds(
    Evidence,
    epoch=st.integers(0, 10**6),
    from_position=_position,
    to_position=_position,
    first_time=_moment,
    last_time=_moment,
    samples=st.integers(0, 10**9),
    raw_before=st.text(max_size=20),
    raw_after=st.text(max_size=20),
    status_codes=st.lists(st.integers(0, 2**32 - 1), max_size=3).map(tuple),
    flags=st.lists(st.sampled_from(Flag), unique=True, max_size=3).map(tuple),
)
_RULES = ("preforms_used", "bottles_made", "pallet_out", "water_used", "no longer in the map")
_unit = st.sampled_from(["pcs", "case", "L", "gone"])
_material = st.sampled_from([*MATERIALS, "gone"])
_location = st.none() | _text


@st.composite
def _keys(draw: st.DrawFn, event: EventType | None = None) -> Key:
    return Key(
        rule=draw(st.sampled_from(_RULES)),
        event=event or draw(st.sampled_from([EventType.CONSUMED, EventType.PRODUCED, EventType.MOVED])),
        material=draw(_material),
        order=draw(st.none() | _text),
        from_=draw(_text if event is EventType.MOVED else _location),
        to=draw(_text if event is EventType.MOVED else _location),
        posting_day=draw(st.dates(date(2001, 1, 1), date(2199, 1, 1))),
        container=draw(st.none() | _text),
    )


def _lines(of: st.SearchStrategy[Key]) -> st.SearchStrategy[Line]:
    return st.builds(Line, of, _quantity, _unit, _quantity, _unit, start_time=_moment, time=_moment, evidence=_evidence)


_reviews = st.builds(
    Review,
    id=_text,
    cause=st.sampled_from(Cause),
    key=_keys(),
    candidates=st.lists(st.builds(Candidate, _quantity, _text, _keys()), min_size=1, max_size=3).map(tuple),
    line=_lines(_keys()),
    quantity_doubted=st.booleans(),
    opened=_moment,
    message=_text,
)
_gaps = st.builds(
    Gap,
    id=_text,
    cause=st.sampled_from(Cause),
    key=_keys(),
    minimum=_quantity,
    maximum=st.none() | _quantity,
    since=_moment,
    until=_moment,
    message=_text,
)
_decisions = st.builds(
    Decision, _reviews, st.just(Verdict.ACCEPTED), st.integers(1, 3), by=_text, reason=_text, at=_moment
)


@st.composite
def drafts(draw: st.DrawFn) -> EventDraft:
    event = draw(st.sampled_from(EventType))
    about: dict[str, Any] = {"notes": draw(st.dictionaries(_text, st.text(max_size=10), max_size=2))}
    if event is EventType.IN_REVIEW:
        about["review"] = draw(_reviews)
    elif event is EventType.EXCEPTION:
        about |= draw(st.sampled_from([{"gap": draw(_gaps)}, {"decision": draw(_decisions)}, {}]))
    else:
        about["lines"] = tuple(draw(st.lists(_lines(_keys(event)), min_size=1, max_size=4)))
        about["decision"] = draw(st.none() | _decisions)
    return EventDraft(event, "routine", draw(_moment), **about)


places = st.builds(
    Place,
    source=st.sampled_from([source("routine"), source("ops")]),
    sequence=st.integers(1, 10**19),
    prevhash=st.just(FIRST_PREVHASH),
    recorded=_moment,
    causation=st.none() | st.uuids(version=5).map(str),
)
