"""The command `edge-agent` and its verbs."""

from __future__ import annotations

from typing import Annotated

import typer

from edge_agent import __version__
from edge_agent.cli import (
    audit,
    cases,
    check,
    correct,
    dead,
    demo,
    derive,
    diff,
    enter,
    reconcile,
    record,
    review,
    run,
    schema,
    status,
)

app = typer.Typer(
    name="edge-agent",
    help="Keeps a plant's inventory true at its source: signals in, booked events out, exactly once.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"edge-agent {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of every verb."""


for group in (
    run,
    demo,
    check,
    schema,
    record,
    derive,
    cases,
    diff,
    status,
    review,
    dead,
    correct,
    enter,
    reconcile,
    audit,
):
    group.register(app)


def main() -> None:
    """The entry point of the wheel."""
    app()
