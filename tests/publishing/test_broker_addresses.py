"""Several addresses: the first that answers, in the map's order, one at a time, and the first again after a loss."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from edge_agent.broker import Message, PubAck, Session
from edge_agent.config.mqtt_reference import Address
from edge_agent.errors import BrokerError
from edge_agent.mqtt.network import Limits, PahoBroker
from tests.publishing.brokers import free_port, until
from tests.publishing.conftest import Relaying
from tests.publishing.fakes import Board, MemoryOutbox
from tests.publishing.ledger import all_marked, check_bytes, check_marks, identity
from tests.publishing.wire import Publish, Wire

WILL = Message("will", b"gone")


@pytest.fixture
async def second() -> AsyncIterator[Wire]:
    server = Wire()
    await server.start()
    yield server
    await server.stop()


def _client(first: Wire, *others: Wire, limits: Limits | None = None) -> PahoBroker:
    return first.client("agent", limits, others=tuple(Address("127.0.0.1", other.port) for other in others))


async def test_the_first_that_answers_in_the_maps_order(wire: Wire, second: Wire) -> None:
    client = _client(wire, second)
    session = await client.connect(WILL)
    assert session.about == f"MQTT 5 at 127.0.0.1:{wire.port}"
    assert second.connects == []

    await wire.stop()
    await session.lost()
    session = await client.connect(WILL)
    assert session.about.startswith(f"MQTT 5 at 127.0.0.1:{second.port} (cannot connect to the MQTT broker 127.0.0.1:")
    assert f":{wire.port}: " in session.about

    await wire.start()
    second.cut()
    await session.lost()
    session = await client.connect(WILL)
    assert session.about == f"MQTT 5 at 127.0.0.1:{wire.port}"
    await session.close()


async def test_a_broker_that_refuses_or_is_silent_is_passed_over(wire: Wire, second: Wire) -> None:
    for connack, why in ((b"\x00\x87\x00", "Not authorized"), (b"", "no answer for 0.3 s")):
        wire.connack = connack
        session = await _client(wire, second, limits=Limits(answer=0.3)).connect(WILL)
        assert f"at 127.0.0.1:{second.port} (" in session.about
        assert why in session.about
        await session.close()


async def test_each_address_has_a_version_of_its_own(wire: Wire, second: Wire) -> None:
    await wire.stop()
    second.refusal_of_5 = b"\x20\x02\x00\x01"
    session = await _client(wire, second).connect(WILL)
    assert session.about.startswith(f"MQTT 3.1.1 at 127.0.0.1:{second.port} ")
    await wire.start()
    await session.close()
    session = await _client(wire, second).connect(WILL)
    assert session.about == f"MQTT 5 at 127.0.0.1:{wire.port}"
    await session.close()


async def test_where_nobody_answers_each_is_named(wire: Wire) -> None:
    await wire.stop()
    other = free_port()
    with pytest.raises(BrokerError, match=rf":{wire.port}: .*refused; .*:{other}: .*refused"):
        await wire.client(others=(Address("127.0.0.1", other),)).connect(WILL)


class _Faithless(PahoBroker):
    """The planted bug: leaves the former session open when it opens another."""

    async def connect(self, will: Message) -> Session:
        self._session = None
        return await super().connect(will)


@pytest.mark.parametrize("faithless", [False, True])
async def test_never_two_at_once_and_the_check_would_see_it(wire: Wire, second: Wire, faithless: bool) -> None:
    settings = _client(wire, second)._settings
    client = (_Faithless if faithless else PahoBroker)(settings, "agent")
    answers: list[PubAck] = []
    first = await client.connect(WILL)
    wire.connack = b"\x00\x88\x00"
    then = await client.connect(WILL)

    def still_publishes(session: Session) -> bool:
        try:
            session.publish(Message("a", b"x"), answers.append)
        except BrokerError:
            return False
        return True

    assert still_publishes(then)
    assert still_publishes(first) is faithless
    await until(lambda: wire.open == int(faithless), "the former is closed")
    first.abort()
    await then.close()


async def test_the_relay_goes_over_and_comes_back_and_loses_nothing(
    wire: Wire, second: Wire, relaying: Relaying, outbox: MemoryOutbox, board: Board
) -> None:
    both: list[int] = []

    def answer(_publish: Publish) -> int:
        both.append(min(wire.open, second.open))
        return 0

    wire.answering = second.answering = answer
    async with relaying(_client(wire, second)) as relay:
        outbox.add("routine", 200)
        await until(lambda: relay.report().streams["routine"].acknowledged > 50, "some are out")
        await wire.stop()
        outbox.add("routine", 200)
        await until(lambda: all_marked(outbox), "the second has the rest")
        assert f":{second.port} (" in board.lately("broker")[1]
        await wire.start()
        await asyncio.sleep(0.1)
        assert wire.open == 0, "it stays where it is while that works"
        second.cut()
        outbox.add("routine", 100)
        await until(lambda: all_marked(outbox), "the first has them again")
        assert board.lately("broker")[1].startswith(f"MQTT 5 at 127.0.0.1:{wire.port}, ")

    payloads = [publish.payload for publish in (*wire.events(), *second.events())]
    check_bytes(outbox, payloads)
    assert {identity(payload)[1] for payload in payloads} == set(range(1, 501))
    acknowledged = [*wire.acknowledged, *second.acknowledged]
    check_marks(outbox, [p.payload for p in acknowledged if "_gateway" not in p.topic])
    assert wire.connections == 2
    assert set(both) == {0}, "a connection to both while something was published"
