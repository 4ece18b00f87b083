"""The JSON Schema of a tag map, for editors: made of the same sections that `check` reads."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from edge_agent.config.document import Document
from edge_agent.config.document_rules import SIGNALS

FILE_NAME = "schema/tagmap-1.json"
_ID = "urn:edgeagent:schema:tagmap-1"


class _Schema(GenerateJsonSchema):
    """A key that may be left out must not be null; names of Python classes are no titles."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        if schema.get("default") is None:
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's signature
        return False


def tag_map_schema() -> dict[str, Any]:
    """The schema as a JSON object (draft 2020-12)."""
    body = Document.model_json_schema(schema_generator=_Schema)
    for section in body["$defs"].values():
        section.pop("title", None)
    body["$defs"]["RuleSection"]["oneOf"] = [{"required": [signal]} for signal in SIGNALS]
    return {"$schema": _Schema.schema_dialect, "$id": _ID, **body, "title": "Tag map of edge-agent, version 1"}
