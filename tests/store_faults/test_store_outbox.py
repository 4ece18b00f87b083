"""Cursors, notification and replay: what the relay and the commands build on."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta
from pathlib import Path

import pytest

from edge_agent.clock import ManualClock
from edge_agent.errors import StoreError
from edge_agent.store.database import Database
from edge_agent.store.outbox import Outbox
from edge_agent.store.prune import Pruner
from edge_agent.store.unit_of_work import UnitOfWork
from tests.store_faults.conftest import STREAMS
from tests.store_faults.outcomes import NOON, counted, opened, render


async def test_unsent_events_come_in_order_and_bounded(unit_of_work: UnitOfWork, outbox: Outbox) -> None:
    stored = await unit_of_work.commit(counted(0, *[1] * 10), render, NOON)

    assert await outbox.unsent("routine", 0, 4) == stored[:4]
    assert await outbox.unsent("routine", 4, 100) == stored[4:]
    assert await outbox.unsent("routine", 10, 100) == []
    assert await outbox.unsent("critical", 0, 100) == []


async def test_a_cursor_never_goes_back_nor_past_the_head(unit_of_work: UnitOfWork, outbox: Outbox, path: Path) -> None:
    await unit_of_work.commit(counted(0, *[1] * 5), render, NOON)
    await outbox.mark({"routine": 3})
    await outbox.mark({"routine": 2})
    assert outbox.delivered("routine") == 3
    with pytest.raises(StoreError, match="only moves on"):
        await outbox.mark({"routine": 6})
    assert outbox.delivered("routine") == 3


async def test_marks_of_several_streams_are_one_transaction(
    unit_of_work: UnitOfWork, outbox: Outbox, path: Path
) -> None:
    await unit_of_work.commit(counted(0, 1, 1), render, NOON)
    await unit_of_work.commit(counted(0, 1, stream="critical", rule="other"), render, NOON)
    with pytest.raises(StoreError):
        await outbox.mark({"critical": 1, "routine": 9})
    assert (outbox.delivered("critical"), outbox.delivered("routine")) == (0, 0)
    await outbox.mark({"critical": 1, "routine": 2})
    assert (outbox.delivered("critical"), outbox.delivered("routine")) == (1, 2)


async def test_cursors_survive(path: Path) -> None:
    for expected in (0, 1, 2):
        store = await opened(path)
        outbox = Outbox(store, STREAMS)
        await outbox.load()
        assert (outbox.head("routine"), outbox.delivered("routine")) == (expected, expected)
        await UnitOfWork(store).commit(counted(expected, 1), render, NOON)
        await outbox.mark({"routine": expected + 1})
        await store.close()


async def test_marks_between_commits_do_not_disturb_each_other(unit_of_work: UnitOfWork, outbox: Outbox) -> None:
    for number in range(1, 30):
        commit = unit_of_work.commit(counted(number - 1, 1), render, NOON)
        await asyncio.gather(commit, outbox.mark({"routine": number - 1}))
    reloaded = outbox
    await reloaded.load()
    assert (reloaded.head("routine"), reloaded.delivered("routine")) == (29, 28)


async def test_a_commit_wakes_who_waits(unit_of_work: UnitOfWork, outbox: Outbox) -> None:
    await outbox.wait()  # the news of loading
    waiting = asyncio.create_task(outbox.wait())
    await asyncio.sleep(0)
    assert not waiting.done()

    await unit_of_work.commit(counted(0, 1), render, NOON)

    async with asyncio.timeout(10):
        await waiting
    assert outbox.head("routine") == 1


async def test_the_oldest_undelivered_event_says_since_when(unit_of_work: UnitOfWork, outbox: Outbox) -> None:
    assert await outbox.oldest_undelivered("routine") is None
    for minute in range(3):
        await unit_of_work.commit(counted(minute, 1), render, NOON + timedelta(minutes=minute))
    await outbox.mark({"routine": 1})
    assert await outbox.oldest_undelivered("routine") == NOON + timedelta(minutes=1)
    await outbox.mark({"routine": 3})
    assert await outbox.oldest_undelivered("routine") is None


async def test_a_replay_gives_the_bytes_that_were_stored(unit_of_work: UnitOfWork, outbox: Outbox, path: Path) -> None:
    stored = await unit_of_work.commit(counted(0, *[1] * 10), render, NOON)
    hashes = [hashlib.sha256(event.payload).hexdigest() for event in stored]

    found = await outbox.replay(outbox.source("routine"), 3, 6, 100)

    assert [hashlib.sha256(event.payload).hexdigest() for event in found.events] == hashes[2:6]
    assert list(found.events) == stored[2:6]


async def test_a_replay_gives_what_is_there(database: Database, unit_of_work: UnitOfWork, outbox: Outbox) -> None:
    await unit_of_work.commit(counted(0, *[1] * 10), render, NOON)
    await outbox.mark({"routine": 4})
    await Pruner(database, timedelta(0), ManualClock(NOON)).prune()

    async def replayed(source: str, first: int, last: int, limit: int = 100) -> list[int]:
        return [event.sequence for event in (await outbox.replay(source, first, last, limit)).events]

    source = outbox.source("routine")
    assert await replayed(source, 1, 100) == [5, 6, 7, 8, 9, 10]
    assert await replayed(source, 1, 4) == []
    assert await replayed(source, 11, 2**62) == []
    assert await replayed(source, 1, 100, limit=2) == [5, 6]
    assert await replayed("urn:edgeagent:other:0:routine", 1, 100) == []
