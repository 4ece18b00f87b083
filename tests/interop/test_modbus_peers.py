"""The counterparts themselves: a client reads what was set, and a hard restart forgets it on the same port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

import pytest
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient

from tests.interop.modbus_peers import (
    Peer,
    libmodbus_server,
    missing_libmodbus,
    missing_modbus_serial,
    modbus_serial_server,
    serial_pair,
)


class Server(Protocol):
    def __call__(self, *, port: int = 0) -> AbstractAsyncContextManager[Peer]: ...


def _skip_without(missing: str | None) -> None:
    if missing:
        pytest.skip(f"NOT RUN: {missing}")


@pytest.fixture(params=["libmodbus", "modbus-serial"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Server:
    if request.param == "modbus-serial":
        _skip_without(missing_modbus_serial())
        return modbus_serial_server
    _skip_without(missing_libmodbus())

    def libmodbus(*, port: int = 0) -> AbstractAsyncContextManager[Peer]:
        return libmodbus_server(tmp_path, port=port)

    return libmodbus


@asynccontextmanager
async def connected(peer: Peer) -> AsyncIterator[AsyncModbusTcpClient]:
    client = AsyncModbusTcpClient("127.0.0.1", port=peer.port, timeout=10)
    assert await client.connect()
    try:
        yield client
    finally:
        client.close()


async def test_a_client_reads_what_was_set(server: Server) -> None:
    async with server() as peer, connected(peer) as client:
        for low, high in [(65535, 0), (0, 1), (0x5678, 0x1234)]:
            await peer.set(104, low, high)
            assert (await client.read_holding_registers(104, count=2, device_id=1)).registers == [low, high]
        assert len((await client.read_holding_registers(0, count=125, device_id=1)).registers) == 125
        assert (await client.read_holding_registers(199, count=2, device_id=1)).exception_code == 2
        with pytest.raises(RuntimeError, match="error"):
            await peer.set(200, 1)


async def test_a_hard_restart_forgets_and_listens_on_the_same_port(server: Server) -> None:
    async with server() as peer:
        await peer.set(104, 7)
        async with connected(peer):
            await peer.kill()
    async with server(port=peer.port) as again, connected(again) as client:
        assert again.port == peer.port
        assert (await client.read_holding_registers(104, count=1, device_id=1)).registers == [0]


async def test_libmodbus_answers_on_a_serial_line(tmp_path: Path) -> None:
    _skip_without(missing_libmodbus())
    async with serial_pair() as (ours, theirs), libmodbus_server(tmp_path, serial=theirs) as peer:
        await peer.set(104, 65535, 1)
        client = AsyncModbusSerialClient(ours, baudrate=19200, timeout=10)
        assert await client.connect()
        try:
            answer = await client.read_holding_registers(104, count=2, device_id=1)
        finally:
            client.close()
    assert answer.registers == [65535, 1]
