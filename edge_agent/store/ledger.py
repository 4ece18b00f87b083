"""What people ask the store: reviews, gaps, totals, and whether the books balance. Plain SQL on any connection."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import aiosqlite

from edge_agent.errors import ControlError
from edge_agent.model.movement import Cause, LineState, Review
from edge_agent.store import reviews
from edge_agent.store.database import Database, one_value
from edge_agent.store.readonly import readonly
from edge_agent.store.rows import checked, from_text, wide

BOOKED = (LineState.CUT, LineState.BOOKED_BY_REVIEW, LineState.CORRECTED)

_IDENTITY = """
    SELECT rule, epoch, exact_sum(ran) AS ran, exact_sum(accounted) AS accounted
    FROM (
        SELECT rule, epoch, distance(first_raw, last_raw, wraps, modulus) AS ran, 0 AS accounted FROM epoch
        UNION ALL
        SELECT rule, epoch, 0, distance(from_position, to_position, 0, 0) FROM line
    )
    GROUP BY rule, epoch
    HAVING exact_sum(ran) <> exact_sum(accounted)
    ORDER BY rule, epoch
"""
LINE_COLUMNS = (
    "rule, epoch, from_position, to_position, state, total_key, quantity, unit, ended, stream, sequence, review, hash"
)
PUT_LINE = f"INSERT OR REPLACE INTO line ({LINE_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - fixed text
GAP_COLUMNS = "id, rule, cause, total_key, minimum, maximum, seen, since, until, message, hash"


@dataclass(frozen=True, slots=True)
class Imbalance:
    """An epoch whose lines do not add up to what ran through it, in raw units."""

    rule: str
    epoch: int
    ran: int
    accounted: int


class Ledger:
    """The running agent's view."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open_review(self, name: str) -> Review:
        """The open review of that id.

        Raises:
            ControlError: there is none, or it is decided already.
            StoreCorrupt: its row does not match its hash.
        """

        async def work(connection: aiosqlite.Connection) -> Any:
            async with connection.execute(f"{reviews.SELECT} WHERE id = ?", (name,)) as cursor:
                return await cursor.fetchone()

        row = await self._database.transaction(work)
        if row is None:
            raise ControlError(f"there is no review {name}; `edge-agent review list` shows them")
        found = reviews.stored_review(row)
        if found.status != reviews.OPEN:
            raise ControlError(f"review {name} is {found.status} already, by {found.decided_by}")
        return found.review

    async def restored_reviews(self) -> list[Review]:
        """Open reviews of what ran around a restore: a receiver's statement may decide them."""

        async def work(connection: aiosqlite.Connection) -> list[Review]:
            sql = f"{reviews.SELECT} WHERE status = ? AND cause = ? ORDER BY opened, id"
            async with connection.execute(sql, (reviews.OPEN, str(Cause.RESTORED))) as cursor:
                return [reviews.stored_review(row).review for row in await cursor.fetchall()]

        return await self._database.transaction(work)

    async def entry(self, key: str) -> tuple[str, int]:
        """What a form's natural key holds: the digest of its content, and its line's place."""

        async def work(connection: aiosqlite.Connection) -> str:
            return str(await one_value(connection, "SELECT content FROM natural_key WHERE key = ?", (key,)))

        digest, place = (await self._database.transaction(work)).split()
        return digest, int(place)

    async def event_of_entry(self, place: int) -> tuple[str, int, str]:
        """(source, sequence, id) of the event that an entry became."""
        sql = """
            SELECT s.source, e.sequence, e.id FROM line AS l JOIN stream AS s ON s.id = l.stream
            JOIN event AS e ON e.stream = l.stream AND e.sequence = l.sequence
            WHERE l.rule = '@entry' AND l.from_position = ?
        """

        async def work(connection: aiosqlite.Connection) -> tuple[str, int, str]:
            async with connection.execute(sql, (place,)) as cursor:
                row = await cursor.fetchone()
            if row is None:
                raise ControlError("the entry was booked before; its event is not in the store any more")
            return row[0], row[1], row[2]

        return await self._database.transaction(work)

    async def last_snapshot(self) -> datetime | None:
        """When the last snapshot was taken; None where there was none."""

        async def work(connection: aiosqlite.Connection) -> datetime | None:
            found = await one_value(connection, "SELECT value FROM meta WHERE name = 'snapshot_at'")
            return None if found is None else from_text(found)

        return await self._database.transaction(work)

    async def identity(self) -> list[Imbalance]:
        """Every epoch whose lines do not add up; empty where the books balance (reliability.md, invariant 3).

        It reads the whole ledger, so it does that beside the writer, on a connection and in a thread of its own.
        """

        def work() -> list[Imbalance]:
            with readonly(self._database.path) as connection:
                return imbalances(connection)

        return await asyncio.to_thread(work)


def imbalances(connection: sqlite3.Connection) -> list[Imbalance]:
    """The accounting identity, on a connection of `readonly`."""
    return [
        Imbalance(rule, epoch, int(ran), int(accounted))
        for rule, epoch, ran, accounted in connection.execute(_IDENTITY)
    ]


def totals(connection: sqlite3.Connection, states: Iterable[LineState] = BOOKED) -> dict[str, Decimal]:
    """Quantities by `<event>/<material>/<order>/<location>`, summed exactly.

    Every line is read whatever its state: a flipped bit in a state would else hide it from its hash.

    Raises:
        StoreCorrupt: a line does not match its hash.
    """
    chosen = {str(state) for state in states}
    sums: dict[str, Decimal] = {}
    for *columns, digest in connection.execute(f"SELECT {LINE_COLUMNS} FROM line"):  # noqa: S608 - fixed text
        checked(f"line {columns[0]}/{columns[1]}/{columns[2]}", tuple(columns), digest)
        state, key, quantity = columns[4:7]
        if state in chosen:
            sums[key] = sums.get(key, Decimal(0)) + Decimal(quantity)
    return sums


def booked_by(connection: sqlite3.Connection, review: Review) -> str | None:
    """What a decided review booked, in its line's unit; None where it booked nothing.

    Raises:
        StoreCorrupt: the line does not match its hash.
    """
    proof = review.line.evidence
    place = (review.key.rule, proof.epoch, wide(proof.from_position))
    sql = f"SELECT {LINE_COLUMNS} FROM line WHERE rule = ? AND epoch = ? AND from_position = ? AND review = ?"  # noqa: S608 - fixed text
    for *columns, digest in connection.execute(sql, (*place, review.id)):
        checked(f"line {columns[0]}/{columns[1]}/{columns[2]}", tuple(columns), digest)
        state, _, quantity = columns[4:7]
        return str(quantity) if state not in {LineState.IN_REVIEW, LineState.REJECTED} else None
    return None


def gaps(connection: sqlite3.Connection) -> list[Mapping[str, Any]]:
    """What could not be seen, oldest first. Raises StoreCorrupt where a row does not match its hash."""
    names = GAP_COLUMNS.split(", ")
    found: list[Mapping[str, Any]] = []
    for *columns, digest in connection.execute(f"SELECT {GAP_COLUMNS} FROM gap ORDER BY since, id"):  # noqa: S608 - fixed text
        found.append(dict(zip(names, checked(f"gap {columns[0]}", tuple(columns), digest), strict=False)))
    return found
