"""A Modbus device as a source (Modbus Application Protocol V1.1b3): polled, checked, never torn, on its own.

Modbus knows no time but that of the answer's arrival, no quality but an exception, and no session: a device that ends
the connection, or does not answer twice in a row, is lost; what its counters did meanwhile, the engine decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Final

from edge_agent.clock import Clock
from edge_agent.config.devices import ModbusSource, Tag, TagType
from edge_agent.config.signals import Handshake
from edge_agent.errors import SourceError
from edge_agent.model.confirmation import Acknowledge
from edge_agent.model.reading import Instant, Link, Quality, Reading, Scalar, SourceChange, TagRef
from edge_agent.sources.base import Input
from edge_agent.sources.handshake_ring import readable
from edge_agent.sources.handshakes import Handshakes
from edge_agent.sources.modbus_frames import exception_name
from edge_agent.sources.modbus_plan import Block, plan
from edge_agent.sources.modbus_wire import NoAnswer, Refused, Wire
from edge_agent.sources.pause import Pause
from edge_agent.sources.registers import address_of, encode
from edge_agent.sources.tag_faults import TagFaults
from edge_agent.telemetry.metrics import Counts
from edge_agent.telemetry.status import Status

_RETRY_SECONDS: Final = 10.0
_TRIES: Final = 2
_LONGEST_PAUSE_SERIAL: Final = 5.0
"""On a serial line the time spent on a silent device is taken from the others."""
_NOT_THERE: Final = frozenset({1, 2, 3})
"""Exceptions that say that a request can never work; the others pass (V1.1b3, 7)."""


class Modbus:
    """The `Source` of one Modbus device. `handshakes` are its, by rule; on a serial line `wire` may be shared."""

    def __init__(
        self,
        source: ModbusSource,
        tags: Sequence[Tag],
        handshakes: Mapping[str, Handshake],
        clock: Clock,
        status: Status,
        *,
        wire: Wire | None = None,
        counts: Counts | None = None,
    ) -> None:
        self.name = source.name
        self._source = source
        self._within = source.timeout.total_seconds()
        self._tags = {tag.ref: tag for tag in readable(tags)}
        self._polled = [tag for tag in self._tags.values() if not tag.on_demand]
        self._clock = clock
        self._status = status
        self._counts = counts or Counts()
        self._wire = wire or Wire(source)
        self._handshakes = Handshakes(handshakes, clock, status, self._counts)
        self._faults = TagFaults(
            self.name, len(self._polled), lambda _tag, code: exception_name(code), status, self._counts
        )
        self._blocks: list[Block] = []
        self._failed: dict[TagRef, int] = {}
        self._retry_at = 0.0
        self._woken = asyncio.Event()
        self._pause = Pause() if source.serial is None else Pause(_LONGEST_PAUSE_SERIAL)
        self._connected = False
        self._closed = False

    async def deliveries(self) -> AsyncIterator[Sequence[Input]]:
        """What the device says, poll after poll, for ever; ends only after `close`."""
        self._status.starting(self.name, f"connecting to {self._source.url}")
        while not self._closed:
            was_up = False
            try:
                async with aclosing(self._polls()) as polls:
                    async for delivery in polls:
                        was_up = True
                        yield delivery
            except SourceError as error:
                self._lost(str(error))
            if was_up:
                yield [SourceChange(self.name, Link.LOST, self._clock.now())]
            await asyncio.sleep(self._pause.next())

    async def acknowledge(self, ack: Acknowledge) -> None:
        """Write the result, then the acknowledgement; then a `Released` is delivered.

        Raises SourceError where the device did not take both. The block is then read and delivered again.
        """
        if not self._connected:
            raise SourceError(f"{self.name} is not connected: number {ack.number} of {ack.rule} is not acknowledged")
        now = asyncio.get_running_loop().time()
        try:
            await self._handshakes.acknowledge(ack, self._read_coherently, self._write, now)
        finally:
            self._woken.set()

    async def close(self) -> None:
        """Leave the device; `deliveries` ends."""
        self._closed, self._connected = True, False
        await self._wire.close()

    async def _polls(self) -> AsyncGenerator[Sequence[Input], None]:
        """From the first answer of the device to its loss. Raises SourceError."""
        loop, period = asyncio.get_running_loop(), self._source.poll.total_seconds()
        self._blocks, self._failed = plan(self._polled, self._source.order, self._source.max_registers), {}
        connected, due = self._clock.now(), loop.time()
        try:
            readings = await self._poll()
            self._up()
            self._handshakes.connected(loop.time())
            yield [SourceChange(self.name, Link.UP, connected)]
            yield readings
            while True:
                due = max(due + period, loop.time())
                async for delivery in self._between(due):
                    yield delivery
                readings = await self._poll()
                self._pause.works()
                self._handshakes.triggered(readings, loop.time())
                yield readings
        finally:
            self._connected = False
            await self._wire.close()

    async def _between(self, until: float) -> AsyncIterator[Sequence[Input]]:
        """What the handshakes want before the next poll."""
        loop = asyncio.get_running_loop()
        while (now := loop.time()) < until:
            if released := self._handshakes.take_released():
                yield released
            elif self._handshakes.due <= now:
                if blocks := await self._handshakes.look(self._read_coherently, now):
                    yield blocks
            else:
                self._woken.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(min(until, self._handshakes.due)):
                        await self._woken.wait()

    async def _poll(self) -> list[Reading]:
        """Read all tags; those the device does not have, again every ten seconds. Raises SourceError."""
        readings: list[Reading] = []
        working: list[Block] = []
        now = asyncio.get_running_loop().time()
        blocks = self._blocks
        if self._failed and now >= self._retry_at:
            blocks = [
                *blocks,
                *(block for tag in self._failed for block in plan([self._tags[tag]], self._source.order)),
            ]
        if now >= self._retry_at:
            self._retry_at = now + _RETRY_SECONDS
        for block in blocks:
            found, again = await self._read(block)
            readings += found
            working += again
        self._blocks = working
        self._failed = {tag: code for tag, code in self._failed.items() if tag not in _tags_of(working)}
        self._faults.show(self._failed)
        self._counts.add("readings", len(readings), source=self.name)
        return readings

    async def _read(self, block: Block) -> tuple[list[Reading], list[Block]]:
        """A block's readings, and the blocks to ask for next time: halves where the device refuses it."""
        try:
            octets = await self._try(block)
        except Refused as refused:
            return await self._read_refused(block, refused.code)
        received = self._clock.now()
        return [_reading(tag, decode(octets), received) for tag, decode in block.decoders], [block]

    async def _read_refused(self, block: Block, code: int) -> tuple[list[Reading], list[Block]]:
        halves = block.halves if code in _NOT_THERE else None
        if halves is not None:
            (first, some), (second, others) = await self._read(halves[0]), await self._read(halves[1])
            return [*first, *second], [*some, *others]
        received = self._clock.now()
        readings = [Reading(tag.ref, None, Quality.BAD, received, code) for tag in block.tags]
        if code not in _NOT_THERE:
            self._counts.add("refused_requests", source=self.name)
            return readings, [block]
        self._failed |= {tag.ref: code for tag in block.tags}
        return readings, []

    async def _try(self, block: Block) -> bytes:
        """A block's octets. One late or wrong answer is no lost device: it is asked once more, on a new connection."""
        for _ in range(_TRIES - 1):
            with suppress(NoAnswer):
                return await self._wire.read(self._source.unit_id, block, self._within)
            self._counts.add("asked_again", source=self.name)
        return await self._wire.read(self._source.unit_id, block, self._within)

    async def _read_coherently(self, asked: Sequence[TagRef]) -> list[Reading]:
        """A handshake's block: the trigger by itself, then all the others, then the trigger again (derivation.md)."""
        found: list[Reading] = []
        for tags in (asked[:1], asked[1:-1], asked[-1:]):
            read: dict[TagRef, Reading] = {}
            for block in plan((self._tags[tag] for tag in tags), self._source.order, self._source.max_registers):
                readings, _ = await self._read(block)
                read |= {reading.tag: reading for reading in readings}
            found += (read[tag] for tag in tags)
        return found

    async def _write(self, values: Sequence[tuple[TagRef, int]]) -> None:
        for ref, number in values:
            tag = self._tags[ref]
            address = address_of(tag)
            if tag.type is TagType.BOOL and address.bit is None:
                await self._wire.write_coil(self._source.unit_id, address.offset, on=bool(number), within=self._within)
                continue
            try:
                octets = encode(tag, number, self._source.order)
            except ValueError as error:
                raise SourceError(str(error)) from error
            await self._wire.write(self._source.unit_id, address.offset, octets, self._within)

    def _up(self) -> None:
        self._connected = True
        self._counts.set("source_up", 1, source=self.name)
        self._status.up(self.name, f"{len(self._polled)} tags in {len(self._blocks)} requests at {self._source.url}")

    def _lost(self, why: str) -> None:
        self._counts.set("source_up", 0, source=self.name)
        if not self._closed:
            self._status.lost(self.name, why)


def _reading(tag: Tag, value: Scalar | None, received: Instant) -> Reading:
    """A value with the time of its arrival; what is no value of the tag's type is bad."""
    return Reading(tag.ref, value, Quality.BAD if value is None else Quality.GOOD, received)


def _tags_of(blocks: Sequence[Block]) -> set[TagRef]:
    return {tag.ref for block in blocks for tag in block.tags}
