"""One session over the network: a paho client on the asyncio loop.

A session is one network connection with a paho client of its own. paho would keep unacknowledged messages and send
them again by itself after a reconnect; here the store does that, so a client is never used twice. Everything but the
blocking dial (in an executor) runs on the loop. The rules are those of MQTT 5.0 (OASIS 2019) and 3.1.1 (OASIS 2014);
paho's traps: libraries.md.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import LogLevel, MQTTErrorCode
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
from edge_agent.errors import BrokerError
from edge_agent.mqtt.dial import Limits, Link, dial, new_client
from edge_agent.mqtt.properties import Packed

_UNSPECIFIED = 128
_UNSUPPORTED_VERSION = 132
_TAKEN_OVER = 142
_SECOND = 1.0
_ACCEPTED = PubAck(0, "Success")


class VersionRefused(BrokerError):
    """The broker does not speak this protocol version: it `said` so, or closed the connection without a word."""

    def __init__(self, message: str, *, said: bool) -> None:
        super().__init__(message)
        self.said = said


async def open_session(link: Link, limits: Limits, will: Message) -> Session:
    """A fresh session whose last will is `will`. Raises BrokerError, VersionRefused where another version may do."""
    session = _PahoSession(link, limits, will)
    try:
        await session.open()
    except BaseException:
        session.abort()
        raise
    return session


class _PahoSession:
    """See `Session`."""

    def __init__(self, link: Link, limits: Limits, will: Message) -> None:
        self._link = link
        self._limits = limits
        self._modern = link.modern
        self._loop = asyncio.get_running_loop()
        self._connack: asyncio.Future[str | None] = self._loop.create_future()
        self._lost: asyncio.Future[Loss] = self._loop.create_future()
        self._pending: dict[int, tuple[Acknowledged, float]] = {}
        self._subscribing: dict[int, asyncio.Future[str | None]] = {}
        self._subscriptions: list[tuple[str, OnMessage]] = []
        self._answers: list[tuple[Acknowledged, PubAck]] = []
        self._messages: list[Received] = []
        self._answered = 0.0
        self._progress = 0.0
        self._window = limits.window
        self._max_packet = PACKET_LIMIT
        self._fd: int | None = None
        self._writing = False
        self._blocked = False
        self._timer: asyncio.TimerHandle | None = None
        self._version_refused = False
        self._failure: str | None = None
        self._client = self._new_client(will)

    @property
    def about(self) -> str:
        return self._link.about

    @property
    def window(self) -> int:
        return self._window

    @property
    def room(self) -> int:
        return self._window - len(self._pending)

    @property
    def max_packet(self) -> int:
        return self._max_packet

    def _new_client(self, will: Message) -> paho.Client:
        client = new_client(self._link, self._limits, will)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_socket_close = self._on_socket_close
        client.on_log = self._on_log
        return client

    async def open(self) -> None:
        """Dial, send CONNECT, wait for CONNACK."""
        where = self._link.address
        dialing = self._loop.run_in_executor(None, dial, self._client, self._link, self._limits)
        try:
            await asyncio.shield(dialing)
        except asyncio.CancelledError:
            dialing.add_done_callback(self._hang_up)
            raise
        except (BrokerError, OSError, ValueError) as error:
            raise BrokerError(f"cannot connect to the MQTT broker {where}: {error}") from error
        self._attach()
        refusal = await self._answer(self._connack)
        self._client.on_log = None  # paho formats its log lines where somebody listens: dear while publishing
        if refusal is not None:
            message = f"the MQTT broker {where} did not accept the session: {refusal}"
            if self._version_refused or self._hung_up():
                raise VersionRefused(message, said=self._version_refused)
            raise BrokerError(message)

    def _hung_up(self) -> bool:
        """Whether the other side closed the connection instead of answering CONNECT, and TLS did not say why."""
        return self._lost.done() and not self._connack.done() and "[SSL:" not in (self._failure or "")

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
        self._client.on_socket_register_write = self._wants_write
        self._tick()
        self._write()

    def publish(self, message: Message, acknowledged: Acknowledged) -> None:
        if self._lost.done() or not self._connack.done():
            raise BrokerError(f"not connected to the MQTT broker: {message.topic} was not published")
        if len(self._pending) >= self._window:
            raise BrokerError(f"{self._window} publishes wait for their PUBACK: {message.topic} was not published")
        first = not self._writing
        try:
            properties = Packed(message) if self._modern and _has_properties(message) else None
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
        if first:  # the others of this round go out together, which is much cheaper for both sides
            self._client.loop_read()  # as in `_write`
            self._client.loop_write()
        if self._lost.done():
            raise BrokerError(f"the connection was lost while {message.topic} was published")

    async def subscribe(self, topic_filter: str, received: OnMessage) -> None:
        if self._lost.done():
            raise BrokerError(f"not connected to the MQTT broker: {topic_filter} was not subscribed")
        self._subscriptions.append((topic_filter, received))
        if self._modern:
            options = SubscribeOptions(qos=1, retainAsPublished=True)
            result, mid = self._client.subscribe(topic_filter, options=options)
        else:
            result, mid = self._client.subscribe(topic_filter, qos=1)
        if result != MQTTErrorCode.MQTT_ERR_SUCCESS or mid is None:
            raise BrokerError(f"{topic_filter} was not subscribed: {paho.error_string(result)}")
        answer = self._subscribing[mid] = self._loop.create_future()
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
        if self._answers:
            self._give_answers()
        messages, self._messages = self._messages, []
        for message in messages:
            self._deliver(message)

    def _give_answers(self) -> None:
        now = self._progress = self._loop.time()
        answers, self._answers = self._answers, []
        for acknowledged, puback in answers:
            acknowledged(puback)
        oldest = next(iter(self._pending.values()), (None, now))[1]
        if oldest < self._answered and now - oldest > self._limits.answer:
            # PUBACKs come in the order of the PUBLISHes (4.6): an older one left out will never come.
            self._lose(f"the broker left a publish unanswered for {now - oldest:.0f} s")

    def _deliver(self, message: Received) -> None:
        for topic_filter, received in self._subscriptions:
            if topic_matches(topic_filter, message.topic):
                received(message)

    def _wants_write(self, _client: paho.Client, _data: object, _sock: object) -> None:
        """paho has something to send: all that is queued until the loop comes round goes out together."""
        if not self._writing:
            self._writing = True
            self._loop.call_soon(self._write)

    def _write(self) -> None:
        """Read first: over a write that fails paho forgets what the broker said before it hung up."""
        self._writing = False
        self._read()
        self._client.loop_write()
        if self._fd is None:
            return
        if self._client.want_write():
            self._loop.add_writer(self._fd, self._write)
            self._writing = self._blocked = True
        elif self._blocked:
            self._loop.remove_writer(self._fd)
            self._blocked = False

    def _tick(self) -> None:
        """Each second: keepalive, and a broker that answers pings but no publishes."""
        self._client.loop_misc()
        now = self._loop.time()
        if self._pending and now - self._progress > self._limits.answer:
            self._lose(f"no PUBACK for {self._limits.answer:g} s with {len(self._pending)} waiting")
        if not self._lost.done():
            self._timer = self._loop.call_later(_SECOND, self._tick)

    def _lose(self, why: str, *, taken_over: bool = False, hung_up: bool = False) -> None:
        """The session is over, whoever ended it. Answers not yet given are never given."""
        if self._timer is not None:
            self._timer.cancel()
        sock = self._client.socket()
        self._detach()
        if sock is not None:
            sock.close()
        self._pending.clear()
        if not self._lost.done():
            self._lost.set_result(Loss(why, taken_over, hung_up))

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
            self._version_refused = reason.value == _UNSUPPORTED_VERSION
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
        taken_over = by_broker and reason.value == _TAKEN_OVER
        hung_up = False
        if taken_over:
            why = f"the session was taken over (142): another client calls itself {self._link.client_id}"
        elif by_broker:
            why = f"the broker ended the session: {reason} ({reason.value})"
        else:
            hung_up = reason.value == _UNSPECIFIED
            why = f"connection lost ({self._failure or ('the other side closed it' if hung_up else reason)})"
        self._lose(why, taken_over=taken_over, hung_up=hung_up)

    def _on_publish(
        self, _client: paho.Client, _data: object, mid: int, reason: ReasonCode, _properties: object
    ) -> None:
        waiting = self._pending.pop(mid, None)
        if waiting is not None:
            acknowledged, self._answered = waiting
            puback = PubAck(reason.value, str(reason)) if reason.value else _ACCEPTED
            self._answers.append((acknowledged, puback))

    def _on_subscribe(
        self, _client: paho.Client, _data: object, mid: int, reasons: list[ReasonCode], _properties: object
    ) -> None:
        answer = self._subscribing.get(mid)
        if answer is None or answer.done():
            return
        answer.set_result(next((f"{reason} ({reason.value})" for reason in reasons if reason.is_failure), None))

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        self._messages.append(Received(message.topic, bytes(message.payload), message.retain))

    def _on_log(self, _client: paho.Client, _data: object, level: int, text: str) -> None:
        """Until the session is open: what TLS and the socket say, which paho tells nobody else."""
        if level == LogLevel.MQTT_LOG_ERR:
            self._failure = text

    def _on_socket_close(self, _client: paho.Client, _data: object, _sock: object) -> None:
        self._detach()


def _has_properties(message: Message) -> bool:
    return message.content_type is not None or message.expiry is not None or bool(message.properties)
