"""What receiving systems have answered, event by event (events.md, States); a cumulative answer is many of them.

An answer never goes back: what is accepted stays accepted, a rejection is only left by a person's retry or correction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import aiosqlite

from edge_agent.model.ack import Answer, Answers, AnswerStatus, Overdue, Taken
from edge_agent.model.event import EventDraft, StoredEvent
from edge_agent.store.connection import Connection, Statement
from edge_agent.store.database import Database, one_value
from edge_agent.store.rows import checked, from_text, row_hash, to_text
from edge_agent.store.streams import Head, read_heads

COLUMNS = (
    "stream, sequence, system, status, due, answered, single, document, posted_on, code, text, resends, resend_at, hash"
)
_PUT = f"""
    INSERT INTO answer ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (stream, sequence, system) DO UPDATE SET
        status = excluded.status, due = excluded.due, answered = excluded.answered, single = excluded.single,
        document = excluded.document, posted_on = excluded.posted_on, code = excluded.code, text = excluded.text,
        resends = excluded.resends, resend_at = excluded.resend_at, hash = excluded.hash
"""  # noqa: S608 - fixed text; no REPLACE, over which the triggers would not watch
SELECT = f"SELECT {COLUMNS} FROM answer"  # noqa: S608 - fixed text
_OF_EVENT = "stream = (SELECT id FROM stream WHERE source = ?) AND sequence = ?"
_UP_TO = "INSERT OR REPLACE INTO acknowledged (stream, system, up_to, hash) VALUES (?, ?, ?, ?)"
NOT_FINAL = "status NOT IN ('accepted', 'corrected')"
_FIRST_RESEND = timedelta(seconds=30)
_LONGEST_RESEND = timedelta(minutes=15)
OWED = f"{NOT_FINAL} AND status <> 'rejected'"
"""An answer is outstanding. Said by way of `NOT_FINAL`, else SQLite reads every answer ever given."""
OVERDUE_AGAIN = timedelta(hours=1)
"""While a system is silent, what more becomes overdue is said so seldom."""


@dataclass(frozen=True, slots=True)
class Row:
    """One system's word on one event, or that it is awaited. `single` is false for a cumulative one."""

    stream: int
    sequence: int
    system: str
    status: AnswerStatus
    due: datetime
    answered: datetime | None = None
    single: bool = False
    document: str | None = None
    posted_on: str | None = None
    code: str | None = None
    text: str | None = None
    resends: int = 0
    resend_at: datetime | None = None

    def columns(self) -> tuple[Any, ...]:
        """The row, its hash last."""
        when = [None if moment is None else to_text(moment) for moment in (self.answered, self.resend_at)]
        columns = (
            *(self.stream, self.sequence, self.system, str(self.status), to_text(self.due), when[0], int(self.single)),
            *(self.document, self.posted_on, self.code, self.text, self.resends, when[1]),
        )
        return (*columns, row_hash(*columns))


def expected(draft: EventDraft, event: StoredEvent, stream: int) -> Iterable[tuple[Any, ...]]:
    """The rows that await a word on an event, from every system that the tag map names for it."""
    due = event.recorded + draft.accepted_within
    return (
        Row(stream, event.sequence, system, AnswerStatus.AWAITING, due).columns()
        for system in dict.fromkeys(draft.accepted_by)
    )


def insert(rows: Sequence[tuple[Any, ...]]) -> Statement:
    """Stores rows."""
    return _PUT, rows


async def read(connection: aiosqlite.Connection, where: str, values: tuple[Any, ...]) -> list[Row]:
    """The rows `where`. Raises StoreCorrupt where one does not match its hash."""
    async with connection.execute(f"{SELECT} WHERE {where} ORDER BY stream, sequence, system", values) as cursor:
        return [row_of(columns) for columns in await cursor.fetchall()]


def row_of(columns: Any) -> Row:
    """What a row holds. Raises StoreCorrupt where it does not match its hash."""
    *plain, digest = columns
    checked(f"answer {plain[1]} of stream {plain[0]} by {plain[2]}", tuple(plain), digest)
    stream, sequence, system, status, due, answered, single, document, posted_on, code, text, resends, resend_at = plain
    return Row(
        *(stream, sequence, system, AnswerStatus(status), from_text(due), _moment(answered), bool(single)),
        *(document, posted_on, code, text, resends, _moment(resend_at)),
    )


def _moment(text: str | None) -> datetime | None:
    return None if text is None else from_text(text)


