"""Streams and their heads: sequence numbers and the hash chain, cached in memory and adopted only after COMMIT."""

from __future__ import annotations

from dataclasses import dataclass

import aiosqlite

from edge_agent.model.event import FIRST_PREVHASH, source_urn
from edge_agent.store.database import Database


@dataclass(frozen=True, slots=True)
class Head:
    """The last event of a stream. `stream` is its row id, `delivered` the broker's acknowledgement cursor."""

    stream: int
    source: str
    sequence: int = 0
    digest: str = FIRST_PREVHASH
    delivered: int = 0


async def read_head(connection: aiosqlite.Connection, database: Database, name: str) -> Head:
    """The head of stream `name` of the present store uuid; its row is made at first sight."""
    source = source_urn(database.agent, database.store_uuid, name)
    await connection.execute(
        "INSERT OR IGNORE INTO stream (source, name, head, head_hash, delivered) VALUES (?, ?, 0, ?, 0)",
        (source, name, FIRST_PREVHASH),
    )
    async with connection.execute(
        "SELECT id, source, head, head_hash, delivered FROM stream WHERE source = ?", (source,)
    ) as cursor:
        row = await cursor.fetchone()
    assert row is not None  # noqa: S101 - inserted above
    return Head(*row)


async def write_head(connection: aiosqlite.Connection, head: Head) -> None:
    """Move the head with the transaction that moved it."""
    await connection.execute(
        "UPDATE stream SET head = ?, head_hash = ? WHERE id = ?", (head.sequence, head.digest, head.stream)
    )
