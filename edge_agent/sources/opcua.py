"""An OPC UA server as a source (OPC 10000-4): reconnects by itself, tells what it could not see, acknowledges.

A session that is lost is never revived: the next one is fresh, reads everything and subscribes anew, so what was missed
meanwhile heals by reading. Handshakes are in `handshakes`, one session's tags in `opcua_link`.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Final

from edge_agent.clock import Clock
from edge_agent.config.devices import OpcUaSource, Tag
from edge_agent.config.signals import Handshake, Kind
from edge_agent.errors import SourceError
from edge_agent.model.confirmation import Acknowledge, Block
from edge_agent.model.reading import Link as LinkState
from edge_agent.model.reading import Reading, SourceChange, TagRef
from edge_agent.sources.base import Input
from edge_agent.sources.handshake_ring import readable
from edge_agent.sources.handshakes import Handshakes
from edge_agent.sources.opcua_events import Events
from edge_agent.sources.opcua_link import MISTYPED, Link
from edge_agent.sources.opcua_pki import Pki
from edge_agent.sources.opcua_security import Security
from edge_agent.sources.opcua_session import LoginRefused, SubscriptionBroken
from edge_agent.sources.opcua_values import status_name
from edge_agent.sources.pause import Pause
from edge_agent.sources.tag_faults import TagFaults
from edge_agent.telemetry.log import Code, get_logger
from edge_agent.telemetry.metrics import Counts
from edge_agent.telemetry.status import Status

_STABLE_SECONDS: Final = 10.0
_PATIENCE: Final = (*[1.0] * 9, 4.0)
"""Seconds for a server's first answer, in turn: short, so that the end of a black hole is soon noticed; a slow server
is found in the tenth try."""
_LONGEST_PAUSE: Final = 0.5
_AFTER_REFUSAL: Final = 10.0
"""Seconds: more wrong passwords a minute lock accounts."""

_log = get_logger(__name__)


class OpcUa:
    """The `Source` of one OPC UA session. `handshakes` are this source's, by rule."""

    def __init__(
        self,
        source: OpcUaSource,
        tags: Sequence[Tag],
        handshakes: Mapping[str, Handshake],
        clock: Clock,
        status: Status,
        *,
        counts: Counts | None = None,
        pki: Pki | None = None,
    ) -> None:
        """`pki` holds the certificates. Raises ConfigurationError where `source` needs them and there is none."""
        self.name = source.name
        self._source = source
        self._security = Security(source, pki)
        self._tags = {tag.ref: tag for tag in readable(tags)}
        self._subscribed = sum(not tag.on_demand for tag in self._tags.values())
        self._clock = clock
        self._status = status
        self._counts = counts or Counts()
        read = {rule: one for rule, one in handshakes.items() if one.kind is not Kind.EVENT}
        heard = {rule: one for rule, one in handshakes.items() if one.kind is Kind.EVENT}
        self._handshakes = Handshakes(read, clock, status, self._counts)
        self._events = Events(source, self._security, {tag.ref: tag for tag in tags}, heard, clock=clock, status=status)
        self._heard: deque[Sequence[Block]] = deque()
        self._listening: asyncio.Task[None] | None = None
        self._faults = TagFaults(self.name, self._subscribed, self._fault, status, self._counts)
        self._link: Link | None = None
        self._pauses = Pause(_LONGEST_PAUSE)
        self._patience = itertools.cycle(_PATIENCE)
        self._flowing_since: float | None = None
        self._closed = False

    async def deliveries(self) -> AsyncIterator[Sequence[Input]]:
        """What the server says, session after session, for ever; ends only after `close`."""
        await self._leave()
        self._status.starting(self.name, f"connecting to {self._source.url}")
        if self._events.rules:
            self._listening = asyncio.create_task(self._events.run(self._hear), name=f"{self.name} events")
        while not self._closed:
            was_up = is_refused = False
            try:
                async with aclosing(self._session()) as session:
                    async for delivery in session:
                        was_up = True
                        yield delivery
            except SourceError as error:
                is_refused = isinstance(error, LoginRefused)
                self._lost(str(error))
            if was_up:
                yield [SourceChange(self.name, LinkState.LOST, self._clock.now())]
            await asyncio.sleep(_AFTER_REFUSAL if is_refused else self._pause())

    async def acknowledge(self, ack: Acknowledge) -> None:
        """Write the result, then the acknowledgement, in one request; then a `Released` is delivered. Events have none.

        Raises SourceError where the device did not take both. The block is then read and delivered again.
        """
        if ack.rule in self._events.rules:
            self._events.committed(ack)
            return
        link = self._link
        if link is None:
            raise SourceError(f"{self.name} is not connected: number {ack.number} of {ack.rule} is not acknowledged")
        try:
            await self._handshakes.acknowledge(ack, link.read, link.write, asyncio.get_running_loop().time())
        finally:
            link.wake()

    async def close(self) -> None:
        """Leave the server; `deliveries` ends."""
        self._closed = True
        await self._leave()

    async def _session(self) -> AsyncGenerator[Sequence[Input], None]:
        """One session, from connect to loss. Raises SourceError."""
        link = Link(self._source, self._security, self._tags, self._clock, self._counts)
        self._link = link
        try:
            await link.open(next(self._patience))
            connected = self._clock.now()
            readings = await self._subscribe(link)
            yield [SourceChange(self.name, LinkState.UP, connected, link.start_time)]
            yield readings
            del readings  # or all the first values would stay as long as the session
            while True:
                delivery = await self._next(link)
                self._show(link)
                if delivery:
                    yield delivery
        finally:
            await link.close()
            self._link = None

    async def _next(self, link: Link) -> Sequence[Input]:
        """What there is to deliver next; empty where it was only time to look after something."""
        if self._listening is not None and self._listening.done():
            self._listening.result()
        now = asyncio.get_running_loop().time()
        if released := self._handshakes.take_released():
            return released
        if self._heard:
            return self._heard.popleft()
        if self._handshakes.due <= now:
            return await self._handshakes.look(link.read, now)
        if link.due <= now:
            return self._counted(await link.tend())
        try:
            readings = await link.next(min(link.due, self._handshakes.due))
        except SubscriptionBroken as broken:
            self._counts.add("subscribed_anew", source=self.name)
            _log.warning("subscribing anew", code=Code.SUBSCRIBED_ANEW, source=self.name, detail=str(broken))
            await asyncio.sleep(self._pause())
            return await self._subscribe(link)
        self._handshakes.triggered(readings, asyncio.get_running_loop().time())
        return self._counted(readings)

    async def _subscribe(self, link: Link) -> list[Reading]:
        """Read all and subscribe; every handshake is looked at."""
        readings = await link.subscribe()
        self._handshakes.connected(asyncio.get_running_loop().time())
        self._flowing_since = None
        return self._counted(readings)

    def _counted(self, readings: list[Reading]) -> list[Reading]:
        self._counts.add("readings", len(readings), source=self.name)
        return readings

    def _show(self, link: Link) -> None:
        """Whether data flows, and which tags do not work, as far as that has changed."""
        if self._flowing_since is None and link.is_flowing:
            self._flowing_since = asyncio.get_running_loop().time()
            self._counts.set("source_up", 1, source=self.name)
            self._status.up(self.name, f"{self._subscribed} tags at {self._source.url}")
        self._faults.show(link.faults)

    def _fault(self, tag: TagRef, status: int) -> str:
        """What is wrong with a tag, for people."""
        wanted = f" (not {self._tags[tag].type})" if status == MISTYPED else ""
        return f"{status_name(status)}{wanted}"

    def _lost(self, why: str) -> None:
        self._counts.set("source_up", 0, source=self.name)
        if not self._closed:
            self._status.lost(self.name, why)

    def _pause(self) -> float:
        """Seconds to wait: almost none after a session that was stable."""
        now = asyncio.get_running_loop().time()
        if self._flowing_since is not None and now - self._flowing_since > _STABLE_SECONDS:
            self._pauses.works()
            self._patience = itertools.cycle(_PATIENCE)
        self._flowing_since = None
        return self._pauses.next()

    def _hear(self, blocks: Sequence[Block]) -> None:
        """Events have come; they wait for the session that all else comes by."""
        self._heard.append(blocks)
        if self._link is not None:
            self._link.wake()

    async def _leave(self) -> None:
        """Close what a consumer that has gone may have left open, or is just closing."""
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
            self._listening = None
        if self._link is not None:
            await self._link.close()
