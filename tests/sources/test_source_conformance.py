"""One suite for every implementation of the `Source` port, the in-memory one included."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Protocol

import pytest

from edge_agent.clock import SystemClock
from edge_agent.errors import SourceError
from edge_agent.model.confirmation import Acknowledge, Block, Released, Result
from edge_agent.model.reading import Link, Quality, Reading, SourceChange
from edge_agent.sources.base import Source
from edge_agent.sources.memory import Memory
from edge_agent.sources.registers import address_of, decoder, width
from tests.sources.conftest import HANDSHAKE, NAME, RULE, TYPES, Bench, Consumer, eventually, free_port, ref
from tests.sources.modbus_bench import ModbusBench, modbus_tags, octets_of
from tests.sources.modbus_device import ModbusDevice
from tests.sources.opcua_device import NODES, Device


class Rig(Protocol):
    """A source with its device."""

    source: Source
    is_polled: bool
    """Whether it sees only what stands when it looks, and has no time but its own."""

    async def show(self, **values: object) -> None:
        """Have the device's tags show these values, one after the other."""
        ...

    async def held(self, name: str) -> object:
        """What the device holds in a tag."""
        ...

    async def refuse_writes(self) -> None: ...

    async def interrupt(self) -> None:
        """Lose the connection, and let the device be reached again."""
        ...

    async def close(self) -> None: ...


class MemoryRig:
    """A device whose side of the in-memory source is played here."""

    is_polled = False

    def __init__(self) -> None:
        self._clock = SystemClock()
        self._values = {name: NODES[node][0] for name, (node, _) in TYPES.items()}
        self._refuses = False
        self._start_time = datetime.now(UTC)
        self.memory = Memory(NAME, self._clock, self._take)
        self.source: Source = self.memory
        self._connect()

    async def show(self, **values: object) -> None:
        self._values |= values
        self.memory.push([self._reading(name, continuous=True) for name in values])
        if "pal_seq" in values:
            self.memory.push([self._block()])

    async def held(self, name: str) -> object:
        return self._values[name]

    async def refuse_writes(self) -> None:
        self._refuses = True

    async def interrupt(self) -> None:
        self.memory.push([SourceChange(NAME, Link.LOST, self._clock.now())])
        self._connect()

    async def close(self) -> None:
        await self.memory.close()

    def _connect(self) -> None:
        self.memory.push([SourceChange(NAME, Link.UP, self._clock.now(), self._start_time)])
        self.memory.push([self._reading(name) for name in self._values])
        self.memory.push([self._block()])

    def _take(self, ack: Acknowledge) -> None:
        if self._refuses:
            raise SourceError(f"{NAME} refuses number {ack.number}")
        self._values |= {"pal_result": int(ack.result), "pal_ack": ack.number}

    def _reading(self, name: str, *, continuous: bool = False) -> Reading:
        now = self._clock.now()
        return Reading(ref(name), self._values[name], Quality.GOOD, now, source_time=now.wall, continuous=continuous)

    def _block(self) -> Block:
        values = {ref(name): self._reading(name) for name in ("pal_cases", "pal_sscc")}
        return Block(RULE, self._values["pal_seq"], self._values["pal_ack"], values, self._clock.now())


class OpcUaRig:
    """A real OPC UA server in this process."""

    is_polled = False

    def __init__(self, device: Device) -> None:
        self._device = device
        self._bench = Bench(device.url)
        self.source: Source = self._bench.source

    async def show(self, **values: object) -> None:
        for name, value in values.items():
            await self._device.put(TYPES[name][0], value)

    async def held(self, name: str) -> object:
        return await self._device.get(TYPES[name][0])

    async def refuse_writes(self) -> None:
        await self._device.refuse_writes("Pal.Ack")

    async def interrupt(self) -> None:
        values = {name: await self.held(name) for name in TYPES}
        await self._device.stop()
        await self._device.start()
        await self.show(**values)

    async def close(self) -> None:
        await self.source.close()
        await self._device.stop()


