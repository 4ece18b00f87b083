"""`edge-agent check`: the tag map offline, every fault with its place."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Annotated

import typer

from edge_agent.cli.common import EXIT_FINDINGS, Json, print_json
from edge_agent.config.loader import Loaded, load

EXIT_WARNINGS = 3

Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="The tag map: files, or a directory of *.yaml.")]
Strict = Annotated[bool, typer.Option("--strict", help="Exit 3 where there are warnings.")]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(check)


def check(files: Files, json_: Json = False, strict: Strict = False) -> None:
    """Check a tag map without touching a device or a broker. Several files make one map."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    loaded = load(files)
    if json_:
        print_json({"findings": [finding.as_json() for finding in loaded.findings], "ok": not loaded.errors})
    else:
        _print(files, loaded)
    if loaded.errors:
        raise typer.Exit(EXIT_FINDINGS)
    if strict and loaded.findings:
        raise typer.Exit(EXIT_WARNINGS)


def _print(files: list[Path], loaded: Loaded) -> None:
    for finding in loaded.findings:
        typer.echo(finding.render())
    if not loaded.errors:
        names = ", ".join(str(file) for file in files)
        typer.echo(f"{names}: ok, {loaded.tags} tags, {loaded.rules} rules")
