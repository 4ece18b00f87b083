"""The shipped JSON Schemas, as a receiver would use them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

FOLDER = Path(__file__).parents[2] / "config" / "schema"
FILES = {
    path.name: json.loads(path.read_text(encoding="utf-8"))
    for pattern in ("event-*.json", "cmd.*.json")
    for path in sorted(FOLDER.glob(pattern))
}
_REGISTRY: Registry[Any] = Registry().with_resources(
    (schema["$id"], Resource.from_contents(schema)) for schema in FILES.values()
)


def validator(uri: str) -> Draft202012Validator:
    """The validator of a schema by its URI."""
    return Draft202012Validator({"$ref": uri}, registry=_REGISTRY)


ENVELOPE = validator("urn:edgeagent:schema:envelope:1")
