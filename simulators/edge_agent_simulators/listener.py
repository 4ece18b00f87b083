"""A receiving system's ear: an MQTT 5 client with a session that outlives its connection, on a thread of paho's own."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

_SESSION_SECONDS = 24 * 3600
_READY_SECONDS = 15.0


class Listener(ABC):
    """Hears everything under `{root}/v1/#`. With `manual_ack` a message is acknowledged by whoever took it."""

    def __init__(self, name: str, root: str, *, manual_ack: bool = False) -> None:
        self._topic = f"{root}/v1/#"
        self._subscribed = threading.Event()
        self.connects = 0
        self.client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=name, protocol=paho.MQTTv5, manual_ack=manual_ack
        )
        self.client.on_connect = self._connected
        self.client.on_subscribe = self._granted
        self.client.on_message = self._received
        self.client.reconnect_delay_set(min_delay=1, max_delay=2)

    @abstractmethod
    def received(self, message: paho.MQTTMessage) -> None:
        """Take a message in; called on paho's thread."""

    def start(self, host: str, port: int) -> None:
        """Connect, and again whenever the connection is lost; returns at once."""
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho has no types there
        properties.SessionExpiryInterval = _SESSION_SECONDS
        self.client.connect_async(host, port, keepalive=10, clean_start=False, properties=properties)
        self.client.loop_start()

    def wait_until_subscribed(self) -> bool:
        """Block until the broker has granted the subscription, or for 15 s."""
        return self._subscribed.wait(_READY_SECONDS)

    def stop(self) -> None:
        """Disconnect; the session stays at the broker."""
        self.client.disconnect()
        self.client.loop_stop()

    def _connected(
        self, client: paho.Client, _data: object, _flags: object, reason: ReasonCode, _properties: object
    ) -> None:
        if not reason.is_failure:
            self.connects += 1
            client.subscribe(self._topic, qos=1)

    def _granted(
        self, _client: paho.Client, _data: object, _mid: int, reasons: list[ReasonCode], _properties: object
    ) -> None:
        if not any(reason.is_failure for reason in reasons):
            self._subscribed.set()

    def _received(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        self.received(message)
