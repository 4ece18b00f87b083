"""`edge-agent run`: the agent itself, in the foreground."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from edge_agent.bootstrap import calm_collector, run_agent
from edge_agent.cli.common import DEFAULT_DATA, Data, clear_errors
from edge_agent.composition import Settings

Maps = Annotated[
    list[Path],
    typer.Option(
        "--config", "-c", envvar="EDGE_AGENT_CONFIG", help="A tag map, or a directory of them. May be given again."
    ),
]

_METRICS = "127.0.0.1:9464"
_NO_METRICS = "none"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(run)


def run(
    config: Maps = [Path("/etc/edge-agent/maps.d")],  # noqa: B006 - typer copies it
    data: Data = DEFAULT_DATA,
    heartbeat: Annotated[float, typer.Option(min=0.2, help="Seconds between two heartbeats.")] = 10.0,
    log_json: Annotated[bool, typer.Option("--log-json", help="Log JSON lines.")] = False,
    metrics: Annotated[
        str,
        typer.Option(
            envvar="EDGE_AGENT_METRICS", help="Where /metrics, /-/ready and /-/healthy are: HOST:PORT, or `none`."
        ),
    ] = _METRICS,
) -> None:
    """Run the agent until SIGTERM. Ends with 78 where the configuration is invalid."""
    with clear_errors():
        calm_collector()
        asyncio.run(run_agent(Settings(tuple(config), data, heartbeat, log_json, _address(metrics))))


def _address(text: str) -> tuple[str, int] | None:
    """Host and port. Raises BadParameter where it is neither that nor `none`."""
    if text == _NO_METRICS:
        return None
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise typer.BadParameter(f"{text!r} is not HOST:PORT (say {_METRICS}) or {_NO_METRICS}", param_hint="--metrics")
    return host.strip("[]"), int(port)
