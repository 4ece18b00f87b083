"""What a session promises, over every broker: the fake in memory must behave as the real ones do."""

from __future__ import annotations

import asyncio

import pytest

from edge_agent.broker import Message, PubAck, Received
from edge_agent.errors import BrokerError
from edge_agent.mqtt.network import Limits
from tests.publishing.brokers import AnyBroker, until

WILL = Message("will/test", b"gone", retain=True)


def _ignore(_puback: PubAck) -> None:
    pass


async def test_publishes_are_acknowledged_and_delivered_in_order(broker: AnyBroker) -> None:
    got: list[Received] = []
    answers: list[PubAck] = []
    listener = await broker.client("listener").connect(WILL)
    await listener.subscribe("plant/+/events/#", got.append)
    session = await broker.client("agent").connect(WILL)

    for number in range(300):
        await until(lambda: session.room > 0, "the window opens")
        session.publish(Message("plant/a/events/x", b"%d" % number, properties=(("n", str(number)),)), answers.append)
    await until(lambda: session.room > 0, "the window opens")
    session.publish(Message("plant/a/other", b"not subscribed"), answers.append)
    await until(lambda: len(answers) == 301 and len(got) >= 300, "all are answered and delivered")

    assert [message.payload for message in got] == [b"%d" % number for number in range(300)]
    assert all(answer.accepted for answer in answers)
    assert session.room == session.window
    await session.close()
    await listener.close()


async def test_the_window_is_never_exceeded(broker: AnyBroker) -> None:
    session = await broker.client("agent", Limits(window=3)).connect(WILL)

    assert session.window == 3
    for _ in range(3):
        session.publish(Message("a", b"x"), _ignore)
    with pytest.raises(BrokerError, match="wait for their PUBACK"):
        session.publish(Message("a", b"x"), _ignore)
    await session.close()


async def test_a_will_is_delivered_when_a_session_is_aborted_and_not_when_it_is_closed(broker: AnyBroker) -> None:
    got: list[Received] = []
    listener = await broker.client("listener").connect(WILL)
    await listener.subscribe("will/#", got.append)

    closed = await broker.client("one").connect(Message("will/closed", b"never", retain=True))
    await closed.close()
    aborted = await broker.client("two").connect(Message("will/aborted", b"gone", retain=True))
    aborted.abort()
    await until(lambda: got, "the will arrives")

    assert [(message.topic, message.payload) for message in got] == [("will/aborted", b"gone")]
    await listener.close()


async def test_retained_messages_say_so(broker: AnyBroker) -> None:
    got: list[Received] = []
    answers: list[PubAck] = []
    session = await broker.client("agent").connect(WILL)
    session.publish(Message("state", b"born", retain=True), answers.append)
    await until(lambda: answers, "it is acknowledged")

    listener = await broker.client("listener").connect(WILL)
    await listener.subscribe("state", got.append)
    await until(lambda: got, "the retained message arrives")

    assert got == [Received("state", b"born", retained=True)]
    await session.close()
    await listener.close()


async def test_another_client_with_the_same_id_takes_over(broker: AnyBroker) -> None:
    first = await broker.client("agent").connect(WILL)
    second = await broker.client("agent").connect(WILL)

    async with asyncio.timeout(30):
        loss = await first.lost()

    assert loss.why
    with pytest.raises(BrokerError, match="not connected"):
        first.publish(Message("a", b"x"), _ignore)
    await second.close()


async def test_a_dead_broker_ends_the_session_and_refuses_new_ones(broker: AnyBroker) -> None:
    answers: list[PubAck] = []
    session = await broker.client("agent").connect(WILL)
    broker.kill()
    async with asyncio.timeout(30):
        await session.lost()

    with pytest.raises(BrokerError, match="not connected"):
        session.publish(Message("a", b"x"), answers.append)
    with pytest.raises(BrokerError, match="not connected"):
        await session.subscribe("a", lambda _message: None)
    with pytest.raises(BrokerError, match="cannot connect"):
        await broker.client("agent").connect(WILL)
    await session.close()
    assert answers == []

    broker.start()
    again = await broker.client("agent").connect(WILL)
    again.publish(Message("a", b"x"), answers.append)
    await until(lambda: answers, "the new session works")
    await again.close()


async def test_a_cancelled_connect_leaves_nothing_behind(broker: AnyBroker) -> None:
    for _ in range(5):
        connecting = asyncio.create_task(broker.client("agent").connect(WILL))
        await asyncio.sleep(0)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting

    session = await broker.client("agent").connect(WILL)
    await session.close()
