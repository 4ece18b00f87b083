"""Our relay over brokers that are not ours, to a subscriber that is nobody's: all arrives, and over kill -9 too.

What each broker keeps over a kill -9 is measured and printed, not demanded: an acknowledgement is the broker's alone,
and what it has lost the receiver asks the agent for (docs/interop.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.mqtt.network import PahoBroker
from edge_agent.publishing.relay import Relay
from tests.interop.mqtt_peers import PEERS, Peer, missing, version
from tests.publishing.brokers import until
from tests.publishing.conftest import Relaying
from tests.publishing.fakes import Board, MemoryOutbox
from tests.publishing.ledger import all_marked, check_bytes, identity
from tests.publishing.receiver import Receiver
from tests.publishing.samples import tag_map

EVENTS = "mat/v1/acme/berlin/filling/L3/_/_material/#"
SECONDS = 120.0
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(params=list(PEERS))
def peer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Peer]:
    if reason := missing(request.param):
        pytest.skip(reason)
    started = PEERS[request.param](tmp_path)
    try:
        started.start()
        yield started
    finally:
        started.close()


def _missing(outbox: MemoryOutbox, receiver: Receiver, first: int = 1) -> list[int]:
    got = {identity(payload)[1] for payload in receiver.payloads}
    return [event.sequence for event in outbox.events["routine"][first - 1 :] if event.sequence not in got]


async def _calm(receiver: Receiver) -> None:
    """Until nothing more comes: what a broker has lost cannot be waited for."""
    seen = -1
    while seen != len(receiver.payloads):
        seen = len(receiver.payloads)
        await asyncio.sleep(1.0)


async def _asks_again(relay: Relay, outbox: MemoryOutbox, receiver: Receiver) -> int:
    """The receiver asks for what it has not got, as often as it takes."""
    asked = 0
    while absent := _missing(outbox, receiver):
        events = [outbox.events["routine"][sequence - 1] for sequence in absent]
        asked += await relay.resend(events)
        await _calm(receiver)
    return asked


async def test_all_arrives_over_a_kill(
    request: pytest.FixtureRequest,
    record_property: Any,
    peer: Peer,
    relaying: Relaying,
    outbox: MemoryOutbox,
    board: Board,
) -> None:
    name = request.node.callspec.params["peer"]
    receiver = Receiver(peer.port, EVENTS)
    measured: dict[str, object] = {"broker": name, "version": version(name)}
    async with relaying(PahoBroker(tag_map(port=peer.port).mqtt, "agent")) as relay:
        async with receiver:
            outbox.add("routine", 300)
            await until(lambda: all_marked(outbox) and not _missing(outbox, receiver), "all arrive")
            measured["spoken"] = board.lately("broker")[1].partition(" at ")[0]
        outbox.add("routine", 200)
        await until(lambda: all_marked(outbox), "what the receiver is away for is acknowledged")
        peer.kill()
        await until(lambda: board.lately("broker")[0] == "lost", "the loss is noticed")
        await asyncio.to_thread(peer.start)
        async with receiver:
            await _calm(receiver)
            measured["session kept"] = receiver.sessions_kept[-1]
            measured["of 200 for a receiver away"] = 200 - len(_missing(outbox, receiver, 301))
            await _asks_again(relay, outbox, receiver)
            before = relay.report().streams["routine"].acknowledged
            outbox.add("routine", 3000)
            await until(lambda: relay.report().streams["routine"].acknowledged > before + 100, "some are out")
            peer.kill()
            measured["acknowledged at the kill"] = relay.report().streams["routine"].acknowledged - before
            await asyncio.to_thread(peer.start)
            await until(lambda: all_marked(outbox), "all are acknowledged", SECONDS)
            await _calm(receiver)
            measured["of 3000 lost by the broker"] = len(_missing(outbox, receiver, 501))
            measured["asked for again"] = await _asks_again(relay, outbox, receiver)
            measured["copies"] = len(receiver.payloads) - len({identity(p)[1] for p in receiver.payloads})

    assert not _missing(outbox, receiver)
    check_bytes(outbox, receiver.payloads)
    assert measured["spoken"] == ("MQTT 3.1.1" if name in {"NATS", "RabbitMQ"} else "MQTT 5")
    record_property("over kill -9", str(measured))
