"""One transaction: all of an outcome or nothing, with its place in the chain; one writer that nobody cancels."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import aiosqlite
import pytest

from edge_agent.errors import NaturalKeyTaken, StoreError, StoreLocked
from edge_agent.model.event import FIRST_PREVHASH, EventDraft
from edge_agent.model.movement import Decision, EventType, Verdict
from edge_agent.model.outcome import Outcome
from edge_agent.store.checkpoint import Checkpoint
from edge_agent.store.database import Database
from edge_agent.store.ledger import Ledger
from edge_agent.store.outbox import Outbox
from edge_agent.store.reader import open_reader
from edge_agent.store.unit_of_work import UnitOfWork
from tests.store.outcomes import AT, RULE, booked, confirmed, counter, doubtful, line, render

Opener = Callable[[], Awaitable[Database]]


async def test_events_are_chained_per_stream_from_one(opened: Opener) -> None:
    work = UnitOfWork(await opened())
    first = await work.commit(booked(0, 3), render, AT)
    second = await work.commit(booked(3, 5), render, AT)
    other = await work.commit(booked(5, 6, "critical"), render, AT)
    assert [event.sequence for event in (*first, *second, *other)] == [1, 2, 1]
    assert FIRST_PREVHASH.encode() in first[0].payload
    assert hashlib.sha256(first[0].payload).hexdigest().encode() in second[0].payload
    assert FIRST_PREVHASH.encode() in other[0].payload


async def test_sequences_go_on_after_reopening(opened: Opener) -> None:
    database = await opened()
    first = await UnitOfWork(database).commit(booked(0, 3), render, AT)
    await database.close()
    second = await UnitOfWork(await opened()).commit(booked(3, 5), render, AT)
    assert second[0].source == first[0].source
    assert second[0].sequence == 2
    assert hashlib.sha256(first[0].payload).hexdigest().encode() in second[0].payload


async def test_an_outcome_that_says_nothing_costs_no_transaction(opened: Opener) -> None:
    points: list[str] = []
    work = UnitOfWork(await opened(), points.append)
    assert await work.commit(Outcome(), render, AT) == []
    assert points == []


async def test_a_taken_natural_key_leaves_nothing_behind(opened: Opener) -> None:
    database = await opened()
    work = UnitOfWork(database)
    await work.commit(confirmed(1), render, AT)
    with pytest.raises(NaturalKeyTaken) as raised:
        await work.commit(replace(confirmed(1), changed=booked(0, 99).changed), render, AT)
    assert (raised.value.rule, raised.value.key) == ("pallet_out", "pallet_out/1/1")
    state = await Checkpoint(database).load()
    assert RULE not in state.rules
    assert (await work.commit(confirmed(2), render, AT))[0].sequence == 2


@pytest.mark.parametrize("error", [ValueError("cannot be carried"), KeyError("900001"), StoreError("no")])
async def test_whatever_fails_inside_rolls_all_back_and_the_writer_lives_on(opened: Opener, error: Exception) -> None:
    database = await opened()
    work = UnitOfWork(database)

    def failing(draft: EventDraft, place: object) -> object:
        raise error

    with pytest.raises(type(error)):
        await work.commit(booked(0, 3), failing, AT)  # type: ignore[arg-type]  # fails before it renders
    assert (await Checkpoint(database).load()).rules == {}
    assert (await work.commit(booked(0, 3), render, AT))[0].sequence == 1


async def test_a_cancelled_caller_does_not_cancel_the_transaction(opened: Opener) -> None:
    """And does not leave one open: a cancelled commit of the library's own did commit."""
    database = await opened()
    begun = asyncio.Event()
    go_on = asyncio.Event()

    async def slow(connection: aiosqlite.Connection) -> None:
        await connection.execute("INSERT INTO meta (name, value) VALUES ('slow', 'done')")
        begun.set()
        await go_on.wait()

    caller = asyncio.create_task(database.transaction(slow))
    await begun.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    go_on.set()

    async def read(connection: aiosqlite.Connection) -> object:
        async with connection.execute("SELECT value FROM meta WHERE name = 'slow'") as cursor:
            return await cursor.fetchone()

    assert await database.transaction(read) == ("done",)


