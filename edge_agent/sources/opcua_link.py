"""The tags of a source over one session: where their nodes are now, their values, and which of them do not work.

One tag that fails never stops the others: it is reported, and read and monitored again, at first after a second, at
last every ten seconds. A value of another type is reported too; its item is alive, and the next right value heals it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from asyncua import ua
from asyncua.ua.status_codes import StatusCodes

from edge_agent.clock import Clock
from edge_agent.config.devices import OpcUaAddress, OpcUaSource, Tag
from edge_agent.errors import SourceError
from edge_agent.model.reading import Quality, Reading, TagRef
from edge_agent.sources.base import by_event_time
from edge_agent.sources.opcua_feed import Feed
from edge_agent.sources.opcua_security import Security
from edge_agent.sources.opcua_session import REQUEST_SECONDS, Session
from edge_agent.sources.opcua_values import (
    OVERFLOW,
    decode,
    encode,
    node_id,
    quality_of,
    sample,
    status_name,
    unreadable,
)
from edge_agent.telemetry.metrics import Counts

_FIRST_RETRY_SECONDS: Final = 1.0
_LONGEST_RETRY_SECONDS: Final = 10.0
_AUDIT_SECONDS: Final = 60.0
"""How often everything is read: a server may have stopped to look after an item without a word."""
_UNKNOWN: Final = int(StatusCodes.BadNodeIdUnknown)
_INVALID: Final = int(StatusCodes.BadNodeIdInvalid)
_UNDECODABLE: Final = int(StatusCodes.BadDecodingError)
_SILENT: Final = int(StatusCodes.BadWaitingForInitialData)
MISTYPED: Final = int(StatusCodes.BadTypeMismatch)
_ITEM_DEAD: Final = int(StatusCodes.BadMonitoredItemIdInvalid)
_GONE: Final = frozenset({_UNKNOWN, _INVALID})


class Link:
    """A session with its subscription.

    `failed` are the tags that have no item that works, `mistyped` those that show another type than the tag map says,
    each with the status that says why.
    """

    def __init__(
        self, source: OpcUaSource, security: Security, tags: Mapping[TagRef, Tag], clock: Clock, counts: Counts
    ) -> None:
        self.failed: dict[TagRef, int] = {}
        self.mistyped: dict[TagRef, int] = {}
        self.start_time: datetime | None = None
        self._tags = tags
        self._clock = clock
        self._counts = counts
        self._source = source.name
        self._session = Session(source, security)
        self._feed = Feed(self._session, source.sample, clock, counts, source.name)
        self._first_within = 3 * source.sample.total_seconds() + REQUEST_SECONDS
        self._nodes: dict[TagRef, ua.NodeId] = {}
        self._read_before: dict[TagRef, Reading] = {}
        self._newest: dict[TagRef, Reading] = {}
        self._suspects: dict[TagRef, Reading] = {}
        self._flow_by = math.inf
        self._audit_at = math.inf
        self._retry_at = math.inf
        self._retry_seconds = _FIRST_RETRY_SECONDS
        self._closing = asyncio.Lock()

    async def open(self, patience: float) -> None:
        """Connect, and read the server's StartTime; `patience` as in `Session.open`. Raises SourceError."""
        await self._session.open(patience)
        self.start_time = await self._session.start_time()

    async def close(self) -> None:
        """Stop and disconnect; may be called again, and by two at a time."""
        async with self._closing:
            try:
                await self._feed.stop()
            finally:
                await self._session.close()

    def wake(self) -> None:
        """Have `next` return."""
        self._feed.wake()

    async def subscribe(self) -> list[Reading]:
        """Read all tags but those on demand, then subscribe anew; what was read. Raises SourceError.

        In this order no value read can be older than one notified before. What is notified first may repeat what was
        read: see `_is_news`.
        """
        await self._resolve(self._tags)
        readings = await self.read([ref for ref, tag in self._tags.items() if not tag.on_demand])
        self._read_before = {reading.tag: reading for reading in readings}
        self.failed |= await self._feed.subscribe(self._to_monitor(readings))
        self._newest = dict(self._read_before)
        now = asyncio.get_running_loop().time()
        self._flow_by = now + self._first_within
        self._audit_at, self._suspects = now + _AUDIT_SECONDS, {}
        self._retry_soon()
        return by_event_time(readings)

    async def read(self, tags: Sequence[TagRef]) -> list[Reading]:
        """Their present values in this order, as one instant; not continuous. Raises SourceError."""
        known = [tag for tag in tags if tag in self._nodes]
        values = iter(await self._session.read([self._nodes[tag] for tag in known]) if known else ())
        received = self._clock.now()
        return [
            decode(self._tags[tag], sample(next(values)), received)
            if tag in self._nodes
            else unreadable(self._tags[tag], self.failed.get(tag, _UNKNOWN), received)
            for tag in tags
        ]

    async def next(self, until: float) -> list[Reading]:
        """What the subscription brings next, one publish response's worth; empty at `until` or after `wake`.

        Raises SubscriptionBroken, SourceError.
        """
        arrived = await self._feed.next(until)
        if arrived is None:
            return []
        readings = []
        for tag, data, first in arrived.changes:
            reading = decode(self._tags[tag], data, arrived.received, continuous=not first)
            if reading.status or self.failed or self.mistyped:
                self._judge(reading, first)
            self._newest[tag] = reading
            if not first or self._is_news(reading):
                readings.append(reading)
        return by_event_time(readings)

    @property
    def is_flowing(self) -> bool:
        """Whether every item has shown its first value, those that failed apart."""
        return self._feed.silent <= self.failed.keys()

    @property
    def due(self) -> float:
        """When `tend` has something to do (seconds of the loop's clock)."""
        flow_by = math.inf if self.is_flowing else self._flow_by
        return min(flow_by, self._retry_at if self.failed else math.inf, self._audit_at)

    async def tend(self) -> list[Reading]:
        """Call silent and dead items failed once it is time, and try what failed again; what could be read of that."""
        now = asyncio.get_running_loop().time()
        if now >= self._audit_at:
            await self._audit(now)
        if now >= self._flow_by:
            self.failed |= dict.fromkeys(self._feed.silent, _SILENT)
            self._flow_by = math.inf
        if not self.failed or now < self._retry_at:
            return []
        self._retry_at = now + self._retry_seconds
        self._retry_seconds = min(2 * self._retry_seconds, _LONGEST_RETRY_SECONDS)
        again = list(self.failed)
        await self._resolve(again)
        readings = await self.read(again)
        await self._feed.forget(again)
        self.failed |= await self._feed.monitor(self._to_monitor(readings))
        good = [reading for reading in readings if reading.quality is Quality.GOOD]
        self._read_before |= {reading.tag: reading for reading in good}
        self.failed |= dict.fromkeys(self._feed.silent.intersection(again), _SILENT)
        return by_event_time(good)

    async def write(self, values: Sequence[tuple[TagRef, int]]) -> None:
        """Write whole numbers in one request, in this order. Raises SourceError where one of them was not taken."""
        try:
            wanted = [(self._nodes[tag], encode(self._tags[tag], value)) for tag, value in values]
        except KeyError as error:
            raise SourceError(f"{error.args[0]} cannot be written: not connected, or not on the server") from error
        except ValueError as error:
            raise SourceError(str(error)) from error
        statuses = await self._session.write(wanted)
        refused = [
            f"{tag}: {status_name(status)}"
            for (tag, _), status in zip(values, statuses, strict=True)
            if quality_of(status) is not Quality.GOOD
        ]
        if refused:
            raise SourceError(f"the server refused to write {', '.join(refused)}")

    @property
    def faults(self) -> dict[TagRef, int]:
        """All tags that do not work."""
        return {**self.mistyped, **self.failed}

    async def _audit(self, now: float) -> None:
        """Read everything; what shows something else than was notified last, and still does later, has a dead item.

        It is looked at twice, since a notification may be on its way.
        """
        if self._suspects:
            dead = [tag for tag, newest in self._suspects.items() if self._newest.get(tag) is newest]
            self._suspects = {}
            self._audit_at = now + _AUDIT_SECONDS
            if dead:
                self.failed |= dict.fromkeys(dead, _ITEM_DEAD)
                self._retry_soon()
            return
        for reading in await self.read([tag for tag in self._newest if tag not in self.failed]):
            newest = self._newest[reading.tag]
            if (reading.value, reading.quality) != (newest.value, newest.quality):
                self._suspects[reading.tag] = newest
        self._audit_at = now + (self._first_within if self._suspects else _AUDIT_SECONDS)

    def _judge(self, reading: Reading, first: bool) -> None:  # noqa: FBT001 - as in `Change`
        """Whether the tag works, by what was notified of it."""
        tag, status = reading.tag, reading.status
        if status & OVERFLOW == OVERFLOW:
            self._counts.add("overflows", source=self._source)
        if status == MISTYPED:
            self.mistyped[tag] = status
        else:
            self.mistyped.pop(tag, None)
        if status in _GONE:
            if self.failed.get(tag) != status:
                self._retry_soon()
            self.failed[tag] = status
        elif first or reading.quality is Quality.GOOD:
            self.failed.pop(tag, None)

    def _retry_soon(self) -> None:
        self._retry_seconds = _FIRST_RETRY_SECONDS
        self._retry_at = asyncio.get_running_loop().time() + self._retry_seconds

    async def _resolve(self, tags: Iterable[TagRef]) -> None:
        """Find the tags' nodes at the present indices of their namespaces."""
        indices = await self._session.namespaces()
        for tag in tags:
            address = self._tags[tag].address
            self._nodes.pop(tag, None)
            if not isinstance(address, OpcUaAddress) or address.namespace_uri not in indices:
                self.failed[tag] = _UNKNOWN
                continue
            try:
                self._nodes[tag] = node_id(address, indices[address.namespace_uri])
            except ValueError:
                self.failed[tag] = _INVALID
            else:
                self.failed.pop(tag, None)

    def _to_monitor(self, readings: Iterable[Reading]) -> dict[TagRef, ua.NodeId]:
        """The nodes of what was read; what cannot be decoded would spoil every notification that it is part of."""
        spoiled = {reading.tag for reading in readings if reading.status == _UNDECODABLE}
        self.failed |= dict.fromkeys(spoiled, _UNDECODABLE)
        return {
            reading.tag: self._nodes[reading.tag]
            for reading in readings
            if reading.tag in self._nodes and reading.tag not in spoiled
        }

    def _is_news(self, reading: Reading) -> bool:
        """Whether the first notification of an item says more than what was read before it was monitored.

        A server may begin with a sample older than what was read: a counter would seem to fall.
        """
        before = self._read_before.pop(reading.tag, None)
        if before is None:
            return True
        is_older = (
            before.source_time is not None
            and reading.source_time is not None
            and reading.source_time < before.source_time
        )
        is_same = (reading.value, reading.status, reading.source_time) == (
            before.value,
            before.status,
            before.source_time,
        )
        if is_older:
            self._counts.add("values_discarded", source=self._source, why="older than what was read")
        return not is_older and not is_same
