"""`edge-agent record`: what the devices of a map say, kept to derive from later."""

from __future__ import annotations

import asyncio
import signal
from io import FileIO
from pathlib import Path
from typing import Annotated

import typer

from edge_agent.cli.common import DEFAULT_DATA, Data, clear_errors, fail, seconds_of
from edge_agent.cli.derive import Map, More
from edge_agent.clock import SystemClock
from edge_agent.composition import source_factory
from edge_agent.config.tagmap import TagMap
from edge_agent.telemetry.log import configure_log
from edge_agent.telemetry.metrics import Counts
from edge_agent.telemetry.status import Status
from edge_agent.workbench.maps import load_map
from edge_agent.workbench.recorder import Recorder
from edge_agent.workbench.recorder import record as keep

Out = Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The recording; a file that is not there yet.")]
For = Annotated[str | None, typer.Option("--for", help="How long: 60s, 2min, 1h. Without it, until Ctrl-C.")]
Only = Annotated[
    list[str], typer.Option("--source", metavar="NAME", help="Record this source only. May be given again.")
]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(record)


def record(
    tag_map: Map,
    out: Out,
    *,
    duration: For = None,
    source: Only = [],  # noqa: B006 - typer copies it
    config: More = [],  # noqa: B006 - typer copies it
    data: Data = DEFAULT_DATA,
) -> None:
    """Record what a map's sources deliver. It only looks: nothing is written to a device, no handshake acknowledged."""
    seconds = None if duration is None else seconds_of(duration, "--for")
    configure_log()
    with clear_errors():
        checked = load_map([tag_map, *config], alone=False)
        names = _chosen(checked, source)
        try:
            with FileIO(out, "x") as file:
                asyncio.run(_record(checked, names, file, data, seconds))
        except FileExistsError:
            fail(f"{out} is there already: name another file, or remove it")
        except OSError as error:
            fail(f"{out} cannot be written: {error.strerror}")


def _chosen(tag_map: TagMap, wanted: list[str]) -> list[str]:
    if unknown := [name for name in wanted if name not in tag_map.devices]:
        known = ", ".join(tag_map.devices)
        raise typer.BadParameter(f"{unknown[0]!r} is no device of the map; there are {known}", param_hint="--source")
    return wanted or [*tag_map.devices]


async def _record(tag_map: TagMap, names: list[str], file: FileIO, data: Path, seconds: float | None) -> None:
    clock = SystemClock()
    make = source_factory(data, clock, Status(clock), Counts())
    recorder, stop = Recorder(file, clock.now()), asyncio.Event()

    def tell() -> None:
        said = ", ".join(f"{name} {recorder.written[name]:,} lines" for name in names)
        typer.echo(f"recorded: {said}", err=True)

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await keep({name: make(tag_map, name) for name in names}, recorder, stop, seconds, tell)
    tell()
