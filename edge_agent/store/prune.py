"""Pruning: only what is delivered, settled and past the replay window; sooner only when the store runs full.

Settled is what every system whose word it needs has accepted, or a person has corrected.

The window runs from the delivery, not from the event: after a long outage receivers can still ask for a replay. One
transaction records up to where (`pruned`, with the hash there) and deletes; triggers refuse any other deletion
(reliability.md, invariant 7).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import aiosqlite

from edge_agent.clock import Clock
from edge_agent.store.database import Database, one_value
from edge_agent.store.rows import from_text, sha256, to_text
from edge_agent.store.streams import Head, read_heads

FULL_SHARE = 0.8
"""Above this share of the page cap the oldest delivered events go before their time."""
BATCH = 2_000
"""Events deleted in one transaction at the most."""
EARLY_BATCH = 100
"""The same for events that go before their time: no more than needed."""

_RESERVE_PAGES = 64
"""Pages above the cap that pruning alone may use: deleting must work in a store that is full."""
_NOTES_PER_WINDOW = 8
_LAST_NOTE = "SELECT sequence, at FROM acceptance WHERE stream = ? ORDER BY sequence DESC LIMIT 1"
_FIRST_DELIVERED = "SELECT rowid FROM event WHERE stream = ? AND sequence <= ? ORDER BY sequence LIMIT 1"
_FIRST_OPEN = """
    SELECT min(sequence) FROM (
        SELECT min(sequence) AS sequence FROM answer WHERE stream = ? AND status NOT IN ('accepted', 'corrected')
        UNION ALL SELECT min(sequence) FROM dead WHERE stream = ? AND status = 'open'
        UNION ALL SELECT min(sequence) FROM correction WHERE stream = ? AND reversal IS NULL
    )
"""
_TO_GO = "SELECT sequence FROM event WHERE stream = ? AND sequence <= ? ORDER BY sequence LIMIT ?"


class Pruner:
    """Prunes every `period` seconds, and as soon as the store is full."""

    def __init__(self, database: Database, keep_sent: timedelta, clock: Clock, period: float = 60.0) -> None:
        self._database = database
        self._keep_sent = keep_sent
        self._clock = clock
        self._period = period

    async def run(self) -> None:
        """Prune for ever."""
        while True:
            await self.prune()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._period):
                    await self._database.full.wait()
            self._database.full.clear()

    async def prune(self) -> int:
        """Delete what may go now; returns how many events went."""
        now = self._clock.now().wall
        gone = 0
        while batch := await self._database.transaction(lambda connection: self._batch(connection, now)):
            gone += batch
        return gone

    async def _batch(self, connection: aiosqlite.Connection, now: datetime) -> int:
        cap = int(await one_value(connection, "PRAGMA max_page_count"))
        await connection.execute(f"PRAGMA max_page_count = {cap + _RESERVE_PAGES}")
        try:
            heads = [replace(head, delivered=await _settled(connection, head)) for head in await read_heads(connection)]
            if await _fill(connection, cap) > FULL_SHARE:
                oldest = await _oldest_delivered(connection, heads)
                return 0 if oldest is None else await _delete(connection, oldest, oldest.delivered, EARLY_BATCH, now)
            gone = 0
            for head in heads:
                await self._note(connection, head, now)
                gone += await _delete(connection, head, await self._past_window(connection, head, now), BATCH, now)
            return gone
        finally:
            await connection.execute(f"PRAGMA max_page_count = {cap}")

    async def _note(self, connection: aiosqlite.Connection, head: Head, now: datetime) -> None:
        """Note now and then up to where a stream is delivered."""
        rows = await _all(connection, _LAST_NOTE, (head.stream,))
        sequence, at = (rows[0][0], from_text(rows[0][1])) if rows else (0, None)
        due = at is None or abs(now - at) >= self._keep_sent / _NOTES_PER_WINDOW
        if head.delivered > sequence and due:
            await connection.execute(
                "INSERT INTO acceptance (stream, sequence, at) VALUES (?, ?, ?)",
                (head.stream, head.delivered, to_text(now)),
            )

    async def _past_window(self, connection: aiosqlite.Connection, head: Head, now: datetime) -> int:
        """Up to where a stream was delivered a whole window ago."""
        sql = "SELECT max(sequence) FROM acceptance WHERE stream = ? AND at <= ?"
        rows = await _all(connection, sql, (head.stream, to_text(now - self._keep_sent)))
        return min(rows[0][0] or 0, head.delivered)


async def _delete(connection: aiosqlite.Connection, head: Head, up_to: int, most: int, now: datetime) -> int:
    """Delete events of a stream up to `up_to`, at most `most`; returns how many."""
    rows = await _all(connection, _TO_GO, (head.stream, up_to, most))
    if not rows:
        return 0
    last = rows[-1][0]
    payloads = await _all(
        connection, "SELECT payload FROM event WHERE stream = ? AND sequence = ?", (head.stream, last)
    )
    await connection.execute(
        "INSERT INTO pruned (stream, to_sequence, head_hash, at) VALUES (?, ?, ?, ?)",
        (head.stream, last, sha256(payloads[0][0]), to_text(now)),
    )
    for table in ("event", "answer", "dead", "correction"):
        sql = f"DELETE FROM {table} WHERE stream = ? AND sequence <= ?"  # noqa: S608 - fixed names
        await connection.execute(sql, (head.stream, last))
    await connection.execute("DELETE FROM acceptance WHERE stream = ? AND sequence < ?", (head.stream, last))
    return len(rows)


async def _settled(connection: aiosqlite.Connection, head: Head) -> int:
    """Up to where a stream is delivered and nobody's word is open."""
    rows = await _all(connection, _FIRST_OPEN, (head.stream,) * 3)
    return head.delivered if rows[0][0] is None else min(head.delivered, rows[0][0] - 1)


async def _oldest_delivered(connection: aiosqlite.Connection, heads: list[Head]) -> Head | None:
    """The stream with the earliest commit among what is delivered and still here."""
    first = [(await _all(connection, _FIRST_DELIVERED, (head.stream, head.delivered)), head) for head in heads]
    found = [(rows[0][0], head) for rows, head in first if rows]
    return min(found, key=lambda one: one[0])[1] if found else None


async def _fill(connection: aiosqlite.Connection, cap: int) -> float:
    """The share of the page cap that is in use."""
    used = int(await one_value(connection, "PRAGMA page_count")) - int(
        await one_value(connection, "PRAGMA freelist_count")
    )
    return used / cap


async def _all(connection: aiosqlite.Connection, sql: str, values: tuple[Any, ...] = ()) -> list[Any]:
    async with connection.execute(sql, values) as cursor:
        return list(await cursor.fetchall())
