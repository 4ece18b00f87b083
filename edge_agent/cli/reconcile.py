"""`edge-agent reconcile`: a snapshot of all stocks now, for receivers to compare theirs with."""

from __future__ import annotations

import typer

from edge_agent.cli.common import DEFAULT_DATA, Data, Json, clear_errors, print_json
from edge_agent.control import ask


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(reconcile)


def reconcile(data: Data = DEFAULT_DATA, json_: Json = False) -> None:
    """Send a snapshot of all stocks now; what a receiver finds comes on `_recon/discrepancy`."""
    with clear_errors():
        answer = ask(data, "snapshot")
    if json_:
        print_json(answer)
    else:
        typer.echo(f"a snapshot of all stocks is on its way, {answer['events']} events")
