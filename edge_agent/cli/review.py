"""`edge-agent review`: what needs a person, and the person's word on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.console import Console

from edge_agent.cli.common import DEFAULT_DATA, Data, Json, clear_errors, print_json, verbatim_console
from edge_agent.cli.events import plain
from edge_agent.control import ask
from edge_agent.store.reader import DATABASE_NAME, open_reader

Name = Annotated[str, typer.Argument(metavar="ID", help="The review, as `review list` names it.")]
By = Annotated[str, typer.Option(help="Who decides: goes into the event and the audit log.")]
Reason = Annotated[str, typer.Option(help="Why: goes into the event and the audit log.")]

reviews = typer.Typer(help="Doubtful movements: list, accept a candidate, reject.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(reviews, name="review")


@reviews.command("list")
def list_(
    data: Data = DEFAULT_DATA,
    everything: Annotated[bool, typer.Option("--all", help="Decided ones too.")] = False,
    json_: Json = False,
) -> None:
    """What is open, with every candidate and its number."""
    with clear_errors(), open_reader(data / DATABASE_NAME) as reader:
        found = reader.reviews(everything=everything)
    if json_:
        print_json({"reviews": found})
        return
    console = verbatim_console()
    if not found:
        console.print("Nothing to review.")
    for one in found:
        _show(console, one)


@reviews.command()
def show(name: Name, data: Data = DEFAULT_DATA, json_: Json = False) -> None:
    """One review whole: candidates, raw values, evidence, its event, the decision."""
    with clear_errors(), open_reader(data / DATABASE_NAME) as reader:
        found = reader.review(name)
    if json_:
        print_json(found)
        return
    _show(verbatim_console(), found)
    for text in _evidence(found):
        typer.echo(plain(text))


@reviews.command()
def accept(
    name: Name,
    by: By,
    reason: Reason,
    *,
    candidate: Annotated[int | None, typer.Option(min=1, help="The number of the candidate to book.")] = None,
    quantity: Annotated[
        str | None, typer.Option(help="What was found, in the review's unit, in place of the candidate's.")
    ] = None,
    data: Data = DEFAULT_DATA,
    json_: Json = False,
) -> None:
    """Book one candidate, or what was found, as an event that names its cause, the person and the reason."""
    with clear_errors():
        answer = ask(data, "review.accept", id=name, candidate=candidate, quantity=quantity, by=by, reason=reason)
    _answer(answer, f"{name}: booked {answer['quantity']} {answer['unit']}", json_=json_)


@reviews.command()
def reject(name: Name, by: By, reason: Reason, data: Data = DEFAULT_DATA, json_: Json = False) -> None:
    """Close the review; nothing is booked."""
    with clear_errors():
        answer = ask(data, "review.reject", id=name, by=by, reason=reason)
    _answer(answer, f"{name}: closed, nothing booked", json_=json_)


def _answer(answer: dict[str, Any], sentence: str, *, json_: bool) -> None:
    if json_:
        print_json(answer)
    else:
        typer.echo(sentence)


def _show(console: Console, one: dict[str, Any]) -> None:
    state = "" if one["status"] == "open" else f" [{one['status']} by {one['decided_by']}: {one['reason']}]"
    console.print(plain(f"{one['id']}  {one['key']}  {one['cause']}{state}"), style="bold")
    console.print(plain(f"  {one['message']}  ({one['since']} to {one['until']})"))
    for candidate in one["candidates"]:
        whose = "".join(f", {part} {candidate[part]}" for part in ("order", "lot", "container") if candidate[part])
        quantity = f"{candidate['quantity']} {one['unit']}"
        console.print(plain(f"  {candidate['candidate']}: {quantity}: {candidate['why']}{whose}"))


def _evidence(one: dict[str, Any]) -> Iterator[str]:
    proof, event = one["evidence"], one["event"]
    yield f"  counted {one['quantity']} {one['unit']}, raw {one['raw']['before']} to {one['raw']['after']}"
    yield f"  positions {proof['from_position']} to {proof['to_position']} of epoch {proof['epoch']}"
    yield f"  source times {proof['first_time']} to {proof['last_time']}, {proof['samples']} samples"
    yield f"  flags: {', '.join(proof['flags']) or 'none'}; status codes: {proof['status_codes'] or 'none'}"
    yield f"  opened {one['opened']} as event {event['name'] or '(pruned since)'}, id {event['id']}"
    if one["decided"] is not None:
        chosen = "" if one["candidate"] is None else f" candidate {one['candidate']}"
        chosen += "" if one["booked"] is None else f", {one['booked']} {one['unit']}"
        yield f"  {one['status']}{chosen} by {one['decided_by']} at {one['decided']}: {one['reason']}"
