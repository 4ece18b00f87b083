"""The broker in memory: the same port without a network, for virtual time and tests (see tests/publishing: one suite
runs over it and over real brokers). It answers on the loop, at once, and can be told to fail the ways brokers fail.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from edge_agent.broker import (
    PACKET_LIMIT,
    Acknowledged,
    Broker,
    Loss,
    Message,
    OnMessage,
    PubAck,
    Received,
    Session,
    topic_matches,
)
from edge_agent.errors import BrokerError

_SUCCESS = PubAck(0, "Success")
_NO_SUBSCRIBERS = PubAck(16, "No matching subscribers")
_NOT_AUTHORIZED = PubAck(135, "Not authorized")


@dataclass(slots=True)
class MemoryBroker:
    """`log` holds every PUBLISH as it came in, refused ones not. `denied` are topic filters nobody may publish to.

    `silent` keeps answers back until `answer` is called. `drops_over` ends a session that publishes more bytes, without
    ever having announced that limit, as some brokers do. Without `says_takeover` it hangs up on the former of two
    clients with one id, as mosquitto 2.0 does.
    """

    receive_maximum: int = 65_535
    max_packet: int = PACKET_LIMIT
    drops_over: int = PACKET_LIMIT
    silent: bool = False
    says_takeover: bool = True
    running: bool = True
    denied: set[str] = field(default_factory=set)
    log: list[Message] = field(default_factory=list)
    retained: dict[str, Message] = field(default_factory=dict)
    _listeners: list[tuple[str, OnMessage]] = field(default_factory=list)
    _sessions: dict[str, _MemorySession] = field(default_factory=dict)

    def client(self, client_id: str, window: int = 100) -> Broker:
        """A client that connects under `client_id`, as `PahoBroker` does over the network."""
        return _MemoryClient(self, client_id, window)

    def listen(self, topic_filter: str, received: OnMessage) -> None:
        """Subscribe from outside: what the broker delivers, retained messages first."""
        self._listeners.append((topic_filter, received))
        self.deliver_retained(topic_filter, received)

    def publish(self, message: Message) -> PubAck:
        """Publish from outside, or on behalf of a session."""
        if any(topic_matches(topic_filter, message.topic) for topic_filter in self.denied):
            return _NOT_AUTHORIZED
        self.log.append(message)
        if message.retain:
            self.retained[message.topic] = message
        takers = [(f, taker) for session in self._sessions.values() for f, taker in session.subscriptions]
        taken = False
        for topic_filter, received in (*self._listeners, *takers):
            if topic_matches(topic_filter, message.topic):
                received(Received(message.topic, message.payload, message.retain))
                taken = True
        return _SUCCESS if taken else _NO_SUBSCRIBERS

    def stop(self) -> None:
        """The broker dies: every session is lost, no will is sent, nobody can connect."""
        self.running = False
        for session in list(self._sessions.values()):
            session.end(Loss("connection lost"))

    def start(self) -> None:
        """The broker is back, without memory of any session."""
        self.running = True

    def answer(self) -> None:
        """Give the answers kept back."""
        self.silent = False
        for session in list(self._sessions.values()):
            session.answer()

    def cut(self, client_id: str) -> None:
        """End a client's connection: its will is sent."""
        self._sessions[client_id].end(Loss("connection lost"), say_will=True)

    def enter(self, client_id: str, session: _MemorySession) -> None:
        """A session begins; one under the same id is taken over (MQTT 5, 3.1.4)."""
        if not self.running:
            raise BrokerError("cannot connect to the MQTT broker in memory: it is not running")
        former = self._sessions.get(client_id)
        if former is not None:
            former.end(self._takeover(client_id), say_will=True)
        self._sessions[client_id] = session

    def _takeover(self, client_id: str) -> Loss:
        if not self.says_takeover:
            return Loss("connection lost", hung_up=True)
        return Loss(f"the session was taken over (142): another client calls itself {client_id}", taken_over=True)

    def leave(self, client_id: str, session: _MemorySession) -> None:
        """A session has ended."""
        if self._sessions.get(client_id) is session:
            del self._sessions[client_id]

    def deliver_retained(self, topic_filter: str, received: OnMessage) -> None:
        """What a new subscription gets at once."""
        for message in list(self.retained.values()):
            if topic_matches(topic_filter, message.topic):
                received(Received(message.topic, message.payload, retained=True))


class _MemoryClient:
    def __init__(self, broker: MemoryBroker, client_id: str, window: int) -> None:
        self._broker = broker
        self._client_id = client_id
        self._window = window

    async def connect(self, will: Message) -> Session:
        await asyncio.sleep(0)
        session = _MemorySession(self._broker, self._client_id, self._window, will)
        self._broker.enter(self._client_id, session)
        return session


class _MemorySession:
    """See `Session`."""

    def __init__(self, broker: MemoryBroker, client_id: str, window: int, will: Message) -> None:
        self._broker = broker
        self._client_id = client_id
        self._will = will
        self._window = min(window, broker.receive_maximum)
        self._loop = asyncio.get_running_loop()
        self._lost: asyncio.Future[Loss] = self._loop.create_future()
        self._waiting: list[Callable[[], None]] = []
        self._unanswered = 0
        self.subscriptions: list[tuple[str, OnMessage]] = []

    @property
    def about(self) -> str:
        return "MQTT 5 in memory"

    @property
    def window(self) -> int:
        return self._window

    @property
    def room(self) -> int:
        return self._window - self._unanswered

    @property
    def max_packet(self) -> int:
        return self._broker.max_packet

    def publish(self, message: Message, acknowledged: Acknowledged) -> None:
        if self._lost.done():
            raise BrokerError(f"not connected to the MQTT broker: {message.topic} was not published")
        if self.room <= 0:
            raise BrokerError(f"{self._window} publishes wait for their PUBACK: {message.topic} was not published")
        if message.packet_size > self._broker.drops_over:
            self.end(Loss("connection lost"), say_will=True)
            raise BrokerError(f"the connection was lost while {message.topic} was published")
        self._unanswered += 1
        puback = self._broker.publish(message)
        self._waiting.append(lambda: self._answered(acknowledged, puback))
        if not self._broker.silent:
            self._loop.call_soon(self.answer)

    async def subscribe(self, topic_filter: str, received: OnMessage) -> None:
        await asyncio.sleep(0)
        if self._lost.done():
            raise BrokerError(f"not connected to the MQTT broker: {topic_filter} was not subscribed")
        self.subscriptions.append((topic_filter, received))
        self._broker.deliver_retained(topic_filter, received)

    async def lost(self) -> Loss:
        return await asyncio.shield(self._lost)

    async def close(self) -> None:
        await asyncio.sleep(0)
        self.end(Loss("closed by the agent"))

    def abort(self, why: str = "closed by the agent") -> None:
        self.end(Loss(why), say_will=True)

    def answer(self) -> None:
        """Give the answers that wait, in order."""
        waiting, self._waiting = self._waiting, []
        for give in waiting:
            give()

    def end(self, loss: Loss, *, say_will: bool = False) -> None:
        """The session is over; answers not given are never given."""
        if self._lost.done():
            return
        self._lost.set_result(loss)
        self._waiting.clear()
        self.subscriptions.clear()
        self._broker.leave(self._client_id, self)
        if say_will:
            self._broker.publish(self._will)

    def _answered(self, acknowledged: Acknowledged, puback: PubAck) -> None:
        if not self._lost.done():
            self._unanswered -= 1
            acknowledged(puback)
