"""A store's outbox in memory, and a status board that remembers what it was told."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from edge_agent.model.event import FIRST_PREVHASH, StoredEvent
from tests.publishing.samples import STREAMS, source, stored_events


@dataclass(frozen=True, slots=True)
class Answer:
    """What a replay found, in the form of the store's own."""

    events: Sequence[StoredEvent]
    unavailable: Sequence[tuple[int, int]]


class MemoryOutbox:
    """The store's outbox without a store. It fails a test that publishes past the anchor or marks backwards."""

    def __init__(self, streams: Sequence[str] = STREAMS) -> None:
        self.events: dict[str, list[StoredEvent]] = {stream: [] for stream in streams}
        self.marks: list[dict[str, int]] = []
        self.anchors = 0
        self.pruned = dict.fromkeys(streams, 0)
        self.dead: set[tuple[str, int]] = set()
        """(stream, sequence) of what no broker takes."""
        self._delivered = dict.fromkeys(streams, 0)
        self._anchored = dict.fromkeys(streams, 0)
        self._rendered: dict[str, Iterator[StoredEvent]] = {stream: stored_events(stream) for stream in streams}
        self._news = asyncio.Event()

    def add(self, stream: str, count: int = 1) -> None:
        self.events[stream].extend(next(self._rendered[stream]) for _ in range(count))
        self._news.set()

    def alter_last(self, stream: str, **changes: str | bytes) -> None:
        """Make the newest event of a stream one that no store would hold."""
        self.events[stream][-1] = replace(self.events[stream][-1], **changes)  # type: ignore[arg-type]  # test data

    def head(self, stream: str) -> int:
        return len(self.events[stream])

    def head_hash(self, stream: str) -> str:
        events = self.events[stream]
        return hashlib.sha256(events[-1].payload).hexdigest() if events else FIRST_PREVHASH

    def delivered(self, stream: str) -> int:
        return self._delivered[stream]

    def anchored(self, stream: str) -> int:
        return self._anchored[stream]

    def source(self, stream: str) -> str:
        return source(stream)

    async def unsent(self, stream: str, after: int, limit: int) -> list[StoredEvent]:
        await asyncio.sleep(0)
        return self.events[stream][after : after + limit]

    async def mark(self, delivered: Mapping[str, int]) -> None:
        await asyncio.sleep(0)
        for stream, sequence in delivered.items():
            assert self._delivered[stream] < sequence <= self._anchored[stream]
            self._delivered[stream] = sequence
        self.marks.append(dict(delivered))

    async def anchor(self) -> None:
        await asyncio.sleep(0)
        self.anchors += 1
        self._anchored = {stream: len(events) for stream, events in self.events.items()}

    async def wait(self) -> None:
        await self._news.wait()
        self._news.clear()

    async def oldest_undelivered(self, stream: str) -> datetime | None:
        waiting = self.events[stream][self._delivered[stream] :]
        return waiting[0].recorded if waiting else None

    async def unpublishable(self, of: str, first: int, last: int) -> frozenset[int]:
        await asyncio.sleep(0)
        return frozenset(n for stream, n in self.dead if of == source(stream) and first <= n <= last)

    async def replay(self, of: str, first: int, last: int, limit: int) -> Answer:
        await asyncio.sleep(0)
        stream = of.rpartition(":")[2]
        known = self.events[stream] if stream in self.events and of == source(stream) else []
        there = [e for e in known if max(first, self.pruned.get(stream, 0) + 1) <= e.sequence <= last][:limit]
        missing: list[tuple[int, int]] = []
        if not there:
            missing.append((first, last))
        elif there[0].sequence > first:
            missing.append((first, there[0].sequence - 1))
        return Answer(there, missing)


@dataclass
class Board:
    """Remembers the status it was told."""

    said: list[tuple[str, str, str]] = field(default_factory=list)

    def up(self, component: str, detail: str = "") -> None:
        self.said.append((component, "up", detail))

    def lost(self, component: str, why: str) -> None:
        self.said.append((component, "lost", why))

    def lately(self, component: str) -> tuple[str, str]:
        return next((state, detail) for name, state, detail in reversed(self.said) if name == component)
