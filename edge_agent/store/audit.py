"""The audit log: who did what and when, append-only, a hash chain in commit order, never pruned."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from datetime import datetime

import aiosqlite

from edge_agent.clock import Clock
from edge_agent.model.event import FIRST_PREVHASH
from edge_agent.store.database import Database
from edge_agent.store.rows import row_hash, to_text


class Audit:
    """Appends to the log; `audit_trail` proves it unbroken."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._noted: asyncio.Queue[tuple[str, str, Mapping[str, object]]] = asyncio.Queue()

    def note(self, who: str, action: str, detail: Mapping[str, object]) -> None:
        """Have an entry added soon, by `run`: for those who cannot wait."""
        self._noted.put_nowait((who, action, detail))

    async def run(self) -> None:
        """Add what was noted, for ever."""
        while True:
            await self.append(*await self._noted.get())

    async def append(self, who: str, action: str, detail: Mapping[str, object]) -> None:
        """Add one entry."""
        at = self._clock.now().wall
        await self._database.transaction(lambda connection: append_entry(connection, at, who, action, detail))


async def append_entry(
    connection: aiosqlite.Connection, at: datetime, who: str, action: str, detail: Mapping[str, object]
) -> None:
    """Add one entry inside a transaction that is already open."""
    async with connection.execute("SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1") as cursor:
        row = await cursor.fetchone()
    sequence, previous = (1, FIRST_PREVHASH) if row is None else (int(row[0]) + 1, str(row[1]))
    columns = (sequence, to_text(at), str(who), str(action), json.dumps(detail, sort_keys=True, default=str), previous)
    await connection.execute(
        "INSERT INTO audit (sequence, at, who, action, detail, prevhash, hash) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (*columns, row_hash(*columns).hex()),
    )
