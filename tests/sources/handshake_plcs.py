"""PLC programs that confirm pallets in each of the three ways, on a real OPC UA server and on a real Modbus device."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from asyncua import ua

from edge_agent.config.devices import ModbusAddress, OpcUaAddress, Tag, TagType
from edge_agent.config.signals import Handshake, Kind
from edge_agent.model.reading import TagRef
from edge_agent.sources.handshake_ring import readable
from edge_agent.sources.registers import address_of
from tests.sources.modbus_bench import octets_of
from tests.sources.modbus_device import ModbusDevice
from tests.sources.opcua_device import URI, Device

PLC = "plc"
SLOTS = 4
SCAN_SECONDS = 0.005
_TYPES = {
    "request": TagType.BOOL,
    "answer": TagType.BOOL,
    "head": TagType.UINT16,
    "tail": TagType.UINT16,
    "result": TagType.INT16,
    "cases": TagType.INT16,
    "sscc": TagType.STRING,
    "ring_cases": TagType.INT16,
    "ring_sscc": TagType.STRING,
    "seq": TagType.UINT16,
    "echo": TagType.UINT16,
    "weight": TagType.FLOAT32,
    "order": TagType.STRING,
    "who": TagType.STRING,
    "ring_weight": TagType.FLOAT32,
    "ring_order": TagType.STRING,
    "ring_who": TagType.STRING,
    "runs": TagType.STRING,
}
_VARIANTS = {
    TagType.BOOL: ua.VariantType.Boolean,
    TagType.UINT16: ua.VariantType.UInt16,
    TagType.INT16: ua.VariantType.Int16,
    TagType.STRING: ua.VariantType.String,
    TagType.FLOAT32: ua.VariantType.Float,
}
_WRITABLE = {"answer", "tail", "result", "echo"}
Shown = int | float | str


def ref(name: str) -> TagRef:
    return TagRef(PLC, name)


BITS = Handshake(ref("request"), ref("answer"), ref("result"), ref("cases"), ref("sscc"), 2, Kind.BITS)
RING = Handshake(ref("head"), ref("tail"), ref("result"), ref("ring_cases"), ref("ring_sscc"), SLOTS, Kind.RING)


class Memory(Protocol):
    """What a PLC program reads and writes, by tag."""

    tags: list[Tag]

    @property
    def url(self) -> str: ...

    async def start(self) -> None: ...

    async def restart(self) -> None:
        """The PLC goes down and comes back with what it held."""
        ...

    async def get(self, name: str) -> int: ...

    async def put(self, name: str, value: Shown) -> None: ...


class OpcUaMemory:
    """Nodes of a server; a ring's are named by their slot."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self.tags = [_opcua_tag(name, kind) for name, kind in _TYPES.items()]
        self.values: dict[str, Shown] = {}

    @property
    def url(self) -> str:
        return self._device.url

    async def start(self) -> None:
        """Start the server with what the memory holds."""
        await self._device.start()
        for tag in readable(self.tags):
            name = tag.ref.tag
            value = self.values.setdefault(name, "" if tag.type is TagType.STRING else 0)
            shown = bool(value) if tag.type is TagType.BOOL else value
            await self._device.add_variable(name, shown, _VARIANTS[tag.type], writable=name in _WRITABLE)

    async def restart(self) -> None:
        """The server, and with it the PLC, goes down and comes back with what it held."""
        for name in _WRITABLE:
            self.values[name] = await self.get(name)
        await self._device.stop()
        await self.start()

    async def get(self, name: str) -> int:
        return int(await self._device.get(name))

    async def put(self, name: str, value: Shown) -> None:
        self.values[name] = value
        kind = _VARIANTS[_TYPES[name.partition("[")[0]]]
        await self._device.put(name, ua.Variant(bool(value) if kind is ua.VariantType.Boolean else value, kind))


def _opcua_tag(name: str, kind: TagType) -> Tag:
    slots = [OpcUaAddress(URI, f"s=::{name}[{slot}]") for slot in range(SLOTS)]
    return Tag(ref(name), kind, OpcUaAddress(URI, f"s=::{name}"), slots=tuple(slots) if name.startswith("ring") else ())


