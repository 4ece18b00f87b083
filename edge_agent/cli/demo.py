"""`edge-agent demo`: the main job on an embedded default, compared to the unit."""

from __future__ import annotations

import asyncio
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

from edge_agent.cli.common import EXIT_FINDINGS, Json, clear_errors, print_json, seconds_of
from edge_agent.demo.scenario import Options, Report, run_demo
from edge_agent.demo.screen import live, verdict

_SHORTEST = 10


class Sabotage(StrEnum):
    """What the proxy between broker and MES does to one event."""

    DROP = "drop"
    DOUBLE = "double"
    WRONG_ORDER = "wrong-order"
    LATE_UNIT = "late-unit"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(demo)


def demo(
    duration: Annotated[str, typer.Option("--for", help="How long the line runs: 60s, 2min, 1h.")] = "60s",
    seed: Annotated[int, typer.Option(min=0, help="Chooses speeds, stops and faults.")] = 7,
    sabotage: Annotated[Sabotage | None, typer.Option(help="Alter one event on its way to the MES.")] = None,
    json_: Json = False,
) -> None:
    """Run a simulated bottling line, a broker, the agent and a receiving MES; see whether they agree to the unit."""
    seconds = _seconds(duration)
    with tempfile.TemporaryDirectory(prefix="edge-agent-demo-") as directory, clear_errors():
        options = Options(seconds, seed, sabotage, Path(directory))
        report = _quietly(options) if json_ else _on_screen(options)
    if not report.agree:
        raise typer.Exit(EXIT_FINDINGS)


def _quietly(options: Options) -> Report:
    report = asyncio.run(run_demo(options, lambda _glance: None))
    print_json(report.as_json())
    return report


def _on_screen(options: Options) -> Report:
    console = Console()
    with Live(console=console, refresh_per_second=4, transient=True) as screen:
        report = asyncio.run(run_demo(options, lambda glance: screen.update(live(glance))))
    console.print(verdict(report))
    return report


def _seconds(text: str) -> float:
    seconds = seconds_of(text, "--for")
    if seconds < _SHORTEST:
        raise typer.BadParameter(f"at least {_SHORTEST}s", param_hint="--for")
    return seconds
