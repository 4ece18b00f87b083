"""Opening the store: does the database still hold what its anchor vouches for (reliability.md, invariants 12, 13)?

If not, it was restored, copied or truncated. It then gets a new uuid, and every rule is marked: what ran between the
restored baseline and now is not booked by itself.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import uuid4

from edge_agent.errors import StoreCorrupt
from edge_agent.model.event import FIRST_PREVHASH
from edge_agent.model.reading import Instant
from edge_agent.store.anchor import Vouched
from edge_agent.store.audit import append_entry
from edge_agent.store.checkpoint import mark_restored
from edge_agent.store.connection import Connection
from edge_agent.store.database import Database, one_value
from edge_agent.store.outbox import read_events
from edge_agent.store.rows import sha256
from edge_agent.store.streams import Head, read_heads

TAIL = 64
"""Events at the end of each stream that are checked at every open."""

_ADVICE = "restore the database from a backup"
_PRUNED_TO = "SELECT to_sequence, head_hash FROM pruned WHERE stream = ? ORDER BY to_sequence DESC LIMIT 1"
_USED = "SELECT EXISTS (SELECT 1 FROM event) OR EXISTS (SELECT 1 FROM checkpoint) OR EXISTS (SELECT 1 FROM pruned)"


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

    async def work(connection: Connection) -> tuple[str, str | None]:
        for head in await read_heads(connection):
            await _check_tail(connection, head)
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
            await connection.execute("DELETE FROM statement")  # said before the backup: the lost store did more since
            detail = {"store": minted, "was": known, "why": why}
            await append_entry(connection, now.wall, "agent", "store restored", detail)
        return minted, why

    database.store_uuid, database.restored = await database.transaction(work)
    if vouched is None or vouched.store_uuid != database.store_uuid:
        await asyncio.to_thread(database.anchor.write, Vouched(database.store_uuid, {}))


async def _store_uuid(connection: Connection) -> str | None:
    async with connection.execute("SELECT value FROM meta WHERE name = 'store_uuid'") as cursor:
        row = await cursor.fetchone()
    return str(row[0]) if row else None


async def _why_restored(connection: Connection, known: str | None, vouched: Vouched | None) -> str | None:
    """Why this is not the store that the anchor knows; None if it is, or if both are new."""
    if known is None:
        return None if vouched is None else "the database is new, its anchor is not"
    if vouched is None:
        used = await one_value(connection, _USED)
        return "the anchor is missing: the database was copied or restored without it" if used else None
    if vouched.store_uuid != known:
        return f"the anchor belongs to store {vouched.store_uuid}"
    heads = [head for head in await read_heads(connection) if f":{known}:" in head.source]
    for name, (sequence, digest) in vouched.heads.items():
        # More than one where the agent was renamed: the anchor may be from before.
        found = [await _unlike(connection, head, sequence, digest) for head in heads if head.name == name]
        if sequence and None not in found:
            what = found[0] if found else "is missing"
            return f"event {sequence} of stream {name}, which may have been published, {what}"
    return None


async def _unlike(connection: Connection, head: Head, sequence: int, digest: str) -> str | None:
    """How that event differs from what the anchor vouches for; None if it is the same, or was pruned since."""
    if head.sequence < sequence:
        return "is missing"
    pruned_to, pruned_digest = await _pruned_to(connection, head)
    if pruned_to > sequence:
        return None
    if pruned_to == sequence:
        return None if pruned_digest == digest else "is another one"
    found = await read_events(connection, head, sequence, sequence)
    return None if [sha256(event.payload) for event in found] == [digest] else "is another one"


async def _check_tail(connection: Connection, head: Head) -> None:
    """The end of a stream is whole and ends with its head. Raises StoreCorrupt."""
    pruned_to, digest = await _pruned_to(connection, head)
    first = max(head.sequence - TAIL, pruned_to) + 1
    events = await read_events(connection, head, first, head.sequence)
    if [event.sequence for event in events] != list(range(first, head.sequence + 1)):
        raise StoreCorrupt(f"{head.source}: events are missing between {first} and {head.sequence}; {_ADVICE}")
    if (sha256(events[-1].payload) if events else digest) != head.digest:
        raise StoreCorrupt(f"{head.source}: event {head.sequence} is not the one its head names; {_ADVICE}")


async def _pruned_to(connection: Connection, head: Head) -> tuple[int, str]:
    """Up to where events of a stream are gone, and the hash there."""
    async with connection.execute(_PRUNED_TO, (head.stream,)) as cursor:
        row = await cursor.fetchone()
    return (0, FIRST_PREVHASH) if row is None else (int(row[0]), str(row[1]))
