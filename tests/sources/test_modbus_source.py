"""The Modbus source against a device at the wire: what it asks, what it takes, what it does when that goes wrong."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from decimal import Decimal
from functools import partial

import pytest

from edge_agent.config.devices import TagType
from edge_agent.config.signals import Handshake
from edge_agent.errors import SourceError
from edge_agent.model.confirmation import Acknowledge, Block, Released, Result
from edge_agent.model.reading import Link, Quality, SourceChange, TagRef
from edge_agent.sources.modbus_wire import Wire
from tests.sources.conftest import Consumer, eventually
from tests.sources.modbus_bench import ModbusBench, modbus_tag
from tests.sources.modbus_device import ModbusDevice, Registers, SerialDevice

DOSED = modbus_tag("dosed", "hr", 104, TagType.UINT32)
LEVEL = modbus_tag("level", "hr", 100, TagType.FLOAT32)
REFILL = modbus_tag("refill", "hr", 109, TagType.BOOL, bit=10)
NAME = modbus_tag("name", "hr", 120, TagType.STRING, length=7)
VALVE = modbus_tag("valve", "di", 3, TagType.BOOL)
FAR = modbus_tag("far", "ir", 4000, TagType.INT16)
TAGS = [DOSED, LEVEL, REFILL, NAME, VALVE, FAR]


def cdab(value: int) -> bytes:
    return struct.pack(">HH", value & 0xFFFF, value >> 16)


@pytest.fixture
async def device() -> AsyncIterator[ModbusDevice]:
    device = ModbusDevice()
    device.put(104, cdab(70_000))
    words = struct.pack(">f", 1234.5)
    device.put(100, words[2:] + words[:2])
    device.put(109, struct.pack(">H", 1 << 10))
    device.put(120, b"SKID 3\0X")
    device.tables["di"][3] = 1
    device.put(4000, struct.pack(">h", -7), "ir")
    await device.start()
    yield device
    await device.stop()


async def test_every_type_is_read_and_stamped_with_its_arrival(device: ModbusDevice) -> None:
    bench = ModbusBench(device.url, TAGS)
    async with bench.consumed() as consumer:
        await consumer.until(lambda: consumer.readings("far"))
        change = consumer.of(SourceChange)[0]
        assert (change.link, change.start_time) == (Link.UP, None)
        expected = {
            "dosed": 70_000,
            "level": Decimal("1234.5"),
            "refill": True,
            "name": "SKID 3",
            "valve": True,
            "far": -7,
        }
        first = list(consumer.deliveries[1])
        assert {one.tag.tag: one.value for one in first} == expected  # type: ignore[union-attr]  # readings all
        reading = consumer.readings("dosed")[0]
        assert (reading.quality, reading.continuous, reading.source_time) == (Quality.GOOD, False, None)
        assert reading.received.monotonic_ns >= change.received.monotonic_ns


async def test_neighbours_share_a_request_and_no_value_is_spread_over_two(device: ModbusDevice) -> None:
    tags = [modbus_tag(f"t{at}", "hr", 3 * at, TagType.UINT32) for at in range(60)]
    bench = ModbusBench(device.url, tags)
    async with bench.consumed() as consumer:
        await consumer.until(lambda: consumer.readings("t59"))
        assert device.requests[:2] == [(3, 0, 125), (3, 126, 53)]


async def test_a_device_that_takes_fewer_registers_is_asked_for_fewer(device: ModbusDevice) -> None:
    device.most = 10
    tags = [modbus_tag(f"t{at}", "hr", 2 * at, TagType.UINT32) for at in range(30)]
    for at in range(30):
        device.put(2 * at, cdab(at))
    bench = ModbusBench(device.url, tags)
    async with bench.consumed() as consumer:
        await consumer.until(lambda: len(consumer.readings("t29")) >= 2)
        assert [consumer.readings(f"t{at}")[0].value for at in range(30)] == list(range(30))
        asked = len(device.requests)
        await consumer.until(lambda: len(consumer.readings("t29")) >= 4)
        assert all(count <= 10 for _, _, count in device.requests[asked:])
        assert bench.state("tanks tags") is None


async def test_a_register_that_is_not_there_stops_no_other(device: ModbusDevice) -> None:
    device.holes = {101}
    bench = ModbusBench(device.url, TAGS)
    async with bench.consumed() as consumer:
        await consumer.until(lambda: len(consumer.readings("dosed")) >= 2)
        bad = consumer.readings("level")[0]
        assert (bad.quality, bad.value, bad.status) == (Quality.BAD, None, 2)
        assert consumer.readings("dosed")[0].value == 70_000
        assert "tanks.level illegal data address (exception 2)" in bench.detail("tanks tags")
        device.holes = set()
        bench.source._retry_at = 0
        await consumer.until(lambda: consumer.readings("level")[-1].value == Decimal("1234.5"))
        await eventually(lambda: bench.state("tanks tags") == "up")


async def test_a_busy_device_gives_bad_values_and_then_good_ones(device: ModbusDevice) -> None:
    bench = ModbusBench(device.url, [DOSED])
    async with bench.consumed() as consumer:
        await consumer.until(lambda: consumer.readings("dosed"))
        device.busy = True
        await consumer.until(lambda: consumer.readings("dosed")[-1].quality is Quality.BAD)
        assert consumer.readings("dosed")[-1].status == 6
        device.busy = False
        await consumer.until(lambda: consumer.readings("dosed")[-1].quality is Quality.GOOD)
        assert [one.link for one in consumer.of(SourceChange)] == [Link.UP]


def _wrong_count(frame: bytes) -> bytes:
    return frame[:5] + bytes([frame[5] - 2]) + frame[6:8] + bytes([frame[8] - 2]) + frame[9:-2]


WRONG: dict[str, Callable[[bytes], bytes]] = {
    "fewer registers than asked for": _wrong_count,
    "more registers than asked for": lambda f: f[:5] + bytes([f[5] + 2]) + f[6:8] + bytes([f[8] + 2]) + f[9:] + b"\0\1",
    "another function": lambda f: f[:7] + b"\x04" + f[8:],
    "another transaction": lambda f: bytes([f[0] ^ 1]) + f[1:],
    "another unit": lambda f: f[:6] + b"\x09" + f[7:],
    "an odd count": lambda f: f[:5] + bytes([f[5] - 1]) + f[6:8] + bytes([f[8] - 1]) + f[9:-1],
    "length 0": lambda f: f[:4] + b"\0\0" + f[6:],
    "length 65535": lambda f: f[:4] + b"\xff\xff" + f[6:],
    "junk": lambda f: b"\xde\xad\xbe\xef" * 9,
    "two answers": lambda f: f + f,
    "a protocol that is not Modbus": lambda f: f[:2] + b"\0\1" + f[4:],
}


@pytest.mark.parametrize("what", WRONG)
async def test_a_wrong_answer_is_no_answer_and_is_asked_again(device: ModbusDevice, what: str) -> None:
    """Only the first answer after it was switched on is wrong; nothing but 70,000 may ever be read."""
    bench = ModbusBench(device.url, [DOSED])
    async with bench.consumed() as consumer:
        await consumer.until(lambda: consumer.readings("dosed"))
        spoiled: list[bytes] = []

        def once(frame: bytes) -> bytes:
            if spoiled:
                return frame
            spoiled.append(frame)
            return WRONG[what](frame)

        device.mangle = once
        await consumer.until(lambda: bench.counts.get("asked_again", source="tanks"))
        seen = len(consumer.readings("dosed"))
        await consumer.until(lambda: len(consumer.readings("dosed")) > seen + 1)
        assert set(consumer.values("dosed")) == {70_000}
        assert [one.link for one in consumer.of(SourceChange)] == [Link.UP]


async def test_an_answer_that_comes_too_late_is_never_taken_for_the_next(device: ModbusDevice) -> None:
    bench = ModbusBench(device.url, [DOSED, FAR])
    async with bench.consumed() as consumer:
        await consumer.until(lambda: consumer.readings("far"))
        late: list[int] = []

        async def hold() -> None:
            if not late:
                late.append(1)
                await asyncio.sleep(0.3)

        device.delay = hold
        device.put(104, cdab(70_001))
        await consumer.until(lambda: consumer.values("dosed")[-1] == 70_001)
        await consumer.until(lambda: bench.counts.get("asked_again", source="tanks"))
        device.put(104, cdab(70_002))
        await consumer.until(lambda: consumer.values("dosed")[-1] == 70_002)
        assert set(consumer.values("dosed")) == {70_000, 70_001, 70_002}
        assert set(consumer.values("far")) == {-7}


async def test_an_answer_in_drops_is_an_answer(device: ModbusDevice) -> None:
    device.drip = True
    bench = ModbusBench(device.url, [DOSED], timeout=2)
    async with bench.consumed() as consumer:
        await consumer.until(lambda: len(consumer.readings("dosed")) >= 2)
        assert consumer.values("dosed")[:2] == [70_000, 70_000]


async def test_a_reset_loses_the_device_and_it_comes_back(device: ModbusDevice) -> None:
    bench = ModbusBench(device.url, [DOSED])
    async with bench.consumed() as consumer:
        await consumer.until(lambda: consumer.readings("dosed"))
        await device.stop()
        await consumer.until(lambda: [one.link for one in consumer.of(SourceChange)] == [Link.UP, Link.LOST])
        assert bench.state("tanks") == "lost"
        device.put(104, cdab(70_123))
        await device.start()
        await consumer.until(lambda: consumer.values("dosed")[-1] == 70_123)
        assert [one.link for one in consumer.of(SourceChange)] == [Link.UP, Link.LOST, Link.UP]
        assert bench.state("tanks") == "up"


def _shows(consumer: Consumer, value: int) -> bool:
    return consumer.values("dosed")[-1] == value


async def test_a_silent_device_is_lost_after_two_tries_and_holds_up_no_other(device: ModbusDevice) -> None:
    async with AsyncExitStack() as stack:
        other = ModbusDevice()
        other.put(104, cdab(5))
        await other.start()
        stack.push_async_callback(other.stop)
        silent, lively = ModbusBench(device.url, [DOSED]), ModbusBench(other.url, [DOSED])
        first = await stack.enter_async_context(silent.consumed())
        second = await stack.enter_async_context(lively.consumed())
        await first.until(lambda: first.readings("dosed"))
        device.mangle = lambda frame: b""
        await first.until(lambda: [one.link for one in first.of(SourceChange)] == [Link.UP, Link.LOST])
        assert "no answer within 0.2 s" in silent.detail("tanks")
        for value in range(6, 20):
            other.put(104, cdab(value))
            await second.until(partial(_shows, second, value))
        assert [one.link for one in second.of(SourceChange)] == [Link.UP]
        device.mangle = lambda frame: frame
        await first.until(lambda: [one.link for one in first.of(SourceChange)] == [Link.UP, Link.LOST, Link.UP])


PALLET = {
    "seq": modbus_tag("seq", "hr", 200, TagType.UINT16),
    "ack": modbus_tag("ack", "hr", 210, TagType.UINT16),
    "result": modbus_tag("result", "hr", 211, TagType.INT16),
    "cases": modbus_tag("cases", "hr", 201, TagType.INT16),
    "sscc": modbus_tag("sscc", "hr", 150, TagType.STRING, length=18),
}
HANDSHAKE = Handshake(
    trigger=TagRef("tanks", "seq"),
    ack=TagRef("tanks", "ack"),
    result=TagRef("tanks", "result"),
    quantity=TagRef("tanks", "cases"),
    container=TagRef("tanks", "sscc"),
    modulus=1 << 16,
)


async def test_a_handshake_is_read_coherently_acknowledged_and_released(device: ModbusDevice) -> None:
    bench = ModbusBench(device.url, list(PALLET.values()), {"pallet": HANDSHAKE})
    async with bench.consumed() as consumer:
        await consumer.until(lambda: consumer.of(Block))
        device.put(150, b"340123450000000071")
        device.put(201, struct.pack(">h", 48))
        device.put(200, struct.pack(">H", 1))
        await consumer.until(lambda: consumer.of(Block)[-1].number == 1)
        block = consumer.of(Block)[-1]
        assert (block.acknowledged, block.values[HANDSHAKE.quantity].value) == (0, 48)
        await bench.source.acknowledge(Acknowledge("pallet", 1, Result.IN_REVIEW))
        assert (device.tables["hr"][210], device.tables["hr"][211]) == (1, int(Result.IN_REVIEW))
        await consumer.until(lambda: [one.number for one in consumer.of(Released)] == [1])


async def test_a_block_that_moves_on_while_it_is_read_is_read_again(device: ModbusDevice) -> None:
    bench = ModbusBench(device.url, list(PALLET.values()), {"pallet": HANDSHAKE})
    async with bench.consumed() as consumer:
        await consumer.until(lambda: consumer.of(Block))
        moved: list[int] = []

        def move(start: int, count: int) -> None:
            """Between the first look at the trigger and the block, the next pallet is there already."""
            if (
                device.tables["hr"].get(200) == 1
                and device.requests[-3:-1] == [(3, 200, 12), (3, 200, 1)]
                and not moved
            ):
                moved.append(1)
                device.put(201, struct.pack(">h", 12))
                device.put(200, struct.pack(">H", 2))

        device.before_read = move
        device.put(201, struct.pack(">h", 48))
        device.put(200, struct.pack(">H", 1))
        await consumer.until(lambda: consumer.of(Block)[-1].number == 2)
        assert consumer.of(Block)[-1].values[HANDSHAKE.quantity].value == 12
        assert [one.number for one in consumer.of(Block)] == [0, 2]
        assert bench.counts.get("torn_blocks", rule="pallet") == 1


async def test_a_refused_acknowledgement_is_an_error(device: ModbusDevice) -> None:
    bench = ModbusBench(device.url, list(PALLET.values()), {"pallet": HANDSHAKE})
    async with bench.consumed() as consumer:
        await consumer.until(lambda: consumer.of(Block))
        device.read_only = True
        with pytest.raises(SourceError, match="server device failure"):
            await bench.source.acknowledge(Acknowledge("pallet", 0, Result.DONE))
        assert bench.state("acknowledgements of pallet") == "lost"
        assert not consumer.of(Released)


async def test_two_devices_share_a_serial_line() -> None:
    units = {1: Registers(), 7: Registers()}
    units[1].put(104, cdab(11))
    units[7].put(104, cdab(77))
    line = SerialDevice(units)
    first = ModbusBench(f"rtu:{line.path}", [DOSED], unit_id=1)
    second = ModbusBench(f"rtu:{line.path}", [DOSED], unit_id=7, wire=first.wire)
    try:
        async with first.consumed() as one, second.consumed() as other:
            await one.until(lambda: len(one.readings("dosed")) >= 3)
            await other.until(lambda: len(other.readings("dosed")) >= 3)
            assert (set(one.values("dosed")), set(other.values("dosed"))) == ({11}, {77})
            del units[7]
            await other.until(lambda: [change.link for change in other.of(SourceChange)] == [Link.UP, Link.LOST])
            units[1].put(104, cdab(12))
            await one.until(lambda: one.values("dosed")[-1] == 12)
            assert [change.link for change in one.of(SourceChange)] == [Link.UP]
    finally:
        line.close()


class Hasty(Wire):
    """A planted bug: after a failure the serial line is not cleared."""

    async def _clear(self, unit_id: int, within: float) -> None:
        self._in_doubt_until = 0.0


@pytest.mark.parametrize("wire", [Wire, Hasty])
async def test_a_late_answer_on_a_serial_line_is_thrown_away(wire: type[Wire]) -> None:
    """Two blocks of equal size: on RTU nothing in the frame tells the late answer to one from that to the other."""
    unit = Registers()
    unit.put(0, cdab(1))
    unit.put(1000, cdab(2))
    line = SerialDevice({1: unit})
    tags = [modbus_tag("a", "hr", 0, TagType.UINT32), modbus_tag("b", "hr", 1000, TagType.UINT32)]
    probe = ModbusBench(f"rtu:{line.path}", tags)
    bench = ModbusBench(f"rtu:{line.path}", tags, wire=wire(probe.source._source))
    try:
        async with bench.consumed() as consumer:
            await consumer.until(lambda: len(consumer.readings("b")) >= 2)
            line.late = 0.3

            def mixed_up() -> bool:
                return set(consumer.values("a")) != {1} or set(consumer.values("b")) != {2}

            enough = 3 if wire is Wire else float("inf")
            await eventually(lambda: mixed_up() or bench.counts.get("asked_again", source="tanks") >= enough)
            line.late = 0
            seen = len(consumer.readings("b"))
            await consumer.until(lambda: len(consumer.readings("b")) > seen + 9)
            assert mixed_up() is (wire is Hasty)
    finally:
        line.close()
