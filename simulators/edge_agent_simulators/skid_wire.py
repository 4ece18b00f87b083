"""The skid on the wire: a Modbus TCP server on 127.0.0.1 and, where asked for, a slave on a serial line.

A server of our own, since no library's sends what a broken device sends.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pty
import socket
import struct
import termios
import tty
from asyncio import StreamReader, StreamWriter
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Protocol

from edge_agent_simulators.skid_device import VirtualSkid
from edge_agent_simulators.skid_faults import Kind
from edge_agent_simulators.skid_frames import HEADER_OCTETS, Request, RtuFramer, frame, header
from edge_agent_simulators.skid_registers import Values, refusal

_log = logging.getLogger(__name__)

_NO_SUCH_UNIT = 0x0B
"""Exception: the gateway got no answer from its target."""
_CHUNK = 1 << 12


class Link(Protocol):
    """One connection, or the serial line."""

    held: bytes
    """A late answer."""

    async def send(self, octets: bytes) -> None:
        """Raises ConnectionError where nobody takes it any more."""

    def cut(self) -> None:
        """End it at once, where it is a connection."""


class _Connection:
    def __init__(self, writer: StreamWriter) -> None:
        self.held = b""
        self._writer = writer

    async def send(self, octets: bytes) -> None:
        self._writer.write(octets)
        await self._writer.drain()

    def cut(self) -> None:
        """A reset, no orderly end: whatever is under way is lost."""
        raw = self._writer.get_extra_info("socket")
        if raw is not None and raw.fileno() >= 0:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


class _SerialLine:
    """Octets that nobody reads in time are lost, as on a wire."""

    def __init__(self, descriptor: int) -> None:
        self.held = b""
        self._descriptor = descriptor

    async def send(self, octets: bytes) -> None:
        try:
            os.write(self._descriptor, octets)
        except BlockingIOError:
            return

    def cut(self) -> None:
        """A line has no end."""


class Station:
    """Answers for one unit as the skid and its armed faults will have it."""

    def __init__(self, skid: VirtualSkid, unit: int) -> None:
        self.port = 0
        self.serial: str | None = None
        self._skid = skid
        self._unit = unit
        self._server: asyncio.Server | None = None
        self._links: set[Link] = set()
        self._one_at_a_time = asyncio.Lock()
        self._line: asyncio.Task[None] | None = None
        self._opened = AsyncExitStack()

    @property
    def listening(self) -> bool:
        """Whether a TCP client can connect."""
        return self._server is not None

    async def listen(self, port: int) -> None:
        """Take connections; 0 takes a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def open_serial(self, path: str, baud: int) -> None:
        """Answer on the tty at `path`; `pty` makes a pair of its own, whose other end is `serial`. Raises OSError."""
        if path == "pty":
            descriptor, other = pty.openpty()  # the other end stays open: a client may come and go
            self._opened.callback(os.close, other)
            tty.setraw(other)
            self.serial = os.ttyname(other)
        else:
            descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
            self.serial = path
        self._opened.callback(os.close, descriptor)
        _set_raw(descriptor, baud)
        os.set_blocking(descriptor, False)
        self._line = asyncio.create_task(self._serve_line(descriptor), name="serial line")

    async def close(self) -> None:
        """End everything."""
        await self.go_down()
        if self._line is not None:
            self._line.cancel()
            await asyncio.gather(self._line, return_exceptions=True)
        await self._opened.aclose()

    async def go_down(self) -> None:
        """Nothing listens, every connection is reset."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        self.reset()
        if server is not None:
            await server.wait_closed()

    def reset(self) -> int:
        """Reset every connection; answers how many there were."""
        connections = [link for link in self._links if isinstance(link, _Connection)]
        for connection in connections:
            connection.cut()
        return len(connections)

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        link = _Connection(writer)
        self._links.add(link)
        try:
            while True:
                transaction, unit, length = header(await reader.readexactly(HEADER_OCTETS))
                pdu = await reader.readexactly(length)
                await self._carry(link, Request(unit, pdu, transaction))
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            pass  # the client is gone, or is none of Modbus
        finally:
            self._links.discard(link)
            writer.close()

    async def _serve_line(self, descriptor: int) -> None:
        link, framer = _SerialLine(descriptor), RtuFramer()
        reader = StreamReader()
        loop = asyncio.get_running_loop()
        source = os.fdopen(os.dup(descriptor), "rb", buffering=0)
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), source)
        try:
            while octets := await reader.read(_CHUNK):
                for request in framer.feed(octets):
                    if request.unit == self._unit and self._skid.online:
                        await self._carry(link, request)
            _log.warning("%s: the other end has closed; nothing is answered there any more", self.serial)
        except OSError as error:
            _log.warning("%s: %s; nothing is answered there any more", self.serial, error)
        finally:
            transport.close()

    async def _carry(self, link: Link, request: Request) -> None:
        """Answer one request, or do to it what is armed."""
        skid, wire = self._skid, self._skid.wire
        if wire.hit(Kind.BLACK_HOLE, skid.now) is not None:
            return
        if (slow := wire.hit(Kind.SLOW, skid.now)) is not None:
            async with self._one_at_a_time:
                await asyncio.sleep(slow["delay"])
        if not skid.online:
            return
        spoilt, values, seen = wire.spoilt, skid.values, (datetime.now(UTC), skid.now)
        response = self._response(request, values)
        await self._send(link, frame(request, response, wire, skid.now))
        if wire.spoilt == spoilt:
            skid.told(request.pdu, response, values, seen)

    def _response(self, request: Request, values: Values) -> bytes:
        if request.unit != self._unit:
            return refusal(request.pdu[0], _NO_SUCH_UNIT)
        return self._skid.answer(request.pdu, values)

    async def _send(self, link: Link, octets: bytes) -> None:
        """Send what was held back, and then this, or hold it back."""
        wire, now = self._skid.wire, self._skid.now
        octets, link.held = link.held + octets, b""
        if wire.hit(Kind.LATE, now) is not None:
            link.held = octets
        elif (drip := wire.hit(Kind.DRIP, now)) is not None:
            for octet in octets:
                await asyncio.sleep(drip["delay"])
                await link.send(bytes((octet,)))
        elif wire.hit(Kind.CUT, now) is not None:
            await link.send(octets[: len(octets) // 2])
            link.cut()
        else:
            await link.send(octets)


def _set_raw(descriptor: int, baud: int) -> None:
    """Eight bits, no parity, one stop bit, no flow control. Raises ValueError for a speed the system does not know."""
    speed = getattr(termios, f"B{baud}", None)
    if speed is None:
        msg = f"{baud} baud: not a speed of this system"
        raise ValueError(msg)
    tty.setraw(descriptor)
    attributes = termios.tcgetattr(descriptor)
    attributes[4] = attributes[5] = speed
    termios.tcsetattr(descriptor, termios.TCSANOW, attributes)
