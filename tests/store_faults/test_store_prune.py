"""Pruning takes only what was delivered and is past its window; sooner only when the store runs full (invariant 7)."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import timedelta
from pathlib import Path

import aiosqlite
import pytest

from edge_agent.clock import ManualClock
from edge_agent.errors import StoreError, StoreFull
from edge_agent.store.database import Database
from edge_agent.store.outbox import Outbox
from edge_agent.store.prune import Pruner
from edge_agent.store.unit_of_work import UnitOfWork
from tests.store_faults.conftest import STREAMS
from tests.store_faults.outcomes import MIB, NOON, RULE, booked, counted, filled, opened, render

DAY = timedelta(days=1)
KEEP = 8 * DAY


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def pruner(database: Database, clock: ManualClock) -> Pruner:
    return Pruner(database, KEEP, clock)


async def sequences(outbox: Outbox, stream: str = "routine") -> list[int]:
    found = await outbox.replay(outbox.source(stream), 1, 10_000, 10_000)
    return [event.sequence for event in found.events]


async def test_only_what_was_delivered_a_whole_window_ago_goes(
    unit_of_work: UnitOfWork, outbox: Outbox, pruner: Pruner, clock: ManualClock
) -> None:
    await unit_of_work.commit(counted(0, 1, 1, 1), render, NOON)
    clock.advance(100 * DAY)  # the broker is away: age alone prunes nothing
    assert await pruner.prune() == 0
    await outbox.mark({"routine": 2})
    assert await pruner.prune() == 0  # delivered this moment: receivers may still ask for it
    clock.advance(KEEP - DAY)
    assert await pruner.prune() == 0
    clock.advance(DAY)
    assert await pruner.prune() == 2
    assert await sequences(outbox) == [3]
    clock.advance(100 * DAY)
    assert await pruner.prune() == 0
    assert await sequences(outbox) == [3]


async def test_each_delivery_has_its_own_window(
    unit_of_work: UnitOfWork, outbox: Outbox, pruner: Pruner, clock: ManualClock
) -> None:
    await unit_of_work.commit(counted(0, *[1] * 6), render, NOON)
    for sequence in (2, 4, 6):
        await outbox.mark({"routine": sequence})
        assert await pruner.prune() == 0
        clock.advance(2 * DAY)
    clock.advance(2 * DAY)
    assert await pruner.prune() == 2
    clock.advance(2 * DAY)
    assert await pruner.prune() == 2
    assert await sequences(outbox) == [5, 6]


async def test_a_store_pruned_bare_opens_and_goes_on(path: Path, clock: ManualClock) -> None:
    store = await opened(path)
    outbox = Outbox(store, STREAMS)
    await outbox.load()
    await UnitOfWork(store).commit(counted(0, 1, 1), render, NOON)
    await outbox.anchor()
    await outbox.mark({"routine": 2})
    assert await Pruner(store, timedelta(0), clock).prune() == 2
    await store.close()

    again = await opened(path)
    try:
        assert again.restored is None
        (event,) = await UnitOfWork(again).commit(counted(2, 1), render, NOON)
        assert event.sequence == 3
    finally:
        await again.close()


async def test_more_than_a_batch_goes_in_bounded_transactions(
    unit_of_work: UnitOfWork, outbox: Outbox, database: Database, clock: ManualClock
) -> None:
    for first in range(0, 4500, 500):
        await unit_of_work.commit(counted(first, *[1] * 500), render, NOON)
    await outbox.mark({"routine": 4400})

    assert await Pruner(database, timedelta(0), clock).prune() == 4400
    assert await sequences(outbox) == list(range(4401, 4501))


async def test_a_full_store_gives_up_what_is_delivered_and_nothing_else(path: Path, clock: ManualClock) -> None:
    store = await opened(path, max_size=MIB)
    outbox = Outbox(store, STREAMS)
    await outbox.load()
    pruner = Pruner(store, KEEP, clock)
    try:
        stands = await filled(store)
        assert await pruner.prune() == 0  # nothing of it is delivered
        assert booked(await outbox.unsent("bulk", 0, 100_000)) == stands
        with pytest.raises(StoreFull):
            await UnitOfWork(store).commit(counted(stands, *[1] * 50), render, NOON)

        await outbox.mark({"bulk": stands})  # the broker is back: marking works in a full store
        gone = await pruner.prune()

        assert 0 < gone < stands  # the oldest, until the store is no longer full
        assert (await outbox.unsent("bulk", gone, 1))[0].sequence == gone + 1
        assert await sequences(outbox, "bulk") == list(range(gone + 1, stands + 1))
        await UnitOfWork(store).commit(counted(stands, 1), render, NOON)
    finally:
        await store.close()


async def test_a_full_store_gives_up_the_oldest_commits_of_all_streams_first(path: Path, clock: ManualClock) -> None:
    store = await opened(path, max_size=MIB)
    outbox = Outbox(store, STREAMS)
    await outbox.load()
    try:
        await UnitOfWork(store).commit(counted(0, *[1] * 20, stream="critical", rule="old"), render, NOON)
        stands = await filled(store)
        await outbox.mark({"bulk": stands, "critical": 20})

        await Pruner(store, KEEP, clock).prune()

        assert await sequences(outbox, "critical") == []
        assert await sequences(outbox, "bulk") != []
    finally:
        await store.close()


async def test_the_pruner_is_woken_when_the_store_is_full(path: Path, clock: ManualClock) -> None:
    store = await opened(path, max_size=MIB)
    outbox = Outbox(store, STREAMS)
    await outbox.load()
    running = asyncio.create_task(Pruner(store, KEEP, clock, period=3600).run())
    try:
        await asyncio.sleep(0)
        stands = await filled(store)
        await outbox.mark({"bulk": stands})
        for _ in range(200):  # what a pipeline does: try again until there is room
            try:
                await UnitOfWork(store).commit(counted(stands, *[1] * 50), render, NOON)
                break
            except StoreFull:
                await asyncio.sleep(0.01)
        else:
            pytest.fail("no room was made")
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await store.close()


_FORBIDDEN = [
    ("UPDATE event SET payload = x'00'", "never changed"),
    ("UPDATE event SET sequence = 9", "never changed"),
    ("DELETE FROM event", "only deleted by pruning"),
    ("INSERT INTO pruned (stream, to_sequence, head_hash, at) VALUES (2, 3, '', '')", "only what was delivered"),
    ("UPDATE delivery SET delivered = 1 WHERE stream = 2", "only moves on"),
    ("UPDATE delivery SET delivered = 4 WHERE stream = 2", "only moves on"),
    ("UPDATE audit SET who = 'nobody'", "append-only"),
    ("DELETE FROM audit", "append-only"),
]


@pytest.mark.parametrize(("sql", "why"), _FORBIDDEN)
async def test_nothing_else_touches_events_cursors_or_the_audit_log(
    database: Database, unit_of_work: UnitOfWork, outbox: Outbox, sql: str, why: str
) -> None:
    await unit_of_work.commit(counted(0, 1, 1, 1), render, NOON)
    await outbox.mark({"routine": 2})

    async def work(connection: aiosqlite.Connection) -> None:
        await connection.execute(sql)

    with pytest.raises(StoreError, match=why) as refused:
        await database.transaction(work)
    assert isinstance(refused.value.__cause__, sqlite3.IntegrityError)
    assert await sequences(outbox) == [1, 2, 3]


async def test_what_was_pruned_stays_known(
    database: Database, unit_of_work: UnitOfWork, outbox: Outbox, clock: ManualClock
) -> None:
    await unit_of_work.commit(counted(0, 1, 1, 1), render, NOON)
    await outbox.mark({"routine": 2})
    await Pruner(database, timedelta(0), clock).prune()
    for sql in ("DELETE FROM pruned", "UPDATE pruned SET to_sequence = 1", "DELETE FROM event"):

        async def work(connection: aiosqlite.Connection, sql: str = sql) -> None:
            await connection.execute(sql)

        with pytest.raises(StoreError):
            await database.transaction(work)
    assert await sequences(outbox) == [3]


async def test_the_ledger_outlives_the_events(
    database: Database, unit_of_work: UnitOfWork, outbox: Outbox, clock: ManualClock
) -> None:
    await unit_of_work.commit(counted(0, 2, 3), render, NOON)
    await outbox.mark({"routine": 2})
    await Pruner(database, timedelta(0), clock).prune()

    async def lines(connection: aiosqlite.Connection) -> list[tuple[str, int, int]]:
        async with connection.execute("SELECT rule, from_position, to_position FROM line") as cursor:
            return [(row[0], row[1], row[2]) for row in await cursor.fetchall()]

    assert await database.transaction(lines) == [(RULE, 0, 2), (RULE, 2, 5)]
