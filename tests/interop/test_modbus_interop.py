"""The Modbus source against servers that are not ours: libmodbus over TCP and RTU, npm modbus-serial over TCP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from edge_agent.config.devices import TagType
from edge_agent.model.reading import Link, Quality, SourceChange
from tests.interop.modbus_peers import (
    Peer,
    libmodbus_server,
    missing_libmodbus,
    missing_modbus_serial,
    modbus_serial_server,
    serial_pair,
)
from tests.sources.modbus_bench import ModbusBench, modbus_tag

TAGS = [
    modbus_tag("total", "hr", 10, TagType.UINT32),
    modbus_tag("short", "hr", 12, TagType.INT16),
    modbus_tag("beyond", "hr", 5000, TagType.UINT16),
]
PEERS = {"libmodbus": missing_libmodbus, "modbus-serial": missing_modbus_serial}


@asynccontextmanager
async def _server(kind: str, folder: Path, port: int = 0) -> AsyncIterator[Peer]:
    start = libmodbus_server(folder, port=port) if kind == "libmodbus" else modbus_serial_server(port=port)
    async with start as peer:
        yield peer


def _skip(missing: Callable[[], str | None]) -> None:
    why = missing()
    if why is not None:
        pytest.skip(f"NOT RUN: {why}".replace("NOT RUN: NOT RUN", "NOT RUN"))


@pytest.mark.parametrize("kind", PEERS)
async def test_a_foreign_server_is_read_and_found_again_after_a_hard_restart(kind: str, tmp_path: Path) -> None:
    _skip(PEERS[kind])
    async with AsyncExitStack() as stack:
        peer = await stack.enter_async_context(_server(kind, tmp_path))
        await peer.set(10, 0x5678, 0x1234, 0xFFF9)
        bench = ModbusBench(f"tcp://127.0.0.1:{peer.port}", TAGS, timeout=2)
        consumer = await stack.enter_async_context(bench.consumed())
        await consumer.until(lambda: consumer.values("total") and consumer.values("total")[-1] == 0x12345678)
        assert consumer.values("short")[-1] == -7
        beyond = consumer.readings("beyond")[-1]
        assert (beyond.quality, beyond.status) == (Quality.BAD, 2)
        await peer.set(10, 0x5679)
        await consumer.until(lambda: consumer.values("total")[-1] == 0x12345679)
        port = peer.port
        await peer.kill()
        await consumer.until(lambda: [one.link for one in consumer.of(SourceChange)] == [Link.UP, Link.LOST])
        again = await stack.enter_async_context(_server(kind, tmp_path, port))
        await again.set(10, 0x0001, 0x0000)
        await consumer.until(lambda: consumer.values("total")[-1] == 1)
        assert consumer.of(SourceChange)[-1].link is Link.UP


async def test_a_foreign_device_on_a_serial_line(tmp_path: Path) -> None:
    _skip(missing_libmodbus)
    async with serial_pair() as (ours, theirs), libmodbus_server(tmp_path, serial=theirs) as peer:
        await peer.set(10, 0x5678, 0x1234, 0xFFF9)
        bench = ModbusBench(f"rtu:{ours}", TAGS[:2], timeout=2)
        async with bench.consumed() as consumer:
            await consumer.until(lambda: consumer.values("total") and consumer.values("total")[-1] == 0x12345678)
            await peer.set(10, 0x5679)
            await consumer.until(lambda: consumer.values("total")[-1] == 0x12345679)
            assert consumer.values("short")[-1] == -7
