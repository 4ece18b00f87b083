"""MQTT 5 where the broker speaks it, 3.1.1 where it does not: decided for each connection, and said."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.broker import Message, PubAck, Received
from edge_agent.config.mqtt_reference import MqttProtocol
from edge_agent.errors import BrokerError
from edge_agent.mqtt.network import Limits
from tests.publishing.brokers import Rumqttd, until
from tests.publishing.conftest import Relaying
from tests.publishing.fakes import Board, MemoryOutbox
from tests.publishing.ledger import all_marked, check_bytes, check_marks, check_order
from tests.publishing.wire import Wire

WILL = Message("will", b"gone", retain=True, content_type="application/json")

REFUSALS = {
    "1 as 3.1.1 says it": b"\x20\x02\x00\x01",
    "132 as 5 says it": b"\x20\x03\x00\x84\x00",
    "not a word": b"",
}


def _events(wire: Wire) -> list[bytes]:
    return [publish.payload for publish in wire.events()]


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())
async def test_a_broker_that_refuses_5_gets_everything_in_3_1_1(
    wire: Wire, relaying: Relaying, outbox: MemoryOutbox, board: Board, refusal: bytes
) -> None:
    wire.refusal_of_5 = refusal
    outbox.add("routine", 300)
    outbox.add("critical", 20)
    async with relaying(wire.client()):
        await until(lambda: all_marked(outbox), "all are marked")
        status = board.lately("broker")

    assert status == ("up", f"MQTT 3.1.1 at 127.0.0.1:{wire.port}, up to 100 publishes in flight")
    assert [connect.level for connect in wire.connects] == [5, 4]
    check_bytes(outbox, _events(wire))
    check_order(_events(wire))
    check_marks(outbox, [p.payload for p in wire.acknowledged if p in wire.events()])
    assert all(publish.properties == b"" for publish in wire.publishes)


async def test_connect_says_the_same_in_both_versions(wire: Wire) -> None:
    for protocol in (MqttProtocol.V5, MqttProtocol.V3_1_1):
        session = await wire.client("agent", Limits(keepalive=7), protocol=protocol).connect(WILL)
        assert session.about == f"MQTT {protocol} at 127.0.0.1:{wire.port}"
        await session.close()

    five, three = wire.connects
    assert (five.level, three.level) == (5, 4)
    for connect in (five, three):
        assert (connect.clean, connect.keepalive, connect.client_id) == (True, 7, "agent")
        assert connect.will == ("will", b"gone")
    await until(lambda: wire.disconnects == 2, "both ended with a word")


async def test_where_the_map_names_a_version_no_other_is_tried(wire: Wire) -> None:
    wire.refusal_of_5 = REFUSALS["1 as 3.1.1 says it"]
    with pytest.raises(BrokerError, match="Unsupported protocol version"):
        await wire.client(protocol=MqttProtocol.V5).connect(WILL)
    session = await wire.client(protocol=MqttProtocol.V3_1_1).connect(WILL)
    await session.close()
    assert [connect.level for connect in wire.connects] == [5, 4]


async def test_what_was_refused_with_a_word_is_not_asked_for_again_at_once(wire: Wire) -> None:
    wire.refusal_of_5 = REFUSALS["132 as 5 says it"]
    client = wire.client()
    for _ in range(3):
        await (await client.connect(WILL)).close()
    assert [connect.level for connect in wire.connects] == [5, 4, 4, 4]


@pytest.mark.parametrize("refusal", ["132 as 5 says it", "not a word"])
async def test_5_is_spoken_again_once_the_broker_does(wire: Wire, refusal: str) -> None:
    wire.refusal_of_5 = REFUSALS[refusal]
    client = wire.client(limits=Limits(spoken=0.0))
    session = await client.connect(WILL)
    assert session.about.startswith("MQTT 3.1.1 ")
    wire.refusal_of_5 = None
    wire.cut()
    await session.lost()
    session = await client.connect(WILL)
    assert session.about.startswith("MQTT 5 ")
    await session.close()


async def test_another_refusal_is_no_reason_to_change_the_version(wire: Wire) -> None:
    wire.connack = b"\x00\x87\x00"
    with pytest.raises(BrokerError, match="Not authorized"):
        await wire.client().connect(WILL)
    assert [connect.level for connect in wire.connects] == [5]


@pytest.mark.parametrize(
    ("code", "why"), [(1, "Protocol error"), (2, "identifier"), (4, "user name"), (5, "authorized")]
)
async def test_a_refusal_in_3_1_1_has_its_reason(wire: Wire, code: int, why: str) -> None:
    wire.connack = bytes([0, code])
    with pytest.raises(BrokerError, match=why):
        await wire.client(protocol=MqttProtocol.V3_1_1).connect(WILL)


async def test_a_refused_subscription_in_3_1_1_is_an_error(wire: Wire) -> None:
    session = await wire.client(protocol=MqttProtocol.V3_1_1).connect(WILL)
    wire.suback = 0x80
    with pytest.raises(BrokerError, match="did not accept the subscription"):
        await session.subscribe("cmd", lambda _message: None)
    await session.close()


async def test_rumqttds_older_listener_is_spoken_to_in_3_1_1(tmp_path: Path) -> None:
    broker = Rumqttd(tmp_path, version="v4")
    broker.start()
    got: list[Received] = []
    answers: list[PubAck] = []
    session = await broker.client("agent").connect(WILL)
    await session.subscribe("a", got.append)
    session.publish(Message("a", b"x", content_type="text/plain", expiry=5, properties=(("n", "1"),)), answers.append)
    await until(lambda: got and answers, "it is answered and comes back")
    assert session.about == f"MQTT 3.1.1 at 127.0.0.1:{broker.port}"
    assert got == [Received("a", b"x", retained=False)]
    assert answers == [PubAck(0, "Success")]
    await session.close()
    broker.kill()
