"""The broker process: what MQTT 5 needs of it, and that one kill frees its ports."""

from __future__ import annotations

import queue
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge_agent_simulators.broker import mosquitto
from edge_agent_simulators.control import Process

Starter = Callable[..., Awaitable[Process]]
KINDS = [
    "iotcore",
    pytest.param("mosquitto", marks=pytest.mark.skipif(mosquitto() is None, reason="mosquitto is not installed")),
]


def properties(kind: int, **values: object) -> Properties:
    found = Properties(kind)  # type: ignore[no-untyped-call]  # paho has no types there
    for name, value in values.items():
        setattr(found, name, value)
    return found


class Peer:
    """A blocking MQTT client for tests."""

    def __init__(self, name: str, version: Any = paho.MQTTv5) -> None:
        self.messages: queue.Queue[paho.MQTTMessage] = queue.Queue()
        self._granted: queue.Queue[Any] = queue.Queue()
        self._connected: queue.Queue[Any] = queue.Queue()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=version)
        self.client.on_message = lambda _c, _u, message: self.messages.put(message)
        self.client.on_subscribe = lambda *_arguments: self._granted.put(True)
        self.client.on_connect = lambda _c, _u, flags, _r, _p: self._connected.put(flags.session_present)
        self.session_present = False

    def connect(self, port: int, **arguments: Any) -> None:
        self.client.connect("127.0.0.1", port, **arguments)
        self.client.loop_start()
        self.session_present = self._connected.get(timeout=10)

    def subscribe(self, topic: str) -> None:
        options = SubscribeOptions(qos=1) if self.client.protocol == paho.MQTTv5 else None
        self.client.subscribe(topic, options=options) if options else self.client.subscribe(topic, qos=1)
        self._granted.get(timeout=10)

    def publish(self, topic: str, payload: bytes, **arguments: Any) -> None:
        self.client.publish(topic, payload, qos=1, **arguments).wait_for_publish(10)

    def drop(self) -> None:
        """Cut the connection without a DISCONNECT."""
        sock = self.client.socket()
        assert isinstance(sock, socket.socket)
        sock.shutdown(socket.SHUT_RDWR)
        self._end()

    def close(self) -> None:
        self.client.disconnect()
        self._end()

    def _end(self) -> None:
        """paho closes its own socket pair only when it is freed: leave no cycle that would put that off."""
        self.client.loop_stop()
        self.client.on_message = self.client.on_subscribe = self.client.on_connect = None
        del self.client


@contextmanager
def peer(name: str, port: int, version: Any = paho.MQTTv5, **arguments: Any) -> Iterator[Peer]:
    found = Peer(name, version)
    found.connect(port, **arguments)
    try:
        yield found
    finally:
        found.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_retained_messages_user_properties_and_will(start: Starter, kind: str) -> None:
    broker = await start("broker", "--kind", kind)
    port = broker.ready["port"]
    dying = Peer("dying")
    dying.client.will_set("state/dying", b"dead", qos=1)
    dying.connect(port)
    with peer("sender", port) as sender, peer("reader", port) as reader:
        extra = properties(PacketTypes.PUBLISH, UserProperty=[("type", "x")], ContentType="application/json")
        sender.publish("state/kept", b"kept", retain=True, properties=extra)
        reader.subscribe("state/#")
        message = reader.messages.get(timeout=10)
        assert (message.payload, message.retain) == (b"kept", True)
        assert message.properties is not None
        assert message.properties.json()["UserProperty"] == [("type", "x")]  # type: ignore[no-untyped-call]  # paho is untyped
        dying.drop()
        assert reader.messages.get(timeout=10).payload == b"dead"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_session_outlives_its_connection(start: Starter, kind: str) -> None:
    broker = await start("broker", "--kind", kind)
    port = broker.ready["port"]
    lasting = {"clean_start": False, "properties": properties(PacketTypes.CONNECT, SessionExpiryInterval=600)}
    with peer("lasting", port, **lasting) as first:
        first.subscribe("a/#")
    with peer("sender", port) as sender:
        for number in range(20):
            sender.publish("a/b", str(number).encode())
    with peer("lasting", port, **lasting) as again:
        assert again.session_present
        assert [again.messages.get(timeout=10).payload for _ in range(20)] == [str(n).encode() for n in range(20)]


@pytest.mark.parametrize("kind", KINDS)
async def test_mqtt_3_1_1_is_spoken_too(start: Starter, kind: str) -> None:
    broker = await start("broker", "--kind", kind)
    with peer("old", broker.ready["port_v3"], paho.MQTTv311) as old:
        old.subscribe("a")
        old.publish("a", b"1")
        assert old.messages.get(timeout=10).payload == b"1"


@pytest.mark.parametrize("kind", KINDS)
async def test_kill_frees_the_ports_at_once(start: Starter, kind: str) -> None:
    broker = await start("broker", "--kind", kind)
    port, port_v3 = broker.ready["port"], broker.ready["port_v3"]
    for _ in range(3):
        await broker.kill()
        broker = await start("broker", "--kind", kind, "--port", port, "--port-v3", port_v3)
        with peer("anyone", port) as anyone:
            anyone.subscribe("a")
            anyone.publish("a", b"1")
            assert anyone.messages.get(timeout=10).payload == b"1"
    assert await broker.stop() == 0
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=5)


async def test_a_port_that_is_taken_is_refused(start: Starter) -> None:
    broker = await start("broker")
    with pytest.raises(RuntimeError, match="has ended"):
        await start("broker", "--port", broker.ready["port"])