class AnswerBook:
    """The running agent's account of what was answered."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, message: Answers, now: datetime) -> Taken:
        """Take one message of answers, all in one transaction."""
        digest = hashlib.sha256(message.content).hexdigest()

        async def work(connection: Connection) -> Taken:
            head = next((head for head in await read_heads(connection) if head.source == message.source), None)
            if head is None:
                return Taken(reason="its source is not one of this agent's")
            sql = "SELECT digest FROM nonce WHERE system = ? AND nonce = ?"
            known = await one_value(connection, sql, (message.system, message.nonce))
            said = await _up_to(connection, head, message.system)
            if known is not None:
                if known != digest:
                    return Taken(up_to=said, reason="its nonce was used for another message")
                return Taken(repeated=len(message.answers) + (message.up_to is not None), up_to=said)
            await connection.execute("DELETE FROM nonce WHERE expires < ?", (to_text(now),))
            await connection.execute(
                "INSERT INTO nonce (system, nonce, digest, expires) VALUES (?, ?, ?, ?)",
                (message.system, message.nonce, digest, to_text(message.expires)),
            )
            return _sum(
                await _singles(connection, head, message, now), await _cumulative(connection, head, message, now)
            )

        return await self._database.transaction(work)

    async def overdue(self, now: datetime) -> list[Overdue]:
        """What no exception has said yet, of each stream and system: unanswered at `now` though it was due.

        A stream and system that an exception spoke of less than `OVERDUE_AGAIN` ago waits for its next turn.
        """
        sql = f"""
            SELECT s.source, a.system, min(a.sequence), max(a.sequence), count(*), min(a.due) FROM answer AS a
            JOIN stream AS s ON s.id = a.stream LEFT JOIN overdue AS o ON o.stream = a.stream AND o.system = a.system
            WHERE a.{OWED} AND a.due <= ? AND a.sequence > coalesce(o.up_to, 0) AND coalesce(o.at, '') <= ?
            AND NOT EXISTS (
                SELECT 1 FROM dead AS d WHERE d.stream = a.stream AND d.sequence = a.sequence AND d.status = 'open'
            ) GROUP BY a.stream, a.system
        """  # noqa: S608 - fixed text

        async def work(connection: Connection) -> list[Overdue]:
            async with connection.execute(sql, (to_text(now), to_text(now - OVERDUE_AGAIN))) as cursor:
                return [
                    Overdue(system, source, first, last, count, from_text(due))
                    for source, system, first, last, count, due in await cursor.fetchall()
                ]

        return await self._database.transaction(work)

    async def due_again(self, now: datetime) -> list[tuple[str, int]]:
        """(source, sequence) of events that a busy system, or a person, wants to have sent again."""
        sql = f"""
            SELECT DISTINCT s.source, a.sequence FROM answer AS a JOIN stream AS s ON s.id = a.stream
            WHERE a.{OWED} AND a.resend_at <= ? ORDER BY s.source, a.sequence
        """  # noqa: S608 - fixed text

        async def work(connection: Connection) -> list[tuple[str, int]]:
            async with connection.execute(sql, (to_text(now),)) as cursor:
                return [(source, sequence) for source, sequence in await cursor.fetchall()]

        return await self._database.transaction(work)

    async def sent_again(self, source: str, sequence: int, now: datetime, *, taken: bool) -> None:
        """It was, or (not `taken`) the broker refused: then, and for a busy system, once more after a longer pause."""

        async def work(connection: Connection) -> None:
            where = f"{_OF_EVENT} AND resend_at <= ?"
            rows = await read(connection, where, (source, sequence, to_text(now)))
            await connection.run_all([insert([_sent_again(row, now, taken=taken).columns() for row in rows])])

        await self._database.transaction(work)

    async def retry(self, source: str, sequence: int, within: timedelta, now: datetime) -> list[str]:
        """A person wants a rejected event sent again: its rejections become `retried`; the systems they were of."""

        async def work(connection: Connection) -> list[str]:
            rows = await read(connection, f"{_OF_EVENT} AND status = 'rejected'", (source, sequence))
            again = [replace(row, status=AnswerStatus.RETRIED, due=now + within, resend_at=now) for row in rows]
            await connection.run_all([insert([row.columns() for row in again])])
            return [row.system for row in rows]

        return await self._database.transaction(work)


def _sent_again(row: Row, now: datetime, *, taken: bool) -> Row:
    if taken and row.status is not AnswerStatus.BUSY:
        return replace(row, resends=row.resends + 1, resend_at=None)
    return replace(row, resends=row.resends + 1, resend_at=now + _pause(row.resends + 1))


def _pause(resends: int) -> timedelta:
    longest: timedelta = _FIRST_RESEND * (1 << min(resends, 10))
    return min(longest, _LONGEST_RESEND)


async def _singles(connection: Connection, head: Head, message: Answers, now: datetime) -> Taken:
    """Take the answers to single events."""
    changed: list[Row] = []
    refused: list[tuple[int | None, str]] = []
    asked = tuple(answer.sequence for answer in message.answers)
    among = f"sequence IN ({', '.join('?' * len(asked))})"
    found = await read(connection, f"stream = ? AND system = ? AND {among}", (head.stream, message.system, *asked))
    rows = {row.sequence: row for row in found}
    sql = f"SELECT sequence, id FROM event WHERE stream = ? AND {among}"  # noqa: S608 - question marks
    async with connection.execute(sql, (head.stream, *asked)) as cursor:
        ids = {row[0]: row[1] for row in await cursor.fetchall()}
    for answer in message.answers:
        row = rows.get(answer.sequence)
        why = _foreign(head, ids.get(answer.sequence), answer) or (row and _refusal(row, answer))
        if why:
            refused.append((answer.sequence, why))
        elif row is not None and not _says_the_same(row, answer):
            changed.append(_told(row, answer, now))
    await connection.run_all([insert([row.columns() for row in changed])])
    repeated = len(message.answers) - len(changed) - len(refused)
    return Taken(len(changed), repeated, tuple(refused))


async def _cumulative(connection: Connection, head: Head, message: Answers, now: datetime) -> Taken:
    """Take what is accepted up to a sequence: all that is not rejected, and not answered singly by this message."""
    up_to, said = message.up_to, await _up_to(connection, head, message.system)
    if up_to is None or up_to <= said:
        return Taken(repeated=int(up_to is not None), up_to=said)
    if up_to > head.sequence:
        return Taken(refused=((None, f"upTo {up_to} is beyond the last event, {head.sequence}"),), up_to=said)
    singly = {answer.sequence for answer in message.answers}
    where = f"stream = ? AND system = ? AND sequence <= ? AND {OWED} AND status <> 'retried'"
    rows = await read(connection, where, (head.stream, message.system, up_to))
    accepted = [
        replace(row, status=AnswerStatus.ACCEPTED, answered=now, resend_at=None)
        for row in rows
        if row.sequence not in singly
    ]
    seal = (head.stream, message.system, up_to)
    await connection.run_all([insert([row.columns() for row in accepted]), (_UP_TO, [(*seal, row_hash(*seal))])])
    return Taken(taken=1, up_to=up_to)


def _sum(single: Taken, cumulative: Taken) -> Taken:
    return Taken(
        single.taken + cumulative.taken,
        single.repeated + cumulative.repeated,
        (*single.refused, *cumulative.refused),
        cumulative.up_to,
    )


def _refusal(row: Row, answer: Answer) -> str | None:
    """Why the answer cannot follow what is known; None if it can. A cumulative acceptance yields to a single answer."""
    if row.status is AnswerStatus.CORRECTED:
        return "it was corrected"
    if row.status is AnswerStatus.ACCEPTED and row.single:
        other = answer.document is not None and answer.document != row.document
        if answer.status is not AnswerStatus.ACCEPTED or other:
            return f"it was accepted before{'' if row.document is None else f', as document {row.document}'}"
    if row.status is AnswerStatus.REJECTED and answer.status is not AnswerStatus.REJECTED:
        return "it was rejected before; a person has to have it sent again, or correct it"
    if row.status is AnswerStatus.ACCEPTED and answer.status is AnswerStatus.BUSY:
        return "it was accepted before"
    return None


def _says_the_same(row: Row, answer: Answer) -> bool:
    code = None if answer.code is None else str(answer.code)
    return row.single and row.status is answer.status is not AnswerStatus.BUSY and row.code == code


def _told(row: Row, answer: Answer, now: datetime) -> Row:
    """The row with the answer in it."""
    wait = _pause(row.resends) if answer.retry_after is None else timedelta(seconds=answer.retry_after)
    return replace(
        row,
        status=answer.status,
        answered=now,
        single=True,
        document=answer.document,
        posted_on=None if answer.posted_on is None else answer.posted_on.isoformat(),
        code=None if answer.code is None else str(answer.code),
        text=answer.text,
        resend_at=now + wait if answer.status is AnswerStatus.BUSY else None,
    )


def _foreign(head: Head, identity: str | None, answer: Answer) -> str | None:
    """Why the answer is to no event of this stream; None if it is. `identity` None: the event is pruned."""
    if answer.sequence > head.sequence:
        return f"event {answer.sequence} does not exist yet; the last one is {head.sequence}"
    if identity is not None and identity != answer.id:
        return f"event {answer.sequence} has another id"
    return None


async def _up_to(connection: Connection, head: Head, system: str) -> int:
    sql = "SELECT up_to, hash FROM acknowledged WHERE stream = ? AND system = ?"
    async with connection.execute(sql, (head.stream, system)) as cursor:
        row = await cursor.fetchone()
    if row is None:
        return 0
    checked(f"acknowledged {head.source} by {system}", (head.stream, system, row[0]), row[1])
    return int(row[0])


def overdue_said(drafts: Iterable[EventDraft], streams: Mapping[str, int], at: datetime) -> Statement:
    """Remembers what the exceptions among the drafts say at `at`; `streams` are row ids by source."""
    said = [draft.about for draft in drafts if isinstance(draft.about, Overdue)]
    sql = "INSERT OR REPLACE INTO overdue (stream, system, up_to, at) VALUES (?, ?, ?, ?)"
    return sql, [(streams[one.source], one.system, one.last, to_text(at)) for one in said]
