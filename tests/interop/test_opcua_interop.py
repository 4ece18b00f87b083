"""Our OPC UA source against node-opcua's server: reading, handshake, all policies, and a hard restart."""

from __future__ import annotations

import asyncio
import itertools
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_agent.clock import SystemClock
from edge_agent.config.devices import OpcUaAddress
from edge_agent.model.confirmation import Acknowledge, Block, Released, Result
from edge_agent.model.reading import Link, SourceChange
from edge_agent.sources import opcua_feed, opcua_session
from edge_agent.sources.opcua_pki import Pki
from tests.interop.opcua_peers import PASSWORD, URI, USER, missing_node_opcua, node_opcua_server
from tests.sources.conftest import NAME, RULE, TAGS, Bench, Consumer, eventually, free_port
from tests.sources.tcp_wire import wire

POLICIES = ["Basic256Sha256", "Aes128Sha256RsaOaep", "Aes256Sha256RsaPss"]
BEST = "Basic256Sha256/SignAndEncrypt"
MISSING = missing_node_opcua()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(MISSING is not None, reason=f"NOT RUN: {MISSING}"),
]
READ = [
    replace(tag, address=OpcUaAddress(URI, tag.address.identifier))
    for tag in TAGS
    if isinstance(tag.address, OpcUaAddress) and tag.ref.tag != "temperature"
]


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path / "pki", "l3", SystemClock())


@pytest.fixture
def login(tmp_path: Path) -> dict[str, Any]:
    secret = tmp_path / "secret"
    secret.write_text(PASSWORD + "\n", encoding="utf-8")
    secret.chmod(0o600)
    return {"user": USER, "password_file": secret}


def trust(certificate: Path, pki: Pki) -> None:
    pki.trusted.mkdir(parents=True, exist_ok=True)
    (pki.trusted / "peer.pem").write_bytes(certificate.read_bytes())


async def _handshake(bench: Bench, consumer: Consumer, peer: Any, number: int) -> None:
    """A number is raised, read as a block, acknowledged, and the device shows it."""
    await peer.set("Pal.Cases", number)
    await peer.set("Pal.Seq", number)
    await consumer.until(lambda: consumer.of(Block)[-1].number == number)
    await bench.source.acknowledge(Acknowledge(RULE, number, Result.DONE))
    await consumer.until(lambda: consumer.of(Released)[-1:] and consumer.of(Released)[-1].number == number)
    await consumer.until(lambda: consumer.values("pal_ack")[-1] == number)


@pytest.mark.parametrize(
    "security", [None, *(f"{policy}/SignAndEncrypt" for policy in POLICIES), f"{POLICIES[0]}/Sign"]
)
async def test_reading_and_confirming(
    security: str | None,
    tmp_path: Path,
    pki: Pki,
    login: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The channel is renewed all the time meanwhile."""
    monkeypatch.setattr(opcua_session, "_RENEW_AT", 0.0)
    monkeypatch.setattr(opcua_feed, "_PULSE_SECONDS", 0.1)
    caplog.set_level(logging.DEBUG)
    async with node_opcua_server(tmp_path / "peer", free_port()) as peer, wire(peer.port) as between:
        trust(peer.certificate, pki)
        bench = Bench(f"{between.url}/UA", READ, pki=pki, security=security, **(login if security else {}))
        async with bench.consumed() as consumer:
            await consumer.until(lambda: consumer.of(Block))
            for count in range(101, 111):
                await peer.set("Infeed.Total", count)
                await consumer.until(lambda count=count: consumer.values("preforms_in")[-1] == count)  # type: ignore[misc]  # bound now
            await peer.set("Order.No", "Order 4711")
            await consumer.until(lambda: consumer.values("order_no")[-1] == "Order 4711")
            await _handshake(bench, consumer, peer, 8)
            await eventually(lambda: bench.state(NAME) == "up")
        assert [one.link for one in consumer.of(SourceChange)] == [Link.UP]
        assert consumer.values("preforms_in") == list(range(100, 111))
        assert (b"Order 4711" in between.received) is not (security or "").endswith("SignAndEncrypt")
        assert PASSWORD.encode() not in between.sent
    assert all(one.source_time is not None for one in consumer.readings("preforms_in"))
    assert PASSWORD not in [word for line in caplog.messages for word in line.split()]


@pytest.mark.parametrize("security", [None, BEST])
async def test_killed_and_started_again_it_is_read_again(
    security: str | None, tmp_path: Path, pki: Pki, login: dict[str, Any], record_property: Any
) -> None:
    port = free_port()
    bench = Bench(f"opc.tcp://127.0.0.1:{port}/UA", READ, pki=pki, security=security, **(login if security else {}))
    async with bench.consumed() as consumer:
        async with node_opcua_server(tmp_path / "peer", port) as peer:
            trust(peer.certificate, pki)
            await consumer.until(lambda: consumer.of(Block))
            await peer.set("Infeed.Total", 150)
            await consumer.until(lambda: consumer.values("preforms_in")[-1] == 150)
            await peer.kill()
            await consumer.until(lambda: consumer.of(SourceChange)[-1].link is Link.LOST)
        async with node_opcua_server(tmp_path / "peer", port) as peer:
            ready = asyncio.get_running_loop().time()
            await consumer.until(lambda: consumer.of(SourceChange)[-1].link is Link.UP)
            await consumer.until(lambda: len(consumer.of(Block)) == 2)
            record_property("seconds to data after a hard restart", f"{asyncio.get_running_loop().time() - ready:.2f}")
            await peer.set("Infeed.Total", 103)
            await consumer.until(lambda: consumer.values("preforms_in")[-1] == 103)
            await _handshake(bench, consumer, peer, 8)
    told = [(one.value, one.continuous) for one in consumer.readings("preforms_in")]
    assert told == [(100, False), (150, True), (100, False), (103, True)]
    first, lost, second = consumer.of(SourceChange)[:3]
    assert (first.link, lost.link, second.link) == (Link.UP, Link.LOST, Link.UP)
    assert first.start_time is not None
    assert second.start_time is not None
    assert first.start_time < second.start_time


async def test_a_queue_that_overflows_in_the_server_is_told_and_keeps_the_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody fetches notifications for a while, and the item's queue holds three: the server says that it lost some."""
    monkeypatch.setattr(opcua_feed, "_QUEUE", 3)
    async with node_opcua_server(tmp_path / "peer", free_port()) as peer, wire(peer.port) as between:
        bench = Bench(f"{between.url}/UA", READ)
        async with bench.consumed() as consumer:
            await consumer.until(lambda: consumer.of(Block))
            await peer.set("Infeed.Total", 101)
            await consumer.until(lambda: consumer.values("preforms_in")[-1] == 101)
            between.passes.clear()
            for count in range(102, 122):
                await peer.set("Infeed.Total", count)
                await asyncio.sleep(0.1)
            between.passes.set()
            await consumer.until(lambda: consumer.values("preforms_in")[-1] == 121)
            await peer.set("Infeed.Total", 122)
            await consumer.until(lambda: consumer.values("preforms_in")[-1] == 122)
            assert [one.link for one in consumer.of(SourceChange)] == [Link.UP]
        assert bench.counts.get("overflows", source=NAME) >= 1
    readings = consumer.readings("preforms_in")
    values = [one.value for one in readings]
    assert values == sorted(set(values), key=str)
    assert len(values) < 23
    torn = [later for earlier, later in itertools.pairwise(readings) if later.value != _next(earlier.value)]
    assert torn
    assert not any(one.continuous for one in torn)
    assert readings[-1].continuous


def _next(value: object) -> int:
    assert isinstance(value, int)
    return value + 1
