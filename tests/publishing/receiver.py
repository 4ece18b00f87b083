"""An independent subscriber: MQTT 3.1.1 on bare sockets, nothing of the agent's and no client library's.

It keeps a session at the broker (Clean Session 0), acknowledges what comes with QoS 1, and connects again by itself.
"""

from __future__ import annotations

import asyncio
import struct
from contextlib import suppress

from edge_agent_simulators.mqtt_packets import PUBLISH, Framer, encode_length, puback

_CONNACK, _SUBACK = 2, 9
_CHUNK = 1 << 16
_PAUSE = 0.05


class Receiver:
    """Subscribes to `topic_filter` with QoS 1. `payloads` holds what came, in order, copies included.

    Its context may be left and entered again: the broker keeps the session meanwhile, or does not.
    """

    def __init__(self, port: int, topic_filter: str, client_id: str = "receiver") -> None:
        self.payloads: list[bytes] = []
        self.sessions_kept: list[bool] = []
        """For each connection, whether the broker still had our session (CONNACK, Session Present)."""
        self.subscribed = asyncio.Event()
        self._port = port
        self._filter = topic_filter.encode()
        self._client_id = client_id.encode()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Receiver:
        self._task = asyncio.create_task(self._receive_always(), name="receiver")
        async with asyncio.timeout(30):
            await self.subscribed.wait()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        assert self._task is not None
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self.subscribed.clear()

    async def _receive_always(self) -> None:
        while True:
            with suppress(OSError):
                await self._receive()
            self.subscribed.clear()
            await asyncio.sleep(_PAUSE)

    async def _receive(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(_connect(self._client_id))
            framer = Framer()
            while data := await reader.read(_CHUNK):
                for packet in framer.feed(data):
                    writer.write(self._answer(packet))
                await writer.drain()
        finally:
            writer.transport.abort()

    def _answer(self, packet: bytes) -> bytes:
        kind = packet[0] >> 4
        if kind == _CONNACK:
            assert packet[3] == 0, f"the broker refuses the receiver: {packet[3]}"
            self.sessions_kept.append(bool(packet[2] & 1))
            return _packet(0x82, struct.pack("!HH", 1, len(self._filter)) + self._filter + b"\x01")
        if kind == _SUBACK:
            assert packet[4] == 1, f"the broker grants QoS {packet[4]}"
            self.subscribed.set()
        if kind == PUBLISH:
            return self._take(packet)
        return b""

    def _take(self, packet: bytes) -> bytes:
        head = 2
        while packet[head - 1] & 0x80:
            head += 1
        at = head + 2 + struct.unpack_from("!H", packet, head)[0]
        acknowledged = b""
        if packet[0] & 0x06:
            acknowledged = puback(struct.unpack_from("!H", packet, at)[0])
            at += 2
        self.payloads.append(packet[at:])
        return acknowledged


def _connect(client_id: bytes) -> bytes:
    """CONNECT of MQTT 3.1.1 that keeps its session; no keepalive (3.1)."""
    return _packet(0x10, b"\x00\x04MQTT\x04\x00\x00\x00" + struct.pack("!H", len(client_id)) + client_id)


def _packet(head: int, body: bytes) -> bytes:
    return bytes([head]) + encode_length(len(body)) + body
