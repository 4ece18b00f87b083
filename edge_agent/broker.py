"""The port to an MQTT broker: what a session promises, whoever keeps the promise (mqtt/network.py, mqtt/memory.py)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

PACKET_LIMIT = 268_435_460
"""Bytes of the largest MQTT packet there is: one type byte, four of remaining length, 268,435,455 (section 2.1.4)."""
_FAILURE = 0x80


@dataclass(frozen=True, slots=True)
class Message:
    """A message to be published with QoS 1. `expiry` is in whole seconds, `properties` are MQTT 5 user properties."""

    topic: str
    payload: bytes
    retain: bool = False
    content_type: str | None = None
    expiry: int | None = None
    properties: tuple[tuple[str, str], ...] = ()

    @property
    def packet_size(self) -> int:
        """Bytes of the PUBLISH packet, at most (the length fields are counted at their longest)."""
        size = 5 + 2 + len(self.topic.encode()) + 2 + 4 + len(self.payload)
        if self.content_type is not None:
            size += 3 + len(self.content_type.encode())
        if self.expiry is not None:
            size += 5
        return size + sum(5 + len(name.encode()) + len(value.encode()) for name, value in self.properties)


@dataclass(frozen=True, slots=True)
class Received:
    """A message from the broker. `retained` is the publisher's own retain flag where the broker passes it on (Retain
    As Published, MQTT 5), else it marks what a new subscription gets."""

    topic: str
    payload: bytes
    retained: bool


@dataclass(frozen=True, slots=True)
class PubAck:
    """The broker's answer to a PUBLISH: a reason code below 128 is success, 16 (no subscribers) included.

    In MQTT 3.1.1 there are no reasons: every PUBACK is success.
    """

    code: int
    text: str

    @property
    def accepted(self) -> bool:
        """Whether the broker took the message."""
        return self.code < _FAILURE


@dataclass(frozen=True, slots=True)
class Loss:
    """Why a session ended. `taken_over`: another client has connected with our client id, and the broker says so (142).

    `hung_up`: the other side closed the connection without a word. Where that goes on, it may be a takeover as well:
    in MQTT 3.1.1 there is no word for it, and mosquitto 2.0 and rumqttd have none in MQTT 5 either.
    """

    why: str
    taken_over: bool = False
    hung_up: bool = False


Acknowledged = Callable[[PubAck], None]
OnMessage = Callable[[Received], None]


class Session(Protocol):
    """A connection to the broker, usable until it is lost and never again after that."""

    @property
    def about(self) -> str:
        """Protocol and place, for people: "MQTT 3.1.1 at host:port"."""
        ...

    @property
    def window(self) -> int:
        """Most publishes without an answer: ours, capped to the broker's Receive Maximum."""
        ...

    @property
    def room(self) -> int:
        """How many more may be published now."""
        ...

    @property
    def max_packet(self) -> int:
        """Bytes of the largest packet the broker takes."""
        ...

    def publish(self, message: Message, acknowledged: Acknowledged) -> None:
        """Hand a message to the socket; `acknowledged` is called with its PUBACK, or never if the session is lost.

        Raises BrokerError where the session is lost or has no room: the message is then not kept anywhere.
        """
        ...

    async def subscribe(self, topic_filter: str, received: OnMessage) -> None:
        """Receive what matches `topic_filter` with QoS 1. Raises BrokerError if refused or lost."""
        ...

    async def lost(self) -> Loss:
        """Wait until the session has ended."""
        ...

    async def close(self) -> None:
        """End the session on purpose: DISCONNECT, so the will is not sent."""
        ...

    def abort(self, why: str = "closed by the agent") -> None:
        """End the session at once, without a word: the broker sends the will. Nothing if it has ended already."""
        ...


class Broker(Protocol):
    """Where sessions come from."""

    async def connect(self, will: Message) -> Session:
        """Open a fresh session (Clean Start) whose last will is `will`. Raises BrokerError where that fails."""
        ...


def topic_matches(topic_filter: str, topic: str) -> bool:
    """Whether a topic filter matches a topic (MQTT 5, 4.7); a wildcard at the start does not match `$` topics."""
    wanted, levels = topic_filter.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in ("+", "#"):
        return False
    if wanted[-1] == "#":
        wanted = wanted[:-1]
        levels = levels[: len(wanted)]
    return len(wanted) == len(levels) and all(w in ("+", level) for w, level in zip(wanted, levels, strict=True))
