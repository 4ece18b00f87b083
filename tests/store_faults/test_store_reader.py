"""The read-only view: beside a writing agent, without one, as another user, and never in its way."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from decimal import Decimal
from pathlib import Path

import pytest

from edge_agent.errors import ControlError, StoreError
from edge_agent.model.movement import Verdict
from edge_agent.model.outcome import Outcome
from edge_agent.store.database import Database
from edge_agent.store.ledger import Ledger
from edge_agent.store.outbox import Outbox
from edge_agent.store.reader import open_reader
from edge_agent.store.unit_of_work import UnitOfWork
from tests.store_faults.outcomes import (
    BOTTLES,
    NOON,
    RULE,
    SideFile,
    counted,
    decided,
    doubted,
    gap,
    opened,
    pending,
    render,
    review,
)


async def test_totals_and_pending_are_exact(path: Path, unit_of_work: UnitOfWork) -> None:
    await unit_of_work.commit(counted(0, 2, 3), render, NOON)
    await unit_of_work.commit(pending(5, 12), render, NOON)

    with open_reader(path) as reader:
        assert reader.totals() == {BOTTLES: Decimal(5)}
        assert reader.pending() == {BOTTLES: Decimal(7)}
        assert reader.imbalances() == []


async def test_a_growing_line_keeps_one_place_until_it_is_cut(path: Path, unit_of_work: UnitOfWork) -> None:
    for last in (4, 9, 12):
        await unit_of_work.commit(pending(0, last), render, NOON)
        with open_reader(path) as reader:
            assert reader.pending() == {BOTTLES: Decimal(last)}
            assert reader.imbalances() == []
    await unit_of_work.commit(counted(0, 12), render, NOON)
    with open_reader(path) as reader:
        assert (reader.pending(), reader.totals()) == ({}, {BOTTLES: Decimal(12)})


async def test_a_review_is_listed_until_it_is_decided(path: Path, unit_of_work: UnitOfWork) -> None:
    found = review()
    await unit_of_work.commit(doubted(found), render, NOON)
    with open_reader(path) as reader:
        (listed,) = reader.reviews()
        assert (listed["id"], listed["key"], listed["rule"], listed["status"]) == (found.id, BOTTLES, RULE, "open")
        assert [(c["candidate"], c["quantity"], c["order"]) for c in listed["candidates"]] == [
            (1, "20", "4711"),
            (2, "20", "4712"),
        ]
        assert reader.totals() == {}
        json.dumps(listed)

    await unit_of_work.commit(decided(found), render, NOON)
    with open_reader(path) as reader:
        assert reader.reviews() == []
        (closed,) = reader.reviews(everything=True)
        assert (closed["status"], closed["decided_by"], closed["candidate"]) == ("accepted", "Ada", 2)
        assert reader.totals() == {"produced/900001/4712/L3-OUT": Decimal(20)}


async def test_a_rejected_review_books_nothing_and_the_books_balance(path: Path, unit_of_work: UnitOfWork) -> None:
    await unit_of_work.commit(doubted(review()), render, NOON)
    await unit_of_work.commit(decided(review(), Verdict.REJECTED), render, NOON)
    with open_reader(path) as reader:
        assert (reader.totals(), reader.imbalances()) == ({}, [])
        assert reader.reviews(everything=True)[0]["status"] == "rejected"


async def test_a_decided_or_unknown_review_is_refused_by_name(database: Database, unit_of_work: UnitOfWork) -> None:
    ledger = Ledger(database)
    with pytest.raises(ControlError, match="there is no review"):
        await ledger.open_review("nothing")
    await unit_of_work.commit(doubted(review()), render, NOON)
    await unit_of_work.commit(decided(review()), render, NOON)
    with pytest.raises(ControlError, match="accepted already, by Ada"):
        await ledger.open_review(review().id)


async def test_gaps_are_listed_with_their_bounds(path: Path, unit_of_work: UnitOfWork) -> None:
    await unit_of_work.commit(Outcome(gaps=[gap()], changed=counted(0).changed), render, NOON)
    with open_reader(path) as reader:
        (listed,) = reader.gaps()
    assert (listed["key"], listed["min"], listed["max"], listed["cause"]) == (BOTTLES, "0", "12", "reset")


async def test_streams_tell_what_waits(path: Path, unit_of_work: UnitOfWork, outbox: Outbox) -> None:
    await unit_of_work.commit(counted(0, 1, 1, 1), render, NOON)
    await outbox.mark({"routine": 2})
    with open_reader(path) as reader:
        (routine,) = [one for one in reader.streams() if one["name"] == "routine"]
        assert reader.size()["used"] > 0
    assert (routine["head"], routine["delivered"], routine["waiting"]) == (3, 2, 1)
    assert routine["oldest_waiting"].startswith("2026-03-04T12:00:00")


@pytest.mark.parametrize(
    "damage",
    [
        f"UPDATE epoch SET last_raw = last_raw + 1 WHERE rule = '{RULE}'",
        "UPDATE epoch SET wraps = 1",
        "UPDATE epoch SET epoch = 2",
        "DELETE FROM epoch",
        "UPDATE line SET to_position = to_position + 1 WHERE from_position = 0",
        "DELETE FROM line WHERE from_position = 2",
        "UPDATE line SET epoch = 9 WHERE from_position = 0",
    ],
)
async def test_the_identity_finds_every_planted_imbalance(
    path: Path, database: Database, unit_of_work: UnitOfWork, damage: str
) -> None:
    await unit_of_work.commit(counted(0, 2, 3), render, NOON)
    assert await Ledger(database).identity() == []

    connection = sqlite3.connect(path)
    with connection:
        connection.execute(damage)
    connection.close()

    assert await Ledger(database).identity() != []
    with open_reader(path) as reader:
        assert {found.rule for found in reader.imbalances()} == {RULE}


async def test_it_reads_whole_commits_while_the_agent_writes(path: Path, unit_of_work: UnitOfWork) -> None:
    done = asyncio.Event()

    async def write() -> None:
        for number in range(150):
            await unit_of_work.commit(counted(2 * number, 2), render, NOON)
        done.set()

    def look() -> Decimal:
        with open_reader(path) as reader:
            assert reader.imbalances() == []
            return reader.totals().get(BOTTLES, Decimal(0))

    writer = asyncio.create_task(write())
    seen = [Decimal(0)]
    while not done.is_set():
        seen.append(await asyncio.to_thread(look))
    await writer
    assert seen == sorted(seen)
    assert all(total % 2 == 0 for total in seen)
    assert look() == 300


async def test_with_the_agent_down_it_reads_and_leaves_nothing_behind(path: Path) -> None:
    store = await opened(path)
    await UnitOfWork(store).commit(counted(0, 5), render, NOON)
    await store.close()
    before = SideFile(path).neighbours()

    with open_reader(path) as reader:
        assert reader.totals() == {BOTTLES: Decimal(5)}
        # Files made here would belong to whoever reads, and stop the agent from writing.
        assert SideFile(path).neighbours() == before


async def test_a_store_that_is_not_there_is_a_clear_error(path: Path) -> None:
    with pytest.raises(StoreError, match="no store at"), open_reader(path):
        pytest.fail("there is nothing to read")
    assert SideFile(path).neighbours() == []
