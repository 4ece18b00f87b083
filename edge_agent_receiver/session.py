"""One session with the broker: paho on its thread, PUBACK only when told, MQTT 5 before 3.1.1.

A session is one network connection with a client of its own, so that an acknowledgement of an old one can never answer
a message of a new one. paho's thread only fills queues. What was published and not acknowledged is forgotten with the
session: the inbox says it again.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge_agent_receiver.broker import BrokerError, BrokerSettings, login, tls_context

_T = TypeVar("_T")
_CONNECT_SECONDS = 10.0
_ANSWER_SECONDS = 15.0
_SESSION_SECONDS = 7 * 24 * 3600
"""How long the broker keeps what comes while we are away (MQTT 5; 3.1.1 brokers have a limit of their own)."""
_INFLIGHT = 1_000
"""Most messages that the broker sends before we acknowledge some (Receive Maximum, MQTT 5)."""
_UNSUPPORTED_VERSION = 132
_UNACCEPTABLE_V3 = 1


class Arrived(NamedTuple):
    """A message from the broker; `number` and `qos` are for its PUBACK."""

    topic: str
    payload: bytes
    number: int
    qos: int


class VersionRefused(BrokerError):
    """The broker does not speak this version of MQTT, or hung up instead of saying so."""


class Session:
    """A connection that is subscribed. `wake` is called by paho's thread whenever there is something to look at."""

    def __init__(self, settings: BrokerSettings, topic_filter: str, wake: Callable[[], None], *, modern: bool) -> None:
        self._settings = settings
        self._filter = topic_filter
        self._wake = wake
        self._modern = modern
        self._arrived: queue.SimpleQueue[Arrived] = queue.SimpleQueue()
        self._sent: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._keys: dict[int, str] = {}
        self._answered = threading.Event()
        self._refusal: str | None = "no answer"
        self._version_refused = False
        self.lost = threading.Event()
        self.why = "closed"
        self._client = self._new_client()

    def open(self) -> None:
        """Connect and subscribe. Raises BrokerError, VersionRefused where the other version may do."""
        try:
            self._dial()
            self._client.loop_start()
            self._await(self._refused_connect)
            self._subscribe()
        except BaseException:
            self.close()
            raise

    def messages(self) -> list[Arrived]:
        """What has arrived since."""
        return _drained(self._arrived)

    def sent(self) -> list[str]:
        """The keys of what the broker has acknowledged since."""
        keys = (self._keys.pop(number, None) for number in _drained(self._sent))
        return [key for key in keys if key is not None]

    def acknowledge(self, message: Arrived) -> None:
        """Send the PUBACK: the message is on our disk."""
        if message.qos:
            self._client.ack(message.number, message.qos)

    def publish(self, topic: str, payload: bytes, key: str | None) -> None:
        """Hand over a message with QoS 1; `key` comes back by `sent` once the broker has it."""
        info = self._client.publish(topic, payload, qos=1)
        if key is not None and info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._keys[info.mid] = key

    def close(self) -> None:
        """Disconnect; the broker keeps the session."""
        self._client.disconnect()
        self._client.loop_stop()
        client, sock = self._client, self._client.socket()
        if sock is not None:
            sock.close()
        # paho closes the rest of its sockets when it is let go of, which the way back to us would keep from happening
        client.on_connect = client.on_subscribe = client.on_disconnect = client.on_message = client.on_publish = None

    def _new_client(self) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            self._settings.client_id,
            clean_session=None if self._modern else False,
            protocol=MQTTProtocolVersion.MQTTv5 if self._modern else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = _CONNECT_SECONDS
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        return client

    def _dial(self) -> None:
        settings = self._settings
        if settings.tls:
            self._client.tls_set_context(tls_context(settings))
        user, password = login(settings)
        if user is not None:
            self._client.username_pw_set(user, password)
        try:
            if self._modern:
                properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it so
                properties.SessionExpiryInterval = _SESSION_SECONDS
                properties.ReceiveMaximum = _INFLIGHT
                self._client.connect(
                    settings.host, settings.port, settings.keepalive, clean_start=False, properties=properties
                )
            else:
                self._client.connect(settings.host, settings.port, settings.keepalive)
        except (OSError, ValueError) as error:
            raise BrokerError(f"cannot connect to the MQTT broker {settings.address}: {error}") from error

    def _subscribe(self) -> None:
        self._answered.clear()
        if self._modern:
            options = SubscribeOptions(qos=1, noLocal=True)
            result, _ = self._client.subscribe(self._filter, options=options)
        else:
            result, _ = self._client.subscribe(self._filter, qos=1)
        if result != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise BrokerError(f"{self._filter} was not subscribed: {paho.error_string(result)}")
        self._await(lambda: BrokerError(f"the MQTT broker refuses {self._filter}: {self._refusal}"))

    def _await(self, refused: Callable[[], BrokerError]) -> None:
        """Wait for the broker's answer; raises what `refused` makes where it is none or a refusal."""
        self._answered.wait(_ANSWER_SECONDS)
        if self._refusal is not None or self.lost.is_set():
            raise refused()

    def _refused_connect(self) -> BrokerError:
        text = f"the MQTT broker {self._settings.address} did not accept the session: {self._refusal or self.why}"
        hung_up = self.lost.is_set() and self._refusal == "no answer"
        return VersionRefused(text) if self._version_refused or hung_up else BrokerError(text)

    def _answer(self, refusal: str | None) -> None:
        self._refusal = refusal
        self._answered.set()

    def _on_connect(
        self, _client: paho.Client, _data: object, _flags: object, reason: ReasonCode, _properties: object
    ) -> None:
        self._version_refused = reason.value in {_UNSUPPORTED_VERSION, _UNACCEPTABLE_V3}
        self._answer(f"{reason} ({reason.value})" if reason.is_failure else None)

    def _on_subscribe(
        self, _client: paho.Client, _data: object, _mid: int, reasons: list[ReasonCode], _properties: object
    ) -> None:
        self._answer(next((str(reason) for reason in reasons if reason.is_failure or reason.value < 1), None))

    def _on_disconnect(
        self, _client: paho.Client, _data: object, _flags: object, reason: ReasonCode, _properties: object
    ) -> None:
        self.why = str(reason)
        self.lost.set()
        self._answered.set()
        self._wake()

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = "(not UTF-8)"
        self._arrived.put(Arrived(topic, bytes(message.payload), message.mid, message.qos))
        self._wake()

    def _on_publish(
        self, _client: paho.Client, _data: object, mid: int, reason: ReasonCode, _properties: object
    ) -> None:
        """paho holds a lock of its own here: take none."""
        if not reason.is_failure:
            self._sent.put(mid)
            self._wake()


def connect(settings: BrokerSettings, topic_filter: str, wake: Callable[[], None]) -> Session:
    """A session in the newest version that both sides speak. Raises BrokerError."""
    try:
        session = Session(settings, topic_filter, wake, modern=True)
        session.open()
    except VersionRefused:
        session = Session(settings, topic_filter, wake, modern=False)
        session.open()
    return session


def _drained(waiting: queue.SimpleQueue[_T]) -> list[_T]:
    return [waiting.get_nowait() for _ in range(waiting.qsize())]
