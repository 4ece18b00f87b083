"""The relay against a server that logs the wire and misbehaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from edge_agent.broker import Acknowledged, Broker, Message, PubAck, Session
from edge_agent.errors import BrokerError, StoreError
from edge_agent.mqtt.network import Limits
from edge_agent.publishing.relay import Relay
from tests.publishing.brokers import until
from tests.publishing.conftest import Relaying
from tests.publishing.fakes import Board, MemoryOutbox
from tests.publishing.ledger import all_marked, check_bytes, check_marks, check_order, identity
from tests.publishing.wire import Publish, Wire

WILL = Message("will", b"gone")


def _payloads(publishes: list[Publish]) -> list[bytes]:
    return [publish.payload for publish in publishes if "_gateway" not in publish.topic]


async def _until_it_ends(running: AbstractAsyncContextManager[Relay]) -> None:
    """Raises what the relay ends with by itself."""
    async with running:
        tasks = {task for task in asyncio.all_tasks() if task.get_name() == "relay"}
        await asyncio.wait(tasks, timeout=30)


def _every(count: int, wire: Wire) -> Callable[[Publish], int | None]:
    """Cut every connection at each `count`-th event, before its answer."""

    def answer(_publish: Publish) -> int | None:
        if len(wire.publishes) % count == 0:
            wire.cut()
            return None
        return 0

    return answer


async def test_what_was_not_acknowledged_is_sent_again_and_nothing_else(
    wire: Wire, relaying: Relaying, outbox: MemoryOutbox
) -> None:
    outbox.add("routine", 600)
    outbox.add("critical", 100)
    wire.answering = _every(97, wire)
    async with relaying(wire.client()):
        await until(lambda: all_marked(outbox), "all are marked")

    payloads = _payloads(wire.publishes)
    check_bytes(outbox, payloads)
    check_order(payloads)
    check_marks(outbox, _payloads(wire.acknowledged))
    assert len(payloads) > 700
    assert wire.connections > 3
    assert not any(publish.dup for publish in wire.publishes), "paho resent by itself"
    for connection in range(1, wire.connections + 1):
        sent = [identity(p.payload) for p in wire.events() if p.connection == connection]
        assert len(sent) == len(set(sent)), "sent twice on one connection"


class _Hasty:
    """The planted bug: takes handing over for an acknowledgement."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __getattr__(self, name: str) -> object:
        return getattr(self._session, name)

    def publish(self, message: Message, acknowledged: Acknowledged) -> None:
        self._session.publish(message, lambda _puback: None)
        asyncio.get_running_loop().call_soon(acknowledged, PubAck(0, "not yet said"))


class _HastyBroker:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def connect(self, will: Message) -> Session:
        return _Hasty(await self._broker.connect(will))  # type: ignore[return-value]  # __getattr__ does the rest


@pytest.mark.parametrize("hasty", [False, True])
async def test_marked_only_after_puback_and_the_check_would_see_it(
    wire: Wire, relaying: Relaying, outbox: MemoryOutbox, hasty: bool
) -> None:
    outbox.add("routine", 500)
    wire.answering = lambda publish: 0 if len(wire.acknowledged) < 50 else None
    broker = _HastyBroker(wire.client()) if hasty else wire.client()
    async with relaying(broker):
        await until(lambda: outbox.delivered("routine") >= 49, "some are marked")
        await until(lambda: len(wire.events()) >= 100, "the window is full")
        await until(lambda: not hasty or outbox.delivered("routine") > 100, "the bug has shown itself")

    if hasty:
        with pytest.raises(AssertionError, match="never acknowledged"):
            check_marks(outbox, _payloads(wire.acknowledged))
    else:
        check_marks(outbox, _payloads(wire.acknowledged))


