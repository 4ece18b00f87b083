"""Drafts to bytes: a CloudEvents 1.0 envelope in JSON, structured mode (events.md, Envelope). Pure.

The same draft, place, tag map and version always give the same bytes; they are stored and never rendered again.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5

import orjson

from edge_agent.config.tagmap import TagMap
from edge_agent.errors import EventInvalid
from edge_agent.model.event import About, Correction, EventDraft, Place, Rendered, Reversal, StockMove
from edge_agent.model.movement import Decision, EventType, Gap, Notice, Review
from edge_agent.publishing.contract import AnyLine
from edge_agent.publishing.contract_events import Envelope, EventData
from edge_agent.publishing.corrections import Original
from edge_agent.publishing.isa95 import DataBuilder
from edge_agent.publishing.scalars import timestamp
from edge_agent.publishing.stock import stock_moves
from edge_agent.publishing.topics import Topics

CONTENT_TYPE = "application/cloudevents+json"
EVENT_BYTES = 65_536
"""Most bytes of an event (events.md, Data)."""


class _Body(NamedTuple):
    """What the envelope goes round. `stock` is what it moves."""

    data: EventData
    topic: str
    subject: str
    partitionkey: str
    correlationid: str | None = None
    stock: tuple[StockMove, ...] = ()


class Renderer:
    """Gives a draft its final form. `version` is the agent's own."""

    def __init__(self, tag_map: TagMap, version: str) -> None:
        self._data = DataBuilder(tag_map, version)
        self._topics = Topics(tag_map)
        self._site = tag_map.line.site

    def render(self, draft: EventDraft, place: Place) -> Rendered:
        """The bytes of `draft` at `place`. Raises EventInvalid where something in it cannot be carried."""
        body = self._body(draft, place.source)
        event: Envelope = {
            "specversion": "1.0",
            "id": event_id(place.source, place.sequence),
            "source": place.source,
            "type": cloudevents_type(draft.type),
            "time": timestamp(draft.time),
            "recordedtime": timestamp(place.recorded),
            "sequence": sequence_string(place.sequence),
            "subject": body.subject,
            "partitionkey": body.partitionkey,
            "prevhash": place.prevhash,
            "dataschema": schema_uri(draft.type),
            "datacontenttype": "application/json",
            "data": body.data,
        }
        if body.correlationid is not None:
            event["correlationid"] = body.correlationid
        if place.causation is not None:
            event["causationid"] = place.causation
        try:
            payload = orjson.dumps(event)
        except orjson.JSONEncodeError as error:
            why = f"event {place.sequence} of {place.source} is no valid JSON: {error}"
            raise EventInvalid(why) from error
        return Rendered(event["id"], event["type"], body.topic, payload, body.stock)

    def _body(self, draft: EventDraft, source: str) -> _Body:
        if draft.lines:
            return self._moved(draft, source)
        about = draft.about
        if isinstance(about, Reversal | Correction):
            return self._amended(draft, source, Original(about.original))
        topic, data = self._topics.event(draft.type), self._data.told(draft)
        if not isinstance(about, Review | Decision | Gap | Notice):
            return _Body(data, topic, draft.type.value, f"{self._site}|{draft.type}|")
        key = about.review.key if isinstance(about, Decision) else about.key
        return _Body(data, topic, *_of_material(self._site, key.material, key.lot), _correlation(source, about))

    def _moved(self, draft: EventDraft, source: str) -> _Body:
        data = self._data.material(draft)
        lines = data["materialActual"]
        names = _subject(self._site, lines, draft.lines[0].key.order or draft.type.value)
        stock = stock_moves(draft.type, lines, process=data.get("scrapOrigin") == "process")
        return _Body(data, self._topics.event(draft.type), *names, _correlation(source, draft.about), stock)

    def _amended(self, draft: EventDraft, source: str, original: Original) -> _Body:
        """A reversal stands where its original stands in all respects; a correction's lines may be others'."""
        data = self._data.amended(draft, original)
        lines = data["materialActual"]
        correlation = _correlation_id(source, "correction", original.stored.id)
        if draft.type is EventType.REVERSED:
            stock = stock_moves(original.event, lines, process=original.process, reverse=True)
            names = (original.subject, original.partitionkey)
            return _Body(data, original.reversal_topic, *names, correlation, stock)
        stock = stock_moves(original.event, lines, process=original.process)
        site = original.partitionkey.partition("|")[0]
        names = _subject(site, lines, data.get("jobOrderID") or draft.type.value)
        return _Body(data, original.stored.topic, *names, correlation, stock)


def _subject(site: str | None, lines: Sequence[AnyLine], else_by: str) -> tuple[str, str]:
    """`subject` and `partitionkey`: material and lot; `else_by` where the lines differ in them."""
    found = {(line["materialDefinitionID"], line.get("materialLotID")) for line in lines}
    if len(found) > 1:
        return else_by, f"{site}|{else_by}|"
    ((material, lot),) = found
    return _of_material(site, material, lot)


def _of_material(site: str | None, material: str, lot: str | None) -> tuple[str, str]:
    if lot is None:
        return material, f"{site}|{material}|"
    return f"{material}/{lot}", f"{site}|{material}|{lot}"


def event_id(source: str, sequence: int) -> str:
    """`uuid5(uuid5(NAMESPACE_URL, source), sequence)` over the padded sequence."""
    return str(uuid5(_namespace(source), sequence_string(sequence)))


@lru_cache(maxsize=64)
def _namespace(source: str) -> UUID:
    return uuid5(NAMESPACE_URL, source)


def sequence_string(sequence: int) -> str:
    """20 digits, zero-padded: text order is number order."""
    return f"{sequence:020d}"


def cloudevents_type(event: EventType) -> str:
    """The CloudEvents `type`; only a breaking change alters the version."""
    return f"io.edgeagent.{event}.v1"


def schema_uri(event: EventType) -> str:
    """The URI (`$id`) of the JSON Schema of the event's data, shipped under config/schema/."""
    return f"urn:edgeagent:schema:{event}:1"


def _correlation(source: str, about: About | None) -> str | None:
    """What the events of one review share; None where there is none."""
    if isinstance(about, Decision):
        about = about.review
    return _correlation_id(source, "review", about.id) if isinstance(about, Review) else None


def _correlation_id(source: str, kind: str, identifier: str) -> str:
    """The store's part of `source`, and what its events share."""
    return f"{source.rpartition(':')[0]}:{kind}:{identifier}"
