"""A Modbus source at a test device, with its status board and counts."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal

from edge_agent.clock import SystemClock
from edge_agent.config.devices import ModbusAddress, ModbusSource, Parity, SerialLine, Tag, TagType
from edge_agent.config.signals import Handshake
from edge_agent.model.reading import TagRef
from edge_agent.sources.modbus import Modbus
from edge_agent.sources.modbus_wire import Wire
from edge_agent.sources.registers import width
from edge_agent.telemetry.metrics import Counts
from edge_agent.telemetry.status import Status
from tests.sources.conftest import TYPES, Consumer

POLL = timedelta(milliseconds=20)


def modbus_tag(
    name: str,
    table: str,
    offset: int,
    kind: TagType,
    *,
    bit: int | None = None,
    length: int | None = None,
    of: str = "tanks",
) -> Tag:
    return Tag(TagRef(of, name), kind, ModbusAddress(table, offset, bit, length), scale=Decimal(1))


class ModbusBench:
    """The source under test. Answers may take 0.2 s."""

    def __init__(
        self,
        url: str,
        tags: Sequence[Tag],
        handshakes: Mapping[str, Handshake] | None = None,
        *,
        name: str = "tanks",
        unit_id: int = 1,
        order: str = "CDAB",
        most: int = 125,
        timeout: float = 0.2,
        wire: Wire | None = None,
        source_class: type[Modbus] = Modbus,
    ) -> None:
        self.status = Status()
        self.counts = Counts()
        # a pty has no parity bit, and Debian's C library says so
        serial = SerialLine(parity=Parity.NONE) if url.startswith("rtu:") else None
        reference = ModbusSource(name, url, unit_id, order, POLL, timedelta(seconds=timeout), most, serial)
        self.wire = wire or Wire(reference)
        self.source = source_class(
            reference, tags, handshakes or {}, SystemClock(), self.status, wire=self.wire, counts=self.counts
        )

    @asynccontextmanager
    async def consumed(self) -> AsyncIterator[Consumer]:
        consumer = Consumer(self.source)
        try:
            yield consumer
        finally:
            await consumer.end()
            await self.source.close()

    def state(self, component: str) -> str | None:
        known = self.status.snapshot().get(component)
        return None if known is None else known["state"]

    def detail(self, component: str) -> str:
        return self.status.snapshot()[component]["detail"]


def modbus_tags(source: str) -> dict[str, Tag]:
    """The tags that the OPC UA device of these tests has, as registers ten apart."""
    return {
        name: modbus_tag(name, "hr", 10 * place, kind, length=18 if kind is TagType.STRING else None, of=source)
        for place, (name, (_, kind)) in enumerate(TYPES.items())
    }


def octets_of(tag: Tag, value: object) -> bytes:
    """What the device holds where the tag shows `value`; the low word first."""
    if tag.type is TagType.STRING:
        return str(value).encode().ljust(18, b" ")
    if tag.type is TagType.FLOAT32:
        octets = struct.pack(">f", value)
        return octets[2:] + octets[:2]
    assert isinstance(value, int)
    return (
        value.to_bytes(2, "big", signed=value < 0)
        if width(tag) == 1
        else struct.pack(">HH", value & 0xFFFF, value >> 16)
    )
