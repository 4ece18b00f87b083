"""Streams beside each other: priority without starvation, refusals, poison; and events asked for again."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.broker import Message, Received
from edge_agent.mqtt.memory import MemoryBroker
from edge_agent.mqtt.network import Limits
from tests.publishing.brokers import Mosquitto, Rumqttd, until
from tests.publishing.conftest import Relaying
from tests.publishing.fakes import Board, MemoryOutbox
from tests.publishing.ledger import all_marked, check_bytes, check_order, identity, sequences
from tests.publishing.samples import STREAMS

CONSUMED = "mat/v1/acme/berlin/filling/L3/_/_material/consumed"


def _events(broker: MemoryBroker) -> list[bytes]:
    return [message.payload for message in broker.log if "_gateway" not in message.topic]


async def test_the_first_stream_goes_first_and_the_last_is_not_starved(
    relaying: Relaying, outbox: MemoryOutbox
) -> None:
    broker = MemoryBroker(receive_maximum=1)
    for stream in STREAMS:
        outbox.add(stream, 400)
    async with relaying(broker.client("agent")):
        await until(lambda: all_marked(outbox), "all are marked")

    first = Counter(identity(payload)[0] for payload in _events(broker)[:310])
    assert first == {"critical": 170, "routine": 80, "bulk": 40, "ops": 20}
    check_order(_events(broker))


async def test_a_late_critical_event_overtakes_a_backlog(relaying: Relaying, outbox: MemoryOutbox) -> None:
    broker = MemoryBroker(receive_maximum=5)
    outbox.add("bulk", 1000)

    def probe(point: str) -> None:
        if point == "after-publish" and len(_events(broker)) == 300:
            outbox.add("critical")

    async with relaying(broker.client("agent"), probe=probe):
        await until(lambda: all_marked(outbox), "all are marked")

    at = [identity(payload)[0] for payload in _events(broker)].index("critical")
    assert at < 300 + 2 * 5


async def test_a_refused_stream_waits_and_the_others_go_on(
    relaying: Relaying, outbox: MemoryOutbox, board: Board
) -> None:
    broker = MemoryBroker(denied={"refused/#"})
    outbox.add("routine", 3)
    outbox.alter_last("routine", topic="refused/x")
    outbox.add("routine", 50)
    outbox.add("bulk", 300)
    async with relaying(broker.client("agent")) as relay:
        await until(lambda: outbox.delivered("bulk") == 300, "the others go on")
        held = relay.report().streams["routine"].held
        assert held is not None
        assert (held.sequence, held.why) == (3, "the broker refuses it: Not authorized (135)")
        assert outbox.delivered("routine") == 2
        broker.denied.clear()
        await until(lambda: all_marked(outbox), "the refused one goes out after its pause")
        assert relay.report().streams["routine"].held is None

    assert board.lately("stream routine") == ("up", "event 3 is out")
    seen = sequences(_events(broker))["routine"]
    assert sorted(seen) == list(range(1, 54)), "nothing is lost, and what was taken is not sent again"


async def test_mosquittos_refusal_keeps_the_event(
    mosquitto: Callable[..., Mosquitto], tmp_path: Path, relaying: Relaying, outbox: MemoryOutbox
) -> None:
    acl = tmp_path / "acl"
    acl.write_text(f"topic readwrite #\ntopic deny {CONSUMED}\n")
    broker = mosquitto(more=f"acl_file {acl}")
    outbox.add("routine", 5)
    outbox.add("bulk", 1)
    outbox.alter_last("bulk", topic="mat/allowed")
    async with relaying(broker.client("agent")) as relay:
        await until(lambda: outbox.delivered("bulk") == 1, "what is allowed goes out")
        await until(lambda: relay.report().streams["routine"].held, "the refusal is seen")
        held = relay.report().streams["routine"].held
        counts = relay.report().counts

    assert held is not None
    assert held.sequence == 1
    assert "(135)" in held.why
    assert outbox.delivered("routine") == 0
    assert counts["acknowledged"] == 1


@pytest.mark.parametrize("inflight", [1, 5])
async def test_mosquittos_receive_maximum_becomes_the_window(
    mosquitto: Callable[..., Mosquitto], relaying: Relaying, outbox: MemoryOutbox, inflight: int
) -> None:
    broker = mosquitto(inflight=inflight)
    session = await broker.client("probe").connect(Message("will", b"gone"))
    assert session.window == inflight
    await session.close()
    outbox.add("routine", 100)
    async with relaying(broker.client("agent")):
        await until(lambda: all_marked(outbox), "all are marked")


async def test_poison_that_ends_the_connection_is_found_and_held(
    relaying: Relaying, outbox: MemoryOutbox, board: Board
) -> None:
    broker = MemoryBroker(drops_over=4096)
    outbox.add("routine", 40)
    outbox.alter_last("routine", payload=b"x" * 5000)
    outbox.add("routine", 40)
    outbox.add("bulk", 500)
    async with relaying(broker.client("agent")) as relay:
        await until(lambda: outbox.delivered("bulk") == 500 and outbox.delivered("routine") == 39, "the others go on")
        await until(lambda: relay.report().streams["routine"].held, "it is found")
        held = relay.report().streams["routine"].held

    assert held is not None
    assert (held.sequence, held.why) == (40, "the connection ends whenever it is sent")
    assert board.lately("stream routine")[0] == "lost"


async def test_rumqttd_and_an_event_over_its_limit(tmp_path: Path, relaying: Relaying, outbox: MemoryOutbox) -> None:
    broker = Rumqttd(tmp_path, max_payload=8192)
    broker.start()
    outbox.add("routine", 2)
    outbox.alter_last("routine", payload=b"x" * 20_000)
    outbox.add("bulk", 300)
    async with relaying(broker.client("agent")) as relay:
        await until(lambda: outbox.delivered("bulk") == 300 and outbox.delivered("routine") == 1, "the others go on")
        await until(lambda: relay.report().streams["routine"].held, "it is held")
        held = relay.report().streams["routine"].held
    broker.kill()

    assert held is not None
    assert held.sequence == 2


async def test_nothing_goes_out_before_it_is_anchored(
    relaying: Relaying, outbox: MemoryOutbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = MemoryBroker()
    opened = asyncio.Event()
    anchor = outbox.anchor

    async def slow() -> None:
        await opened.wait()
        await anchor()

    monkeypatch.setattr(outbox, "anchor", slow)
    outbox.add("routine", 10)
    async with relaying(broker.client("agent")):
        await until(lambda: broker.log, "the birth is out")
        for _ in range(20):
            await asyncio.sleep(0)
        assert _events(broker) == []
        opened.set()
        await until(lambda: all_marked(outbox), "all are marked")

    assert outbox.anchors == 1


async def test_replayed_events_are_the_stored_bytes_and_move_no_cursor(
    relaying: Relaying, outbox: MemoryOutbox
) -> None:
    broker = MemoryBroker(receive_maximum=3)
    got: list[Received] = []
    broker.listen(CONSUMED, got.append)
    outbox.add("routine", 20)
    async with relaying(broker.client("agent")) as relay:
        await until(lambda: all_marked(outbox), "all are marked")
        marks = list(outbox.marks)
        assert await relay.resend(outbox.events["routine"][4:9]) == 5
        assert await relay.resend([]) == 0

    assert [identity(message.payload)[1] for message in got[20:]] == [5, 6, 7, 8, 9]
    check_bytes(outbox, [message.payload for message in got])
    assert outbox.marks == marks


async def test_a_replay_yields_to_live_events_and_survives_a_loss(relaying: Relaying, outbox: MemoryOutbox) -> None:
    broker = MemoryBroker(receive_maximum=4)
    outbox.add("bulk", 50)
    async with relaying(broker.client("agent")) as relay:
        await until(lambda: all_marked(outbox), "all are marked")
        broker.silent = True
        outbox.add("critical", 40)
        replay = asyncio.create_task(relay.resend(outbox.events["bulk"]))
        await until(lambda: relay.report().streams["critical"].in_flight == 4, "live events go first")
        broker.cut("agent")
        broker.silent = False
        assert await replay == 50
        await until(lambda: all_marked(outbox), "all are marked")

    after = [identity(payload)[0] for payload in _events(broker)[50:]]
    assert after.index("bulk") > 4
    assert len(after) - after[::-1].index("critical") < len(after), "the last replayed event comes after the last live"
    check_bytes(outbox, _events(broker))


async def test_a_replay_nobody_waits_for_is_dropped(relaying: Relaying, outbox: MemoryOutbox) -> None:
    broker = MemoryBroker(receive_maximum=2)
    outbox.add("bulk", 50)
    async with relaying(broker.client("agent")) as relay:
        await until(lambda: all_marked(outbox), "all are marked")
        broker.silent = True
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(relay.resend(outbox.events["bulk"]), 0.05)
        broker.answer()
        outbox.add("critical", 5)
        await until(lambda: all_marked(outbox), "live events go on")

    assert len(_events(broker)) <= 50 + 2 + 5


async def test_limits_of_the_client_cap_the_window(mosquitto: Callable[..., Mosquitto]) -> None:
    session = await mosquitto(inflight=50).client("agent", Limits(window=8)).connect(Message("will", b"gone"))

    assert session.window == 8
    await session.close()
