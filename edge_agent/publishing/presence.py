"""What the agent says of itself: birth, heartbeat, death (events.md, Types). Pure; neither stored nor sequenced.

Birth and death are retained on one topic, so a receiver that comes later knows at once whether the agent is there and
how far its streams had got.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import orjson

from edge_agent.broker import Message
from edge_agent.config.tagmap import TagMap
from edge_agent.model.reading import Instant
from edge_agent.publishing.encoding import CONTENT_TYPE, event_id
from edge_agent.publishing.isa95 import timestamp
from edge_agent.publishing.topics import Topics

_EXPIRY_INTERVALS = 3
"""Heartbeats expire after three intervals (events.md, Topics)."""


class Kind(StrEnum):
    """The three messages."""

    BIRTH = "gateway.birth"
    HEARTBEAT = "gateway.heartbeat"
    DEATH = "gateway.death"


@dataclass(frozen=True, slots=True)
class Vitals:
    """How the agent stands. `heads` is the highest stored sequence per source URN, `queued` the unsent per stream."""

    at: Instant
    heads: Mapping[str, int]
    queued: Mapping[str, int]
    oldest_unsent: datetime | None


class Presence:
    """Renders the agent's messages about itself; `version` is the agent's own."""

    def __init__(self, tag_map: TagMap, version: str, heartbeat: timedelta = timedelta(seconds=10)) -> None:
        self._topics = Topics(tag_map)
        self._source = f"urn:edgeagent:{tag_map.agent}"
        self._config_hash = tag_map.config_hash
        self._version = version
        self._expiry = round(heartbeat.total_seconds() * _EXPIRY_INTERVALS) or 1
        self.interval = heartbeat.total_seconds()

    def birth(self, vitals: Vitals) -> Message:
        """Retained; sent first on every session."""
        return self._message(Kind.BIRTH, vitals, self._topics.state, retain=True)

    def heartbeat(self, vitals: Vitals) -> Message:
        """Not retained, and expires after three intervals."""
        return self._message(Kind.HEARTBEAT, vitals, self._topics.heartbeat, expiry=self._expiry)

    def death(self, vitals: Vitals, reason: str) -> Message:
        """Retained. `reason` is `stopped` when the agent says it, `lost` when the broker does (the last will)."""
        return self._message(Kind.DEATH, vitals, self._topics.state, reason=reason, retain=True)

    def _message(
        self,
        kind: Kind,
        vitals: Vitals,
        topic: str,
        *,
        reason: str | None = None,
        retain: bool = False,
        expiry: int | None = None,
    ) -> Message:
        at = vitals.at
        unique = f"{self._source}:{kind}:{at.boot_id}"
        event = {
            "specversion": "1.0",
            "id": event_id(unique, at.monotonic_ns),
            "source": self._source,
            "type": f"io.edgeagent.{kind}.v1",
            "time": timestamp(at.wall),
            "dataschema": f"urn:edgeagent:schema:{kind}:1",
            "datacontenttype": "application/json",
            "data": self._data(vitals, reason),
        }
        properties = (("type", str(event["type"])), ("source", self._source), ("id", str(event["id"])))
        return Message(topic, orjson.dumps(event), retain, CONTENT_TYPE, expiry, properties)

    def _data(self, vitals: Vitals, reason: str | None) -> dict[str, Any]:
        oldest = vitals.oldest_unsent
        data: dict[str, Any] = {
            "bootId": vitals.at.boot_id,
            "version": self._version,
            "configHash": self._config_hash,
            "streams": dict(vitals.heads),
            "queueDepth": dict(vitals.queued),
            "oldestUnsent": None if oldest is None else timestamp(oldest),
            "clockState": {"utc": timestamp(vitals.at.wall), "monotonicNs": vitals.at.monotonic_ns},
        }
        return data if reason is None else {**data, "reason": reason}