class ModbusMemory:
    """Coils and registers; a ring's slots lie ten registers apart."""

    def __init__(self, device: ModbusDevice) -> None:
        self._device = device
        self.tags = [_modbus_tag(name, 100 * place, kind) for place, (name, kind) in enumerate(_TYPES.items())]
        self._by_name: Mapping[str, Tag] = {tag.ref.tag: tag for tag in readable(self.tags)}

    @property
    def url(self) -> str:
        return self._device.url

    async def start(self) -> None:
        await self._device.start()

    async def restart(self) -> None:
        await self._device.stop()
        await self._device.start()

    async def get(self, name: str) -> int:
        address = address_of(self._by_name[name])
        return self._device.tables[address.table].get(address.offset, 0)

    async def put(self, name: str, value: Shown) -> None:
        tag = self._by_name[name]
        address = address_of(tag)
        if address.table == "co":
            self._device.tables["co"][address.offset] = int(value)
        else:
            self._device.put(address.offset, octets_of(tag, value))


def _modbus_tag(name: str, offset: int, kind: TagType) -> Tag:
    length = 18 if kind is TagType.STRING else None
    first = ModbusAddress("co" if kind is TagType.BOOL else "hr", offset, None, length)
    slots = [ModbusAddress("hr", offset + 10 * slot, None, length) for slot in range(SLOTS)]
    return Tag(ref(name), kind, first, slots=tuple(slots) if name.startswith("ring") else ())


class Program:
    """A PLC's program: pallets that have left wait in its queue until they are confirmed."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.queue: list[str] = []
        self.confirmed: list[str] = []
        self.results: list[int] = []
        self.says: dict[str, Mapping[str, Shown]] = {}
        """What the block of a pallet says instead of its cases."""
        self.gate = asyncio.Lock()

    def move(self, *containers: str) -> None:
        self.queue += containers

    async def run(self) -> None:
        """Scan for ever, unless the gate is held."""
        while True:
            async with self.gate:
                await self.scan()
            await asyncio.sleep(SCAN_SECONDS)

    async def scan(self) -> None:
        raise NotImplementedError

    def block(self, container: str) -> Mapping[str, Shown]:
        return {"sscc": container, **self.says.get(container, {"cases": 40})}

    async def _confirm(self) -> None:
        self.confirmed.append(self.queue.pop(0))
        self.results.append(await self.memory.get("result"))


class BitsProgram(Program):
    """As docs/plc has it."""

    async def scan(self) -> None:
        requested, answered = await self.memory.get("request"), await self.memory.get("answer")
        if requested and answered:
            await self._confirm()
            await self.memory.put("request", 0)
        elif not requested and not answered and self.queue:
            for name, value in self.block(self.queue[0]).items():
                await self.memory.put(name, value)
            await self.memory.put("request", 1)


class CounterProgram(Program):
    """As docs/plc has it."""

    _shows = False

    async def scan(self) -> None:
        number = await self.memory.get("seq")
        if self._shows and await self.memory.get("echo") == number:
            await self._confirm()
            self._shows = False
        if not self._shows and self.queue:
            for name, value in self.block(self.queue[0]).items():
                await self.memory.put(name, value)
            await self.memory.put("seq", number + 1)
            self._shows = True


class RingProgram(Program):
    """As docs/plc has it."""

    _written = 0
    _tail = 0

    async def scan(self) -> None:
        head, tail = await self.memory.get("head"), await self.memory.get("tail")
        while self._tail != tail:
            self._tail = (self._tail + 1) % SLOTS
            self._written -= 1
            await self._confirm()
        if self._written < len(self.queue) and (head + 1) % SLOTS != tail:
            for name, value in self.block(self.queue[self._written]).items():
                await self.memory.put(f"ring_{name}[{head}]", value)
            self._written += 1
            await self.memory.put("head", (head + 1) % SLOTS)
