"""The broker over the network: one MQTT 5 session on the asyncio loop, and the only place that knows paho.

A session is one network connection with a paho client of its own. paho would keep unacknowledged messages and send
them again by itself after a reconnect; here the store does that, so a client is never used twice. Everything but the
blocking dial (in an executor) runs on the loop. The rules are MQTT 5.0's (OASIS 2019); paho's traps: libraries.md.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge_agent.broker import (
    PACKET_LIMIT,
    Acknowledged,
    Loss,
    Message,
    OnMessage,
    PubAck,
    Received,
    Session,
    topic_matches,
)
from edge_agent.config.tagmap import Mqtt, Tls
from edge_agent.errors import BrokerError

INBOUND_LIMIT = 262_144
"""Bytes of the largest packet the broker may send us (CONNECT, Maximum Packet Size)."""
_TAKEN_OVER = 142
_SECOND = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things may take, in seconds, and how many publishes may wait for their PUBACK at once."""

    window: int = 100
    keepalive: int = 10
    connect: float = 5.0
    answer: float = 10.0


class PahoBroker:
    """The broker of the tag map; `client_id` must be the agent's alone."""

    def __init__(self, settings: Mqtt, client_id: str, limits: Limits | None = None) -> None:
        self._settings = settings
        self._client_id = client_id
        self._limits = limits or Limits()

    async def connect(self, will: Message) -> Session:
        """See `Broker.connect`."""
        session = _PahoSession(self._settings, self._client_id, self._limits, will)
        try:
            await session.open()
        except BaseException:
            session.abort()
            raise
        return session


