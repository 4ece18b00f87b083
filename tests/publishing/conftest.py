from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from edge_agent.broker import Broker
from edge_agent.clock import SystemClock
from edge_agent.config.mqtt_reference import MqttProtocol
from edge_agent.publishing.presence import Presence
from edge_agent.publishing.relay import Backoff, Relay
from tests.publishing.brokers import AnyBroker, InMemory, Mosquitto, Rumqttd, TlsMosquitto, has_mosquitto
from tests.publishing.fakes import Board, MemoryOutbox
from tests.publishing.samples import STREAMS, tag_map
from tests.publishing.wire import Wire

Relaying = Callable[..., AbstractAsyncContextManager[Relay]]

QUICK = Backoff(first=0.01, longest=0.1, takeover=0.1, truce=0.4)


@pytest.fixture
def outbox() -> MemoryOutbox:
    return MemoryOutbox()


@pytest.fixture
def board() -> Board:
    return Board()


@pytest.fixture
def relaying(outbox: MemoryOutbox, board: Board) -> Relaying:
    """A relay that runs within the context."""

    @asynccontextmanager
    async def context(broker: Broker, *, heartbeat: float = 60.0, **options: Any) -> AsyncIterator[Relay]:
        presence = Presence(tag_map(), "1.0.0", timedelta(seconds=heartbeat))
        before = options.pop("before", lambda _relay: None)
        relay = Relay(
            broker, outbox, presence, status=board, clock=SystemClock(), streams=STREAMS, backoff=QUICK, **options
        )
        before(relay)
        task = asyncio.create_task(relay.run(), name="relay")
        try:
            yield relay
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    return context


@pytest.fixture(params=["memory", "rumqttd", "rumqttd 3.1.1", "mosquitto", "mosquitto 3.1.1", "mosquitto TLS"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AnyBroker]:
    """Each implementation of the port in turn; a real broker is a process of its own."""
    if request.param.startswith("mosquitto") and not has_mosquitto():
        pytest.skip("NOT RUN: mosquitto is not installed")
    brokers: dict[str, Callable[[], AnyBroker]] = {
        "memory": InMemory,
        "rumqttd": lambda: Rumqttd(tmp_path),
        "rumqttd 3.1.1": lambda: Rumqttd(tmp_path, version="v4"),
        "mosquitto": lambda: Mosquitto(tmp_path),
        "mosquitto 3.1.1": lambda: Mosquitto(tmp_path, protocol=MqttProtocol.V3_1_1),
        "mosquitto TLS": lambda: TlsMosquitto(tmp_path),
    }
    chosen = brokers[request.param]()
    chosen.start()
    yield chosen
    chosen.kill()


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    """Starts mosquittos with options of their own."""
    if not has_mosquitto():
        pytest.skip("NOT RUN: mosquitto is not installed")
    started: list[Mosquitto] = []

    def start(**options: Any) -> Mosquitto:
        started.append(Mosquitto(tmp_path, **options))
        started[-1].start()
        return started[-1]

    yield start
    for each in started:
        each.kill()


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    server = Wire()
    await server.start()
    yield server
    await server.stop()
