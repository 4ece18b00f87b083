"""The relay over every broker: order, completeness, presence, a broker that dies."""

from __future__ import annotations

import json
from typing import Any

from edge_agent.broker import Broker, Message, Received, Session
from edge_agent.publishing.relay import StreamReport
from tests.publishing.brokers import AnyBroker, until
from tests.publishing.conftest import Relaying
from tests.publishing.fakes import Board, MemoryOutbox
from tests.publishing.ledger import all_marked, check_bytes, check_order, identity, sequences
from tests.publishing.samples import STREAMS, source

BASE = "mat/v1/acme/berlin/filling/L3/_"
STATE = f"{BASE}/_gateway/l3-edge/state"
HEARTBEAT = f"{BASE}/_gateway/l3-edge/heartbeat"


class Listener:
    """A receiver: what came on the event topics, and what the agent said of itself."""

    def __init__(self, broker: AnyBroker) -> None:
        self._broker = broker
        self.events: list[bytes] = []
        self.presence: list[tuple[Received, dict[str, Any]]] = []

    async def listen(self, client_id: str = "listener") -> None:
        self.session = await self._broker.client(client_id).connect(Message(f"will/{client_id}", b"gone"))
        await self.session.subscribe(f"{BASE}/_material/#", lambda message: self.events.append(message.payload))
        await self.session.subscribe(f"{BASE}/_gateway/#", self._present)

    def _present(self, message: Received) -> None:
        self.presence.append((message, json.loads(message.payload)))

    def said(self) -> list[str]:
        return [event["type"].split(".")[3] for _, event in self.presence]


async def test_everything_arrives_once_in_order_and_is_marked(
    broker: AnyBroker, relaying: Relaying, outbox: MemoryOutbox, board: Board
) -> None:
    listener = Listener(broker)
    await listener.listen()
    for stream in STREAMS:
        outbox.add(stream, 250)
    async with relaying(broker.client("agent")) as relay:
        await until(lambda: all_marked(outbox), "all are marked")
        outbox.add("critical", 3)
        await until(lambda: all_marked(outbox) and len(listener.events) == 1003, "what is new comes too")
        report = relay.report()

    assert {stream: seen == sorted(set(seen)) for stream, seen in sequences(listener.events).items()} == dict.fromkeys(
        STREAMS, True
    )
    check_bytes(outbox, listener.events)
    check_order(listener.events)
    assert report.counts["published"] == report.counts["acknowledged"] == 1003
    assert report.streams["critical"] == StreamReport(head=253, acknowledged=253, in_flight=0, held=None)
    assert board.lately("broker")[0] == "up"
    await listener.session.close()


async def test_birth_heartbeat_and_a_clean_death(broker: AnyBroker, relaying: Relaying, outbox: MemoryOutbox) -> None:
    listener = Listener(broker)
    await listener.listen()
    outbox.add("critical", 7)
    async with relaying(broker.client("agent"), heartbeat=0.05):
        await until(lambda: listener.said().count("heartbeat") >= 2 and all_marked(outbox), "its heart beats")
    await until(lambda: "death" in listener.said(), "the death is said")

    assert listener.said()[0] == "birth"
    assert listener.said()[-1] == "death"
    assert {message.topic for message, _ in listener.presence} == {STATE, HEARTBEAT}
    late = Listener(broker)
    await late.listen("late listener")
    await until(lambda: late.presence, "the state is retained")
    assert [(message.topic, message.retained) for message, _ in late.presence] == [(STATE, True)]
    assert late.said() == ["death"]
    await late.session.close()
    born, died = listener.presence[0][1]["data"], listener.presence[-1][1]["data"]
    assert born["streams"][source("critical")] == 7
    assert born["queueDepth"]["critical"] == 7
    assert born["oldestUnsent"] == "2026-03-04T12:00:00.001Z"
    assert died["reason"] == "stopped"
    assert died["queueDepth"]["critical"] == 0
    assert died["oldestUnsent"] is None
    await listener.session.close()


class _Remembering:
    """A broker whose sessions a test can end without a word, as a kill does."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def connect(self, will: Message) -> Session:
        self.session = await self._broker.connect(will)
        return self.session


async def test_an_abrupt_end_leaves_the_will_and_a_new_session_a_new_birth(
    broker: AnyBroker, relaying: Relaying
) -> None:
    listener = Listener(broker)
    await listener.listen()
    agent = _Remembering(broker.client("agent"))
    async with relaying(agent):
        await until(lambda: listener.said() == ["birth"], "it is born")
        agent.session.abort()
        await until(lambda: len(listener.said()) == 3, "it is born again")

    assert listener.said()[:3] == ["birth", "death", "birth"]
    message, will = listener.presence[1]
    assert message.topic == STATE
    assert will["data"]["reason"] == "lost"
    await listener.session.close()


async def test_a_broker_that_dies_midway_costs_nothing(
    broker: AnyBroker, relaying: Relaying, outbox: MemoryOutbox, board: Board
) -> None:
    listener = Listener(broker)
    await listener.listen()
    async with relaying(broker.client("agent")) as relay:
        outbox.add("routine", 2000)
        await until(lambda: relay.report().streams["routine"].acknowledged > 200, "some are out")
        broker.kill()
        await until(lambda: not relay.report().connected, "the loss is noticed")
        outbox.add("routine", 500)
        assert not all_marked(outbox)
        broker.start()
        await listener.listen("listener again")
        await until(lambda: all_marked(outbox), "all are marked")
        # An acknowledgement is the broker's, not the receiver's: what it had not passed on, a receiver asks for again.
        got = {identity(payload)[1] for payload in listener.events}
        missing = [event for event in outbox.events["routine"] if event.sequence not in got]
        assert await relay.resend(missing) == len(missing)
        await until(lambda: len({identity(e)[1] for e in listener.events}) == 2500, "all have arrived")

    check_bytes(outbox, listener.events)
    assert [state for name, state, _ in board.said if name == "broker"][::-1][:2] == ["up", "lost"]
    await listener.session.close()
