"""The relay over the real store and a broker that fails: what is committed goes out, byte for byte, and is marked."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from edge_agent.broker import Message, Received
from edge_agent.clock import SystemClock
from edge_agent.config.tagmap import TagMap
from edge_agent.inbound.intake import Intake
from edge_agent.inbound.replaying import Replaying
from edge_agent.model.outcome import Outcome
from edge_agent.publishing.encoding import Renderer
from edge_agent.publishing.presence import Presence
from edge_agent.publishing.relay import Relay
from edge_agent.publishing.topics import Topics
from edge_agent.store.database import Database
from edge_agent.store.outbox import Outbox
from edge_agent.store.restore import open_store
from edge_agent.store.unit_of_work import UnitOfWork
from tests.publishing.brokers import AnyBroker, until
from tests.publishing.conftest import QUICK
from tests.publishing.fakes import Board
from tests.publishing.ledger import identity, sequences
from tests.publishing.samples import AGENT, NOON, STREAMS, draft, tag_map
from tests.publishing.wire import Wire

TOPIC = Topics(tag_map()).command("replay")


class Store:
    """An open store: commits events as the pipeline does."""

    def __init__(self, database: Database, outbox: Outbox, of: TagMap, version: str) -> None:
        self.database = database
        self.outbox = outbox
        self._work = UnitOfWork(database)
        self._render = Renderer(of, version).render

    async def commit(self, stream: str, count: int) -> None:
        drafts = [draft(Decimal(number), stream) for number in range(1, count + 1)]
        await self._work.commit(Outcome(events=drafts), self._render, NOON)

    async def payloads(self, stream: str) -> list[bytes]:
        return [event.payload for event in await self.outbox.unsent(stream, 0, 10**6)]

    def all_marked(self) -> bool:
        return all(self.outbox.delivered(stream) == self.outbox.head(stream) for stream in STREAMS)


Opening = Callable[..., AbstractAsyncContextManager[Store]]


@pytest.fixture
def opening(tmp_path: Path) -> Opening:
    """Opens the test's store, again and again."""

    @asynccontextmanager
    async def context(of: TagMap | None = None, version: str = "1.0.0") -> AsyncIterator[Store]:
        now = SystemClock().now()
        database = await open_store(tmp_path / "edge.db", agent=AGENT, max_size=2**26, now=now)
        try:
            outbox = Outbox(database, STREAMS)
            await outbox.load()
            yield Store(database, outbox, of or tag_map(), version)
        finally:
            await database.close()

    return context


@asynccontextmanager
async def _running(store: Store, relay: Relay) -> AsyncIterator[None]:
    clock, audit = SystemClock(), lambda _handled: None
    replaying = Replaying(AGENT, STREAMS, store.outbox, relay.resend)
    commands = Intake(TOPIC, replaying, reply=relay.send, clock=clock, audit=audit)
    relay.subscribe(TOPIC, commands.received)
    tasks = [asyncio.create_task(relay.run()), asyncio.create_task(commands.run())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def _relay(store: Store, broker: object, **options: object) -> Relay:
    presence = Presence(tag_map(), "1.0.0", timedelta(seconds=60))
    return Relay(
        broker,  # type: ignore[arg-type]  # whichever the test brings
        store.outbox,
        presence,
        status=Board(),
        clock=SystemClock(),
        streams=STREAMS,
        backoff=QUICK,
        **options,  # type: ignore[arg-type]  # keywords of the relay
    )


async def test_what_is_committed_goes_out_and_the_cursor_survives(wire: Wire, opening: Opening) -> None:
    cut_at = {40, 130, 131, 300}

    def answer(publish: object) -> int | None:
        if len(wire.publishes) in cut_at:
            wire.cut()
            return None
        return 0

    wire.answering = answer
    async with opening() as store:
        await store.commit("routine", 150)
        async with _running(store, _relay(store, wire.client())):
            await store.commit("critical", 50)
            for _ in range(5):
                await store.commit("routine", 30)
            await until(store.all_marked, "all are marked")
        stored = {stream: await store.payloads(stream) for stream in STREAMS}
    async with opening() as store:
        assert store.all_marked()
        assert store.outbox.delivered("routine") == 300
        sent_before = len(wire.events())
        async with _running(store, _relay(store, wire.client())):
            await store.commit("routine", 1)
            await until(store.all_marked, "only the new one goes out")
        assert [identity(publish.payload) for publish in wire.events()[sent_before:]] == [("routine", 301)]

    for stream, seen in sequences(publish.payload for publish in wire.events()[:sent_before]).items():
        assert list(dict.fromkeys(seen)) == list(range(1, len(stored[stream]) + 1))
    for publish in wire.events()[:sent_before]:
        stream, sequence = identity(publish.payload)
        assert publish.payload == stored[stream][sequence - 1]
    assert len(wire.events()) > 351, "there were duplicates"


async def test_nothing_is_published_above_the_anchor_on_disk(wire: Wire, opening: Opening) -> None:
    async with opening() as store:
        above: list[int] = []

        def probe(point: str) -> None:
            if point == "after-publish":
                vouched = store.database.anchor.read()
                assert vouched is not None
                highest = vouched.heads["routine"][0] if "routine" in vouched.heads else 0
                above.append(store.outbox.head("routine") - highest)
                newest = identity(wire.events()[-1].payload)[1] if wire.events() else 0
                assert newest <= highest

        async with _running(store, _relay(store, wire.client(), probe=probe)):
            for _ in range(20):
                await store.commit("routine", 7)
            await until(store.all_marked, "all are marked")

    assert len(above) == 140


async def test_a_replay_after_a_new_map_and_version_sends_the_same_bytes(broker: AnyBroker, opening: Opening) -> None:
    live: list[Received] = []
    again: list[Received] = []
    replies: list[dict[str, object]] = []
    first = await broker.client("listener").connect(Message("will/listener", b"gone"))
    await first.subscribe("mat/v1/+/+/+/+/+/_material/#", live.append)
    async with opening() as store:
        await store.commit("routine", 250)
        source = store.outbox.source("routine")
        async with _running(store, _relay(store, broker.client("agent"))):
            await until(lambda: store.all_marked() and len(live) == 250, "all have arrived")
    await first.close()

    second = await broker.client("listener").connect(Message("will/listener", b"gone"))
    await second.subscribe("mat/v1/+/+/+/+/+/_material/#", again.append)
    await second.subscribe(f"{TOPIC}/reply", lambda message: replies.append(json.loads(message.payload)))
    async with opening(tag_map(config_hash="d1" * 32), "2.0.0") as store:
        relay = _relay(store, broker.client("agent"))
        async with _running(store, relay):
            await until(lambda: relay.report().connected, "it is connected")
            command = {"source": source, "from": 31, "to": 240, "id": "n-1"}
            second.publish(Message(TOPIC, json.dumps(command).encode()), lambda _puback: None)
            await until(lambda: replies and len(again) == 210, "the replay is answered")
            delivered = store.outbox.delivered("routine")
    await second.close()

    assert replies == [command | {"sent": 210, "unavailable": [], "reason": None}]
    assert [hashlib.sha256(message.payload).hexdigest() for message in again] == [
        hashlib.sha256(message.payload).hexdigest() for message in live[30:240]
    ]
    assert [message.topic for message in again] == [message.topic for message in live[30:240]]
    assert delivered == 250
