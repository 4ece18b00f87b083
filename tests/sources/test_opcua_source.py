"""The OPC UA source against real servers: restarts, kills, odd nodes, odd values, bursts."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import ANY

import pytest
from asyncua import ua
from asyncua.ua.status_codes import StatusCodes

from edge_agent.config.devices import TagType
from edge_agent.errors import SourceError
from edge_agent.model.confirmation import Acknowledge, Block, Result
from edge_agent.model.reading import Link, Quality, Reading, SourceChange
from tests.sources.conftest import NAME, RULE, TAGS, Bench, Consumer, eventually, ref, tag
from tests.sources.opcua_device import OTHER_URI, URI, Device

OVERFLOW = 0x480
SCRIPT = Path(__file__).with_name("opcua_device.py")


def _links(consumer: Consumer) -> list[Link]:
    return [one.link for one in consumer.of(SourceChange)]


class DeviceProcess:
    """The device in a process of its own, so that it can be killed and stopped."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def set(self, **values: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(values).encode() + b"\n")
        await self.answer()

    async def answer(self) -> None:
        assert self._process.stdout is not None
        async with asyncio.timeout(30):
            assert await self._process.stdout.readline()

    def signal(self, which: signal.Signals) -> None:
        self._process.send_signal(which)

    async def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


@asynccontextmanager
async def _process(port: int) -> AsyncIterator[DeviceProcess]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, str(SCRIPT), str(port), stdin=pipe, stdout=pipe)
    made = DeviceProcess(process)
    try:
        await made.answer()
        yield made
    finally:
        await made.kill()


