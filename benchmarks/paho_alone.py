"""The ceiling of publishing: paho on the asyncio loop with everything in memory, no store, no order, no account."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_agent.broker import Message


async def publish_all(host: str, port: int, messages: Sequence[Message], window: int) -> float:
    """Seconds from the first PUBLISH to the last PUBACK, never more than `window` in flight."""
    return await _Publisher(window).run(host, port, messages)


class _Publisher:
    def __init__(self, window: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, "bench-alone", protocol=MQTTProtocolVersion.MQTTv5, reconnect_on_failure=False
        )
        self._client.max_inflight_messages_set(0)
        self._connected = asyncio.Event()
        self._done = asyncio.Event()
        self._client.on_connect = lambda *_: self._connected.set()
        self._client.on_publish = self._published
        self._window = window
        self._left: deque[Message] = deque()
        self._open = 0

    async def run(self, host: str, port: int, messages: Sequence[Message]) -> float:
        await asyncio.to_thread(self._client.connect, host, port)
        sock = self._client.socket()
        assert sock is not None
        self._fd = sock.fileno()
        self._loop.add_reader(self._fd, self._read)
        try:
            await self._connected.wait()
            self._left.extend(messages)
            began = time.perf_counter()
            self._fill()
            await self._done.wait()
            return time.perf_counter() - began
        finally:
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
            self._client.disconnect()

    def _read(self) -> None:
        self._client.loop_read()
        self._fill()

    def _fill(self) -> None:
        while self._left and self._open < self._window:
            message = self._left.popleft()
            self._open += 1
            self._client.publish(message.topic, message.payload, 1, properties=_properties(message))
        if self._client.want_write():
            self._loop.add_writer(self._fd, self._write)

    def _write(self) -> None:
        self._client.loop_write()
        if not self._client.want_write():
            self._loop.remove_writer(self._fd)

    def _published(self, *_: object) -> None:
        self._open -= 1
        if not self._left and not self._open:
            self._done.set()


def _properties(message: Message) -> Properties | None:
    if message.content_type is None and not message.properties:
        return None
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho leaves it unannotated
    properties.ContentType = message.content_type
    properties.UserProperty = list(message.properties)
    return properties
