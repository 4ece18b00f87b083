"""Pruning: only what was delivered and is past the replay window; sooner only when the store runs full.

One transaction records up to where (`pruned`, with the hash there) and deletes; triggers refuse any other deletion
(reliability.md, invariant 7).
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import aiosqlite

from edge_agent.clock import Clock
from edge_agent.store.database import Database
from edge_agent.store.rows import sha256, to_text

FULL_SHARE = 0.8
"""Above this share of the page cap the oldest delivered events go before their time."""
BATCH = 2_000
"""Events deleted in one transaction at the most."""


class Pruner:
    """Prunes every `period` seconds."""

    def __init__(self, database: Database, keep_sent: timedelta, clock: Clock, period: float = 60.0) -> None:
        self._database = database
        self._keep_sent = keep_sent
        self._clock = clock
        self._period = period

    async def run(self) -> None:
        """Prune for ever."""
        while True:
            await self.prune()
            await asyncio.sleep(self._period)

    async def prune(self) -> int:
        """Delete what may go now; returns how many events went."""
        now = self._clock.now().wall
        gone = 0
        while batch := await self._database.transaction(lambda connection: self._batch(connection, now)):
            gone += batch
        return gone

    async def _batch(self, connection: aiosqlite.Connection, now: datetime) -> int:
        early = await _fill(connection) > FULL_SHARE
        before = to_text(now if early else now - self._keep_sent)
        gone = 0
        for stream, delivered in await _all(connection, "SELECT id, delivered FROM stream"):
            rows = await _all(
                connection,
                "SELECT sequence, payload FROM event WHERE stream = ? AND sequence <= ? AND recorded < ?"
                " ORDER BY sequence LIMIT ?",
                (stream, delivered, before, BATCH),
            )
            if rows:
                last, payload = rows[-1]
                await connection.execute(
                    "INSERT INTO pruned (stream, to_sequence, head_hash, at) VALUES (?, ?, ?, ?)",
                    (stream, last, sha256(payload), to_text(now)),
                )
                await connection.execute("DELETE FROM event WHERE stream = ? AND sequence <= ?", (stream, last))
                gone += len(rows)
        return gone


async def _fill(connection: aiosqlite.Connection) -> float:
    """The share of the page cap that is in use."""
    used, free, cap = [
        (await _all(connection, f"PRAGMA {name}"))[0][0] for name in ("page_count", "freelist_count", "max_page_count")
    ]
    return float(used - free) / float(cap)


async def _all(connection: aiosqlite.Connection, sql: str, values: tuple[Any, ...] = ()) -> list[Any]:
    async with connection.execute(sql, values) as cursor:
        return list(await cursor.fetchall())
