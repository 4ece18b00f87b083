"""`edge-agent enter`: what a person saw and no signal told."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import typer

from edge_agent.cli.common import DEFAULT_DATA, Data, Json, clear_errors, print_json
from edge_agent.cli.events import By, Reason
from edge_agent.control import ask
from edge_agent.errors import AgentUnreachable

_STANDARD_INPUT = "-"


class Kind(StrEnum):
    """What happened."""

    CONSUMPTION = "consumption"
    RETURN = "return"
    SCRAP = "scrap"
    SAMPLE = "sample"


_EVENTS = {
    Kind.CONSUMPTION: "consumed",
    Kind.RETURN: "returned",
    Kind.SCRAP: "scrapped",
    Kind.SAMPLE: "sampled",
}


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(enter)


def enter(
    kind: Annotated[Kind, typer.Argument(help="What happened.")],
    by: By,
    reason: Reason,
    *,
    material: Annotated[str | None, typer.Option(help="The material's number; a barcode may say it.")] = None,
    quantity: Annotated[str | None, typer.Option(help="How much, as 12.5; a barcode may say it.")] = None,
    unit: Annotated[str | None, typer.Option(help="A unit of the tag map; a barcode may say it.")] = None,
    order: Annotated[str | None, typer.Option(help="The order it was for.")] = None,
    lot: Annotated[str | None, typer.Option(help="Its lot; a barcode may say it.")] = None,
    container: Annotated[str | None, typer.Option(help="The container's SSCC; a barcode may say it.")] = None,
    from_: Annotated[str | None, typer.Option("--from", help="The storage location it was taken from.")] = None,
    to: Annotated[str | None, typer.Option("--to", help="The storage location it went back to.")] = None,
    process: Annotated[
        bool, typer.Option("--process", help="Scrapped out of the process, where its input was consumed already.")
    ] = False,
    barcode: Annotated[
        str | None, typer.Option(help="A GS1 barcode: (01)…(10)…, or as scanned; - reads a line of standard input.")
    ] = None,
    form: Annotated[
        str | None, typer.Option(help="The form's token: with the same one an entry is booked once. Made if left out.")
    ] = None,
    data: Data = DEFAULT_DATA,
    json_: Json = False,
) -> None:
    """Book what a person saw as an event of its own, under their name."""
    if process and kind is not Kind.SCRAP:
        raise typer.BadParameter("only scrap comes out of the process", param_hint="--process")
    request = {
        "event": _EVENTS[kind],
        "material": material,
        "quantity": quantity,
        "unit": unit,
        "order": order,
        "lot": lot,
        "container": container,
        "from": from_,
        "to": to,
        "process": process,
        "barcode": sys.stdin.readline().rstrip("\r\n") if barcode == _STANDARD_INPUT else barcode,
        "form": form or str(uuid4()),
        "by": by,
        "reason": reason,
    }
    with clear_errors():
        answer = _ask(data, request)
    if json_:
        print_json(answer | {"form": request["form"]})
    else:
        typer.echo(_sentence(kind, request["form"], answer))


def _ask(data: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Raises AgentUnreachable, which then tells how the entry is repeated: it may have been booked."""
    try:
        return ask(data, "enter", **request)
    except AgentUnreachable as error:
        raise AgentUnreachable(f"{error}. Repeat it with --form {request['form']}: it is booked once") from error


def _sentence(kind: Kind, form: object, answer: dict[str, Any]) -> str:
    where = f"{answer['source']}/{answer['sequence']}"
    what = f"{kind} of {answer['quantity']} {answer['unit']} of {answer['material']}"
    if answer["repeated"]:
        return f"form {form} was entered before, nothing is booked again: {what} is {where}"
    return f"booked: {what} is {where}, id {answer['id']} (form {form})"
