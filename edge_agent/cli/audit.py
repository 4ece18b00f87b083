"""`edge-agent audit`: is the audit log whole, and what does it say? Works beside the running agent and without it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from edge_agent.cli.common import DEFAULT_DATA, EXIT_FINDINGS, Data, Json, clear_errors, fail, print_json
from edge_agent.cli.events import plain
from edge_agent.cli.lines import line, write_lines
from edge_agent.store.audit_trail import Break
from edge_agent.store.reader import DATABASE_NAME, Reader, open_reader
from edge_agent.store.rows import to_text

log = typer.Typer(help="The audit log: verify its chain, export it sealed.", no_args_is_help=True)


@dataclass(frozen=True, slots=True)
class Export:
    """What an export says: (sequence, hash) of its entries, and the newest entry there was."""

    hashes: tuple[tuple[int, str], ...]
    head: tuple[int, str]


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(log, name="audit")


@log.command()
def verify(
    against: Annotated[Path | None, typer.Option(help="A former export: is what it held still there?")] = None,
    data: Data = DEFAULT_DATA,
    json_: Json = False,
) -> None:
    """Walk the whole chain. Exit 1 at the first break, with its place and the entry there."""
    former = None if against is None else _read(against)
    with clear_errors(), open_reader(data / DATABASE_NAME) as reader:
        trail = reader.audit()
        broken = trail.broken
        if broken is None and former is not None:
            broken = reader.audit_differs(former.hashes, former.head)
    if json_:
        head = {"sequence": trail.sequence, "hash": trail.hash}
        print_json({"entries": trail.sequence, "head": head, "break": None if broken is None else broken.as_json()})
    elif broken is None:
        typer.echo(f"{trail.sequence} entries, unbroken; the head is {trail.sequence} {trail.hash}")
    else:
        _tell(broken)
    if broken is not None:
        raise typer.Exit(EXIT_FINDINGS)


@log.command()
def export(
    file: Annotated[Path | None, typer.Argument(help="Where to; standard output if left out.")] = None,
    since: Annotated[str | None, typer.Option(help="Only entries from this day or time on (RFC 3339; UTC).")] = None,
    data: Data = DEFAULT_DATA,
    json_: Json = False,
) -> None:
    """Every entry as JSON Lines; the last line seals the others. Exit 1 where the chain is broken."""
    first = _moment(since)
    seal: dict[str, Any] = {"since": first}
    with clear_errors(), open_reader(data / DATABASE_NAME) as reader:
        lines = _lines(reader, first, seal)
        write_lines(lines if file is not None else list(lines), file)  # a reader of the output holds nobody up
    if file is not None and json_:
        print_json({"file": str(file), **seal})
    elif file is not None:
        typer.echo(f"{file}: {seal['entries']} entries; the head is {seal['head']['sequence']} {seal['head']['hash']}")
    if seal["break"] is not None:
        fail(f"the chain is broken at entry {seal['break']['sequence']}: {seal['break']['message']}")


def _lines(reader: Reader, first: str | None, seal: dict[str, Any]) -> Iterator[str]:
    """The entries, and the seal: how many, the newest of the log, and SHA-256 of the lines before it."""
    entries, trail = reader.audit_entries()
    digest, count = hashlib.sha256(), 0
    for entry in entries:
        trail.follow(entry)
        if first is None or str(entry.at) >= first:
            text = line(entry._asdict())
            digest.update(f"{text}\n".encode("ascii"))
            count += 1
            yield text
    seal["entries"], seal["head"] = count, {"sequence": trail.sequence, "hash": trail.hash}
    seal["sha256"] = digest.hexdigest()
    seal["break"] = None if trail.broken is None else trail.broken.as_json()
    yield line({"sealed": seal})


def _read(file: Path) -> Export:
    """A former export. Ends the command where it is none, or not as it was written."""
    digest, hashes, last = hashlib.sha256(), [], b""
    try:
        with file.open("rb") as lines:
            for text in lines:
                if last:
                    digest.update(last)
                    hashes.append(_hash(json.loads(last)))
                last = text
        seal = json.loads(last)["sealed"]
        export = Export(tuple(hashes), _hash(seal["head"]))
        broken, written = seal["break"], seal["sha256"]
    except OSError as error:
        fail(f"{file} cannot be read ({error})")
    except (ValueError, TypeError, KeyError, RecursionError):
        fail(f"{file} is no whole export of an audit log: its last line has to be the seal")
    if written != digest.hexdigest():
        fail(f"{file} is not as it was written: its lines do not match its seal")
    if broken is not None:
        fail(f"{file} proves nothing: the chain was broken already when it was made")
    return export


def _hash(entry: Any) -> tuple[int, str]:
    return int(entry["sequence"]), str(entry["hash"])


def _tell(broken: Break) -> None:
    typer.echo(f"broken at entry {broken.sequence} ({broken.kind}): {broken.message}")
    if broken.entry is not None:
        for name, value in broken.entry._asdict().items():
            typer.echo(plain(f"  {name}: {value}"))


def _moment(text: str | None) -> str | None:
    """As entries write it: a day is its first moment, a time without a zone is UTC."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no day or time: write 2026-03-01", param_hint="--since") from error
    return to_text(found if found.tzinfo else found.replace(tzinfo=UTC))
