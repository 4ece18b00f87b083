"""The README names every verb of the command line, and none that is not there."""

from __future__ import annotations

import re
from pathlib import Path

import typer

from edge_agent.cli.main import app

_USE = re.compile(r"(?:^|`)(?:\.venv/bin/)?edge-agent ([a-z]+)", re.MULTILINE)


def test_readme_and_command_line_know_the_same_verbs(root: Path) -> None:
    command = typer.main.get_command(app)
    assert isinstance(command, typer.core.TyperGroup)

    assert set(_USE.findall((root / "README.md").read_text(encoding="utf-8"))) == set(command.commands)
