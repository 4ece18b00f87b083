"""Drafts to bytes: a CloudEvents 1.0 envelope in JSON, structured mode (events.md, Envelope). Pure.

The same draft, place, tag map and version always give the same bytes; they are stored and never rendered again.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import orjson

from edge_agent.config.tagmap import TagMap
from edge_agent.errors import EventInvalid
from edge_agent.model.event import Place, Rendered
from edge_agent.model.movement import EventDraft, EventType, Line
from edge_agent.publishing.isa95 import DataBuilder, timestamp
from edge_agent.publishing.topics import Topics

CONTENT_TYPE = "application/cloudevents+json"
EVENT_BYTES = 65_536
"""Most bytes of an event (events.md, Data)."""


class Renderer:
    """Gives a draft its final form. `version` is the agent's own."""

    def __init__(self, tag_map: TagMap, version: str) -> None:
        self._data = DataBuilder(tag_map, version)
        self._topics = Topics(tag_map)
        self._site = tag_map.line.site

    def render(self, draft: EventDraft, place: Place) -> Rendered:
        """The bytes of `draft` at `place`. Raises EventInvalid where something in it cannot be carried."""
        sequence = sequence_string(place.sequence)
        subject, partition = self._subject(draft)
        event: dict[str, Any] = {
            "specversion": "1.0",
            "id": event_id(place.source, place.sequence),
            "source": place.source,
            "type": cloudevents_type(draft.type),
            "time": timestamp(draft.time),
            "recordedtime": timestamp(place.recorded),
            "sequence": sequence,
            "subject": subject,
            "partitionkey": partition,
            "prevhash": place.prevhash,
            "dataschema": schema_uri(draft.type),
            "datacontenttype": "application/json",
        }
        review = draft.review or (draft.decision.review if draft.decision else None)
        if review is not None:
            event["correlationid"] = correlation_id(place.source, review.id)
        if place.causation is not None:
            event["causationid"] = place.causation
        event["data"] = self._data.build(draft)
        try:
            payload = orjson.dumps(event)
        except orjson.JSONEncodeError as error:
            raise EventInvalid(f"event {sequence} of {place.source} is no valid JSON: {error}") from error
        return Rendered(event["id"], event["type"], self._topics.event(draft.type), payload)

    def _subject(self, draft: EventDraft) -> tuple[str, str]:
        """`subject` and `partitionkey`: the material (no lots yet); the order where the lines' materials differ."""
        about = draft.review or draft.gap or (draft.decision.review if draft.decision else None)
        if not draft.lines and about is not None:
            return about.key.material, f"{self._site}|{about.key.material}|"
        materials = {line.key.material for line in draft.lines}
        if len(materials) == 1:
            (material,) = materials
            return material, f"{self._site}|{material}|"
        common = _order(draft.lines) or draft.type.value
        return common, f"{self._site}|{common}|"


def _order(lines: tuple[Line, ...]) -> str | None:
    return lines[0].key.order if lines else None


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


def correlation_id(source: str, review: str) -> str:
    """What a review's events share: the store's part of `source` and the review's id."""
    return f"{source.rpartition(':')[0]}:review:{review}"
