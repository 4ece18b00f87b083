# ruff: noqa: N815 - keys are named as on the wire
"""What the agent says of itself: birth, heartbeat, death (events.md, Types). Neither stored nor sequenced. Pure."""

from typing import Annotated, Literal

from pydantic import Field, WithJsonSchema

from edge_agent.publishing.contract import Closed, Count, Identifier, Sha256, SourceUrn, Timestamp


class ClockState(Closed):
    """The agent's clocks; the monotonic one, in nanoseconds, starts anew with each boot."""

    utc: Timestamp
    monotonicNs: Count


class Vitals(Closed):
    """How the agent stands."""

    bootId: Identifier
    version: Identifier
    configHash: Identifier
    streams: Annotated[dict[SourceUrn, Count], Field(description="The highest stored sequence per source.")]
    hashes: Annotated[
        dict[SourceUrn, Sha256], Field(description="SHA-256 of the bytes of that event per source: the chain's head.")
    ]
    queueDepth: Annotated[dict[str, Count], Field(description="Events the broker has not acknowledged, per stream.")]
    oldestUnsent: Annotated[Timestamp | None, Field(description="When the oldest of them was stored.")]
    clockState: ClockState


class GatewayBirth(Vitals):
    """The agent is connected."""


class GatewayHeartbeat(Vitals):
    """The agent is alive."""


class GatewayDeath(Vitals):
    """The agent has stopped (it says so itself) or was lost (its last will says so)."""

    reason: Literal["stopped", "lost"]


DATA = {
    "gateway.birth": GatewayBirth,
    "gateway.heartbeat": GatewayHeartbeat,
    "gateway.death": GatewayDeath,
}
"""The type of each message's data."""

GatewayData = GatewayBirth | GatewayHeartbeat | GatewayDeath


class GatewayEnvelope(Closed):
    """CloudEvents 1.0, JSON, structured mode; no ledger event, so without sequence."""

    specversion: Literal["1.0"]
    id: Annotated[str, Field(json_schema_extra={"format": "uuid"})]
    source: Annotated[str, Field(pattern=r"^urn:edgeagent:[^:\s]+$", description="urn:edgeagent:<agent id>")]
    type: str
    time: Timestamp
    dataschema: str
    datacontenttype: Literal["application/json"]
    data: Annotated[GatewayData, WithJsonSchema({"type": "object"})]