@pytest.mark.parametrize("receive_maximum", [1, 7])
async def test_the_brokers_receive_maximum_holds(
    wire: Wire, relaying: Relaying, outbox: MemoryOutbox, receive_maximum: int
) -> None:
    wire.announce(receive_maximum=receive_maximum)
    outbox.add("routine", 60)
    most = 0

    def answer(_publish: Publish) -> int:
        nonlocal most
        most = max(most, len(wire.publishes) - len(wire.acknowledged))
        return 0

    wire.answering = answer
    async with relaying(wire.client(), heartbeat=0.01):
        await until(lambda: all_marked(outbox), "all are marked")

    assert most <= receive_maximum


async def test_a_broker_that_stops_answering_is_left(
    wire: Wire, relaying: Relaying, outbox: MemoryOutbox, board: Board
) -> None:
    outbox.add("routine", 10)
    wire.answering = lambda publish: 0 if publish.connection > 1 else None
    async with relaying(wire.client(limits=Limits(answer=0.5))):
        await until(lambda: all_marked(outbox), "all are marked")

    assert ("broker", "lost") in [(name, state) for name, state, _ in board.said]
    assert any("no PUBACK for 0.5 s" in why for _, _, why in board.said)
    check_order(_payloads(wire.publishes))


async def test_a_broker_that_leaves_one_publish_unanswered_is_left(
    wire: Wire, relaying: Relaying, outbox: MemoryOutbox, board: Board
) -> None:
    skipped: list[bytes] = []

    def answer(publish: Publish) -> int | None:
        if not skipped and "_gateway" not in publish.topic:
            skipped.append(publish.payload)
            return None
        return 0

    wire.answering = answer
    outbox.add("routine", 5)
    async with relaying(wire.client(limits=Limits(answer=0.5)), heartbeat=0.1):
        await until(lambda: all_marked(outbox), "all are marked")

    assert any("left a publish unanswered" in why for _, _, why in board.said)
    assert _payloads(wire.publishes).count(skipped[0]) == 2


async def test_a_black_hole_is_noticed_by_the_keepalive(wire: Wire) -> None:
    wire.answers_pings = False
    session = await wire.client(limits=Limits(keepalive=1)).connect(WILL)
    async with asyncio.timeout(30):
        loss = await session.lost()

    assert "Keep alive" in loss.why
    assert wire.pings >= 1


async def test_being_taken_over_is_said_and_waited_out(
    wire: Wire, relaying: Relaying, outbox: MemoryOutbox, board: Board
) -> None:
    async with relaying(wire.client()) as relay:
        await until(lambda: relay.report().connected, "it is connected")
        wire.disconnect(142)
        await until(lambda: wire.connections == 2 and relay.report().connected, "it comes back")

    said = "the session was taken over (142): another client calls itself relay"
    assert ("broker", "lost", said) in board.said


@pytest.mark.parametrize(("connack", "why"), [(b"\x00\x87\x00", "Not authorized"), (b"\x00\x00\x02\x24\x00", "QoS 1")])
async def test_a_refused_session_is_an_error_with_its_reason(wire: Wire, connack: bytes, why: str) -> None:
    wire.connack = connack
    with pytest.raises(BrokerError, match=why):
        await wire.client().connect(WILL)


async def test_a_silent_server_does_not_hold_the_connect_for_ever(wire: Wire) -> None:
    wire.connack = b""
    with pytest.raises(BrokerError, match="did not accept the session"):
        await wire.client(limits=Limits(answer=0.3)).connect(WILL)


async def test_a_broker_away_from_the_start_is_tried_again_and_said_once_each_way(
    wire: Wire, relaying: Relaying, outbox: MemoryOutbox, board: Board
) -> None:
    await wire.stop()
    outbox.add("routine", 5)
    async with relaying(wire.client()):
        await until(lambda: len(board.said) >= 3, "it tried more than once")
        assert not outbox.marks
        await wire.start()
        await until(lambda: all_marked(outbox), "all are marked")

    assert board.lately("broker")[0] == "up"


