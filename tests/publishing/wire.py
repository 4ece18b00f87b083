"""A few lines of an MQTT server (5 and 3.1.1) that log every packet and misbehave when told to: what no well-bred
broker does."""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from edge_agent.mqtt.network import Limits, PahoBroker
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
    properties: bytes = b""


@dataclass(frozen=True, slots=True)
class Connect:
    """A CONNECT as it came over the wire: `level` 5 is MQTT 5, 4 is 3.1.1."""

    level: int
    clean: bool
    keepalive: int
    client_id: str
    will: tuple[str, bytes] | None
    user: str | None
    password: bytes | None


class Wire:
    """Listens on a port of its own, which it keeps over `stop` and `start`."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.port = free_port()
        self.connects: list[Connect] = []
        self.refusal_of_5: bytes | None = None
        self.publishes: list[Publish] = []
        self.acknowledged: list[Publish] = []
        self.connections = 0
        self.open = 0
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

    def client(self, client_id: str = "relay", limits: Limits | None = None, **settings: Any) -> PahoBroker:
        return PahoBroker(replace(tag_map(port=self.port).mqtt, **settings), client_id, limits)

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
        client = _Client(self.connections, writer)
        self.open += 1
        try:
            while True:
                self._handle(client, *await _packet(reader))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            self._writers.discard(writer)
            self._serving.discard(task)
            writer.transport.abort()

    def _handle(self, client: _Client, head: int, body: bytes) -> None:
        kind, writer = head >> 4, client.writer
        if kind == _CONNECT:
            self._greet(client, decoded_connect(body))
        elif kind == _PUBLISH:
            self._take(_decoded(client, head, body), client)
        elif kind == _SUBSCRIBE:
            properties = b"\x00" if client.modern else b""
            writer.write(bytes([0x90, 3 + len(properties)]) + body[:2] + properties + bytes([self.suback]))
        elif kind == _PINGREQ:
            self.pings += 1
            if self.answers_pings:
                writer.write(b"\xd0\x00")
        elif kind == _DISCONNECT:
            self.disconnects += 1

    def _greet(self, client: _Client, connect: Connect) -> None:
        """`refusal_of_5` is what MQTT 5 is answered with before the connection is closed; empty: nothing at all."""
        self.connects.append(connect)
        client.modern = connect.level == 5
        if client.modern and self.refusal_of_5 is not None:
            client.writer.write(self.refusal_of_5)
            client.writer.close()
            return
        connack = self.connack if client.modern else self.connack[:2]
        if connack:
            client.writer.write(bytes([0x20, len(connack)]) + connack)

    def _take(self, publish: Publish, client: _Client) -> None:
        self.publishes.append(publish)
        reason = self.answering(publish)
        if reason is None or client.writer not in self._writers:
            return
        if reason < 128:
            self.acknowledged.append(publish)
        if client.modern:
            client.writer.write(struct.pack("!BBHBB", 0x40, 4, publish.mid, reason, 0))
        else:
            client.writer.write(struct.pack("!BBH", 0x40, 2, publish.mid))


@dataclass(slots=True)
class _Client:
    connection: int
    writer: asyncio.StreamWriter
    modern: bool = True


async def _packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readexactly(1))[0]
    length = shift = 0
    while True:
        byte = (await reader.readexactly(1))[0]
        length |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return head, await reader.readexactly(length)


def _decoded(client: _Client, head: int, body: bytes) -> Publish:
    assert head & 6 == 2, "the agent publishes with QoS 1 only"
    size = struct.unpack_from("!H", body)[0]
    topic, at = body[2 : 2 + size].decode(), 2 + size
    mid = struct.unpack_from("!H", body, at)[0]
    start, end = _properties(body, at + 2) if client.modern else (at + 2, at + 2)
    return Publish(client.connection, mid, topic, body[end:], bool(head & 8), body[start:end])


def _properties(body: bytes, at: int) -> tuple[int, int]:
    """Where the properties begin and end whose length stands at `at`."""
    length = shift = 0
    while True:
        byte = body[at]
        at += 1
        length |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return at, at + length


def decoded_connect(body: bytes) -> Connect:
    """CONNECT without its fixed header (3.1 of both versions)."""
    level, flags, keepalive = struct.unpack_from("!BBH", body, 6)
    at = 10 if level < 5 else _properties(body, 10)[1]

    def field() -> bytes:
        nonlocal at
        size = struct.unpack_from("!H", body, at)[0]
        at += 2 + size
        return body[at - size : at]

    client_id = field().decode()
    will = None
    if flags & 4:
        at = at if level < 5 else _properties(body, at)[1]
        will = (field().decode(), field())
    user = field().decode() if flags & 0x80 else None
    secret = field() if flags & 0x40 else None
    return Connect(level, bool(flags & 2), keepalive, client_id, will, user, secret)
