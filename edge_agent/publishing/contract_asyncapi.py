"""The AsyncAPI 3.0 document of the wire: channels, messages and who does what, made of the contract's types."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter

from edge_agent.model.movement import EventType
from edge_agent.publishing import contract_commands, contract_events, contract_gateway, contract_plant
from edge_agent.publishing.contract_schema import Generator, Json, schema_id, tidy, title, types
from edge_agent.publishing.topics import COMMANDS, Layout

VERSION = "1.0.0"
"""Of the contract, not of the agent. A compatible change raises the second number."""
_CLOUDEVENT = "application/cloudevents+json"
_JSON = "application/json"
_REF = "#/components/schemas/{model}"
_LAYOUT = Layout("{root}/v1/{enterprise}/{site}/{area}/{line}/{cell}", "{agent}")
_PARAMETERS = {
    "root": ("The tag map's `mqtt.root`; may have several levels.", "mat"),
    "enterprise": ("`_` for a level without a name.", "acme"),
    "site": ("`_` for a level without a name.", "berlin"),
    "area": ("`_` for a level without a name.", "filling"),
    "line": ("`_` for a level without a name.", "L3"),
    "cell": ("`_` for a level without a name.", "_"),
    "agent": ("The tag map's `agent`.", "l3-edge"),
}
_ENVELOPES = {
    "Envelope": contract_events.Envelope,
    "GatewayEnvelope": contract_gateway.GatewayEnvelope,
    "CommandEnvelope": contract_commands.CommandEnvelope,
    "DiscrepancyEnvelope": contract_commands.DiscrepancyEnvelope,
}
_DESCRIPTION = """\
What an edge agent publishes, what may be asked of it and what MES and SCADA tell it (`plant`), and what receiving
systems publish, over MQTT 5 or 3.1.1 with QoS 1. Events are CloudEvents 1.0 in structured JSON. With MQTT 5 the user
properties repeat `type`, `source`, `id` and `sequence`. Only `state` is retained. Payload schemas use JSON Schema
keywords that draft-07 knows, but for hints."""


@dataclass(frozen=True, slots=True)
class _Channel:
    """A topic and what goes over it. `by` and `to` say who sends and who receives."""

    name: str
    address: str
    messages: tuple[str, ...]
    by: str
    to: tuple[str, ...]
    retain: bool = False


def asyncapi() -> Json:
    """The document as a JSON object."""
    schemas, payloads = _schemas()
    channels = list(_channels())
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "OT edge agent",
            "version": VERSION,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": _CLOUDEVENT,
        "channels": {channel.name: _channel(channel) for channel in channels},
        "operations": {name: body for channel in channels for name, body in _operations(channel)},
        "components": {
            "parameters": {
                name: {"description": text, "examples": [example]} for name, (text, example) in _PARAMETERS.items()
            },
            "messages": {name: _message(name, kind, payloads[name]) for name, kind in types().items()},
            "schemas": schemas,
        },
    }


def _channels() -> Iterator[_Channel]:
    for event in EventType:
        yield _Channel(event.value, _LAYOUT.event(event), (event.value,), "agent", ("receiver",))
    states = ("gateway.birth", "gateway.death")
    yield _Channel("gateway.state", _LAYOUT.state, states, "agent", ("receiver",), retain=True)
    yield _Channel("gateway.heartbeat", _LAYOUT.heartbeat, ("gateway.heartbeat",), "agent", ("receiver",))
    yield _Channel("stock.discrepancy", _LAYOUT.discrepancy, ("stock.discrepancy",), "receiver", ())
    for name in COMMANDS:
        asked, answered = f"cmd.{name}", f"cmd.{name}.reply"
        asker = "plant" if name in contract_plant.PLANT_COMMANDS else "receiver"
        yield _Channel(asked, _LAYOUT.command(name), (asked,), asker, ("agent",))
        yield _Channel(answered, _LAYOUT.reply(name), (answered,), "agent", (asker,))


def _channel(channel: _Channel) -> Json:
    names = [name for name in _PARAMETERS if f"{{{name}}}" in channel.address]
    return {
        "address": channel.address,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in channel.messages},
        "parameters": {name: {"$ref": f"#/components/parameters/{name}"} for name in names},
    }


def _operations(channel: _Channel) -> Iterator[tuple[str, Json]]:
    """What the sender does, and what each receiver does; of a command also how it is answered."""
    for who, action in ((channel.by, "send"), *((who, "receive") for who in channel.to)):
        operation: Json = {
            "action": action,
            "channel": {"$ref": f"#/channels/{channel.name}"},
            "messages": [{"$ref": f"#/channels/{channel.name}/messages/{name}"} for name in channel.messages],
            "tags": [{"name": who}],
            "bindings": {"mqtt": {"qos": 1, "retain": channel.retain, "bindingVersion": "0.2.0"}},
        }
        answer = f"{channel.name}.reply"
        if channel.name in {f"cmd.{name}" for name in COMMANDS}:
            operation["reply"] = {
                "channel": {"$ref": f"#/channels/{answer}"},
                "messages": [{"$ref": f"#/channels/{answer}/messages/{answer}"}],
            }
        yield f"{who}.{action}.{channel.name}", operation


def _message(name: str, kind: Any, payload: Json) -> Json:
    reply = name.endswith(".reply")
    return {
        "name": name if reply else f"io.edgeagent.{name}.v1",
        "title": title(kind),
        "contentType": _JSON if name.startswith("cmd.") else _CLOUDEVENT,
        "payload": payload,
    }


def _schemas() -> tuple[Json, dict[str, Json]]:
    """All parts by name, and each message's payload."""
    kinds = {**_ENVELOPES, **types()}
    mode: Literal["validation"] = "validation"
    adapters = [(name, mode, TypeAdapter(kind)) for name, kind in kinds.items()]
    made, shared = TypeAdapter.json_schemas(adapters, ref_template=_REF, schema_generator=Generator)
    parts = tidy(shared["$defs"])
    payloads = {}
    for name in types():
        data = made[name, mode]
        if "$ref" not in data:  # a union has no name of its own
            union = "".join(word.capitalize() for word in name.split("."))
            parts[union] = data
            data = {"$ref": _REF.format(model=union)}
        payloads[name] = _payload(name, data)
    return dict(sorted(parts.items())), payloads


def _payload(name: str, data: Json) -> Json:
    """A ledger event's and a gateway's data come in their envelope, a command's with or without."""
    if name.endswith(".reply"):
        return data
    if name == "stock.discrepancy":
        return {"$ref": _REF.format(model="DiscrepancyEnvelope")}
    of_type: Json = {"properties": {"type": {"const": f"io.edgeagent.{name}.v1"}, "data": data}}
    if name.startswith("cmd."):
        return {"anyOf": [data, {"allOf": [{"$ref": _REF.format(model="CommandEnvelope")}, of_type]}]}
    of_type["properties"]["dataschema"] = {"const": schema_id(name)}
    envelope = "GatewayEnvelope" if name.startswith("gateway.") else "Envelope"
    return {"allOf": [{"$ref": _REF.format(model=envelope)}, of_type]}
