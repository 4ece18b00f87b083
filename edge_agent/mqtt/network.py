"""The broker of the tag map over the network: which address, which protocol version, one session at a time.

Each connection is decided anew: the addresses in the order of the map, and at each MQTT 5 before 3.1.1 unless the map
names one of them. A broker that refuses MQTT 5 says so with CONNACK 132, with 1 (as 3.1.1 does), or by hanging up.
"""

from __future__ import annotations

import asyncio

from edge_agent.broker import Message, Session
from edge_agent.config.mqtt_reference import Address, Mqtt, MqttProtocol
from edge_agent.errors import BrokerError
from edge_agent.mqtt.dial import Limits, Link
from edge_agent.mqtt.session import VersionRefused, open_session

__all__ = ["Limits", "PahoBroker"]


class PahoBroker:
    """The broker of the tag map; `client_id` must be the agent's alone."""

    def __init__(self, settings: Mqtt, client_id: str, limits: Limits | None = None) -> None:
        self._settings = settings
        self._client_id = client_id
        self._limits = limits or Limits()
        self._old: dict[Address, float] = {}
        self._session: Session | None = None

    async def connect(self, will: Message) -> Session:
        """See `Broker.connect`. A session opened before ends: an agent never publishes to two brokers at once."""
        if self._session is not None:
            self._session.abort()
        failures: list[str] = []
        for address in self._settings.addresses:
            try:
                self._session = await self._reach(address, will, failures)
            except BrokerError as error:
                failures.append(str(error))
            else:
                return self._session
        raise BrokerError("; ".join(failures))

    async def _reach(self, address: Address, will: Message, failures: list[str]) -> Session:
        """A session at one address, in the newest version both sides may speak."""
        wanted = self._settings.protocol
        loop = asyncio.get_running_loop()
        if wanted is not MqttProtocol.AUTO:
            return await self._open(address, wanted, will, failures)
        if loop.time() >= self._old.get(address, 0.0):
            try:
                return await self._open(address, MqttProtocol.V5, will, failures)
            except VersionRefused as refused:
                if refused.said:
                    self._old[address] = loop.time() + self._limits.spoken
        return await self._open(address, MqttProtocol.V3_1_1, will, failures)

    async def _open(self, address: Address, protocol: MqttProtocol, will: Message, failures: list[str]) -> Session:
        settings = self._settings
        why = f" ({'; '.join(failures)})" if failures else ""
        about = f"MQTT {protocol} at {address}{why}"
        link = Link(address, protocol, self._client_id, settings.tls, settings.user, settings.password_file, about)
        return await open_session(link, self._limits, will)
