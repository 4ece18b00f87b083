"""`edge-agent dead`: events that a system rejected or no broker takes, and what a person does about them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from edge_agent.cli.common import DEFAULT_DATA, EXIT_FINDINGS, Data, Json, clear_errors, print_json
from edge_agent.cli.events import By, Event, Reason, plain
from edge_agent.cli.lines import line, write_lines
from edge_agent.control import ask
from edge_agent.errors import AgentUnreachable, ControlError
from edge_agent.model.ack import Code
from edge_agent.store.reader import DATABASE_NAME, open_reader

Found = dict[str, Any]

WHAT_TO_DO: Mapping[str, str] = {
    Code.INSUFFICIENT_STOCK: "post there what is missing, then retry",
    Code.UNKNOWN_LOT: "create the lot there, then retry",
    Code.UNKNOWN_PRODUCT: "create the material there, then retry",
    Code.UNKNOWN_LOCATION: "create the storage location there, then retry",
    Code.UNKNOWN_UNIT: "create the unit there, then retry",
    Code.ORDER_NOT_RUNNING: "release the order there, then retry",
    Code.LOT_BLOCKED: "release the lot there, then retry",
    Code.DATE_IN_FUTURE: "compare the clocks; once its day has come, retry",
    Code.ERP_BUSY: "retry once it has time again",
    Code.CLOSED_PERIOD: "have the period opened there and retry, or correct --void and enter it in an open one",
    Code.ACCESS_DENIED: "give the receiver's login the right it lacks, then retry",
    Code.UNIT_MISMATCH: "put the unit right there and retry, or correct --void and enter it in the receiver's unit",
    Code.QUANTITY_PRECISION: "allow more decimals there and retry, or correct --quantity",
    Code.LOT_EXPIRED: "extend the lot there and retry, or correct --lot",
    Code.ORDER_CLOSED: "reopen the order there and retry, or correct --order",
    Code.ORDER_REQUIRED: "correct --order",
    Code.ID_CONFLICT: "it holds another content under this id: compare the two before anything is sent",
    Code.MALFORMED: "it cannot read the event: put the receiver right and retry, or correct --void",
}
"""By the code of a rejection; "there" is the receiving system."""
_UNPUBLISHABLE = "raise the broker's limit or its rights and retry, or correct"
_CORRECTION_WAITS = "nothing: its correction goes out with the last answer"

letters = typer.Typer(help="Events that a system rejected, or that no broker takes.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(letters, name="dead")


@letters.command("list")
def list_(
    data: Data = DEFAULT_DATA,
    everything: Annotated[
        bool, typer.Option("--all", help="Also what waits for others: corrections, overdue and busy answers.")
    ] = False,
    json_: Json = False,
) -> None:
    """What is rejected or unpublishable, why, since when, and what to do about it."""
    with clear_errors(), open_reader(data / DATABASE_NAME) as reader:
        found = reader.dead_letters()
        waits = reader.waiting(datetime.now(UTC)) if everything else {}
    for one in found["rejected"]:
        one["what_to_do"] = _CORRECTION_WAITS if one["correction_waits"] else WHAT_TO_DO[one["code"]]
    for one in found["unpublishable"]:
        one["what_to_do"] = _UNPUBLISHABLE
    if json_:
        print_json(found | waits)
        return
    for text in (*_letters(found), *(_waits(waits) if everything else ())):
        typer.echo(plain(text))
    if not found["rejected"] and not found["unpublishable"]:
        typer.echo("No dead letters.")


@letters.command()
def show(event: Event, data: Data = DEFAULT_DATA, json_: Json = False) -> None:
    """One event whole: its bytes as JSON, what every system answered, its correction."""
    with clear_errors(), open_reader(data / DATABASE_NAME) as reader:
        found = reader.event(event)
    if json_:
        print_json(found)
        return
    for text in _shown(found):
        typer.echo(plain(text))
    typer.echo(json.dumps(found["event"], indent=2, ensure_ascii=False))


@letters.command()
def retry(
    events: Annotated[list[str], typer.Argument(metavar="EVENT", help="As `dead list` names them.")],
    by: By,
    reason: Reason,
    *,
    data: Data = DEFAULT_DATA,
    json_: Json = False,
) -> None:
    """Have the original bytes sent again. Exit 1 where one was not."""
    results: list[Found] = []
    with clear_errors():
        for event in events:
            results.append({"event": event, **_retried(data, event, by, reason)})
            if not json_:
                typer.echo(plain(_retry_sentence(results[-1])))
    if json_:
        print_json({"retried": results})
    if not all(one["sent"] for one in results):
        raise typer.Exit(EXIT_FINDINGS)


@letters.command()
def export(
    file: Annotated[Path | None, typer.Argument(help="Where to; standard output if left out.")] = None,
    data: Data = DEFAULT_DATA,
    json_: Json = False,
) -> None:
    """The original events with their rejections as JSON Lines; `payload` is an event byte for byte."""
    with clear_errors(), open_reader(data / DATABASE_NAME) as reader:
        found = reader.originals()
    write_lines(map(line, found), file)
    if file is not None and json_:
        print_json({"file": str(file), "events": len(found)})
    elif file is not None:
        typer.echo(f"{file}: {len(found)} events")


def _retried(data: Path, event: str, by: str, reason: str) -> Mapping[str, Any]:
    """What the agent answers, or why it was not asked or refuses. Raises AgentUnreachable."""
    try:
        with open_reader(data / DATABASE_NAME) as reader:
            found = reader.event(event)
        return ask(data, "dead.retry", source=found["source"], sequence=found["sequence"], by=by, reason=reason)
    except AgentUnreachable:
        raise
    except ControlError as error:
        return {"sent": 0, "systems": [], "why": str(error)}


def _retry_sentence(one: Found) -> str:
    if not one["sent"]:
        return f"{one['event']}: not sent: {one['why']}"
    awaited = f"; the word of {', '.join(one['systems'])} is awaited" if one["systems"] else ""
    return f"{one['event']}: sent again{awaited}"


def _letters(found: Mapping[str, list[Found]]) -> Iterator[str]:
    for one in found["rejected"]:
        again = "may be accepted when sent again" if one["retryable"] else "needs a person"
        said = f": {one['text']}" if one["text"] else ""
        yield f"{one['name']}  {one['type']}  rejected by {one['system']} since {one['since']}"
        yield f"  {one['code']} ({again}){said}"
        yield f"  {one['what_to_do']}"
    for one in found["unpublishable"]:
        yield f"{one['name']}  {one['type']}  unpublishable since {one['since']}"
        yield f"  {one['reason']}"
        yield f"  {one['what_to_do']}"


def _waits(found: Mapping[str, list[Found]]) -> Iterator[str]:
    for one in found["corrections_waiting"]:
        who = ", ".join(one["waits_for"]) or "nobody: it is about to be made"
        yield f"{one['name']}  correction asked by {one['by']} at {one['asked']} waits for {who}"
    for state in ("overdue", "busy"):
        for one in found[state]:
            again = f", next sent again at {one['resend_at']}" if one["resend_at"] else ""
            which = one["first"] if one["count"] == 1 else f"{one['first']} to {one['last']}"
            yield f"{one['system']}  {one['count']} {state}: {which}, since {one['since']}{again}"


def _shown(found: Found) -> Iterator[str]:
    yield f"{found['name']}  {found['type']}  {'published' if found['published'] else 'not published'}"
    yield f"  source {found['source']}, id {found['id']}"
    yield f"  topic {found['topic']}, recorded {found['recorded']}, sha256 {found['sha256']}"
    if not found["answers"]:
        yield "  no system's word is needed"
    for one in found["answers"]:
        yield f"  {one['system']}: {_answer(one)}"
    if (letter := found["unpublishable"]) is not None:
        yield f"  unpublishable since {letter['since']} ({letter['status']}): {letter['reason']}"
    if (asked := found["correction"]) is not None:
        what = "void" if asked["changes"] is None else line(asked["changes"])
        state = f"made as {asked['reversal']}" if asked["reversal"] else f"waits for {', '.join(asked['waits_for'])}"
        yield f"  correction by {asked['by']} at {asked['asked']}: {what}, {asked['reason']}; {state}"


def _answer(one: Found) -> str:
    parts = [one["status"], one["at"] and f"at {one['at']}", one["cumulative"] and "cumulatively"]
    parts += [one["document"] and f"as document {one['document']}", one["posted_on"] and f"on {one['posted_on']}"]
    parts += [one["code"], one["text"], one["at"] is None and f"due {one['due']}"]
    parts += [one["resend_at"] and f"sent again at {one['resend_at']}"]
    return ", ".join(part for part in parts if part)
