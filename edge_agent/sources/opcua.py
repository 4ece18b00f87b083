"""An OPC UA server as a source (OPC 10000-4): reconnects by itself, tells what it could not see, acknowledges.

A session that is lost is never revived: the next one is fresh, reads everything and subscribes anew, so what was missed
meanwhile heals by reading. Handshakes are in `handshake`, one session's tags in `opcua_link`.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Final

from edge_agent.clock import Clock
from edge_agent.config.tagmap import Handshake, OpcUaSource, Tag
from edge_agent.errors import SourceError
from edge_agent.model.confirmation import Acknowledge, Released
from edge_agent.model.reading import Link as LinkState
from edge_agent.model.reading import Reading, SourceChange, TagRef
from edge_agent.sources.base import Input
from edge_agent.sources.handshake import Watch
from edge_agent.sources.opcua_link import Link
from edge_agent.sources.opcua_pki import Pki
from edge_agent.sources.opcua_security import Security
from edge_agent.sources.opcua_session import LoginRefused, SubscriptionBroken
from edge_agent.sources.pause import Pause
from edge_agent.telemetry.log import Code, get_logger
from edge_agent.telemetry.metrics import Counts
from edge_agent.telemetry.status import Health, Status

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
        self._tags = {tag.ref: tag for tag in tags}
        self._watches = {rule: Watch(rule, handshake) for rule, handshake in handshakes.items()}
        self._by_trigger: dict[TagRef, list[Watch]] = defaultdict(list)
        for watch in self._watches.values():
            self._by_trigger[watch.handshake.trigger].append(watch)
        self._clock = clock
        self._status = status
        self._counts = counts or Counts()
        self._link: Link | None = None
        self._released: list[Released] = []
        self._pauses = Pause(_LONGEST_PAUSE)
        self._patience = itertools.cycle(_PATIENCE)
        self._flowing_since: float | None = None
        self._shown_failed: dict[TagRef, int] = {}
        self._closed = False

    async def deliveries(self) -> AsyncIterator[Sequence[Input]]:
        """What the server says, session after session, for ever; ends only after `close`."""
        await self._leave()
        self._status.starting(self.name, f"connecting to {self._source.url}")
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
        """Write the result, then the acknowledgement, in one request; then a `Released` is delivered.

        Raises SourceError where the device did not take both. The block is then read and delivered again.
        """
        watch, link = self._watches[ack.rule], self._link
        if link is None:
            raise SourceError(f"{self.name} is not connected: number {ack.number} of {ack.rule} is not acknowledged")
        result = watch.handshake.result
        values = [(result, int(ack.result))] if result is not None else []
        try:
            await link.write([*values, (watch.handshake.ack, ack.number)])
        except SourceError as error:
            self._status.lost(_acknowledgements(ack.rule), f"number {ack.number}: {error}")
            raise
        self._recovered(_acknowledgements(ack.rule), f"number {ack.number} is acknowledged")
        watch.acknowledged(ack.number)
        self._released.append(Released(ack.rule, ack.number, self._clock.now()))
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
        now = asyncio.get_running_loop().time()
        if self._released:
            released, self._released = self._released, []
            return released
        for watch in self._watches.values():
            if watch.due <= now:
                return await self._look(watch, link, now)
        if link.due <= now:
            return self._counted(await link.tend())
        try:
            readings = await link.next(min(link.due, *(watch.due for watch in self._watches.values()), math.inf))
        except SubscriptionBroken as broken:
            self._counts.add("subscribed_anew", source=self.name)
            _log.warning("subscribing anew", code=Code.SUBSCRIBED_ANEW, source=self.name, detail=str(broken))
            await asyncio.sleep(self._pause())
            return await self._subscribe(link)
        self._trigger(readings)
        return self._counted(readings)

    async def _subscribe(self, link: Link) -> list[Reading]:
        """Read all and subscribe; every handshake is looked at."""
        readings = await link.subscribe()
        now = asyncio.get_running_loop().time()
        for watch in self._watches.values():
            watch.connected(now)
        self._flowing_since = None
        return self._counted(readings)

    async def _look(self, watch: Watch, link: Link, now: float) -> Sequence[Input]:
        """Read a handshake's block."""
        torn = watch.torn
        block = await watch.look(link.read, now)
        self._counts.add("torn_blocks", watch.torn - torn, rule=watch.rule)
        component = f"handshake {watch.rule}"
        if watch.unreadable is not None:
            self._status.lost(component, watch.unreadable)
        else:
            self._recovered(component, "the block can be read again")
        if block is None:
            return []
        if block.acknowledged == block.number:
            self._recovered(_acknowledgements(watch.rule), f"number {block.number} is acknowledged")
        return [block]

    def _trigger(self, readings: Sequence[Reading]) -> None:
        if not self._by_trigger:
            return
        now = asyncio.get_running_loop().time()
        for reading in readings:
            for watch in self._by_trigger.get(reading.tag, ()):
                watch.seen(reading, now)

    def _counted(self, readings: list[Reading]) -> list[Reading]:
        self._counts.add("readings", len(readings), source=self.name)
        return readings

    def _show(self, link: Link) -> None:
        """Whether data flows, and which tags do not work, as far as that has changed."""
        if self._flowing_since is None and link.is_flowing:
            self._flowing_since = asyncio.get_running_loop().time()
            self._counts.set("source_up", 1, source=self.name)
            self._status.up(self.name, f"{len(self._tags)} tags at {self._source.url}")
        faults = link.faults
        if faults != self._shown_failed:
            self._shown_failed = faults
            self._counts.set("tags_failed", len(faults), source=self.name)
            component = f"{self.name} tags"
            if faults:
                self._status.lost(component, link.why_failed())
            else:
                self._status.up(component, "all of them work again")

    def _recovered(self, component: str, detail: str) -> None:
        """What was never lost need not stand on the board."""
        if self._status.health(component) is Health.LOST:
            self._status.up(component, detail)

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

    async def _leave(self) -> None:
        """Close what a consumer that has gone may have left open, or is just closing."""
        if self._link is not None:
            await self._link.close()


def _acknowledgements(rule: str) -> str:
    """Their name on the status board."""
    return f"acknowledgements of {rule}"
