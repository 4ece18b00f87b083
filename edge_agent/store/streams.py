"""Streams: their heads (sequence and hash chain), and the cursor up to which the broker has acknowledged each.

Heads are cached by the unit of work and adopted only after COMMIT. Heads and cursors are rows of their own, because
commits write the ones and marks the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import aiosqlite

from edge_agent.model.event import FIRST_PREVHASH, source_urn
from edge_agent.store.database import Database
from edge_agent.store.rows import checked, row_hash

STREAMS = """
    SELECT s.id, s.source, s.name, s.head, s.head_hash, s.hash, d.delivered, d.hash
    FROM stream AS s LEFT JOIN delivery AS d ON d.stream = s.id
"""
WRITE_HEAD = "UPDATE stream SET head = ?, head_hash = ?, hash = ? WHERE id = ?"


@dataclass(frozen=True, slots=True)
class Head:
    """The last event of a stream. `stream` is its row id, `delivered` the broker's cursor when it was read."""

    stream: int
    source: str
    name: str
    sequence: int = 0
    digest: str = FIRST_PREVHASH
    delivered: int = 0


def head_of(row: Any) -> Head:
    """The head in a row of `STREAMS`. Raises StoreCorrupt where it or its cursor does not match its hash."""
    stream, source, name, sequence, digest, sealed, delivered, cursor_sealed = row
    checked(f"stream {source}", (stream, source, name, sequence, digest), sealed)
    checked(f"delivery of {source}", (stream, delivered), cursor_sealed)
    return Head(stream, source, name, sequence, digest, delivered)


async def read_heads(connection: aiosqlite.Connection) -> list[Head]:
    """Every stream this database has had, those of earlier store uuids too."""
    async with connection.execute(f"{STREAMS} ORDER BY s.id") as cursor:
        return [head_of(row) for row in await cursor.fetchall()]


async def read_head(connection: aiosqlite.Connection, database: Database, name: str) -> Head:
    """The head of stream `name` of the present store uuid; its rows are made at first sight."""
    source = source_urn(database.agent, database.store_uuid, name)
    async with connection.execute(f"{STREAMS} WHERE s.source = ?", (source,)) as cursor:
        row = await cursor.fetchone()
    if row is not None:
        return head_of(row)
    async with connection.execute("SELECT coalesce(max(id), 0) + 1 FROM stream") as cursor:
        found = await cursor.fetchone()
    head = Head(found[0] if found else 1, source, name)
    await connection.execute(
        "INSERT INTO stream (id, source, name, head, head_hash, hash) VALUES (?, ?, ?, ?, ?, ?)", _sealed(head)
    )
    await connection.execute(
        "INSERT INTO delivery (stream, delivered, hash) VALUES (?, 0, ?)", (head.stream, row_hash(head.stream, 0))
    )
    return head


def head_row(head: Head) -> tuple[Any, ...]:
    """What `WRITE_HEAD` moves the head with, in the transaction that moved it."""
    *_, sequence, digest, sealed = _sealed(head)
    return sequence, digest, sealed, head.stream


async def write_delivered(connection: aiosqlite.Connection, stream: int, delivered: int) -> None:
    """Move the cursor; a trigger refuses to move it back, or beyond the head."""
    await connection.execute(
        "UPDATE delivery SET delivered = ?, hash = ? WHERE stream = ?",
        (delivered, row_hash(stream, delivered), stream),
    )


def _sealed(head: Head) -> tuple[Any, ...]:
    columns = (head.stream, head.source, head.name, head.sequence, head.digest)
    return (*columns, row_hash(*columns))
