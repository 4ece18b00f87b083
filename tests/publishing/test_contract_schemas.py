"""The shipped schemas are what the contract's types give, and take nothing else than what is sent."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel
from typer.testing import CliRunner

from edge_agent.cli.main import app
from edge_agent.inbound.acks import Ack
from edge_agent.inbound.command import read_command
from edge_agent.inbound.confirm import Confirm
from edge_agent.inbound.context import Context
from edge_agent.inbound.lot_status import LotStatus
from edge_agent.inbound.payload import PayloadRefused
from edge_agent.inbound.positions import Positions
from edge_agent.inbound.replay import Replay, parse
from edge_agent.model.event import EventDraft, Place
from edge_agent.model.movement import EventType
from edge_agent.publishing.contract_schema import types
from edge_agent.publishing.encoding import schema_uri
from tests.publishing.drafts import drafts, places
from tests.publishing.rendered import RENDERER
from tests.publishing.schemas import ENVELOPE, FILES, FOLDER, validator

_COMMANDS: dict[str, type[BaseModel]] = {
    "replay": Replay,
    "ack": Ack,
    "positions": Positions,
    "context": Context,
    "confirm": Confirm,
    "lot-status": LotStatus,
}
_WITH_EXAMPLES = sorted(name for name in types() if name.startswith("cmd.") or name == "stock.discrepancy")


def test_the_shipped_files_are_what_the_types_give(tmp_path: Path) -> None:
    made = CliRunner().invoke(app, ["schema", "--events", str(tmp_path)])

    assert (made.exit_code, made.output) == (0, "")
    assert {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == {
        name: (FOLDER / name).read_text(encoding="utf-8") for name in FILES
    }, "run: edge-agent schema --events config/schema"


@pytest.mark.parametrize("name", FILES)
def test_the_schemas_are_schemas(name: str) -> None:
    schema = FILES[name]
    Draft202012Validator.check_schema(schema)

    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert name.removeprefix("event-") == f"{schema['$id'].split(':')[3]}-1.json"
    assert schema["title"]


@pytest.mark.parametrize("event", EventType)
def test_every_type_has_its_schema(event: EventType) -> None:
    assert FILES[f"event-{event}-1.json"]["$id"] == schema_uri(event)


@given(drafts, places, st.data())
def test_every_object_is_closed(event: EventDraft, place: Place, data: st.DataObject) -> None:
    rendered = json.loads(RENDERER.render(event, place).payload)
    data.draw(st.sampled_from(list(_objects(rendered))), label="where")["extra"] = "1"

    assert list(ENVELOPE.iter_errors(rendered))


@pytest.mark.parametrize("name", _WITH_EXAMPLES)
def test_the_examples_are_valid(name: str) -> None:
    check = validator(f"urn:edgeagent:schema:{name}:1")
    prefix = "" if name.startswith("cmd.") else "event-"
    examples = FILES[f"{prefix}{name}-1.json"]["examples"]

    assert examples
    for example in examples:
        check.validate(example)
        assert list(check.iter_errors(example | {"extra": 1}))


@pytest.mark.parametrize("name", _COMMANDS)
def test_the_agent_reads_the_examples(name: str) -> None:
    for example in FILES[f"cmd.{name}-1.json"]["examples"]:
        envelope = {"specversion": "1.0", "id": "1", "source": "urn:erp", "type": f"io.edgeagent.cmd.{name}.v1"}
        bare, _ = read_command(json.dumps(example).encode(), name, _COMMANDS[name])
        wrapped, around = read_command(json.dumps(envelope | {"data": example}).encode(), name, _COMMANDS[name])

        assert bare == wrapped
        assert around is not None


def test_a_replay_is_read_as_the_schema_says() -> None:
    (example,) = FILES["cmd.replay-1.json"]["examples"]
    _, command = parse(json.dumps(example).encode())

    assert (command.source, command.first, command.last) == (example["source"], example["from"], example["to"])


_VALUES: list[Any] = [
    *(None, "", "x", "a.b-c_d", "-a", "x" * 64, "x" * 501, "ä" * 8, [], {}, True, 0, 1, -1, 18, 10**18),
    *(10**18 + 1, 86_400, 86_401, 2**63, 10**19, "2026-03-04", "2026-03-04T12:00:00.123456+01:00"),
    *("2026-03-04T12:00:00", "urn:edgeagent:a:b:c", "urn:edgeagent:ä:b:c", "closed_period", "busy", "accepted"),
]
_OPTIONAL = ("document", "duplicate", "postedOn", "code", "text", "retryAfter", "upTo", "id", "expires", "extra")


@pytest.mark.parametrize("name", _COMMANDS)
def test_the_agent_reads_all_that_the_schema_takes(name: str) -> None:
    check = validator(f"urn:edgeagent:schema:cmd.{name}:1")
    taken = 0
    for changed in _changed(FILES[f"cmd.{name}-1.json"]["examples"]):
        in_order = changed.get("from", 0) <= changed.get("to", 0) if check.is_valid(changed) else False
        if in_order:
            read_command(json.dumps(changed).encode(), name, _COMMANDS[name])
            taken += 1

    assert taken > 15


@pytest.mark.parametrize("name", _COMMANDS)
def test_the_agent_reads_nothing_that_the_schema_refuses(name: str) -> None:
    """But null for what may be left out."""
    check = validator(f"urn:edgeagent:schema:cmd.{name}:1")
    refused = [one for one in _changed(FILES[f"cmd.{name}-1.json"]["examples"]) if not check.is_valid(_said(one))]

    assert len(refused) > 100
    for changed in refused:
        with pytest.raises(PayloadRefused):
            read_command(json.dumps(changed).encode(), name, _COMMANDS[name])


def _changed(examples: list[Any]) -> Iterator[Any]:
    """Each example with one value put in the place of another, beside the others, or taken away."""
    for example in examples:
        for number, around in enumerate(_objects(example)):
            for key in {*around, *_OPTIONAL}:
                for value in _VALUES:
                    changed = copy.deepcopy(example)
                    list(_objects(changed))[number][key] = value
                    yield changed
            for key in around:
                changed = copy.deepcopy(example)
                del list(_objects(changed))[number][key]
                yield changed


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in it, itself first."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _objects(inner)


def _said(value: Any) -> Any:
    """Without what is null."""
    if isinstance(value, dict):
        return {key: _said(inner) for key, inner in value.items() if inner is not None}
    return [_said(inner) for inner in value] if isinstance(value, list) else value
