"""Modbus by hand, over TCP and on a tty: what comes is what the device sent, right or wrong."""

from __future__ import annotations

import asyncio
import os
import struct
import tty
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Self

from edge_agent_simulators.control import Process
from edge_agent_simulators.skid_frames import crc

DOSED = bytes.fromhex("0300680002")
PATIENCE = 20.0
SHORT = 0.3
"""Long enough for an answer that comes at once; only ever waited for in vain."""


class Wire:
    """Modbus TCP by hand: what comes is what the device sent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.transaction = 0

    @classmethod
    @asynccontextmanager
    async def to(cls, skid: Process) -> AsyncIterator[Self]:
        reader, writer = await asyncio.open_connection("127.0.0.1", skid.ready["port"])
        try:
            yield cls(reader, writer)
        finally:
            writer.transport.abort()

    def send(self, pdu: bytes, unit: int = 1) -> None:
        self.transaction += 1
        self.writer.write(struct.pack(">HHHB", self.transaction, 0, len(pdu) + 1, unit) + pdu)

    async def receive(self) -> tuple[int, int, bytes]:
        """Transaction, unit, PDU."""
        async with asyncio.timeout(PATIENCE):
            transaction, _, length, unit = struct.unpack(">HHHB", await self.reader.readexactly(7))
            return transaction, unit, await self.reader.readexactly(length - 1)

    async def ask(self, pdu: bytes, unit: int = 1) -> bytes:
        self.send(pdu, unit)
        transaction, answered, response = await self.receive()
        assert (transaction, answered) == (self.transaction, unit)
        return response

    async def dosed(self) -> int:
        return cdab(await self.ask(DOSED))

    async def silent(self) -> bool:
        """Whether nothing comes for a while."""
        try:
            async with asyncio.timeout(SHORT):
                await self.reader.readexactly(1)
        except TimeoutError:
            return True
        return False


def cdab(response: bytes) -> int:
    low, high = struct.unpack(">HH", response[2:])
    return int(high << 16 | low)


def one_word(register: int) -> bytes:
    return struct.pack(">BHH", 3, register, 1)


class Line:
    """Modbus RTU by hand, on the other end of the skid's pty."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    @classmethod
    @contextmanager
    def to(cls, path: str) -> Iterator[Self]:
        descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(descriptor)
        try:
            yield cls(descriptor)
        finally:
            os.close(descriptor)

    def send(self, pdu: bytes, unit: int = 1) -> None:
        body = bytes((unit,)) + pdu
        os.write(self.descriptor, body + crc(body))

    async def receive(self, octets: int, seconds: float = PATIENCE) -> bytes:
        """As many octets as asked for, fewer where no more come in time."""
        got = b""
        deadline = asyncio.get_running_loop().time() + seconds
        while len(got) < octets and asyncio.get_running_loop().time() < deadline:
            try:
                got += os.read(self.descriptor, octets - len(got))
            except BlockingIOError:
                await asyncio.sleep(0.01)
        return got
