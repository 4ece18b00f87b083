"""`edge-agent derive`: what a tag map books from a recording."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from edge_agent.cli.common import Json, clear_errors, print_json
from edge_agent.config.tagmap import TagMap
from edge_agent.derivation.gating import NO_STATE
from edge_agent.workbench.deriving import Derived
from edge_agent.workbench.deriving import derive as fold
from edge_agent.workbench.maps import load_map, load_recording
from edge_agent.workbench.recording import Recording
from edge_agent.workbench.screen import derived_table
from edge_agent.workbench.unread import unread
from edge_agent.workbench.values import written
from edge_agent.workbench.view import view

Map = Annotated[Path, typer.Argument(metavar="MAP", help="The tag map: a file, or a directory of *.yaml.")]
Taken = Annotated[Path, typer.Argument(metavar="RECORDING", help="A recording: JSON Lines, see docs/workbench.md.")]
More = Annotated[list[Path], typer.Option("--config", "-c", help="A further file of the same map. May be given again.")]
_MOST_NAMES = 10
_WAITS_FOR = {
    "order_unknown": "its order is known",
    "lot_unknown": "its lot is known",
    "container_unknown": "its container is known",
    "condition_unknown": "its condition is known",
    "paused": "its pause has ended",
}
_UNCOUNTED = frozenset(
    {"not_a_reading", "unstable", "clipped", "not_a_total", "not_a_latch", "not_compared", "not_a_block"}
)
"""Words of the engine for what is discarded."""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(derive)


def derive(tag_map: Map, recording: Taken, config: More = [], json_: Json = False) -> None:  # noqa: B006 - typer copies it
    """Show what a map books from a recording, without a PLC, a broker or a clock."""
    with clear_errors():
        checked = load_map([tag_map, *config])
        taken = load_recording(recording, checked)
        say_ignored(taken)
        derived = fold(checked, taken.deliveries)
        movements = view(checked, derived)
    _say_uncounted(derived)
    _say_unread(checked, taken)
    if json_:
        print_json({name: movement.as_json() for name, movement in movements.items()})
    else:
        Console().print(derived_table(movements))
        typer.echo(_span(taken))


def say_ignored(recording: Recording, who: str = "the map") -> None:
    """Name on standard error what the map does not know, or knows otherwise: a drop is counted and visible."""
    names = list(recording.ignored.items())
    for name, number in names[:_MOST_NAMES]:
        typer.echo(f"ignored: {name!a}, which {who} does not know; lines: {number}", err=True)
    if rest := names[_MOST_NAMES:]:
        number = sum(number for _, number in rest)
        typer.echo(f"ignored: {len(rest)} more names that {who} does not know; lines: {number}", err=True)
    for name, number in recording.no_handshakes.items():
        typer.echo(f"ignored: blocks of {name!a}, which is no handshake in {who}; lines: {number}", err=True)


def _say_unread(tag_map: TagMap, recording: Recording) -> None:
    """Say on standard error of which rules nothing was recorded."""
    lacking = list(unread(tag_map, recording.deliveries)) if recording.deliveries else []
    for name, what in lacking[:_MOST_NAMES]:
        typer.echo(f"not recorded: {name} lacks {what}", err=True)
    if rest := lacking[_MOST_NAMES:]:
        typer.echo(f"not recorded: {len(rest)} more rules", err=True)


def _say_uncounted(derived: Derived) -> None:
    """Say on standard error what is in no movement: readings that are none, what still waits or stands open."""
    for name, (shown, word) in derived.waiting.items():
        typer.echo(f"waits: {name} has read {shown} and counts it once {_WAITS_FOR[word]}", err=True)
    for name, how in derived.open:
        typer.echo(f"open: {name} {how}", err=True)
    for (name, word), number in sorted(derived.counts.items()):
        if word in _UNCOUNTED:
            typer.echo(f"not counted: {name}, {word}: {number}", err=True)
        elif word == NO_STATE:
            typer.echo(f"odd: a state that PackML does not have, in a condition of {name}; times: {number}", err=True)


def _span(recording: Recording) -> str:
    """How much was recorded, and when."""
    if not recording.deliveries:
        return "nothing recorded"
    first, last = (written(recording.deliveries[end].at.wall) for end in (0, -1))
    return f"{recording.lines:,} lines, {first} to {last}"