class ModbusRig:
    """A real Modbus device in this process. It is polled: it has no time of its own, and shows only the latest."""

    is_polled = True

    def __init__(self, device: ModbusDevice) -> None:
        self._device = device
        self._tags = modbus_tags(NAME)
        self._bench = ModbusBench(device.url, list(self._tags.values()), {RULE: HANDSHAKE}, name=NAME)
        self.source: Source = self._bench.source
        for name, (node, _) in TYPES.items():
            self._put(name, NODES[node][0])

    async def show(self, **values: object) -> None:
        """Each value stands until it has been polled."""
        for name, value in values.items():
            self._put(name, value)
        asked = len(self._device.requests)
        await eventually(lambda: len(self._device.requests) > asked + 20)

    async def held(self, name: str) -> object:
        tag = self._tags[name]
        start = address_of(tag).offset
        octets = b"".join(self._device.tables["hr"].get(start + at, 0).to_bytes(2, "big") for at in range(width(tag)))
        return decoder(tag, start, "CDAB")(octets)

    async def refuse_writes(self) -> None:
        self._device.read_only = True

    async def interrupt(self) -> None:
        await self._device.stop()
        await self._device.start()

    async def close(self) -> None:
        await self.source.close()
        await self._device.stop()

    def _put(self, name: str, value: object) -> None:
        self._device.put(address_of(self._tags[name]).offset, octets_of(self._tags[name], value))


@pytest.fixture(params=["memory", "opcua", "modbus"])
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    made: Rig
    if request.param == "memory":
        made = MemoryRig()
    elif request.param == "modbus":
        modbus_device = ModbusDevice(free_port())
        await modbus_device.start()
        made = ModbusRig(modbus_device)
    else:
        device = Device(free_port())
        await device.start()
        made = OpcUaRig(device)
    yield made
    await made.close()


@pytest.fixture
async def consumer(rig: Rig) -> AsyncIterator[Consumer]:
    consumer = Consumer(rig.source)
    await consumer.until(lambda: consumer.of(Block))
    yield consumer
    await consumer.end()


async def test_a_connection_begins_with_its_news_all_values_and_the_block(rig: Rig, consumer: Consumer) -> None:
    first, second, third = consumer.deliveries[:3]
    assert [type(one) for one in first] == [SourceChange]
    change = consumer.of(SourceChange)[0]
    assert (change.source, change.link) == (NAME, Link.UP)
    assert (change.start_time is None) is rig.is_polled
    shown = {one.tag.tag: one.value for one in second if isinstance(one, Reading)}
    assert shown == {name: NODES[node][0] for name, (node, _) in TYPES.items()}
    assert not any(one.continuous for one in second if isinstance(one, Reading))
    block = third[0]
    assert isinstance(block, Block)
    assert (block.rule, block.number, block.acknowledged) == (RULE, 7, 7)
    assert block.values[ref("pal_cases")].value == 48
    assert block.values[ref("pal_sscc")].value == "340123450000000071"


async def test_changes_come_in_order_and_say_whether_they_are_continuous(rig: Rig, consumer: Consumer) -> None:
    for count in range(101, 131):
        await rig.show(preforms_in=count)
    await consumer.until(lambda: consumer.values("preforms_in")[-1] == 130)
    assert list(dict.fromkeys(consumer.values("preforms_in"))) == list(range(100, 131))
    assert all(one.continuous is not rig.is_polled for one in consumer.readings("preforms_in")[1:])


async def test_what_arrives_together_has_one_instant_and_the_order_of_event_time(rig: Rig, consumer: Consumer) -> None:
    await rig.show(preforms_in=110, order_no="B2", bottles_out=1001)
    await consumer.until(lambda: consumer.values("bottles_out")[-1] == 1001)
    assert list(dict.fromkeys(consumer.values("order_no"))) == ["A1", "B2"]
    for delivery in consumer.deliveries:
        readings = [one for one in delivery if isinstance(one, Reading)]
        assert len({one.received for one in readings}) <= 1 or not isinstance(rig, OpcUaRig)
        assert rig.is_polled is not any(one.source_time for one in readings) or not readings
        times = [one.source_time for one in readings if one.source_time is not None]
        assert times == sorted(times)


