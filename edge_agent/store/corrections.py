"""Corrections: an event is taken back by `event.reversed`, and another may take its place; nothing is ever edited.

One waits only while an answer to its original is outstanding; nobody else is held up (reliability.md, invariant 8).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from pydantic import TypeAdapter

from edge_agent.errors import ControlError, StoreError
from edge_agent.model.ack import OUTSTANDING, AnswerStatus
from edge_agent.model.event import Change, Correction, EventDraft, Reversal, StoredEvent
from edge_agent.model.movement import EventType, LineState
from edge_agent.store import answers, dead
from edge_agent.store.connection import Connection, Statement
from edge_agent.store.database import Database, one_value
from edge_agent.store.ledger import LINE_COLUMNS, PUT_LINE
from edge_agent.store.outbox import read_events
from edge_agent.store.rows import checked, row_hash, to_text
from edge_agent.store.streams import Head, read_heads

COLUMNS = "stream, sequence, body, by, reason, asked, reversal, hash"
SELECT = f"SELECT {COLUMNS} FROM correction"  # noqa: S608 - fixed text
_PUT = f"""
    INSERT INTO correction ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (stream, sequence) DO UPDATE SET reversal = excluded.reversal, hash = excluded.hash
"""  # noqa: S608 - fixed text
_REVERSIBLE = {f"io.edgeagent.{event}.v1": event for event in EventType if event.startswith("material.")}
_WITHIN = timedelta(hours=1)
_REJECTED = "status = 'rejected'"


@dataclass(frozen=True, slots=True)
class Amendment:
    """What the new event changes: lines by their ids, and the order (None: as it was)."""

    lines: Mapping[str, Change] = field(default_factory=dict)
    order: str | None = None


_CODEC: TypeAdapter[Amendment] = TypeAdapter(Amendment)


class Corrections:
    """The running agent's view."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ask(
        self, source: str, sequence: int, amendment: Amendment | None, *, by: str, reason: str, at: datetime
    ) -> None:
        """Remember that an event is to be reversed, and what takes its place.

        Raises:
            ControlError: there is no such event, it cannot be reversed, or was already.
        """
        body = None if amendment is None else _CODEC.dump_json(amendment).decode()

        async def work(connection: Connection) -> None:
            head, original = await _original(connection, source, sequence)
            if original.type not in _REVERSIBLE:
                raise ControlError(f"{original.type} is no movement of material: it cannot be reversed")
            row = await _row(connection, head.stream, sequence)
            if row is not None:
                state = "waits for an answer" if row[6] is None else "is made"
                raise ControlError(f"event {sequence} of {source} has its correction already: it {state}")
            _check_lines(original, amendment)
            columns = (head.stream, sequence, body, by, reason, to_text(at), None)
            await connection.run_all([(_PUT, [(*columns, row_hash(*columns))])])

        await self._database.transaction(work)

    async def state(self, source: str, sequence: int) -> tuple[str | None, list[str]]:
        """The id of an event's reversal, None while it waits; and the systems whose answers it waits for."""

        async def work(connection: Connection) -> tuple[str | None, list[str]]:
            stream = next(head.stream for head in await read_heads(connection) if head.source == source)
            row = await _row(connection, stream, sequence)
            said = await answers.read(connection, "stream = ? AND sequence = ?", (stream, sequence))
            return None if row is None else row[6], [one.system for one in said if one.status in OUTSTANDING]

        return await self._database.transaction(work)

    async def ready(self, now: datetime) -> list[list[EventDraft]]:
        """The corrections that wait for nobody: each a reversal, and the new event if there is one."""

        async def work(connection: Connection) -> list[list[EventDraft]]:
            heads = {head.stream: head for head in await read_heads(connection)}
            async with connection.execute(f"{SELECT} WHERE reversal IS NULL ORDER BY asked") as cursor:
                rows = [correction_row(row) for row in await cursor.fetchall()]
            found = []
            for stream, sequence, *rest in rows:
                said = await answers.read(connection, "stream = ? AND sequence = ?", (stream, sequence))
                if any(row.status in OUTSTANDING for row in said) and not await _is_dead(connection, stream, sequence):
                    continue
                (original,) = await read_events(connection, heads[stream], sequence, sequence)
                within = said[0].due - original.recorded if said else _WITHIN
                found.append(_drafts(original, rest, tuple(row.system for row in said), max(within, _WITHIN), now))
            return found

        return await self._database.transaction(work)


def _drafts(
    original: StoredEvent, row: Sequence[Any], systems: tuple[str, ...], within: timedelta, now: datetime
) -> list[EventDraft]:
    body, by, reason, _asked, _reversal = row
    reversal = EventDraft(
        EventType.REVERSED,
        original.stream,
        now,
        about=Reversal(original, by, reason, now),
        accepted_by=systems,
        accepted_within=within,
    )
    drafts = [reversal]
    if body is not None:
        wanted = _CODEC.validate_json(body)
        correction = Correction(original, wanted.lines, wanted.order, by, reason, now)
        happened = datetime.fromisoformat(json.loads(original.payload)["time"])
        drafts.append(replace(reversal, type=_REVERSIBLE[original.type], time=happened, about=correction))
    return drafts


