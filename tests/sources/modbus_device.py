"""A Modbus device for tests, at the wire: registers that the test sets, and every way of answering wrongly."""

from __future__ import annotations

import asyncio
import os
import struct
import termios
import tty
from collections.abc import Awaitable, Callable
from contextlib import suppress

Answer = bytes
_MBAP = struct.Struct(">HHHB")
_WRITES = {5, 6, 15, 16}
_BIT_READS = {1: "co", 2: "di"}
_WORD_READS = {3: "hr", 4: "ir"}


class Refusal(Exception):
    """An exception response."""

    def __init__(self, code: int) -> None:
        self.code = code


class Registers:
    """Four tables; addresses outside of `holes` exist. `most` is the most registers of one request."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[int, int]] = {"hr": {}, "ir": {}, "co": {}, "di": {}}
        self.holes: set[int] = set()
        self.most = 125
        self.busy = False
        self.read_only = False
        self.requests: list[tuple[int, int, int]] = []
        self.before_read: Callable[[int, int], None] = lambda start, count: None

    def put(self, offset: int, octets: bytes, table: str = "hr") -> None:
        for at in range(0, len(octets), 2):
            self.tables[table][offset + at // 2] = int.from_bytes(octets[at : at + 2], "big")

    def answer(self, pdu: bytes) -> bytes:
        function, first, second = struct.unpack(">BHH", pdu[:5])
        try:
            return self._work(function, first, second, pdu)
        except Refusal as refusal:
            return bytes([function | 0x80, refusal.code])

    def _work(self, function: int, first: int, second: int, pdu: bytes) -> bytes:
        if self.busy:
            raise Refusal(6)
        if function == 8:
            return pdu
        if function in _WRITES:
            if self.read_only:
                raise Refusal(4)
            if function == 6:
                self.tables["hr"][first] = second
                return pdu
            if function == 5:
                self.tables["co"][first] = int(second == 0xFF00)
                return pdu
            self.put(first, pdu[6:])
            return pdu[:5]
        self.requests.append((function, first, second))
        self.before_read(first, second)
        if function in _WORD_READS:
            if second > self.most or any(first <= hole < first + second for hole in self.holes):
                raise Refusal(2)
            table = self.tables[_WORD_READS[function]]
            words = [table.get(first + at, 0) for at in range(second)]
            return struct.pack(f">BB{second}H", function, 2 * second, *words)
        bits = self.tables[_BIT_READS[function]]
        packed = sum(bits.get(first + at, 0) << at for at in range(second))
        length = (second + 7) // 8
        return bytes([function, length]) + packed.to_bytes(length, "little")


Mangle = Callable[[bytes], bytes]
"""What becomes of an answer's frame on its way; empty is silence."""


class ModbusDevice(Registers):
    """The device on TCP. `mangle` alters the answers; `gate` holds them back while it is cleared."""

    def __init__(self, port: int = 0) -> None:
        super().__init__()
        self.port = port
        self.mangle: Mangle = lambda frame: frame
        self.drip = False
        self.delay: Callable[[], Awaitable[None]] | None = None
        self.accepted = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self.reset_connections()
            await self._server.wait_closed()
            self._server = None
        await asyncio.sleep(0)

    def reset_connections(self) -> None:
        """RST, not FIN."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self._writers.add(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await self._answer_one(reader, writer)
        self._writers.discard(writer)
        writer.transport.abort()

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        transaction, _, length, unit = _MBAP.unpack(await reader.readexactly(7))
        pdu = self.answer(await reader.readexactly(length - 1))
        frame = self.mangle(_MBAP.pack(transaction, 0, len(pdu) + 1, unit) + pdu)
        if self.delay is not None:
            await self.delay()
        for piece in (frame[at : at + 1] for at in range(len(frame))) if self.drip else (frame,):
            writer.write(piece)
            await writer.drain()
            if self.drip:
                await asyncio.sleep(0.002)


class SerialDevice:
    """Devices on one serial line, RTU over a pty, by unit identifier; answers come `late` seconds later, in order."""

    def __init__(self, units: dict[int, Registers]) -> None:
        self.units = units
        self.late = self._last_answer = 0.0
        self._ours, theirs = os.openpty()
        tty.setraw(self._ours, termios.TCSANOW)
        self.path = os.ttyname(theirs)
        self._theirs = theirs
        self._heard = b""
        self._closed = False
        os.set_blocking(self._ours, False)
        asyncio.get_running_loop().add_reader(self._ours, self._read)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._ours)
        self._closed = True
        os.close(self._ours)
        os.close(self._theirs)

    def say(self, octets: bytes) -> None:
        """Put octets on the line."""
        if not self._closed:
            os.write(self._ours, octets)

    def _read(self) -> None:
        self._heard += os.read(self._ours, 512)
        while len(self._heard) >= 8:
            length = 8 if self._heard[1] not in (15, 16) else 9 + self._heard[6]
            if len(self._heard) < length:
                return
            frame, self._heard = self._heard[:length], self._heard[length:]
            assert crc16(frame[:-2]) == frame[-2:]
            unit = self.units.get(frame[0])
            if unit is not None:
                answer = frame[:1] + unit.answer(frame[1:-2])
                loop = asyncio.get_running_loop()
                self._last_answer = max(self._last_answer, loop.time() + self.late)
                loop.call_at(self._last_answer, self.say, answer + crc16(answer))


def crc16(octets: bytes) -> bytes:
    value = 0xFFFF
    for octet in octets:
        value ^= octet
        for _ in range(8):
            value = (value >> 1) ^ 0xA001 if value & 1 else value >> 1
    return struct.pack("<H", value)