async def test_too_large_for_the_broker_is_held_and_the_others_go_on(
    wire: Wire, relaying: Relaying, outbox: MemoryOutbox, board: Board
) -> None:
    wire.announce(max_packet=4096)
    outbox.add("routine", 3)
    outbox.alter_last("routine", payload=b'{"source":"x:routine","sequence":"3","pad":"%s"}' % (b"x" * 4096))
    outbox.add("routine", 2)
    outbox.add("bulk", 20)
    async with relaying(wire.client()) as relay:
        await until(lambda: outbox.delivered("bulk") == 20 and outbox.delivered("routine") == 2, "the others are out")
        held = relay.report().streams["routine"].held

    assert held is not None
    assert held.sequence == 3
    assert "exceeds the broker's maximum of 4096" in held.why
    assert board.lately("stream routine")[0] == "lost"
    assert wire.connections == 1
    assert max(len(publish.payload) for publish in wire.publishes) < 4096


@pytest.mark.parametrize("topic", ["mat/+/x", "mat/#", "mat/\0", "mat/\x07", "$SYS/x", "", "a/" * 250, "x" * 70_000])
async def test_an_unfit_topic_never_reaches_the_client(
    wire: Wire, relaying: Relaying, outbox: MemoryOutbox, topic: str
) -> None:
    outbox.add("critical", 2)
    outbox.alter_last("critical", topic=topic)
    outbox.add("routine", 5)
    async with relaying(wire.client()) as relay:
        await until(lambda: outbox.delivered("routine") == 5 and outbox.delivered("critical") == 1, "the others go on")
        held = relay.report().streams["critical"].held

    assert held is not None
    assert "its topic is unfit" in held.why
    assert relay.report().counts["held"] == 1
    assert wire.connections == 1


async def test_probes_are_passed_in_order(wire: Wire, relaying: Relaying, outbox: MemoryOutbox) -> None:
    points: list[str] = []

    def probe(point: str) -> None:
        if point == "after-publish":
            assert outbox.anchored("routine") == 1
        if point == "after-puback":
            assert len(wire.acknowledged) == 2  # the birth and the event
            assert outbox.delivered("routine") == 0
        if point == "after-mark":
            assert outbox.delivered("routine") == 1
        points.append(point)

    outbox.add("routine")
    async with relaying(wire.client(), probe=probe):
        await until(lambda: len(points) == 3, "all are passed")

    assert points == ["after-publish", "after-puback", "after-mark"]


async def test_a_published_event_is_on_the_wire_when_its_probe_is_passed(
    wire: Wire, relaying: Relaying, outbox: MemoryOutbox
) -> None:
    class Killed(BaseException):
        """Stands for kill -9: nothing of the agent runs after it."""

    def probe(point: str) -> None:
        raise Killed(point)

    outbox.add("routine", 3)
    with pytest.raises(Killed, match="after-publish"):
        await _until_it_ends(relaying(wire.client(), probe=probe))
    await until(wire.events, "it has arrived")
    assert len(wire.events()) == 1


async def test_a_failing_store_ends_the_relay(
    wire: Wire, relaying: Relaying, outbox: MemoryOutbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(*_args: object) -> None:
        raise StoreError("disk I/O error")

    monkeypatch.setattr(outbox, "mark", failing)
    outbox.add("routine")
    with pytest.raises(StoreError, match="disk I/O error"):
        await _until_it_ends(relaying(wire.client()))


async def test_a_refused_subscription_stops_no_event(
    wire: Wire, relaying: Relaying, outbox: MemoryOutbox, board: Board
) -> None:
    wire.suback = 0x87
    outbox.add("routine", 5)
    async with relaying(wire.client(), before=lambda relay: relay.subscribe("cmd/replay", lambda _message: None)):
        await until(lambda: all_marked(outbox), "all are marked")

    assert board.lately("subscription cmd/replay")[0] == "lost"
