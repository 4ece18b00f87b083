"""`edge-agent correct`: an event is taken back, and another may take its place."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any

import typer

from edge_agent.cli.common import DEFAULT_DATA, Data, Json, clear_errors, print_json
from edge_agent.cli.events import By, Event, Reason
from edge_agent.control import ask
from edge_agent.store.reader import DATABASE_NAME, open_reader

_QUANTITY = re.compile(r"[0-9]{1,18}(\.[0-9]{1,9})?")

Quantities = Annotated[
    list[str] | None, typer.Option("--quantity", help="The right quantity, in the line's unit; once for each line.")
]
Lines = Annotated[
    list[str] | None,
    typer.Option("--line", help="The line meant; needed where the event has several. May be given again."),
]
Lots = Annotated[list[str] | None, typer.Option("--lot", help="The right lot; once for each line.")]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(correct)


def correct(
    event: Event,
    by: By,
    reason: Reason,
    *,
    quantity: Quantities = None,
    line: Lines = None,
    lot: Lots = None,
    order: Annotated[str | None, typer.Option(help="The right order, for all lines.")] = None,
    void: Annotated[bool, typer.Option("--void", help="Only take it back: nothing takes its place.")] = False,
    data: Data = DEFAULT_DATA,
    json_: Json = False,
) -> None:
    """Take an event back by `event.reversed`; unless --void, the same with the given changes takes its place."""
    if void == any((quantity, lot, order)):
        raise typer.BadParameter("say what changes (--quantity, --lot, --order), or --void to take it back alone")
    if void and line:
        raise typer.BadParameter("--void takes all lines back", param_hint="--line")
    with clear_errors(), open_reader(data / DATABASE_NAME) as reader:
        found = reader.event(event)
    lines = _lines(line or _only_line(found, needed=bool(quantity or lot)), quantity or [], lot or [])
    with clear_errors():
        answer = ask(
            data,
            "correct",
            source=found["source"],
            sequence=found["sequence"],
            by=by,
            reason=reason,
            void=void,
            lines=lines,
            order=order,
        )
    if json_:
        print_json(answer)
    else:
        typer.echo(f"{found['name']}: {_sentence(answer, void=void)}")


def _only_line(found: dict[str, Any], *, needed: bool) -> list[str]:
    """The line of an event that has one; a move's two lines are one. Nothing is guessed where there are more."""
    if not needed:
        return []
    data = found["event"].get("data", {}) if isinstance(found["event"], dict) else {}
    by_place: dict[str, str] = {}
    for one in data.get("materialActual", [{"id": "1"}]):
        by_place.setdefault(f"pair {one['pairID']}" if "pairID" in one else f"line {one['id']}", one["id"])
    if len(by_place) > 1:
        raise typer.BadParameter(f"{found['name']} has lines {', '.join(by_place.values())}", param_hint="--line")
    return list(by_place.values())


def _lines(names: list[str], quantities: list[str], lots: list[str]) -> dict[str, dict[str, str]]:
    """By line: what changes. Raises BadParameter where a value has no line, or a line no value."""
    if len(set(names)) != len(names):
        raise typer.BadParameter("one line is named twice", param_hint="--line")
    for given, hint in ((quantities, "--quantity"), (lots, "--lot")):
        if given and len(given) != len(names):
            raise typer.BadParameter(f"{len(given)} for {len(names)} lines: give one for each --line", param_hint=hint)
    if names and not quantities and not lots:
        raise typer.BadParameter("say what changes in it: --quantity or --lot", param_hint="--line")
    for text in quantities:
        if _QUANTITY.fullmatch(text) is None or not Decimal(text):
            message = f"{text!r} is no quantity above 0: up to 18 digits, a point and up to 9 decimals; see also --void"
            raise typer.BadParameter(message, param_hint="--quantity")
    lines: dict[str, dict[str, str]] = {name: {} for name in names}
    for what, values in (("quantity", quantities), ("lot", lots)):
        for name, text in zip(names, values, strict=False):
            lines[name][what] = text
    return lines


def _sentence(answer: dict[str, Any], *, void: bool) -> str:
    if not answer["made"]:
        return f"its correction waits for the answer of {', '.join(answer['waits_for'])}; then it is made by itself"
    place = "nothing takes" if void else "the corrected one takes"
    return f"taken back by {answer['events'][0]}; {place} its place"
