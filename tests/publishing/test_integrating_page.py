"""What docs/integrating.md tells receiving teams is so."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from edge_agent.model.ack import Code
from edge_agent.model.movement import EventType
from edge_agent.publishing.contract_schema import types
from tests.publishing.schemas import FOLDER, validator

_PAGE = (Path(__file__).parents[2] / "docs" / "integrating.md").read_text(encoding="utf-8")
_EXAMPLES = [json.loads(text) for text in re.findall(r"^```json\n(.*?)^```", _PAGE, re.MULTILINE | re.DOTALL)]
_SCHEMAS = (
    "material.consumed:1#/$defs/ConsumedLine",
    "cmd.ack:1",
    "cmd.context:1",
    "cmd.confirm:1",
    "cmd.confirm.reply:1",
    "cmd.lot-status:1",
)


@pytest.mark.parametrize(("example", "schema"), list(zip(_EXAMPLES, _SCHEMAS, strict=True)))
def test_its_examples_are_valid(example: object, schema: str) -> None:
    check = validator(f"urn:edgeagent:schema:{schema}")
    check.validate(example)

    assert list(check.iter_errors({}))


def test_it_names_every_type_command_code_and_schema() -> None:
    words = set(re.findall(r"`([^`\n]+)`", _PAGE))

    assert {event.value for event in EventType} <= words
    assert {name.split(".")[1] for name in types() if name.startswith("cmd.")} <= words
    assert {code.value for code in Code} <= words
    assert (FOLDER / "asyncapi-3.json").is_file()


def test_it_is_short() -> None:
    assert _PAGE.count("\n") < 250
