"""An event with its place in a stream: bytes that never change again (events.md, Envelope)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from edge_agent.model.movement import EventDraft

FIRST_PREVHASH = "0" * 64


@dataclass(frozen=True, slots=True)
class Place:
    """Where the commit puts an event. `prevhash` is the SHA-256 (hex) of the previous event's bytes of `source`.

    `causation` is the id of the event that led to this one: a review's `movement.inreview`.
    """

    source: str
    sequence: int
    prevhash: str
    recorded: datetime
    causation: str | None = None


@dataclass(frozen=True, slots=True)
class Rendered:
    """An event as it will be sent, byte for byte, for ever."""

    id: str
    type: str
    topic: str
    payload: bytes


Render = Callable[[EventDraft, Place], Rendered]
"""The pure renderer the store is given: it knows no CloudEvents, the renderer no SQL."""


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event read back from the store, its row hash already checked."""

    source: str
    stream: str
    sequence: int
    id: str
    type: str
    topic: str
    payload: bytes
    recorded: datetime


def source_urn(agent: str, store_uuid: str, stream: str) -> str:
    """The CloudEvents `source` of one stream of one store: `urn:edgeagent:<agent>:<store uuid>:<stream>`."""
    return f"urn:edgeagent:{agent}:{store_uuid}:{stream}"
