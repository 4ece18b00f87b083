"""Dead letters: events that cannot be published. Their bytes stay; `sequence.voided` accounts for their numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from edge_agent.model.event import EventDraft, Voided
from edge_agent.store.connection import Connection, Statement
from edge_agent.store.database import Database
from edge_agent.store.rows import checked, row_hash, to_text

COLUMNS = "stream, sequence, reason, at, status, hash"
SELECT = f"SELECT {COLUMNS} FROM dead"  # noqa: S608 - fixed text
OPEN, SENT, CORRECTED = "open", "sent", "corrected"
_PUT = f"INSERT OR REPLACE INTO dead ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"  # noqa: S608 - fixed text
_ONE = f"{SELECT} WHERE stream = (SELECT id FROM stream WHERE source = ?) AND sequence = ?"  # noqa: S608 - fixed text

_WITHIN = f"{SELECT} WHERE stream = (SELECT id FROM stream WHERE source = ?) AND sequence BETWEEN ? AND ?"  # noqa: S608 - fixed text


class DeadLetters:
    """The running agent's view."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def status(self, source: str, sequence: int) -> str | None:
        """How a dead letter stands; None where the event is none."""

        async def work(connection: Connection) -> str | None:
            row = await _one(connection, source, sequence)
            return None if row is None else str(row[4])

        return await self._database.transaction(work)

    async def sent(self, source: str, sequence: int) -> None:
        """A person's retry reached the broker after all."""

        async def work(connection: Connection) -> None:
            row = await _one(connection, source, sequence)
            if row is not None and row[4] == OPEN:
                await connection.run_all([(_PUT, [_sealed(*row[:4], SENT)])])

        await self._database.transaction(work)


async def _one(connection: Connection, source: str, sequence: int) -> tuple[Any, ...] | None:
    async with connection.execute(_ONE, (source, sequence)) as cursor:
        row = await cursor.fetchone()
    return None if row is None else dead_row(row)


async def unsent_within(connection: Connection, source: str, first: int, last: int) -> frozenset[int]:
    """Which of `first` to `last` of `source` no broker has taken, corrected or not. Raises StoreCorrupt."""
    async with connection.execute(_WITHIN, (source, first, last)) as cursor:
        letters = [dead_row(row) for row in await cursor.fetchall()]
    return frozenset(int(letter[1]) for letter in letters if letter[4] != SENT)


def dead_row(row: Any) -> tuple[Any, ...]:
    """(stream, sequence, reason, at, status) of a row. Raises StoreCorrupt where it does not match its hash."""
    *columns, digest = row
    return checked(f"dead letter {columns[1]} of stream {columns[0]}", tuple(columns), digest)


def voided(drafts: Iterable[EventDraft], streams: Mapping[str, int], at: datetime) -> Statement:
    """The dead letters that the drafts announce; `streams` are row ids by source."""
    found = [draft.about for draft in drafts if isinstance(draft.about, Voided)]
    return _PUT, [_sealed(streams[one.source], one.sequence, one.reason, to_text(at), OPEN) for one in found]


async def corrected(connection: Connection, stream: int, sequence: int) -> Statement:
    """The dead letter, if the event is one, as corrected."""
    async with connection.execute(f"{SELECT} WHERE stream = ? AND sequence = ?", (stream, sequence)) as cursor:
        rows = [dead_row(row) for row in await cursor.fetchall()]
    return _PUT, [_sealed(*row[:4], CORRECTED) for row in rows]


def _sealed(*columns: Any) -> tuple[Any, ...]:
    return (*columns, row_hash(*columns))
