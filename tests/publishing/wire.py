"""A few lines of an MQTT 5 server that log every packet and misbehave when told to: what no well-bred broker does."""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import Callable
from dataclasses import dataclass

from edge_agent.mqtt import Limits, PahoBroker
from tests.publishing.brokers import free_port
from tests.publishing.samples import tag_map

Answering = Callable[["Publish"], int | None]
"""The PUBACK's reason code for a PUBLISH, None for silence."""

_CONNECT, _PUBLISH, _SUBSCRIBE, _PINGREQ, _DISCONNECT = 1, 3, 8, 12, 14


@dataclass(frozen=True, slots=True)
class Publish:
    """A PUBLISH as it came over the wire; `connection` counts from 1."""

    connection: int
    mid: int
    topic: str
    payload: bytes
    dup: bool


class Wire:
    """Listens on a port of its own, which it keeps over `stop` and `start`."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.port = free_port()
        self.publishes: list[Publish] = []
        self.acknowledged: list[Publish] = []
        self.connections = 0
        self.disconnects = 0
        self.pings = 0
        self.answering: Answering = lambda _publish: 0
        self.connack = b"\x00\x00\x00"
        self.answers_pings = True
        self.suback = 1
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    def announce(self, *, receive_maximum: int | None = None, max_packet: int | None = None) -> None:
        """Properties of the CONNACK (MQTT 5, 3.2.2.3)."""
        properties = b"" if receive_maximum is None else b"\x21" + struct.pack("!H", receive_maximum)
        properties += b"" if max_packet is None else b"\x27" + struct.pack("!I", max_packet)
        self.connack = b"\x00\x00" + bytes([len(properties)]) + properties

    def client(self, client_id: str = "relay", limits: Limits | None = None) -> PahoBroker:
        return PahoBroker(tag_map(port=self.port).mqtt, client_id, limits)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=self._tls)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self.cut()
            if self._serving:
                await asyncio.wait(self._serving)
            await self._server.wait_closed()
            self._server = None

    def cut(self) -> None:
        """Reset every connection."""
        for writer in self._writers:
            writer.transport.abort()

    def disconnect(self, reason: int) -> None:
        """Send DISCONNECT with a reason code to everybody."""
        for writer in self._writers:
            writer.write(bytes([_DISCONNECT << 4, 2, reason, 0]))

    def events(self) -> list[Publish]:
        """What is no birth, death or heartbeat."""
        return [publish for publish in self.publishes if "_gateway" not in publish.topic]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        self._writers.add(writer)
        self.connections += 1
        connection = self.connections
        try:
            while True:
                head, body = await _packet(reader)
                self._handle(connection, head, body, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            self._serving.discard(task)
            writer.transport.abort()

    def _handle(self, connection: int, head: int, body: bytes, writer: asyncio.StreamWriter) -> None:
        kind = head >> 4
        if kind == _CONNECT:
            writer.write(bytes([0x20, len(self.connack)]) + self.connack)
        elif kind == _PUBLISH:
            self._take(_decoded(connection, head, body), writer)
        elif kind == _SUBSCRIBE:
            writer.write(bytes([0x90, 4]) + body[:2] + b"\x00" + bytes([self.suback]))
        elif kind == _PINGREQ:
            self.pings += 1
            if self.answers_pings:
                writer.write(b"\xd0\x00")
        elif kind == _DISCONNECT:
            self.disconnects += 1

    def _take(self, publish: Publish, writer: asyncio.StreamWriter) -> None:
        self.publishes.append(publish)
        reason = self.answering(publish)
        if reason is None or writer not in self._writers:
            return
        if reason < 128:
            self.acknowledged.append(publish)
        writer.write(struct.pack("!BBHBB", 0x40, 4, publish.mid, reason, 0))


async def _packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readexactly(1))[0]
    length = shift = 0
    while True:
        byte = (await reader.readexactly(1))[0]
        length |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return head, await reader.readexactly(length)


def _decoded(connection: int, head: int, body: bytes) -> Publish:
    assert head & 6 == 2, "the agent publishes with QoS 1 only"
    size = struct.unpack_from("!H", body)[0]
    topic, at = body[2 : 2 + size].decode(), 2 + size
    mid = struct.unpack_from("!H", body, at)[0]
    at += 2
    length = shift = 0
    while True:
        byte = body[at]
        at += 1
        length |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            break
    return Publish(connection, mid, topic, body[at + length :], bool(head & 8))