async def test_a_killed_server_is_lost_and_found_again(port: int, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(f"opc.tcp://127.0.0.1:{port}")
    with caplog.at_level(logging.INFO):
        async with bench.consumed() as consumer:
            async with _process(port) as device:
                await consumer.until(lambda: consumer.of(Block))
                await device.set(Infeed_Total=120)
                await consumer.until(lambda: consumer.values("preforms_in")[-1] == 120)
                await device.kill()
                await consumer.until(lambda: _links(consumer)[-1] is Link.LOST)
                await eventually(lambda: bench.state(NAME) == "lost")
                with pytest.raises(SourceError, match="not connected"):
                    await bench.source.acknowledge(Acknowledge(RULE, 7, Result.DONE))
            async with _process(port) as device:
                await consumer.until(lambda: len(consumer.of(Block)) == 2)
                await eventually(lambda: bench.state(NAME) == "up")
                await device.set(Infeed_Total=130)
                await consumer.until(lambda: consumer.values("preforms_in")[-1] == 130)
    first, lost, second = consumer.of(SourceChange)[:3]
    assert (first.link, lost.link, second.link) == (Link.UP, Link.LOST, Link.UP)
    assert first.start_time is not None
    assert second.start_time is not None
    assert first.start_time < second.start_time
    assert consumer.values("preforms_in") == [100, 120, 100, 130]
    assert [one.continuous for one in consumer.readings("preforms_in")] == [False, True, False, True]
    said = [one.msg for one in caplog.records if isinstance(one.msg, dict) and one.msg.get("component") == NAME]
    events = [one["event"] for one in said]
    assert events[:2] == ["lost", "up"]  # the source began before the server
    assert all(before != after for before, after in itertools.pairwise(events))
    assert not [one for one in caplog.records if one.exc_info]


@pytest.mark.slow
async def test_a_server_that_falls_silent_is_lost(port: int) -> None:
    bench = Bench(f"opc.tcp://127.0.0.1:{port}")
    async with _process(port) as device, bench.consumed() as consumer:
        await consumer.until(lambda: consumer.of(Block))
        device.signal(signal.SIGSTOP)
        await consumer.until(lambda: _links(consumer) == [Link.UP, Link.LOST])
        device.signal(signal.SIGCONT)
        await consumer.until(lambda: len(consumer.of(Block)) == 2)
        await device.set(Infeed_Total=150)
        await consumer.until(lambda: consumer.values("preforms_in")[-1] == 150)


async def test_namespaces_may_change_their_order(port: int) -> None:
    bench = Bench(f"opc.tcp://127.0.0.1:{port}")
    async with bench.consumed() as consumer:
        for uris in ((URI, OTHER_URI), (OTHER_URI, URI)):
            device = Device(port, uris=uris)
            await device.start()
            await consumer.until(lambda: _links(consumer)[-1:] == [Link.UP])
            await device.set(Filler_Total=1500)
            await consumer.until(lambda: consumer.values("bottles_out")[-1:] == [1500])
            await device.stop()
            await consumer.until(lambda: _links(consumer)[-1] is Link.LOST)
    assert all(one.quality is Quality.GOOD for one in consumer.readings("bottles_out"))


async def test_one_bad_node_does_not_stop_the_others(device: Device) -> None:
    odd = [
        tag("missing", "Not.There", TagType.INT16),
        tag("elsewhere", "Order.No", TagType.STRING, uri="urn:nobody"),
    ]
    bench = Bench(device.url, [odd[0], *TAGS, odd[1]])
    async with bench.consumed() as consumer:
        await consumer.until(lambda: consumer.of(Block))
        await device.set(Infeed_Total=101)
        await consumer.until(lambda: consumer.values("preforms_in") == [100, 101])
        for name in ("missing", "elsewhere"):
            (reading,) = consumer.readings(name)
            assert (reading.value, reading.quality) == (None, Quality.BAD)
            assert reading.status == StatusCodes.BadNodeIdUnknown
        await eventually(lambda: bench.state(f"{NAME} tags") == "lost")
        assert bench.state(NAME) == "up"
        detail = bench.status.snapshot()[f"{NAME} tags"]["detail"]
        assert detail.startswith(f"2 of {len(TAGS) + 2} tags: ")
        assert "filler.missing BadNodeIdUnknown" in detail
        assert bench.counts.get("tags_failed", source=NAME) == 2


@pytest.mark.slow
async def test_a_node_that_comes_later_is_found(port: int) -> None:
    device = Device(port, leave_out=["Infeed.Total"])
    await device.start()
    bench = Bench(device.url)
    async with bench.consumed() as consumer:
        await consumer.until(lambda: consumer.of(Block))
        assert [one.quality for one in consumer.readings("preforms_in")] == [Quality.BAD]
        await device.add("Infeed.Total")
        await consumer.until(lambda: consumer.values("preforms_in")[-1] == 100)
        await device.set(Infeed_Total=101)
        await consumer.until(lambda: consumer.values("preforms_in")[-1] == 101)
        assert [one.continuous for one in consumer.readings("preforms_in")] == [False, False, True]
        await eventually(lambda: bench.state(f"{NAME} tags") == "up")
    await device.stop()


async def test_quality_type_and_overflow_of_values_are_told(device: Device) -> None:
    async with Bench(device.url).consumed() as consumer:
        await consumer.until(lambda: consumer.of(Block))
        await device.put("Infeed.Total", ua.Variant(None, ua.VariantType.Null), StatusCodes.BadSensorFailure)
        await device.put("Infeed.Total", 105, StatusCodes.UncertainLastUsableValue)
        await device.put("Infeed.Total", ua.Variant(106, ua.VariantType.Int32))
        await device.put("Infeed.Total", 107)
        await device.put("Infeed.Total", 120, OVERFLOW)
        await device.put("Infeed.Total", 121)
        await consumer.until(lambda: consumer.values("preforms_in")[-1] == 121)
    told = [(one.value, one.quality, one.status, one.continuous) for one in consumer.readings("preforms_in")]
    assert told == [
        (100, Quality.GOOD, 0, False),
        (None, Quality.BAD, StatusCodes.BadSensorFailure, True),
        (105, Quality.UNCERTAIN, StatusCodes.UncertainLastUsableValue, True),
        (None, Quality.BAD, StatusCodes.BadTypeMismatch, True),
        (107, Quality.GOOD, 0, True),
        (120, Quality.GOOD, OVERFLOW, False),
        (121, Quality.GOOD, 0, True),
    ]


async def test_a_burst_faster_than_the_publishing_loses_nothing(device: Device) -> None:
    bench = Bench(device.url, sample=timedelta(milliseconds=100))
    async with bench.consumed() as consumer:
        await consumer.until(lambda: consumer.of(Block))
        for count in range(101, 141):
            await device.put("Infeed.Total", count)
            await device.put("Filler.Total", 1000 + count)
            await asyncio.sleep(0.05 if count % 4 else 0)
        await consumer.until(lambda: consumer.values("bottles_out")[-1] == 1140)
    assert consumer.values("preforms_in") == list(range(100, 141))
    assert consumer.values("bottles_out") == [1000, *range(1101, 1141)]


async def test_a_running_counter_never_seems_to_fall_across_connects(device: Device) -> None:
    bench = Bench(device.url)
    counting = asyncio.create_task(_count(device), name="the line")
    try:
        for _ in range(3):
            consumer = Consumer(bench.source)
            await consumer.until(lambda consumer=consumer: len(consumer.values("bottles_out")) > 20)  # type: ignore[misc]  # bound now
            await consumer.end()
            values = [one.value for one in consumer.readings("bottles_out")]
            assert all(isinstance(one, int) for one in values)
            assert values == sorted(values, key=str) == sorted(set(values), key=str)
    finally:
        counting.cancel()
        await asyncio.gather(counting, return_exceptions=True)
        await bench.source.close()


async def _count(device: Device) -> None:
    for count in itertools.count(100_000):
        await device.put("Filler.Total", count)
        await asyncio.sleep(0.003)


async def test_a_first_notification_older_than_what_was_read_is_not_delivered(device: Device) -> None:
    """The server keeps an old sample in its cache: the counter would seem to fall."""
    now = datetime.now(UTC)
    device.show_in_turn("Infeed.Total", (100, now), (90, now - timedelta(minutes=5)))
    bench = Bench(device.url)
    async with bench.consumed() as consumer:
        await consumer.until(lambda: consumer.of(Block))
        await eventually(lambda: bench.state(NAME) == "up")
        await device.set(Infeed_Total=101)
        await consumer.until(lambda: consumer.values("preforms_in")[-1] == 101)
    assert consumer.values("preforms_in") == [100, 101]
    assert bench.counts.get("values_discarded", source=NAME, why="older than what was read") == 1


async def test_a_value_that_cannot_be_decoded_spoils_only_its_own_tag(device: Device) -> None:
    poison = ua.Variant([1, 2], ua.VariantType.UInt16, Dimensions=[ua.Int32(2000), ua.Int32(2000)])
    bench = Bench(device.url)
    async with bench.consumed() as consumer:
        await consumer.until(lambda: consumer.of(Block))
        await device.put("Infeed.Total", poison)
        await consumer.until(lambda: consumer.readings("preforms_in")[-1].quality is Quality.BAD)
        assert consumer.readings("preforms_in")[-1].status == StatusCodes.BadDecodingError
        await device.set(Filler_Total=1200)
        await consumer.until(lambda: consumer.values("bottles_out")[-1] == 1200)
        assert _links(consumer) == [Link.UP]
        assert bench.counts.get("subscribed_anew", source=NAME) >= 1
        await eventually(lambda: bench.state(f"{NAME} tags") == "lost")


async def test_many_tags_are_subscribed_in_chunks(device: Device) -> None:
    names = await device.add_many(250)
    tags = [tag(name, name, TagType.UINT32) for name in names]
    async with Bench(device.url, [*TAGS, *tags]).consumed() as consumer:
        await consumer.until(lambda: consumer.of(Block))
        for name in names:
            await device.write(name, 5)
        await consumer.until(lambda: all(consumer.values(name)[-1:] == [5] for name in names))


async def test_a_consumer_that_stalls_misses_nothing(device: Device) -> None:
    bench = Bench(device.url)
    deliveries = bench.source.deliveries()
    seen: list[object] = []
    async with asyncio.timeout(30):
        while 100 not in seen:
            seen += _values(await anext(deliveries))
        for count in range(101, 151):
            await device.put("Infeed.Total", count)
            await asyncio.sleep(0.01)
        while 150 not in seen:
            seen += _values(await anext(deliveries))
    assert seen == list(range(100, 151))
    await bench.source.close()
    assert [delivery async for delivery in deliveries][-1:] == [[SourceChange(NAME, Link.LOST, ANY)]]


def _values(delivery: object) -> list[object]:
    assert isinstance(delivery, list)
    return [one.value for one in delivery if isinstance(one, Reading) and one.tag == ref("preforms_in")]


async def test_numbers_raised_while_others_are_acknowledged_all_come(device: Device) -> None:
    bench = Bench(device.url)
    async with bench.consumed() as consumer:
        await consumer.until(lambda: consumer.of(Block))
        for number in range(8, 28):
            await device.set(Pal_Cases=number, Pal_Seq=number)
            await consumer.until(lambda number=number: consumer.of(Block)[-1].number == number)  # type: ignore[misc]  # bound now
            await bench.source.acknowledge(Acknowledge(RULE, number, Result.DONE))
            assert await device.get("Pal.Ack") == number
    blocks = consumer.of(Block)
    assert [one.number for one in blocks] == list(range(7, 28))
    assert [one.values[ref("pal_cases")].value for one in blocks[1:]] == list(range(8, 28))


async def test_a_handshake_without_its_trigger_is_reported(port: int) -> None:
    device = Device(port, leave_out=["Pal.Seq"])
    await device.start()
    bench = Bench(device.url)
    async with bench.consumed() as consumer:
        await eventually(lambda: bench.state(f"handshake {RULE}") == "lost")
        await device.set(Infeed_Total=101)
        await consumer.until(lambda: consumer.values("preforms_in")[-1:] == [101])
        assert not consumer.of(Block)
    await device.stop()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"ACKF\xff\xff\xff\x7f" + b"\0" * 40])
