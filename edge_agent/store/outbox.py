"""Events on their way out: in order per stream, up to the anchor, marked by a cursor, replayed byte for byte."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aiosqlite

from edge_agent.errors import StoreCorrupt
from edge_agent.model.event import StoredEvent, source_urn
from edge_agent.store.anchor import Vouched
from edge_agent.store.database import Database
from edge_agent.store.rows import from_text, row_hash
from edge_agent.store.streams import read_head

_SELECT = (
    "SELECT stream.source, stream.name, event.stream, sequence, event.id, type, topic, recorded, payload, hash"
    " FROM event JOIN stream ON stream.id = event.stream"
)


@dataclass(frozen=True, slots=True)
class Replay:
    """Stored events of a range, in order; what is missing of it was pruned, or never was."""

    events: Sequence[StoredEvent]


class Outbox:
    """The outgoing side of the store: the streams of the present uuid, and what others left undelivered.

    After a restore, or where a stream is gone from the tag map, events of a former `source` may still wait: they go out
    like any other. Such a stream is called by its source.
    """

    def __init__(self, database: Database, streams: Sequence[str]) -> None:
        self._database = database
        self._sources = {name: source_urn(database.agent, database.store_uuid, name) for name in streams}
        self._present = tuple(streams)
        self._delivered: dict[str, int] = {}
        self._anchored: dict[str, int] = {}

    async def load(self) -> None:
        """Read heads and cursors; to be called once before anything else."""

        async def work(connection: aiosqlite.Connection) -> list[Any]:
            for name in self._present:
                await read_head(connection, self._database, name)
            async with connection.execute("SELECT source, head, delivered FROM stream ORDER BY id") as cursor:
                return list(await cursor.fetchall())

        names = {source: name for name, source in self._sources.items()}
        heads = {}
        for source, head, delivered in await self._database.transaction(work):
            name = names.get(source)
            if name is None and head > delivered:
                name = self._sources[source] = source
                self._anchored[name] = head
            if name is not None:
                heads[name], self._delivered[name] = head, delivered
        self._database.announce(heads)

    @property
    def streams(self) -> tuple[str, ...]:
        """All streams to be drained, the present ones first, by priority."""
        return tuple(self._sources)

    def source(self, stream: str) -> str:
        """The CloudEvents source of a stream."""
        return self._sources[stream]

    def head(self, stream: str) -> int:
        """The highest committed sequence; 0 where there is none."""
        return self._database.head(stream)

    def delivered(self, stream: str) -> int:
        """Up to where the broker has acknowledged everything."""
        return self._delivered[stream]

    def anchored(self, stream: str) -> int:
        """Up to where the anchor vouches: nothing above may be published."""
        return self._anchored.get(stream, 0)

    async def wait(self) -> None:
        """Return when something was committed since the last call."""
        await self._database.news()

    async def unsent(self, stream: str, after: int, limit: int) -> list[StoredEvent]:
        """Committed events above `after`, in order, at most `limit`.

        Raises:
            StoreCorrupt: a row does not match its hash.
        """
        where = "WHERE stream.source = ? AND sequence > ? ORDER BY sequence LIMIT ?"
        return await self._events(where, (self.source(stream), after, limit))

    async def mark(self, delivered: Mapping[str, int]) -> None:
        """Remember that the broker has acknowledged everything up to these sequences; a cursor never goes back."""
        rows = [(sequence, self.source(stream)) for stream, sequence in delivered.items()]

        async def work(connection: aiosqlite.Connection) -> None:
            await connection.executemany("UPDATE stream SET delivered = max(delivered, ?) WHERE source = ?", rows)

        await self._database.transaction(work)
        for stream, sequence in delivered.items():
            self._delivered[stream] = max(self._delivered[stream], sequence)

    async def anchor(self) -> None:
        """Have the anchor vouch for everything committed so far: one durable write."""

        async def work(connection: aiosqlite.Connection) -> dict[str, tuple[int, str]]:
            heads = {name: await read_head(connection, self._database, name) for name in self._present}
            return {name: (head.sequence, head.digest) for name, head in heads.items()}

        heads = await self._database.transaction(work)
        vouched = Vouched(self._database.store_uuid, heads)
        await asyncio.to_thread(self._database.anchor.write, vouched)
        self._anchored.update({name: sequence for name, (sequence, _) in heads.items()})

    async def replay(self, source: str, first: int, last: int, limit: int) -> Replay:
        """Stored events `first` to `last` of `source`, at most `limit`; also of an earlier uuid of this database.

        Raises:
            StoreCorrupt: a row does not match its hash.
        """
        where = "WHERE stream.source = ? AND sequence BETWEEN ? AND ? ORDER BY sequence LIMIT ?"
        return Replay(await self._events(where, (source, first, last, limit)))

    async def oldest_undelivered(self, stream: str) -> datetime | None:
        """When the oldest event not yet acknowledged was recorded."""
        found = await self.unsent(stream, self.delivered(stream), 1)
        return found[0].recorded if found else None

    async def _events(self, where: str, values: tuple[Any, ...]) -> list[StoredEvent]:
        async def work(connection: aiosqlite.Connection) -> list[StoredEvent]:
            async with connection.execute(f"{_SELECT} {where}", values) as cursor:
                return [_event(row) for row in await cursor.fetchall()]

        return await self._database.transaction(work)


def _event(row: Any) -> StoredEvent:
    source, name, stream, sequence, identity, kind, topic, recorded, payload, digest = row
    if digest != row_hash(stream, sequence, identity, kind, topic, recorded, payload):
        msg = f"event {sequence} of {source} does not match its hash; restore the database from a backup"
        raise StoreCorrupt(msg)
    return StoredEvent(source, name, sequence, identity, kind, topic, payload, from_text(recorded))
