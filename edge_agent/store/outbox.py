"""Events on their way out: in order per stream, up to the anchor, marked by a cursor, replayed byte for byte."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aiosqlite

from edge_agent.model.event import StoredEvent, source_urn
from edge_agent.store import dead
from edge_agent.store.anchor import Vouched
from edge_agent.store.database import Database
from edge_agent.store.rows import checked, from_text, sha256
from edge_agent.store.streams import Head, read_head, read_heads, write_delivered

_EVENTS = """
    SELECT stream, sequence, id, type, topic, recorded, payload, hash FROM event
    WHERE stream = ? AND sequence BETWEEN ? AND ? ORDER BY sequence LIMIT ?
"""
_ALL = -1
HIGHEST = 2**63 - 1
"""No sequence gets that far."""


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
        self._anchoring = asyncio.Lock()

    async def load(self) -> None:
        """Read heads and cursors; to be called once before anything else."""

        async def work(connection: aiosqlite.Connection) -> list[Head]:
            for name in self._present:
                await read_head(connection, self._database, name)
            return await read_heads(connection)

        names = {source: name for name, source in self._sources.items()}
        heads = {}
        for head in await self._database.transaction(work):
            name = names.get(head.source)
            if name is None and head.sequence > head.delivered:
                name = self._sources[head.source] = head.source
                self._anchored[name] = head.sequence
            if name is not None:
                heads[name], self._delivered[name] = (head.sequence, head.digest), head.delivered
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

    def head_hash(self, stream: str) -> str:
        """SHA-256 of the bytes of the event at `head`; 64 zeros where there is none."""
        return self._database.newest(stream)[1]

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
        return await self._events(self.source(stream), after + 1, HIGHEST, limit)

    async def mark(self, delivered: Mapping[str, int]) -> None:
        """Remember that the broker has acknowledged everything up to these sequences; a cursor never goes back."""
        moved = {self.source(stream): sequence for stream, sequence in delivered.items()}

        async def work(connection: aiosqlite.Connection) -> None:
            for head in await read_heads(connection):
                if moved.get(head.source, 0) > head.delivered:
                    await write_delivered(connection, head.stream, moved[head.source])

        await self._database.transaction(work)
        for stream, sequence in delivered.items():
            self._delivered[stream] = max(self._delivered[stream], sequence)

    async def anchor(self) -> None:
        """Have the anchor vouch for everything committed so far: one durable write.

        Raises:
            StoreError: it cannot be written.
        """
        await self._database.uncancelled(self._vouch())

    async def _vouch(self) -> None:
        async with self._anchoring:  # an older anchor must never replace a newer one

            async def work(connection: aiosqlite.Connection) -> dict[str, Head]:
                return {name: await read_head(connection, self._database, name) for name in self._present}

            heads = await self._database.transaction(work)
            vouched = {name: (head.sequence, head.digest) for name, head in heads.items()}
            await asyncio.to_thread(self._database.anchor.write, Vouched(self._database.store_uuid, vouched))
            self._anchored.update({name: head.sequence for name, head in heads.items()})

    async def replay(self, source: str, first: int, last: int, limit: int) -> Replay:
        """Stored events `first` to `last` of `source`, at most `limit`; also of an earlier uuid of this database.

        Raises:
            StoreCorrupt: a row does not match its hash.
        """
        return Replay(await self._events(source, first, last, limit))

    async def unpublishable(self, source: str, first: int, last: int) -> frozenset[int]:
        """Which of `first` to `last` of `source` no broker takes, until a person's retry has reached one.

        Raises:
            StoreCorrupt: a row does not match its hash.
        """
        return await self._database.transaction(lambda connection: dead.unsent_within(connection, source, first, last))

    async def oldest_undelivered(self, stream: str) -> datetime | None:
        """When the oldest event not yet acknowledged was recorded."""
        found = await self.unsent(stream, self.delivered(stream), 1)
        return found[0].recorded if found else None

    async def _events(self, source: str, first: int, last: int, limit: int) -> list[StoredEvent]:
        async def work(connection: aiosqlite.Connection) -> list[StoredEvent]:
            heads = await read_heads(connection)
            head = next((head for head in heads if head.source == source), None)
            return [] if head is None else await read_events(connection, head, first, last, limit)

        return await self._database.transaction(work)


async def read_events(
    connection: aiosqlite.Connection, head: Head, first: int, last: int, limit: int = _ALL
) -> list[StoredEvent]:
    """Events of a stream in order. Raises StoreCorrupt where a row does not match its hash."""
    async with connection.execute(_EVENTS, (head.stream, first, last, limit)) as cursor:
        return [_event(head, row) for row in await cursor.fetchall()]


def _event(head: Head, row: Any) -> StoredEvent:
    *columns, payload, digest = row
    checked(f"event {columns[1]} of {head.source}", (*columns, sha256(payload)), digest)
    _, sequence, identity, kind, topic, recorded = columns
    return StoredEvent(head.source, head.name, sequence, identity, kind, topic, payload, from_text(recorded))
