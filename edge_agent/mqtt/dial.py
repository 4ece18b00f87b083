"""Whom to speak MQTT to and how: a paho client made for it, and the dial, which blocks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge_agent.broker import Message
from edge_agent.config.mqtt_reference import Address, MqttProtocol, Tls
from edge_agent.mqtt.files import password, tls_context
from edge_agent.mqtt.properties import Packed

INBOUND_LIMIT = 262_144
"""Bytes of the largest packet the broker may send us (CONNECT, Maximum Packet Size; MQTT 5 only)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things may take, in seconds, and how many publishes may wait for their PUBACK at once.

    A broker that said it does not speak MQTT 5 is not asked again for `spoken`.
    """

    window: int = 100
    keepalive: int = 10
    connect: float = 5.0
    answer: float = 10.0
    spoken: float = 60.0


@dataclass(frozen=True, slots=True)
class Link:
    """Whom to speak to and how: `protocol` is 5 or 3.1.1. `about` says so to people."""

    address: Address
    protocol: MqttProtocol
    client_id: str
    tls: Tls | None
    user: str | None
    password_file: Path | None
    about: str

    @property
    def modern(self) -> bool:
        """Whether it is MQTT 5: properties and reason codes."""
        return self.protocol is MqttProtocol.V5


def new_client(link: Link, limits: Limits, will: Message) -> paho.Client:
    """A client that keeps nothing and never reconnects by itself: paho would send again what the store sends again."""
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        link.client_id,
        clean_session=None if link.modern else True,  # in MQTT 5 it is said in CONNECT
        protocol=MQTTProtocolVersion.MQTTv5 if link.modern else MQTTProtocolVersion.MQTTv311,
        reconnect_on_failure=False,
    )
    client.connect_timeout = limits.connect
    client.max_inflight_messages_set(0)  # no queue in paho: the window is ours
    client.will_set(will.topic, will.payload, 1, will.retain, Packed(will) if link.modern else None)
    return client


def dial(client: paho.Client, link: Link, limits: Limits) -> None:
    """Read the secrets, resolve the name, TCP, TLS, send CONNECT. Blocks: for an executor.

    Raises BrokerError where a file is unfit, OSError (ssl.SSLError included) and ValueError where the dial fails.
    """
    if link.tls is not None:
        client.tls_set_context(tls_context(link.tls))
    if link.user is not None:
        secret = None if link.password_file is None else password(link.password_file)
        client.username_pw_set(link.user, secret)  # type: ignore[arg-type]  # paho takes bytes as they are
    if link.modern:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it unannotated
        properties.MaximumPacketSize = INBOUND_LIMIT
        client.connect(link.address.host, link.address.port, limits.keepalive, clean_start=True, properties=properties)
    else:
        client.connect(link.address.host, link.address.port, limits.keepalive)
