"""What the agent says of itself: birth, heartbeat, death (events.md, Types). Pure; neither stored nor sequenced.

Birth and death are retained on one topic, so a receiver that comes later knows at once whether the agent is there and
how far its streams had got.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

import orjson

from edge_agent.broker import Message
from edge_agent.config.tagmap import TagMap
from edge_agent.model.reading import Instant
from edge_agent.publishing import contract_gateway as form
from edge_agent.publishing.encoding import CONTENT_TYPE, event_id
from edge_agent.publishing.scalars import timestamp
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
    """How the agent stands.

    `heads` is the highest stored sequence per source URN, `hashes` the SHA-256 of that event's bytes, `queued` the
    unsent per stream.
    """

    at: Instant
    heads: Mapping[str, int]
    queued: Mapping[str, int]
    oldest_unsent: datetime | None
    hashes: Mapping[str, str] = field(default_factory=dict)


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
        return self._message(Kind.BIRTH, vitals, self._data(vitals), self._topics.state, retain=True)

    def heartbeat(self, vitals: Vitals) -> Message:
        """Not retained, and expires after three intervals."""
        return self._message(Kind.HEARTBEAT, vitals, self._data(vitals), self._topics.heartbeat, expiry=self._expiry)

    def death(self, vitals: Vitals, reason: Literal["stopped", "lost"]) -> Message:
        """Retained. `reason` is `stopped` when the agent says it, `lost` when the broker does (the last will)."""
        data: form.GatewayDeath = {**self._data(vitals), "reason": reason}
        return self._message(Kind.DEATH, vitals, data, self._topics.state, retain=True)

    def _message(
        self,
        kind: Kind,
        vitals: Vitals,
        data: form.GatewayData,
        topic: str,
        *,
        retain: bool = False,
        expiry: int | None = None,
    ) -> Message:
        at = vitals.at
        unique = f"{self._source}:{kind}:{at.boot_id}"
        event: form.GatewayEnvelope = {
            "specversion": "1.0",
            "id": event_id(unique, at.monotonic_ns),
            "source": self._source,
            "type": f"io.edgeagent.{kind}.v1",
            "time": timestamp(at.wall),
            "dataschema": f"urn:edgeagent:schema:{kind}:1",
            "datacontenttype": "application/json",
            "data": data,
        }
        properties = (("type", event["type"]), ("source", event["source"]), ("id", event["id"]))
        return Message(topic, orjson.dumps(event), retain, CONTENT_TYPE, expiry, properties)

    def _data(self, vitals: Vitals) -> form.GatewayBirth:
        oldest = vitals.oldest_unsent
        return {
            "bootId": vitals.at.boot_id,
            "version": self._version,
            "configHash": self._config_hash,
            "streams": dict(vitals.heads),
            "hashes": dict(vitals.hashes),
            "queueDepth": dict(vitals.queued),
            "oldestUnsent": None if oldest is None else timestamp(oldest),
            "clockState": {"utc": timestamp(vitals.at.wall), "monotonicNs": vitals.at.monotonic_ns},
        }
