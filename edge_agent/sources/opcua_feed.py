"""What a session's subscription brings: monitored items, the publish loop, and a bounded buffer behind it.

The publish loop only enqueues. Whatever makes it doubtful that every change came (a full buffer, a missing or broken
notification, a subscription that the server ended) breaks the subscription: the source then subscribes anew and reads
all, since counters and triggers heal by reading.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, NamedTuple

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds

from edge_agent.clock import Clock
from edge_agent.errors import SourceError
from edge_agent.model.reading import Instant, TagRef
from edge_agent.sources.opcua_notifications import Published
from edge_agent.sources.opcua_session import REQUEST_SECONDS, Session, SubscriptionBroken
from edge_agent.sources.opcua_values import Sample, status_name
from edge_agent.telemetry.metrics import Counts

BUFFER_VALUES: Final = 10_000
"""Values that may wait for the consumer (more where there are more tags: all of them come at the beginning)."""
_QUEUE: Final = 100
"""Values the server keeps per item between two publishes: a pause of 10 s at 100 ms loses none."""
_NOTIFICATIONS: Final = 5_000
_KEEPALIVE_SECONDS: Final = 1.0
_LIFETIME_SECONDS: Final = 30.0
_PULSE_SECONDS: Final = 5.0
_LAST_SEQUENCE: Final = 0xFFFF_FFFF


class Change(NamedTuple):
    """A notification of one item; `first` since it is monitored, so nothing is known of what came before."""

    tag: TagRef
    data: Sample
    first: bool


@dataclass(frozen=True, slots=True)
class Arrived:
    """What one publish response brought."""

    changes: Sequence[Change]
    received: Instant


@dataclass(slots=True)
class _Item:
    tag: TagRef
    identifier: int = 0


class Feed:
    """The subscription of one session; `stop` ends its tasks. `silent` is monitored but has shown no value yet."""

    def __init__(self, session: Session, sample: timedelta, clock: Clock, counts: Counts, source: str) -> None:
        self.silent: set[TagRef] = set()
        self._session = session
        self._milliseconds = sample / timedelta(milliseconds=1)
        self._clock = clock
        self._counts = counts
        self._source = source
        self._subscription: int | None = None
        self._items: dict[int, _Item] = {}
        self._handles = 0
        self._expected = 1
        self._patience = REQUEST_SECONDS
        self._arrived: deque[Arrived] = deque()
        self._waiting = 0
        self._wake = asyncio.Event()
        self._flowing = asyncio.Event()
        self._broken: str | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def subscribe(self, nodes: Mapping[TagRef, ua.NodeId]) -> dict[TagRef, int]:
        """Subscribe anew to `nodes`; the statuses of those that the server refuses. Raises SourceError."""
        self._flowing.clear()
        if self._subscription is not None:
            await self._session.delete_subscription(self._subscription)
        interval = self._milliseconds
        keepalive = max(1, math.ceil(1000 * _KEEPALIVE_SECONDS / interval))
        lifetime = max(3 * keepalive, math.ceil(1000 * _LIFETIME_SECONDS / interval))
        made = await self._session.create_subscription(
            ua.CreateSubscriptionParameters(
                RequestedPublishingInterval=ua.Duration(interval),
                RequestedLifetimeCount=ua.Counter(lifetime),
                RequestedMaxKeepAliveCount=ua.Counter(keepalive),
                MaxNotificationsPerPublish=ua.Counter(_NOTIFICATIONS),
                PublishingEnabled=True,
            )
        )
        self._subscription, self._expected, self._items = int(made.SubscriptionId), 1, {}
        self.silent.clear()
        self._patience = (made.RevisedMaxKeepAliveCount + 2) * made.RevisedPublishingInterval / 1000 + REQUEST_SECONDS
        refused = await self.monitor(nodes)
        self._broken = None
        self._flowing.set()
        self._start()
        return refused

    async def monitor(self, nodes: Mapping[TagRef, ua.NodeId]) -> dict[TagRef, int]:
        """Monitor more nodes; the statuses of those that the server refuses. Raises SourceError."""
        if self._subscription is None:
            raise SubscriptionBroken("there is no subscription")
        handles = {self._next_handle(): tag for tag in nodes}
        for handle, tag in handles.items():
            self._items[handle] = _Item(tag)
            self.silent.add(tag)
        wanted = [self._request(nodes[tag], handle) for handle, tag in handles.items()]
        results = await self._session.create_items(self._subscription, wanted)
        refused: dict[TagRef, int] = {}
        for (handle, tag), result in zip(handles.items(), results, strict=True):
            if result.StatusCode.is_good():
                self._items[handle].identifier = int(result.MonitoredItemId)
            else:
                del self._items[handle]
                self.silent.discard(tag)
                refused[tag] = int(result.StatusCode.value)
        return refused

    async def forget(self, tags: Iterable[TagRef]) -> None:
        """Monitor these no longer."""
        unwanted = set(tags)
        gone = {handle: item.identifier for handle, item in self._items.items() if item.tag in unwanted}
        if gone and self._subscription is not None:
            await self._session.delete_items(self._subscription, list(gone.values()))
            for handle in gone:
                self.silent.discard(self._items.pop(handle).tag)

    async def next(self, until: float) -> Arrived | None:
        """What arrived next; None at `until` (seconds of the loop's clock) or after `wake`.

        Raises SubscriptionBroken once everything that came before the break is consumed, SourceError where the session
        is lost.
        """
        if not self._arrived:
            self._raise_what_ended()
            self._wake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(until if until < math.inf else None):
                    await self._wake.wait()
        if not self._arrived:
            return None
        arrived = self._arrived.popleft()
        self._waiting -= len(arrived.changes)
        return arrived

    def wake(self) -> None:
        """Have `next` return."""
        self._wake.set()

    async def stop(self) -> None:
        """End publishing."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self) -> None:
        if not self._tasks:
            for name, work in (("publish", self._publish()), ("pulse", self._pulse())):
                task = asyncio.create_task(work, name=f"{self._source} {name}")
                task.add_done_callback(lambda _: self._wake.set())
                self._tasks.append(task)

    async def _publish(self) -> None:
        """One request at a time; none while the subscription is broken, or the server would answer to a former one."""
        acknowledge: list[ua.SubscriptionAcknowledgement] = []
        while True:
            await self._flowing.wait()
            try:
                published = await self._session.publish(acknowledge, self._patience)
            except SubscriptionBroken as broken:
                acknowledge = []
                self._break(str(broken))
            else:
                acknowledge = self._take(published)

    async def _pulse(self) -> None:
        while True:
            await asyncio.sleep(_PULSE_SECONDS)
            await self._session.pulse()

    def _take(self, published: Published) -> list[ua.SubscriptionAcknowledgement]:
        """Enqueue what came; what is to be acknowledged with the next request. A keep-alive carries nothing."""
        sequence = published.sequence
        if not published.brings or published.subscription != self._subscription:
            return []
        if sequence != self._expected:
            self._break(f"notification {self._expected} is missing, {sequence} came")
            return []
        self._expected = 1 if sequence == _LAST_SEQUENCE else sequence + 1
        changes = self._changes(published.changes)
        if published.ended is not None:
            self._break(f"the server ended it: {status_name(published.ended)}")
        if changes:
            self._arrived.append(Arrived(changes, self._clock.now()))
            self._waiting += len(changes)
            self._wake.set()
        if self._waiting > max(BUFFER_VALUES, 2 * len(self._items)):
            self._break(f"{self._waiting} values wait for the store")
        return [ua.SubscriptionAcknowledgement(ua.IntegerId(published.subscription), ua.Counter(sequence))]

    def _changes(self, notified: Iterable[tuple[int, Sample]]) -> list[Change]:
        changes = []
        for handle, data in notified:
            item = self._items.get(handle)
            if item is None:
                self._counts.add("values_discarded", source=self._source, why="no longer monitored")
            elif self.silent and item.tag in self.silent:
                changes.append(Change(item.tag, data, first=True))
                self.silent.discard(item.tag)
            else:
                changes.append(Change(item.tag, data, first=False))
        if not self.silent:
            self.silent = set()  # one that was full once keeps its memory
        return changes

    def _break(self, why: str) -> None:
        self._broken = self._broken or why
        self._flowing.clear()
        self._wake.set()

    def _raise_what_ended(self) -> None:
        for task in self._tasks:
            if task.cancelled():
                raise SourceError(f"{self._source} was closed")
            if task.done():
                task.result()
        if self._broken is not None:
            raise SubscriptionBroken(self._broken)

    def _next_handle(self) -> int:
        self._handles += 1
        return self._handles

    def _request(self, node: ua.NodeId, handle: int) -> ua.MonitoredItemCreateRequest:
        return ua.MonitoredItemCreateRequest(
            ItemToMonitor=ua.ReadValueId(NodeId=node, AttributeId=AttributeIds.Value),
            MonitoringMode=ua.MonitoringMode.Reporting,
            RequestedParameters=ua.MonitoringParameters(
                ClientHandle=ua.IntegerId(handle),
                SamplingInterval=ua.Duration(self._milliseconds),
                QueueSize=ua.Counter(_QUEUE),
                DiscardOldest=True,
            ),
        )