async def test_an_acknowledgement_is_written_then_released(rig: Rig, consumer: Consumer) -> None:
    await rig.show(pal_cases=30, pal_sscc="S8", pal_seq=8)
    await consumer.until(lambda: consumer.of(Block)[-1].number == 8)
    block = consumer.of(Block)[-1]
    assert block.acknowledged == 7
    assert [block.values[ref(name)].value for name in ("pal_cases", "pal_sscc")] == [30, "S8"]
    assert not consumer.of(Released)
    await rig.source.acknowledge(Acknowledge(RULE, 8, Result.IN_REVIEW))
    assert [await rig.held(name) for name in ("pal_ack", "pal_result")] == [8, Result.IN_REVIEW]
    await consumer.until(lambda: consumer.of(Released))
    assert [(one.rule, one.number) for one in consumer.of(Released)] == [(RULE, 8)]


async def test_a_refused_write_is_an_error_and_the_block_comes_again(rig: Rig, consumer: Consumer) -> None:
    await rig.show(pal_seq=8)
    await consumer.until(lambda: consumer.of(Block)[-1].number == 8)
    await rig.refuse_writes()
    with pytest.raises(SourceError, match=r".+"):
        await rig.source.acknowledge(Acknowledge(RULE, 8, Result.DONE))
    assert await rig.held("pal_ack") == 7
    await rig.interrupt()
    seen = len(consumer.of(Block))
    await consumer.until(lambda: [one.number for one in consumer.of(Block)[seen:]][-1:] == [8])
    assert consumer.of(Block)[-1].acknowledged == 7
    assert not consumer.of(Released)


async def test_a_lost_connection_is_said_and_everything_is_read_again(rig: Rig, consumer: Consumer) -> None:
    await rig.interrupt()
    await consumer.until(lambda: [one.link for one in consumer.of(SourceChange)] == [Link.UP, Link.LOST, Link.UP])
    await consumer.until(lambda: len(consumer.of(Block)) >= 2)
    again = [index for index, one in enumerate(consumer.inputs) if isinstance(one, SourceChange)][-1]
    after = [one for one in consumer.inputs[again + 1 :] if isinstance(one, Reading)]
    assert {one.tag.tag for one in after} == set(TYPES)
    assert not after[0].continuous
    await rig.show(bottles_out=1009)
    await consumer.until(lambda: consumer.values("bottles_out")[-1] == 1009)


async def test_a_cancelled_consumer_leaves_nothing_behind_and_another_may_follow(rig: Rig) -> None:
    before = asyncio.all_tasks()
    for count in (150, 151):
        consumer = Consumer(rig.source)
        await rig.show(preforms_in=count)
        await _until_shown(consumer, count)
        await consumer.end()
    await rig.source.close()
    await rig.source.close()
    left = [one for one in asyncio.all_tasks() - before if one.get_name().startswith((NAME, "consumer"))]
    assert left == []


async def test_a_consumer_cancelled_between_two_deliveries_leaves_nothing_behind(rig: Rig) -> None:
    before = asyncio.all_tasks()
    busy = asyncio.Event()

    async def consume() -> None:
        async for _ in rig.source.deliveries():
            busy.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(consume(), name="consumer")
    await busy.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await rig.source.close()
    left = [one for one in asyncio.all_tasks() - before if one.get_name().startswith((NAME, "consumer"))]
    assert left == []


async def _until_shown(consumer: Consumer, count: int) -> None:
    await consumer.until(lambda: count in consumer.values("preforms_in"))


async def test_after_close_nothing_is_acknowledged(rig: Rig, consumer: Consumer) -> None:
    await consumer.end()
    await rig.source.close()
    with pytest.raises(SourceError):
        await rig.source.acknowledge(Acknowledge(RULE, 7, Result.DONE))
