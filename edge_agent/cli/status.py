"""`edge-agent status`, `gaps` and `backlog`: how the agent stands; all work with the service down."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edge_agent.cli.common import (
    DEFAULT_DATA,
    EXIT_FINDINGS,
    Data,
    Json,
    clear_errors,
    print_json,
    verbatim_console,
)
from edge_agent.cli.events import plain
from edge_agent.control import ask
from edge_agent.errors import AgentUnreachable
from edge_agent.store.reader import DATABASE_NAME, Reader, open_reader


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(status)
    app.command()(gaps)
    app.command()(backlog)


def status(data: Data = DEFAULT_DATA, json_: Json = False) -> None:
    """What is up, what waits, what needs a person, and whether the books balance. Exit 1 where they do not."""
    with clear_errors():
        try:
            live: dict[str, Any] | None = ask(data, "status")
        except AgentUnreachable:
            live = None
        with open_reader(data / DATABASE_NAME) as reader:
            found = _status(reader, live)
    if json_:
        print_json(found)
    else:
        _show_status(found)
    if found["imbalances"]:
        raise typer.Exit(EXIT_FINDINGS)


def gaps(data: Data = DEFAULT_DATA, json_: Json = False) -> None:
    """What nobody could see, oldest first, with bounds in the material's unit. None of it is booked."""
    with clear_errors(), open_reader(data / DATABASE_NAME) as reader:
        found = reader.gaps()
    if json_:
        print_json({"gaps": found})
        return
    console = verbatim_console()
    if not found:
        console.print("No gaps.")
    for one in found:
        console.print(plain(f"{one['key']}  {one['rule']}  {one['cause']}"), style="bold")
        console.print(plain(f"  {one['message']}  ({one['since']} to {one['until']})"))
        console.print(f"  from {one['min']} to {'unknown' if one['max'] is None else one['max']}")


def backlog(data: Data = DEFAULT_DATA, json_: Json = False) -> None:
    """What the broker has not taken yet, stream by stream."""
    with clear_errors(), open_reader(data / DATABASE_NAME) as reader:
        streams, size = reader.streams(), reader.size()
    if json_:
        print_json({"streams": streams, "size": size})
        return
    table = Table("source", "stored", "taken", "waiting", "oldest waiting since")
    for one in streams:
        figures = (str(one[name]) for name in ("head", "delivered", "waiting"))
        table.add_row(one["source"], *figures, one["oldest_waiting"] or "")
    Console().print(table, f"{size['used'] / 2**20:.1f} MiB in use")


def _status(reader: Reader, live: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "running": live is not None,
        "components": live["components"] if live else {},
        "held": live["rules"]["held"] if live else [],
        "counts": live["counts"] if live else {},
        "waiting": sum(one["waiting"] for one in reader.streams()),
        "to_review": len(reader.reviews()),
        "gaps": len(reader.gaps()),
        **reader.letter_figures(datetime.now(UTC)),
        "booked": {key: f"{value:f}" for key, value in sorted(reader.totals().items())},
        "pending": {key: f"{value:f}" for key, value in sorted(reader.pending().items())},
        "in_transit": reader.in_transit(),
        "excluded": {key: f"{value:f}" for key, value in sorted(reader.excluded().items())},
        "imbalances": [
            f"{one.rule} epoch {one.epoch}: {one.ran} ran, {one.accounted} accounted for" for one in reader.imbalances()
        ],
    }


def _show_status(found: dict[str, Any]) -> None:
    console = verbatim_console()
    if not found["running"]:
        console.print("The agent is not running on this directory; this is what its store says.", style="yellow")
    for name, part in found["components"].items():
        style = "green" if part["state"] == "up" else "red"
        console.print(f"{part['state']:>8}", style=style, end="")
        console.print(plain(f" {name}  {part['detail']}"))
    for name in found["held"]:
        console.print(
            f"    held {name}: its counter is in doubt, or its order or condition is not known", style="yellow"
        )
    figures = f"{found['waiting']} waiting · {found['to_review']} to review · {found['gaps']} gaps"
    letters = f"{found['rejected']} rejected · {found['unpublishable']} unpublishable · {found['overdue']} overdue"
    corrections = f"{found['corrections_waiting']} corrections waiting"
    console.print(f"{figures} · {letters} · {corrections}")
    if found["to_review"]:
        console.print("`edge-agent review list` shows what is to review", style="yellow")
    if found["gaps"]:
        console.print("`edge-agent gaps` shows what nobody could see", style="yellow")
    if found["rejected"] or found["unpublishable"]:
        console.print("`edge-agent dead list` says what to do", style="yellow")
    for one in found["in_transit"]:
        what = f"{one['container']}: {one['quantity']} {one['unit']} of {one['material']}, since {one['since']}"
        console.print(plain(f"on its way {what}"), style="yellow" if one["late"] else None)
    table = Table("event / material / order / location", "booked", "not yet sent")
    for key in sorted({*found["booked"], *found["pending"]}):
        table.add_row(Text(plain(key)), found["booked"].get(key, "0"), found["pending"].get(key, ""))
    Console().print(table)
    for key, quantity in found["excluded"].items():
        console.print(plain(f"excluded, as conditions say: {quantity} of {key}"))
    for line in found["imbalances"]:
        console.print(f"the books do not balance: {line}", style="bold red")