class _PahoSession:
    """See `Session`."""

    def __init__(self, settings: Mqtt, client_id: str, limits: Limits, will: Message) -> None:
        self._settings = settings
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._connack: asyncio.Future[str | None] = self._loop.create_future()
        self._lost: asyncio.Future[Loss] = self._loop.create_future()
        self._pending: dict[int, tuple[Acknowledged, float]] = {}
        self._subscribing: dict[int, asyncio.Future[str | None]] = {}
        self._subscriptions: list[tuple[str, OnMessage]] = []
        self._answers: list[tuple[Acknowledged, PubAck]] = []
        self._messages: list[Received] = []
        self._progress = 0.0
        self._window = limits.window
        self._max_packet = PACKET_LIMIT
        self._fd: int | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._client = self._new_client(client_id, will)

    @property
    def window(self) -> int:
        return self._window

    @property
    def room(self) -> int:
        return self._window - len(self._pending)

    @property
    def max_packet(self) -> int:
        return self._max_packet

    def _new_client(self, client_id: str, will: Message) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion.MQTTv5, reconnect_on_failure=False
        )
        client.connect_timeout = self._limits.connect
        client.max_inflight_messages_set(0)  # no queue in paho: the window is ours
        client.will_set(will.topic, will.payload, 1, will.retain, _properties(will, PacketTypes.WILLMESSAGE))
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_socket_close = self._on_socket_close
        return client

    async def open(self) -> None:
        """Dial, send CONNECT, wait for CONNACK."""
        where = f"{self._settings.host}:{self._settings.port}"
        dialing = self._loop.run_in_executor(None, self._dial)
        try:
            await asyncio.shield(dialing)
        except asyncio.CancelledError:
            dialing.add_done_callback(self._hang_up)
            raise
        except (OSError, ValueError) as error:
            raise BrokerError(f"cannot connect to the MQTT broker {where}: {error}") from error
        self._attach()
        refusal = await self._answer(self._connack)
        if refusal is not None:
            raise BrokerError(f"the MQTT broker {where} did not accept the session: {refusal}")

    def _dial(self) -> None:
        """Blocking (executor): secrets, name resolution, TCP, TLS; paho then writes CONNECT."""
        settings = self._settings
        if settings.tls is not None:
            self._client.tls_set_context(_tls_context(settings.tls))
        if settings.user is not None:
            password = settings.password_file.read_text("utf-8").strip() if settings.password_file else None
            self._client.username_pw_set(settings.user, password)
        properties = _new_properties(PacketTypes.CONNECT)
        properties.MaximumPacketSize = INBOUND_LIMIT
        self._client.connect(
            settings.host, settings.port, self._limits.keepalive, clean_start=True, properties=properties
        )

    def _hang_up(self, dialing: asyncio.Future[None]) -> None:
        """Nobody waits for this connection any more."""
        if not dialing.cancelled() and dialing.exception() is None:
            self.abort()

    def _attach(self) -> None:
        sock = self._client.socket()
        if sock is None:
            self._lose("the connection was closed while it was opened")
            return
        self._fd = sock.fileno()
        self._loop.add_reader(self._fd, self._read)
        self._tick()
        self._flush()

    def publish(self, message: Message, acknowledged: Acknowledged) -> None:
        if self._lost.done() or not self._connack.done():
            raise BrokerError(f"not connected to the MQTT broker: {message.topic} was not published")
        if self.room <= 0:
            raise BrokerError(f"{self._window} publishes wait for their PUBACK: {message.topic} was not published")
        properties = _properties(message, PacketTypes.PUBLISH)
        try:
            info = self._client.publish(message.topic, message.payload, 1, message.retain, properties)
        except ValueError as error:
            raise BrokerError(f"{message.topic!r} cannot be published: {error}") from error
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._lose(f"publishing failed: {paho.error_string(info.rc)}")
            raise BrokerError(f"the connection was lost while {message.topic} was published")
        now = self._loop.time()
        if not self._pending:
            self._progress = now
        self._pending[info.mid] = (acknowledged, now)
        self._flush()

    async def subscribe(self, topic_filter: str, received: OnMessage) -> None:
        if self._lost.done():
            raise BrokerError(f"not connected to the MQTT broker: {topic_filter} was not subscribed")
        self._subscriptions.append((topic_filter, received))
        options = SubscribeOptions(qos=1, retainAsPublished=True)
        result, mid = self._client.subscribe(topic_filter, options=options)
        if result != MQTTErrorCode.MQTT_ERR_SUCCESS or mid is None:
            raise BrokerError(f"{topic_filter} was not subscribed: {paho.error_string(result)}")
        answer = self._subscribing[mid] = self._loop.create_future()
        self._flush()
        refusal = await self._answer(answer)
        del self._subscribing[mid]
        if refusal is not None:
            raise BrokerError(f"the MQTT broker did not accept the subscription of {topic_filter}: {refusal}")

    async def _answer(self, answer: asyncio.Future[str | None]) -> str | None:
        """What is wrong: the broker's refusal, the loss of the session, or its silence; None is success."""
        either: tuple[asyncio.Future[Any], ...] = (answer, self._lost)
        await asyncio.wait(either, timeout=self._limits.answer, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        return self._lost.result().why if self._lost.done() else f"no answer for {self._limits.answer:g} s"

    async def lost(self) -> Loss:
        return await asyncio.shield(self._lost)

    async def close(self) -> None:
        if not self._lost.done():
            self._client.disconnect()
            self._flush()
            await asyncio.wait({self._lost}, timeout=_SECOND)
        self.abort()

    def abort(self, why: str = "closed by the agent") -> None:
        self._lose(why)

    def _read(self) -> None:
        """The socket is readable: let paho decode, then call back outside of it, so no error of ours upsets it."""
        self._client.loop_read()
        sock = self._client.socket()
        while isinstance(sock, ssl.SSLSocket) and sock.pending():
            self._client.loop_read()
            sock = self._client.socket()
        self._flush()
        answers, self._answers = self._answers, []
        for acknowledged, puback in answers:
            acknowledged(puback)
        messages, self._messages = self._messages, []
        for message in messages:
            self._deliver(message)

    def _deliver(self, message: Received) -> None:
        for topic_filter, received in self._subscriptions:
            if topic_matches(topic_filter, message.topic):
                received(message)

    def _flush(self) -> None:
        """paho writes at once what the socket takes; wait for the socket where it did not take all."""
        if self._fd is None:
            return
        if self._client.want_write():
            self._loop.add_writer(self._fd, self._write)
        else:
            self._loop.remove_writer(self._fd)

    def _write(self) -> None:
        self._client.loop_write()
        self._flush()

    def _tick(self) -> None:
        """Each second: keepalive, and a broker that answers pings but no publishes."""
        self._client.loop_misc()
        now = self._loop.time()
        if self._pending and now - self._progress > self._limits.answer:
            self._lose(f"no PUBACK for {self._limits.answer:g} s with {len(self._pending)} waiting")
        if not self._lost.done():
            self._timer = self._loop.call_later(_SECOND, self._tick)

    def _lose(self, why: str, *, taken_over: bool = False) -> None:
        """The session is over, whoever ended it. Answers not yet given are never given."""
        if self._timer is not None:
            self._timer.cancel()
        sock = self._client.socket()
        self._detach()
        if sock is not None:
            sock.close()
        self._pending.clear()
        if not self._lost.done():
            self._lost.set_result(Loss(why, taken_over=taken_over))

    def _detach(self) -> None:
        if self._fd is not None:
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
            self._fd = None

    def _on_connect(
        self, _client: paho.Client, _data: object, _flags: object, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if self._connack.done():
            return
        if reason.is_failure:
            self._connack.set_result(f"{reason} ({reason.value})")
            return
        if getattr(properties, "MaximumQoS", 1) < 1:
            self._connack.set_result("it takes no QoS 1, which the agent needs")
            return
        self._window = min(self._limits.window, getattr(properties, "ReceiveMaximum", self._limits.window))
        self._max_packet = getattr(properties, "MaximumPacketSize", PACKET_LIMIT)
        self._connack.set_result(None)

    def _on_disconnect(
        self, _client: paho.Client, _data: object, flags: paho.DisconnectFlags, reason: ReasonCode, _properties: object
    ) -> None:
        by_broker = flags.is_disconnect_packet_from_server
        why = f"the broker ended the session: {reason} ({reason.value})" if by_broker else f"connection lost ({reason})"
        self._lose(why, taken_over=by_broker and reason.value == _TAKEN_OVER)

    def _on_publish(
        self, _client: paho.Client, _data: object, mid: int, reason: ReasonCode, _properties: object
    ) -> None:
        waiting = self._pending.pop(mid, None)
        if waiting is None:
            return
        acknowledged, since = waiting
        now = self._progress = self._loop.time()
        oldest = next(iter(self._pending.values()), (None, now))[1]
        self._answers.append((acknowledged, PubAck(reason.value, str(reason))))
        if oldest < since and now - oldest > self._limits.answer:
            # PUBACKs come in the order of the PUBLISHes (4.6): an older one left out will never come.
            self._loop.call_soon(self._lose, f"the broker left a publish unanswered for {now - oldest:.0f} s")

    def _on_subscribe(
        self, _client: paho.Client, _data: object, mid: int, reasons: list[ReasonCode], _properties: object
    ) -> None:
        answer = self._subscribing.get(mid)
        if answer is None or answer.done():
            return
        answer.set_result(next((f"{reason} ({reason.value})" for reason in reasons if reason.is_failure), None))

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        self._messages.append(Received(message.topic, bytes(message.payload), message.retain))

    def _on_socket_close(self, _client: paho.Client, _data: object, _sock: object) -> None:
        self._detach()


def _new_properties(packet: int) -> Properties:
    return Properties(packet)  # type: ignore[no-untyped-call]  # paho leaves this constructor unannotated


def _properties(message: Message, packet: int) -> Properties:
    properties = _new_properties(packet)
    if message.content_type is not None:
        properties.ContentType = message.content_type
    if message.expiry is not None:
        properties.MessageExpiryInterval = message.expiry
    if message.properties:
        properties.UserProperty = list(message.properties)
    return properties


class _TlsSocket(ssl.SSLSocket):
    """Closes itself when the handshake fails: paho would leave it open."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 - the signature of the base class
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


def _tls_context(tls: Tls) -> ssl.SSLContext:
    """TLS 1.2 or newer with the peer's name checked; mutual where `cert` is given."""
    context = ssl.create_default_context(cafile=tls.ca)
    context.sslsocket_class = _TlsSocket
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.cert is not None:
        context.load_cert_chain(tls.cert, tls.key)
    return context