async def test_what_is_no_opc_ua_server_is_lost_and_tried_again(answer: bytes, port: int) -> None:
    tries = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tries
        tries += 1
        await reader.read(1)
        writer.write(answer)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    bench = Bench(f"opc.tcp://127.0.0.1:{port}")
    async with bench.consumed() as consumer:
        await eventually(lambda: tries >= 3)
        assert bench.state(NAME) == "lost"
        assert consumer.deliveries == []
    server.close()
    await server.wait_closed()


async def test_nobody_there_is_lost_and_then_found(port: int) -> None:
    bench = Bench(f"opc.tcp://127.0.0.1:{port}")
    async with bench.consumed() as consumer:
        await eventually(lambda: bench.state(NAME) == "lost")
        device = Device(port)
        await device.start()
        await consumer.until(lambda: consumer.of(Block))
        assert _links(consumer) == [Link.UP]
        await eventually(lambda: bench.state(NAME) == "up")
    await device.stop()


async def test_an_acknowledgement_that_fails_is_said_until_the_device_shows_it(device: Device) -> None:
    bench = Bench(device.url)
    board = f"acknowledgements of {RULE}"
    async with bench.consumed() as consumer:
        await consumer.until(lambda: consumer.of(Block))
        await device.set(Pal_Seq=8)
        await consumer.until(lambda: consumer.of(Block)[-1].number == 8)
        await device.refuse_writes("Pal.Ack")
        with pytest.raises(SourceError, match=r"filler\.pal_ack: BadUserAccessDenied"):
            await bench.source.acknowledge(Acknowledge(RULE, 8, Result.DONE))
        assert bench.state(board) == "lost"
        await device.set(Pal_Ack=8)  # somebody else answered
        await consumer.until(lambda: consumer.of(Block)[-1].acknowledged == 8)
        await eventually(lambda: bench.state(board) == "up")
    assert [(one.number, one.acknowledged) for one in consumer.of(Block)][:2] == [(7, 7), (8, 7)]
