"""The shipped AsyncAPI document is one, has every topic, and its payloads are what is sent."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from jsonschema import Draft7Validator
from referencing import Registry
from referencing.jsonschema import DRAFT7
from typer.testing import CliRunner

from edge_agent.cli.main import app
from edge_agent.config.tagmap import Line
from edge_agent.model.event import EventDraft, Place
from edge_agent.publishing.contract_schema import types
from edge_agent.publishing.presence import Presence
from edge_agent.publishing.topics import Topics
from tests.publishing.drafts import drafts, places
from tests.publishing.rendered import RENDERER
from tests.publishing.samples import tag_map
from tests.publishing.schemas import FILES, FOLDER
from tests.publishing.test_topics_and_presence import VITALS

_OFFICIAL = Path(__file__).with_name("asyncapi-3.0.0.schema.json.gz")
_SHIPPED = (FOLDER / "asyncapi-3.json").read_text(encoding="utf-8")
DOCUMENT: dict[str, Any] = json.loads(_SHIPPED)
_REGISTRY: Registry[Any] = Registry().with_resource("urn:document", DRAFT7.create_resource(DOCUMENT))


def _payload(message: str) -> Draft7Validator:
    return Draft7Validator({"$ref": f"urn:document#/components/messages/{message}/payload"}, registry=_REGISTRY)


_PAYLOADS = {message: _payload(message) for message in DOCUMENT["components"]["messages"]}


def test_the_shipped_document_is_what_the_types_give() -> None:
    made = CliRunner().invoke(app, ["schema", "--asyncapi"])

    assert made.output == _SHIPPED, "run: edge-agent schema --asyncapi > config/schema/asyncapi-3.json"


def test_it_is_valid_by_the_official_schema() -> None:
    official = Draft7Validator(json.loads(gzip.decompress(_OFFICIAL.read_bytes())), registry=Registry())
    official.validate(DOCUMENT)

    assert list(official.iter_errors(DOCUMENT | {"channels": {"planted": {"address": 1}}}))


def test_its_channels_are_the_topics_of_an_agent() -> None:
    topics = Topics(replace(tag_map(), line=Line("acme", "berlin", "filling", "L3", "C1")))
    names = {"root": "mat", "enterprise": "acme", "site": "berlin", "area": "filling", "line": "L3", "cell": "C1"}
    filled = [channel["address"].format(**names, agent="l3-edge") for channel in DOCUMENT["channels"].values()]

    assert sorted(filled) == sorted(topics.all())
    for channel in DOCUMENT["channels"].values():
        assert "{" not in channel["address"].format(**dict.fromkeys(channel["parameters"], "x"))


def test_every_reference_leads_somewhere_and_every_part_is_used() -> None:
    found = set(_references(DOCUMENT))
    for reference in found:
        at: Any = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            at = at[part]
    parts = {f"#/components/{kind}/{name}" for kind, named in DOCUMENT["components"].items() for name in named}

    assert parts <= found
    assert DOCUMENT["components"]["messages"].keys() == types().keys()


def test_all_goes_with_qos_1_and_only_the_state_is_retained() -> None:
    bindings = {name: operation["bindings"]["mqtt"] for name, operation in DOCUMENT["operations"].items()}

    assert {binding["qos"] for binding in bindings.values()} == {1}
    assert {name for name, binding in bindings.items() if binding["retain"]} == {
        "agent.send.gateway.state",
        "receiver.receive.gateway.state",
    }


_ASKED = {"receiver": ("replay", "ack", "positions"), "plant": ("context", "confirm", "lot-status")}


@pytest.mark.parametrize(
    ("who", "names"), [*_ASKED.items(), ("agent", tuple(name for names in _ASKED.values() for name in names))]
)
def test_commands_are_answered_from_both_sides(who: str, names: tuple[str, ...]) -> None:
    replies = {
        name: operation["reply"]["channel"]["$ref"]
        for name, operation in DOCUMENT["operations"].items()
        if name.startswith(who) and "reply" in operation
    }
    action = "receive" if who == "agent" else "send"

    assert replies == {f"{who}.{action}.cmd.{name}": f"#/channels/cmd.{name}.reply" for name in names}


@given(drafts, places)
def test_events_are_what_it_says(event: EventDraft, place: Place) -> None:
    made = json.loads(RENDERER.render(event, place).payload)

    _PAYLOADS[event.type].validate(made)
    assert list(_PAYLOADS[event.type].iter_errors(made | {"type": "io.edgeagent.other.v1"}))
    assert list(_PAYLOADS[event.type].iter_errors(made | {"data": {}}))


def test_gateway_messages_are_what_it_says() -> None:
    presence = Presence(tag_map(), "1.0.0")
    _PAYLOADS["gateway.birth"].validate(json.loads(presence.birth(VITALS).payload))
    _PAYLOADS["gateway.heartbeat"].validate(json.loads(presence.heartbeat(VITALS).payload))
    _PAYLOADS["gateway.death"].validate(json.loads(presence.death(VITALS, "lost").payload))

    assert list(_PAYLOADS["gateway.death"].iter_errors(json.loads(presence.birth(VITALS).payload)))


@pytest.mark.parametrize("name", ["cmd.replay", "cmd.ack", "cmd.positions"])
def test_commands_come_bare_or_as_cloudevents(name: str) -> None:
    for example in FILES[f"{name}-1.json"]["examples"]:
        event = {"specversion": "1.0", "id": "1", "source": "urn:erp", "type": f"io.edgeagent.{name}.v1"}
        _PAYLOADS[name].validate(example)
        _PAYLOADS[name].validate(event | {"time": "2026-03-04T12:00:00Z", "data": example})

        assert list(_PAYLOADS[name].iter_errors(event | {"type": "io.edgeagent.cmd.count.v1", "data": example}))


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        value = list(value.values())
    for inner in value if isinstance(value, list) else ():
        yield from _references(inner)
