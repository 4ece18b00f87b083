"""Opening the store: does the database still hold what its anchor vouches for (reliability.md, invariants 12, 13)?

If not, it was restored, copied or truncated. It then gets a new uuid, and every rule is marked: what ran between the
restored baseline and now is not booked by itself.
"""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import aiosqlite

from edge_agent.model.reading import Instant
from edge_agent.store.anchor import Vouched
from edge_agent.store.audit import append_entry
from edge_agent.store.checkpoint import mark_restored
from edge_agent.store.database import Database
from edge_agent.store.rows import sha256

_PAYLOAD_AT = """
    SELECT payload FROM event JOIN stream ON stream.id = event.stream
    WHERE stream.name = :name AND stream.source LIKE '%:' || :store || ':%' AND sequence = :sequence
"""
_PRUNED_AT = """
    SELECT pruned.head_hash FROM pruned JOIN stream ON stream.id = pruned.stream
    WHERE stream.name = :name AND stream.source LIKE '%:' || :store || ':%' AND to_sequence = :sequence
"""


async def open_store(path: Path, *, agent: str, max_size: int, now: Instant) -> Database:
    """Open or create the store at `path`, at most `max_size` bytes large, and settle which store it is.

    Raises:
        StoreLocked: another process holds it.
        StoreCorrupt: it is damaged.
        StoreError: it cannot be used as asked.
    """
    database = await Database.open(path, agent=agent, max_size=max_size)
    try:
        await _settle(database, now)
    except BaseException:
        await database.close()
        raise
    return database


async def _settle(database: Database, now: Instant) -> None:
    """Compare with the anchor; set `store_uuid`, and `restored` to the reason if this is not the store it was."""
    try:
        vouched, damaged = database.anchor.read(), None
    except ValueError as error:
        vouched, damaged = None, str(error)

    async def work(connection: aiosqlite.Connection) -> tuple[str, str | None]:
        known = await _store_uuid(connection)
        why = damaged or await _why_restored(connection, known, vouched)
        if known is not None and why is None:
            return known, None
        minted = str(uuid4())
        await connection.execute("INSERT OR REPLACE INTO meta (name, value) VALUES ('store_uuid', ?)", (minted,))
        if why is None:
            await append_entry(connection, now.wall, "agent", "store created", {"store": minted})
        else:
            await mark_restored(connection)
            detail = {"store": minted, "was": known, "why": why}
            await append_entry(connection, now.wall, "agent", "store restored", detail)
        return minted, why

    database.store_uuid, database.restored = await database.transaction(work)
    if vouched is None or vouched.store_uuid != database.store_uuid:
        database.anchor.write(Vouched(database.store_uuid, {}))


async def _store_uuid(connection: aiosqlite.Connection) -> str | None:
    async with connection.execute("SELECT value FROM meta WHERE name = 'store_uuid'") as cursor:
        row = await cursor.fetchone()
    return str(row[0]) if row else None


async def _why_restored(connection: aiosqlite.Connection, known: str | None, vouched: Vouched | None) -> str | None:
    """Why this is not the store that the anchor knows; None if it is, or if both are new."""
    if known is None:
        return None if vouched is None else "the database is new, its anchor is not"
    if vouched is None:
        return "the anchor is missing: the database was copied or restored without it"
    if vouched.store_uuid != known:
        return f"the anchor belongs to store {vouched.store_uuid}"
    for name, (sequence, digest) in vouched.heads.items():
        if sequence and (found := await _hash_at(connection, known, name, sequence)) != digest:
            what = "is missing" if found is None else "is another one"
            return f"event {sequence} of stream {name}, which may have been published, {what}"
    return None


async def _hash_at(connection: aiosqlite.Connection, store: str, name: str, sequence: int) -> str | None:
    """The SHA-256 of that event's bytes as the database has it, or of what was pruned up to it."""
    place = {"name": name, "store": store, "sequence": sequence}
    async with connection.execute(_PAYLOAD_AT, place) as cursor:
        row = await cursor.fetchone()
    if row is not None:
        return sha256(row[0])
    async with connection.execute(_PRUNED_AT, place) as cursor:
        row = await cursor.fetchone()
    return None if row is None else str(row[0])
