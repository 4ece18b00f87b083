"""`edge-agent diff`: what two tag maps would have booked from one recording."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from edge_agent.cli.common import EXIT_FINDINGS, Json, clear_errors, print_json
from edge_agent.cli.derive import Taken, say_ignored
from edge_agent.workbench.comparing import as_json, compare
from edge_agent.workbench.deriving import derive
from edge_agent.workbench.maps import load_map, load_recording
from edge_agent.workbench.screen import compared_table
from edge_agent.workbench.view import view

First = Annotated[Path, typer.Argument(metavar="MAP_A", help="A tag map: a file, or a directory of *.yaml.")]
Second = Annotated[Path, typer.Argument(metavar="MAP_B", help="The other one.")]
Both = Annotated[list[Path], typer.Option("--config", "-c", help="A further file of both maps. May be given again.")]
All = Annotated[bool, typer.Option("--all", help="Show what is the same too.")]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(diff)


def diff(
    map_a: First,
    map_b: Second,
    recording: Taken,
    *,
    config: Both = [],  # noqa: B006 - typer copies it
    all_: All = False,
    json_: Json = False,
) -> None:
    """Show what two maps would have booked differently. Exit 1 where they do."""
    with clear_errors():
        maps = (load_map([map_a, *config]), load_map([map_b, *config]))
        taken = [load_recording(recording, tag_map) for tag_map in maps]
    for one, path in zip(taken, (map_a, map_b), strict=True):
        say_ignored(one, path.name)
    first, second = (view(tag_map, derive(tag_map, one.deliveries)) for tag_map, one in zip(maps, taken, strict=True))
    pairs = compare(maps, first, second)
    differing = [pair for pair in pairs if pair.differs]
    chosen = pairs if all_ else differing
    if json_:
        print_json(as_json(chosen))
    elif chosen:
        Console().print(compared_table(chosen, map_a.name, map_b.name))
    else:
        typer.echo("no difference")
    if differing:
        raise typer.Exit(EXIT_FINDINGS)