async def settle(
    connection: Connection, drafts: Sequence[EventDraft], stored: Sequence[StoredEvent], streams: Mapping[str, int]
) -> list[Statement]:
    """What the reversals and corrections among `drafts` change: the correction is made, answers and ledger follow.

    `streams` are row ids by source.

    Raises:
        StoreError: one of them was made already.
    """
    statements: list[Statement] = []
    replaced = {draft.about.original.id for draft in drafts if isinstance(draft.about, Correction)}
    for draft, event in zip(drafts, stored, strict=True):
        about = draft.about
        if isinstance(about, Reversal):
            original = about.original
            stream = streams[original.source]
            statements.append(await _made(connection, stream, original, event))
            statements.append(await _corrected(connection, stream, original.sequence))
            statements.append(await dead.corrected(connection, stream, original.sequence))
            if original.id not in replaced:
                statements.append((PUT_LINE, [row async for row in _lines(connection, original, None, None)]))
        elif isinstance(about, Correction):
            place = (streams[event.source], event.sequence)
            statements.append((PUT_LINE, [row async for row in _lines(connection, about.original, about, place)]))
    return statements


async def _made(connection: Connection, stream: int, original: StoredEvent, reversal: StoredEvent) -> Statement:
    row = await _row(connection, stream, original.sequence)
    if row is None or row[6] is not None:
        raise StoreError(f"event {original.sequence} of {original.source} is reversed already, or nobody asked for it")
    columns = (*row[:6], reversal.id)
    return _PUT, [(*columns, row_hash(*columns))]


async def _corrected(connection: Connection, stream: int, sequence: int) -> Statement:
    """What was rejected is settled by it; of what nobody could receive, everything."""
    unheard = await _is_dead(connection, stream, sequence)
    where = f"stream = ? AND sequence = ? AND {answers.NOT_FINAL if unheard else _REJECTED}"
    rows = await answers.read(connection, where, (stream, sequence))
    return answers.insert([replace(row, status=AnswerStatus.CORRECTED).columns() for row in rows])


async def _is_dead(connection: Connection, stream: int, sequence: int) -> bool:
    """Whether the event could not be published: then nobody can answer it."""
    sql = "SELECT 1 FROM dead WHERE stream = ? AND sequence = ? AND status = 'open'"
    return await one_value(connection, sql, (stream, sequence)) is not None


async def _lines(
    connection: Connection, original: StoredEvent, correction: Correction | None, place: tuple[int, int] | None
) -> Any:
    """The ledger's lines of an event that is taken back, or whose place another takes."""
    data = json.loads(original.payload)["data"]
    order = data.get("jobOrderID") if correction is None or correction.order is None else correction.order
    event = _REVERSIBLE[original.type].removeprefix("material.")
    for ids, entry in _entries(data):
        proof = entry["evidence"]
        sql = f"SELECT {LINE_COLUMNS} FROM line WHERE rule = ? AND epoch = ? AND from_position = ?"  # noqa: S608 - fixed text
        async with connection.execute(sql, (proof["rule"], proof["epoch"], proof["fromPosition"])) as cursor:
            row = await cursor.fetchone()
        if row is None:
            continue  # a decided review whose quantity was doubted has no place in the ledger
        *columns, digest = row
        checked(f"line {columns[0]}/{columns[1]}/{columns[2]}", tuple(columns), digest)
        if correction is None or place is None:
            columns[4] = str(LineState.REVERSED)
        else:
            change = next((correction.lines[one] for one in ids if one in correction.lines), Change())
            location = entry.get("storageLocation", {}).get("location", "")
            columns[4] = str(LineState.CORRECTED)
            columns[5] = f"{event}/{entry['materialDefinitionID']}/{order or ''}/{location}"
            columns[6] = columns[6] if change.quantity is None else f"{change.quantity:f}"
            columns[9:11] = place
        yield (*columns, row_hash(*columns))


def _entries(data: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """The lines of an event's data with their ids; a move's pair is one line."""
    pairs: dict[str, list[str]] = {}
    for entry in data["materialActual"]:
        pairs.setdefault(entry.get("pairID", f"line {entry['id']}"), []).append(entry["id"])
    by_id = {entry["id"]: entry for entry in data["materialActual"]}
    return ((tuple(ids), by_id[ids[0]]) for ids in pairs.values())


def _check_lines(original: StoredEvent, amendment: Amendment | None) -> None:
    """Raises ControlError where the amendment changes nothing, or a line that is not there."""
    if amendment is None:
        return
    data = json.loads(original.payload)["data"]
    for ids, _entry in _entries(data):
        if len({amendment.lines[one] for one in ids if one in amendment.lines}) > 1:
            raise ControlError(f"lines {' and '.join(ids)} are the two sides of one move: they change alike")
    known = {entry["id"] for entry in data["materialActual"]}
    if unknown := sorted(amendment.lines.keys() - known):
        raise ControlError(f"the event has lines {', '.join(sorted(known))}, not {', '.join(unknown)}")
    if any(change.quantity is not None and change.quantity <= Decimal(0) for change in amendment.lines.values()):
        raise ControlError("a corrected quantity is above 0; without a new event the reversal alone takes it back")
    if not amendment.lines and amendment.order is None:
        raise ControlError("the new event would be the same: say what changes")


async def _original(connection: Connection, source: str, sequence: int) -> tuple[Head, StoredEvent]:
    head = next((head for head in await read_heads(connection) if head.source == source), None)
    found = [] if head is None else await read_events(connection, head, sequence, sequence)
    if head is None or not found:
        raise ControlError(f"there is no event {sequence} of {source} in the store (any more)")
    return head, found[0]


async def _row(connection: Connection, stream: int, sequence: int) -> tuple[Any, ...] | None:
    async with connection.execute(f"{SELECT} WHERE stream = ? AND sequence = ?", (stream, sequence)) as cursor:
        row = await cursor.fetchone()
    return None if row is None else correction_row(row)


def correction_row(row: Any) -> tuple[Any, ...]:
    """A row without its hash. Raises StoreCorrupt where it does not match it."""
    *columns, digest = row
    return checked(f"correction of event {columns[1]} of stream {columns[0]}", tuple(columns), digest)
