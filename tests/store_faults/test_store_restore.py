"""The anchor tells a store that went on from one that was set back (reliability.md, invariants 12 and 13)."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edge_agent.errors import StoreCorrupt, StoreError
from edge_agent.model.event import FIRST_PREVHASH, source_urn
from edge_agent.store.checkpoint import Checkpoint
from edge_agent.store.database import Database
from edge_agent.store.outbox import Outbox
from edge_agent.store.unit_of_work import UnitOfWork
from tests.store_faults.conftest import STREAMS
from tests.store_faults.outcomes import AGENT, NOON, SideFile, confirmed, counted, opened, render, tampering


@asynccontextmanager
async def store_at(path: Path) -> AsyncIterator[tuple[Database, Outbox]]:
    database = await opened(path)
    outbox = Outbox(database, STREAMS)
    await outbox.load()
    try:
        yield database, outbox
    finally:
        await database.close()


def anchor_of(path: Path) -> SideFile:
    return SideFile(path, ".anchor")


async def publish(database: Database, outbox: Outbox, first: int, *steps: int) -> None:
    """Commit, anchor, and have the broker acknowledge."""
    await UnitOfWork(database).commit(counted(first, *steps), render, NOON)
    await outbox.anchor()
    await outbox.mark({"routine": outbox.head("routine")})


@pytest.fixture
async def published(path: Path) -> str:
    """A store with three events and a handshake, published; returns its uuid."""
    async with store_at(path) as (database, outbox):
        await UnitOfWork(database).commit(confirmed(1), render, NOON)
        await publish(database, outbox, 0, 2, 3, 4)
        return database.store_uuid


def backup(path: Path) -> Path:
    """A copy of the database as it lies, closed; the side file stays where it is."""
    copy = path.with_name("backup")
    shutil.copy(path, copy)
    return copy


async def assert_restored(path: Path, former: str, why: str) -> None:
    async with store_at(path) as (database, _):
        assert database.restored is not None
        assert why in database.restored
        assert database.store_uuid != former
        for rule in (await Checkpoint(database).load()).rules.values():
            assert rule.signal is not None
            assert rule.signal.restored
        (event,) = await UnitOfWork(database).commit(counted(9, 1), render, NOON)
        assert (event.sequence, json.loads(event.payload)["prevhash"]) == (1, FIRST_PREVHASH)
        assert event.source == source_urn(AGENT, database.store_uuid, "routine")
        renewed = database.store_uuid
    async with store_at(path) as (database, _):
        assert (database.restored, database.store_uuid) == (None, renewed)


async def test_a_new_store_is_not_a_restored_one(path: Path) -> None:
    async with store_at(path) as (database, _):
        assert database.restored is None
        assert anchor_of(path).json()["store"] == database.store_uuid


async def test_commits_after_the_anchor_are_nothing_unusual(path: Path, published: str) -> None:
    async with store_at(path) as (database, _):
        await UnitOfWork(database).commit(counted(9, 1), render, NOON)
    async with store_at(path) as (database, outbox):
        assert (database.restored, database.store_uuid) == (None, published)
        assert (outbox.head("routine"), outbox.delivered("routine"), outbox.anchored("routine")) == (4, 3, 0)
        await outbox.anchor()
        assert outbox.anchored("routine") == 4


async def test_an_older_database_is_noticed(path: Path, published: str) -> None:
    old = backup(path)
    async with store_at(path) as (database, outbox):
        await publish(database, outbox, 9, 5)
    shutil.copy(old, path)

    await assert_restored(path, published, "event 4 of")


async def test_another_history_of_the_same_length_is_noticed(path: Path, published: str) -> None:
    old = backup(path)
    async with store_at(path) as (database, outbox):
        await publish(database, outbox, 9, 5)
    anchor = anchor_of(path).content()
    shutil.copy(old, path)
    anchor_of(path).write(anchor.replace(b'"routine"', b'"unknown"'))
    async with store_at(path) as (database, outbox):  # goes on as a new store: sequences of its own
        assert database.restored is not None
    shutil.copy(old, path)
    before_last = json.loads(anchor)
    before_last["heads"] = {s: [n, d] for s, (n, d) in before_last["heads"].items() if s != "routine"}
    anchor_of(path).write(json.dumps(before_last).encode())
    async with store_at(path) as (database, _):
        assert database.restored is None
        await UnitOfWork(database).commit(counted(9, 7), render, NOON)  # event 4, but not the one that was published
    anchor_of(path).write(anchor)

    await assert_restored(path, published, "is another one")


async def test_a_lost_database_beside_its_anchor_is_noticed(path: Path, published: str) -> None:
    SideFile(path).remove()
    async with store_at(path) as (database, _):
        assert database.restored is not None
        assert database.store_uuid != published


async def test_a_database_of_another_store_is_noticed(path: Path, published: str, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    async with store_at(other) as (database, outbox):
        await publish(database, outbox, 0, 1)
        foreign = database.store_uuid
    shutil.copy(other, path)

    await assert_restored(path, foreign, f"belongs to store {published}")


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda anchor: anchor.remove(), "anchor is missing"),
        (lambda anchor: anchor.write(b""), "Expecting value"),
        (lambda anchor: anchor.write(b"\x00\xff" * 50), ""),
        (lambda anchor: anchor.write(anchor.content()[:-20]), ""),
        (lambda anchor: anchor.write(b'{"store": 1}'), "is not an anchor"),
        (lambda anchor: anchor.write(b'{"store": "x", "heads": {"y": []}}'), "is not an anchor"),
        (lambda anchor: anchor.write(b"[" * 100_000), ""),
    ],
)
async def test_an_anchor_that_is_gone_or_spoilt_vouches_for_nothing(
    path: Path, published: str, spoil: Callable[[SideFile], None], why: str
) -> None:
    spoil(anchor_of(path))

    await assert_restored(path, published, why)


async def test_a_store_never_used_needs_no_anchor(path: Path) -> None:
    async with store_at(path) as (database, _):
        former = database.store_uuid
    anchor_of(path).remove()  # as a crash between the first commit and the first anchor leaves it

    async with store_at(path) as (database, _):
        assert (database.restored, database.store_uuid) == (None, former)


async def test_a_half_written_anchor_is_no_harm(path: Path, published: str) -> None:
    SideFile(path, ".anchor.new").write(b'{"sto')
    async with store_at(path) as (database, outbox):
        assert (database.restored, database.store_uuid) == (None, published)
        await outbox.anchor()
    assert not SideFile(path, ".anchor.new").exists()


async def test_the_restore_is_in_the_audit_log(path: Path, published: str) -> None:
    anchor_of(path).remove()
    async with store_at(path) as (database, _):
        renewed = database.store_uuid
    with tampering(path) as connection:
        rows = connection.execute("SELECT action, detail FROM audit ORDER BY sequence").fetchall()
    details = [(action, json.loads(detail)) for action, detail in rows]
    assert details[-1][0] == "store restored"
    assert (details[-1][1]["was"], details[-1][1]["store"]) == (published, renewed)


async def test_events_of_the_former_store_are_still_replayed_byte_for_byte(path: Path, published: str) -> None:
    source = source_urn(AGENT, published, "routine")
    async with store_at(path) as (database, outbox):
        before = (await outbox.replay(source, 1, 9, 9)).events
    anchor_of(path).remove()
    async with store_at(path) as (database, outbox):
        assert database.restored is not None
        found = await outbox.replay(source, 1, 9, 9)
    assert found.events == before
    assert [event.sequence for event in found.events] == [1, 2, 3]


async def test_what_the_former_store_had_not_delivered_is_drained_like_any_stream(path: Path, published: str) -> None:
    former = source_urn(AGENT, published, "routine")
    async with store_at(path) as (database, _):
        await UnitOfWork(database).commit(counted(9, 1, 1), render, NOON)
    anchor_of(path).remove()

    async with store_at(path) as (_, outbox):
        assert former in outbox.streams
        assert (outbox.source(former), outbox.head(former), outbox.delivered(former)) == (former, 5, 3)
        assert outbox.anchored(former) == 5
        assert [event.sequence for event in await outbox.unsent(former, 3, 9)] == [4, 5]
        await outbox.mark({former: 5})
    async with store_at(path) as (_, outbox):
        assert former not in outbox.streams


async def test_an_anchor_that_cannot_be_written_is_a_clear_error_and_vouches_for_nothing(
    path: Path, published: str
) -> None:
    async with store_at(path) as (database, outbox):
        await UnitOfWork(database).commit(counted(9, 1), render, NOON)
        SideFile(path, ".anchor.new").block()
        with pytest.raises(StoreError, match="nothing is published"):
            await outbox.anchor()
        assert outbox.anchored("routine") == 0
        SideFile(path, ".anchor.new").unblock()
        await outbox.anchor()
        assert outbox.anchored("routine") == 4


async def test_an_anchor_in_the_making_outlives_its_caller(path: Path, published: str) -> None:
    async with store_at(path) as (database, outbox):
        await UnitOfWork(database).commit(counted(9, 1), render, NOON)
        callers = [asyncio.create_task(outbox.anchor()) for _ in range(3)]
        await asyncio.sleep(0)
        for caller in callers[:2]:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
        assert outbox.anchored("routine") == 4
    heads = anchor_of(path).json()["heads"]
    assert heads["routine"][0] == 4


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM event WHERE sequence = 3",
        "DELETE FROM event WHERE sequence = 2",
        "UPDATE event SET payload = x'00' WHERE sequence = 2",
    ],
)
async def test_a_damaged_end_of_a_stream_is_noticed_at_open(path: Path, published: str, damage: str) -> None:
    with tampering(path) as connection:
        connection.execute(damage)

    with pytest.raises(StoreCorrupt, match="routine"):
        await opened(path)
