"""One transaction holds everything or nothing, whoever is cancelled, whatever fails (reliability.md, invariant 1)."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path

import aiosqlite
import pytest

from edge_agent.errors import NaturalKeyTaken, StoreError
from edge_agent.model.event import FIRST_PREVHASH, EventDraft, Place, Rendered
from edge_agent.model.movement import Verdict
from edge_agent.model.outcome import EpochMark, Outcome
from edge_agent.store.database import Database
from edge_agent.store.ledger import Ledger
from edge_agent.store.outbox import Outbox
from edge_agent.store.unit_of_work import UnitOfWork
from tests.store_faults.outcomes import (
    MIB,
    NOON,
    RULE,
    baseline,
    booked,
    confirmed,
    counted,
    decided,
    doubted,
    filled,
    opened,
    render,
    review,
)


async def test_events_of_a_stream_are_numbered_and_chained(unit_of_work: UnitOfWork, outbox: Outbox) -> None:
    first = await unit_of_work.commit(counted(0, 3, 4), render, NOON)
    second = await unit_of_work.commit(counted(7, 5), render, NOON)
    other = await unit_of_work.commit(counted(0, 1, stream="critical", rule="other"), render, NOON)

    events = [*first, *second]
    assert [event.sequence for event in events] == [1, 2, 3]
    chain = [json.loads(event.payload)["prevhash"] for event in events]
    assert chain == [FIRST_PREVHASH, *(hashlib.sha256(event.payload).hexdigest() for event in events[:-1])]
    assert [event.sequence for event in other] == [1]
    assert json.loads(other[0].payload)["prevhash"] == FIRST_PREVHASH
    assert await outbox.unsent("routine", 0, 10) == events


async def test_an_outcome_without_content_costs_no_transaction(database: Database) -> None:
    passed: list[str] = []
    assert await UnitOfWork(database, passed.append).commit(Outcome(), render, NOON) == []
    assert passed == []


async def test_a_probe_is_passed_on_both_sides_of_the_commit(database: Database) -> None:
    passed: list[str] = []

    await UnitOfWork(database, passed.append).commit(counted(0, 1), render, NOON)

    assert passed == ["before-commit", "after-commit"]


async def test_a_taken_natural_key_leaves_nothing_behind(unit_of_work: UnitOfWork, outbox: Outbox) -> None:
    await unit_of_work.commit(confirmed(1), render, NOON)
    again = confirmed(2)
    again.natural_keys = confirmed(1).natural_keys

    with pytest.raises(NaturalKeyTaken) as taken:
        await unit_of_work.commit(again, render, NOON)

    assert taken.value.rule == "pallet_out"
    assert outbox.head("critical") == 1
    assert len(await outbox.unsent("critical", 0, 10)) == 1
    assert [e.sequence for e in await unit_of_work.commit(confirmed(2), render, NOON)] == [2]


async def test_an_error_of_the_renderer_reaches_the_caller_and_harms_nobody_else(
    database: Database, unit_of_work: UnitOfWork
) -> None:
    def broken(_draft: EventDraft, _place: Place) -> Rendered:
        raise LookupError("no such unit")

    with pytest.raises(LookupError, match="no such unit"):
        await unit_of_work.commit(counted(0, 5), broken, NOON)

    assert await baseline(database) == 0
    assert [e.sequence for e in await unit_of_work.commit(counted(0, 5), render, NOON)] == [1]


async def test_a_cancelled_caller_does_not_cancel_its_transaction(database: Database) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def work(connection: aiosqlite.Connection) -> None:
        await connection.execute("INSERT INTO meta (name, value) VALUES ('cancelled', 'no')")
        begun.set()
        await go_on.wait()

    caller = asyncio.create_task(database.transaction(work))
    await begun.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    go_on.set()

    async def read(connection: aiosqlite.Connection) -> list[str]:
        async with connection.execute("SELECT value FROM meta WHERE name = 'cancelled'") as cursor:
            return [row[0] for row in await cursor.fetchall()]

    assert await database.transaction(read) == ["no"]


@pytest.mark.parametrize("patience", range(12))
async def test_a_commit_whose_caller_went_is_whole_and_the_next_one_follows_it(
    database: Database, unit_of_work: UnitOfWork, outbox: Outbox, patience: int
) -> None:
    caller = asyncio.create_task(unit_of_work.commit(counted(0, 2, 3), render, NOON))
    for _ in range(patience):
        await asyncio.sleep(0)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)

    stands = await baseline(database)
    assert stands in {0, 5}
    assert booked(await outbox.unsent("routine", 0, 10)) == stands
    await unit_of_work.commit(counted(stands, 7), render, NOON)
    events = await outbox.unsent("routine", 0, 10)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert booked(events) == stands + 7 == await baseline(database)


async def test_what_is_asked_of_a_closed_store_is_refused(database: Database, unit_of_work: UnitOfWork) -> None:
    await database.close()

    with pytest.raises(StoreError, match="closed"):
        await unit_of_work.commit(counted(0, 1), render, NOON)


async def test_closing_waits_for_what_was_handed_over(database: Database, unit_of_work: UnitOfWork) -> None:
    commit = asyncio.create_task(unit_of_work.commit(counted(0, 5), render, NOON))
    await asyncio.sleep(0)
    await database.close()

    assert [event.sequence for event in await commit] == [1]


async def test_a_review_is_decided_once_and_causes_its_event(
    database: Database, unit_of_work: UnitOfWork, outbox: Outbox
) -> None:
    found = review()
    (announced,) = await unit_of_work.commit(doubted(found), render, NOON)
    assert await Ledger(database).open_review(found.id) == found

    (event,) = await unit_of_work.commit(decided(found), render, NOON)

    assert json.loads(event.payload)["causation"] == announced.id
    for verdict in Verdict:
        with pytest.raises(StoreError, match="not open any more: accepted by Ada"):
            await unit_of_work.commit(decided(found, verdict), render, NOON)
    assert outbox.head("routine") == 1
    assert await Ledger(database).identity() == []


async def test_a_review_that_nobody_opened_cannot_be_decided(unit_of_work: UnitOfWork) -> None:
    with pytest.raises(StoreError, match="not in the store"):
        await unit_of_work.commit(decided(review(), Verdict.REJECTED), render, NOON)


async def test_a_uint64_counter_is_kept_exactly(database: Database, unit_of_work: UnitOfWork) -> None:
    top = 2**64
    outcome = counted(top - 10, 9)
    outcome.epochs[RULE, 1] = EpochMark(RULE, 1, top - 10, top - 1, 0, top)
    await unit_of_work.commit(outcome, render, NOON)
    assert await Ledger(database).identity() == []

    wrapped = counted(top - 1, 11)
    wrapped.epochs[RULE, 1] = EpochMark(RULE, 1, top - 10, 10, 1, top)
    await unit_of_work.commit(wrapped, render, NOON)
    assert await Ledger(database).identity() == []

    wrapped.epochs[RULE, 1] = EpochMark(RULE, 1, top - 10, 11, 1, top)
    await unit_of_work.commit(wrapped, render, NOON)
    (wrong,) = await Ledger(database).identity()
    assert (wrong.ran, wrong.accounted) == (21, 20)


async def test_a_full_store_refuses_whole_outcomes(path: Path) -> None:
    store = await opened(path, max_size=MIB)
    try:
        stands = await filled(store)
        assert stands > 0
        assert await baseline(store) == stands
        assert store.full.is_set()
    finally:
        await store.close()
