"""The JSON Schemas (Draft 2020-12) of everything on the wire, made of the contract's types; shipped in config/schema/.

Each file stands alone, but for the envelope, which refers to the events' by their `$id`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from edge_agent.publishing import contract_commands, contract_events, contract_gateway, contract_plant

Json = dict[str, Any]
_REFERENCE = re.compile(r" \([a-z]+\.md[^)]*\)")


class Generator(GenerateJsonSchema):
    """Names of Python's are no titles."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's signature
        """Never."""
        return False


def types() -> Mapping[str, Any]:
    """The type of the data of everything on the wire, by its name: `material.consumed`, `cmd.ack.reply`."""
    commands = {
        f"cmd.{name}{suffix}": kind
        for name, kinds in (contract_commands.COMMANDS | contract_plant.PLANT_COMMANDS).items()
        for suffix, kind in zip(("", ".reply"), kinds, strict=True)
    }
    return {
        **{event.value: kind for event, kind in contract_events.DATA.items()},
        **contract_gateway.DATA,
        "stock.discrepancy": contract_commands.StockDiscrepancy,
        **commands,
    }


def schema_id(name: str) -> str:
    """The `$id`, which is the `dataschema` of events."""
    return f"urn:edgeagent:schema:{name}:1"


def schemas() -> dict[str, Json]:
    """Every schema by the name of its file."""
    named = dict(_named())
    return {(f"{name}-1.json" if name.startswith("cmd.") else f"event-{name}-1.json"): named[name] for name in named}


def _named() -> Iterator[tuple[str, Json]]:
    for name, kind in types().items():
        yield name, _document(name, kind)
    envelope = _document("envelope", contract_events.Envelope)
    names = [event.value for event in contract_events.DATA]
    envelope["properties"]["type"] = {"enum": [f"io.edgeagent.{name}.v1" for name in names]}
    envelope["allOf"] = [_of_type(name) for name in names]
    yield "envelope", envelope


def _document(name: str, kind: Any) -> Json:
    body = TypeAdapter(kind).json_schema(schema_generator=Generator)
    if "$defs" in body:
        body["$defs"] = tidy(body["$defs"])
    head = {"$schema": Generator.schema_dialect, "$id": schema_id(name)}
    return head | {"title": title(kind)} | {key: value for key, value in body.items() if key != "title"}


def tidy(parts: Mapping[str, Json]) -> dict[str, Json]:
    """Named parts as others read them: no class is a title, no design document is at hand."""
    return {name: {key: _said(value) for key, value in part.items() if key != "title"} for name, part in parts.items()}


def _said(value: Any) -> Any:
    return _REFERENCE.sub("", value) if isinstance(value, str) else value


def title(kind: Any) -> str:
    """What a type is, in one sentence."""
    said = next((arg.description for arg in get_args(kind)[1:]), None) or inspect.getdoc(kind) or ""
    return said.partition(". ")[0].rstrip(".")


def _of_type(name: str) -> Json:
    """An envelope of this type has the data of this type."""
    then = {"dataschema": {"const": schema_id(name)}, "data": {"$ref": schema_id(name)}}
    return {"if": {"properties": {"type": {"const": f"io.edgeagent.{name}.v1"}}}, "then": {"properties": then}}
