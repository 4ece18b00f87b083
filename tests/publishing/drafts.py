"""Hypothesis strategies: every draft the agent could hand over, whatever it is about, and places for it."""

from __future__ import annotations

import json
from datetime import UTC, date
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from edge_agent.model.ack import Overdue
from edge_agent.model.event import (
    FIRST_PREVHASH,
    Change,
    Correction,
    Entry,
    EventDraft,
    Figure,
    Place,
    Reversal,
    Snapshot,
    Stock,
    StockKey,
    StoredEvent,
    Voided,
    Watermark,
)
from edge_agent.model.movement import (
    Candidate,
    Cause,
    Decision,
    EventType,
    Evidence,
    Flag,
    Gap,
    Key,
    Line,
    Review,
    Verdict,
)
from edge_agent.publishing.contract import MATERIAL_EVENTS
from edge_agent.publishing.encoding import Renderer
from tests.publishing.samples import MATERIALS, NOON, source, tag_map

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
        event=event or draw(st.sampled_from(MATERIAL_EVENTS)),
        material=draw(_material),
        order=draw(st.none() | _text),
        from_=draw(_text if event is EventType.MOVED else _location),
        to=draw(_text if event is EventType.MOVED else _location),
        posting_day=draw(st.dates(date(2001, 1, 1), date(2199, 1, 1))),
        container=draw(st.none() | _text),
        lot=draw(st.none() | _text),
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
    Decision, _reviews, st.sampled_from(Verdict), st.none() | st.integers(1, 3), by=_text, reason=_text, at=_moment
)
_source = st.sampled_from([source("routine"), source("ops")])
_sequence = st.integers(1, 10**18)
_sha256 = st.binary(min_size=32, max_size=32).map(bytes.hex)
_count = st.integers(1, 10**9)
_overdue = st.builds(Overdue, st.sampled_from(["erp", "mes"]), _source, _sequence, _sequence, _count, since=_moment)
_entries = st.builds(
    Entry, form=_text, by=_text, reason=_text, at=_moment, barcode=st.none() | _text, process=st.booleans()
)
_voided = st.builds(
    Voided,
    source=_source,
    sequence=_sequence,
    id=st.uuids(version=5).map(str),
    type=st.sampled_from(EventType).map("io.edgeagent.{}.v1".format),
    sha256=_sha256,
    prevhash=_sha256,
    reason=_text,
)
_figures = st.dictionaries(st.sampled_from(Figure), _quantity, max_size=4)
_stocks = st.builds(
    Stock, st.builds(StockKey, _location, _text, st.none() | _text, st.just("available"), _text), _figures, _figures
)
_snapshots = st.builds(
    Snapshot,
    id=st.uuids().map(str),
    part=_count,
    parts=_count,
    watermarks=st.lists(st.builds(Watermark, _source, st.integers(0, 10**18), _sha256), max_size=3).map(tuple),
    event_count=st.integers(0, 10**18),
    audit=st.tuples(st.integers(0, 10**9), _sha256),
    stock=st.lists(_stocks, max_size=3).map(tuple),
)
_told: dict[EventType, st.SearchStrategy[Any]] = {
    EventType.IN_REVIEW: _reviews,
    EventType.DECIDED: _decisions,
    EventType.EXCEPTION: _gaps | _overdue,
    EventType.VOIDED: _voided,
    EventType.SNAPSHOT: _snapshots,
}
places = st.builds(
    Place,
    source=_source,
    sequence=st.integers(1, 10**19),
    prevhash=st.just(FIRST_PREVHASH),
    recorded=_moment,
    causation=st.none() | st.uuids(version=5).map(str),
)


@st.composite
def movements(draw: st.DrawFn) -> EventDraft:
    """Movements of material as rules and persons book them."""
    event = draw(st.sampled_from(MATERIAL_EVENTS))
    lines = tuple(draw(st.lists(_lines(_keys(event)), min_size=1, max_size=4)))
    notes = draw(st.dictionaries(_text, st.text(max_size=10), max_size=2))
    about = draw(st.none() | _decisions | _entries)
    return EventDraft(event, "routine", draw(_moment), lines, about=about, notes=notes)


@st.composite
def stored(draw: st.DrawFn) -> StoredEvent:
    """Movements of material as an older version with another map stored them."""
    place = draw(places)
    event = _OLD.render(draw(movements()), place)
    at = (place.source, "routine", place.sequence)
    return StoredEvent(*at, event.id, event.type, event.topic, event.payload, place.recorded)


_OLD = Renderer(tag_map(config_hash="d1" * 32), "0.9.0")


@st.composite
def _corrections(draw: st.DrawFn) -> EventDraft:
    original = draw(stored())
    ids = [entry["id"] for entry in json.loads(original.payload)["data"]["materialActual"]]
    changes = draw(st.dictionaries(st.sampled_from(ids), st.builds(Change, st.none() | _quantity, st.none() | _text)))
    about = Correction(original, changes, draw(st.none() | _text), draw(_text), draw(_text), draw(_moment))
    event = EventType(original.type.removeprefix("io.edgeagent.").removesuffix(".v1"))
    return EventDraft(event, original.stream, draw(_moment), about=about)


@st.composite
def _reversals(draw: st.DrawFn) -> EventDraft:
    about = draw(st.builds(Reversal, stored(), by=_text, reason=_text, at=_moment))
    return EventDraft(EventType.REVERSED, about.original.stream, draw(_moment), about=about)


@st.composite
def _messages(draw: st.DrawFn) -> EventDraft:
    event = draw(st.sampled_from(sorted(_told)))
    return EventDraft(event, "ops", draw(_moment), about=draw(_told[event]))


drafts = movements() | _messages() | _reversals() | _corrections()
