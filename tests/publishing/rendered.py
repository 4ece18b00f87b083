"""Drafts rendered as the agent does it, each checked by the shipped schemas."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

from edge_agent.model.event import EventDraft, Place, Rendered, StoredEvent
from edge_agent.publishing.encoding import Renderer
from tests.publishing.samples import NOON, source, tag_map
from tests.publishing.schemas import ENVELOPE

PLACE = Place(source("routine"), 42, "ab" * 32, NOON + timedelta(milliseconds=7))
RENDERER = Renderer(tag_map(), "1.0.0")


def render(of: EventDraft, place: Place = PLACE, renderer: Renderer = RENDERER) -> Rendered:
    made = renderer.render(of, place)
    ENVELOPE.validate(json.loads(made.payload))
    return made


def event_of(of: EventDraft, at: str = PLACE.source) -> Any:
    return json.loads(render(of, replace(PLACE, source=at)).payload)


def data_of(of: EventDraft) -> Any:
    return event_of(of)["data"]


def stored(of: EventDraft, renderer: Renderer = RENDERER) -> StoredEvent:
    made = render(of, PLACE, renderer)
    at = (PLACE.source, of.stream, PLACE.sequence)
    return StoredEvent(*at, made.id, made.type, made.topic, made.payload, PLACE.recorded)