async def test_a_second_opening_is_refused_until_the_first_lets_go(opened: Opener) -> None:
    database = await opened()
    with pytest.raises(StoreLocked, match="held by another process"):
        await opened()
    await database.close()
    assert (await opened()).store_uuid == database.store_uuid


async def test_pragmas_are_what_durability_needs(opened: Opener) -> None:
    database = await opened()
    found = {}
    for name in ("journal_mode", "synchronous", "locking_mode", "foreign_keys"):
        async with database._connection.execute(f"PRAGMA {name}") as cursor:
            row = await cursor.fetchone()
            assert row is not None
            found[name] = row[0]
    assert found == {"journal_mode": "wal", "synchronous": 2, "locking_mode": "normal", "foreign_keys": 1}


async def test_a_newer_store_is_not_touched(opened: Opener, path: Path) -> None:
    database = await opened()
    await database.close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match="newer version"):
        await opened()


async def test_a_full_store_says_so_and_goes_on_when_there_is_room(opened: Opener) -> None:
    database = await opened()
    work = UnitOfWork(database)
    await work.commit(booked(0, 1), render, AT)
    async with database._connection.execute("PRAGMA page_count") as cursor:
        row = await cursor.fetchone()
    assert row is not None
    await database._connection.execute(f"PRAGMA max_page_count = {row[0]}")

    def large(draft: EventDraft, place: object) -> object:
        return replace(render(draft, place), payload=b"x" * 500_000)  # type: ignore[arg-type]  # passed on

    with pytest.raises(StoreError, match="full"):
        await work.commit(booked(1, 2), large, AT)  # type: ignore[arg-type]  # a renderer all the same
    await database._connection.execute("PRAGMA max_page_count = 100000")
    assert (await work.commit(booked(1, 2), large, AT))[0].sequence == 2  # type: ignore[arg-type]  # as above


async def test_a_review_is_announced_decided_once_and_named_as_the_cause(opened: Opener, path: Path) -> None:
    database = await opened()
    work = UnitOfWork(database)
    opening, _ = await work.commit(doubtful("bottles_made/1/1"), render, AT)
    review = await Ledger(database).open_review("bottles_made/1/1")
    decision = Decision(review, Verdict.ACCEPTED, 2, "A. Kern", "seen", AT)
    outcome = Outcome(decisions=[decision])
    outcome.events.append(EventDraft(EventType.PRODUCED, "routine", AT, (line(3, 3),), about=decision))
    (event,) = await work.commit(outcome, render, AT)
    assert opening.id.encode() in event.payload
    with pytest.raises(StoreError, match="not open any more"):
        await work.commit(outcome, render, AT)
    with open_reader(path) as reader:
        assert reader.reviews() == []
        (closed,) = reader.reviews(everything=True)
        (gap,) = reader.gaps()
    assert (closed["status"], closed["candidate"], closed["decided_by"]) == ("accepted", 2, "A. Kern")
    assert (gap["min"], gap["max"], gap["seen"]) == ("0", "9", "2")


async def test_the_identity_finds_a_planted_imbalance(opened: Opener, path: Path) -> None:
    database = await opened()
    work = UnitOfWork(database)
    await work.commit(booked(0, 3), render, AT)
    await work.commit(booked(3, 5), render, AT)
    assert await Ledger(database).identity() == []
    lost = booked(5, 8)
    lost.lines.clear()
    await work.commit(lost, render, AT)
    (found,) = await Ledger(database).identity()
    assert (found.rule, found.epoch, found.ran, found.accounted) == (RULE, 1, 8, 5)
    with open_reader(path) as reader:
        assert reader.imbalances() == [found]


async def test_readers_see_whole_transactions_while_the_writer_writes(opened: Opener, path: Path) -> None:
    database = await opened()
    outbox, work = Outbox(database, ("routine",)), UnitOfWork(database)
    await outbox.load()
    for number in range(1, 40):
        await work.commit(booked(number - 1, number), render, AT)
        with open_reader(path) as reader:
            (stream,) = reader.streams()
            assert stream["head"] == number
            assert reader.totals() == {"produced/900001/A1/L3-OUT": number}
            assert stream["waiting"] == number
    assert counter(3).last_raw == 3
