"""docs/operating.md explains every verb of a person, and every code of a rejection."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from edge_agent.cli.main import app
from edge_agent.model.ack import Code

_OPERATING = (Path(__file__).parents[2] / "docs" / "operating.md").read_text(encoding="utf-8")
_GROUPS = ("review", "dead", "audit")
_SINGLE = ("correct", "enter", "reconcile", "status", "gaps", "backlog")


@pytest.mark.parametrize("group", _GROUPS)
def test_every_verb_of_a_group_is_explained(group: str) -> None:
    command = typer.main.get_command(app)
    assert isinstance(command, typer.core.TyperGroup)
    inner = command.commands[group]
    assert isinstance(inner, typer.core.TyperGroup)
    assert len(inner.commands) >= 2
    for name in inner.commands:
        assert re.search(rf"`(edge-agent )?{group} (\w+`, `)*{name}\b", _OPERATING), f"{group} {name}"


@pytest.mark.parametrize("verb", _SINGLE)
def test_every_verb_is_explained(verb: str) -> None:
    assert f"edge-agent {verb}" in _OPERATING


@pytest.mark.parametrize("code", list(Code))
def test_every_code_is_explained_once(code: Code) -> None:
    assert _OPERATING.count(f"`{code}`") == 1
