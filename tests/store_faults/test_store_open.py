"""Opening: one holder, the pragmas that make a commit durable, migrations, and what is refused."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from asyncio.subprocess import PIPE
from contextlib import closing
from pathlib import Path

import aiosqlite
import pytest

from edge_agent.errors import StoreCorrupt, StoreError, StoreLocked
from edge_agent.store.database import Database
from edge_agent.store.outbox import Outbox
from edge_agent.store.unit_of_work import UnitOfWork
from tests.store_faults.outcomes import MIB, NOON, SideFile, baseline, counted, opened, render

_HOLD = """
import fcntl, sys
held = open(sys.argv[1], "w")
fcntl.flock(held, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


async def test_a_second_open_is_refused_until_the_first_lets_go(path: Path) -> None:
    first = await opened(path)
    with pytest.raises(StoreLocked, match="held by another process"):
        await opened(path)
    await first.close()

    await (await opened(path)).close()


async def test_another_process_holds_the_store_as_long_as_it_lives(path: Path) -> None:
    lock = path.with_name(path.name + ".lock")
    holder = await asyncio.create_subprocess_exec(sys.executable, "-c", _HOLD, lock, stdin=PIPE, stdout=PIPE)
    try:
        assert holder.stdout is not None
        assert await holder.stdout.readline() == b"held\n"
        with pytest.raises(StoreLocked):
            await opened(path)
    finally:
        holder.kill()
        await holder.communicate()

    await (await opened(path)).close()


async def test_commits_are_durable_and_one_connection_writes(database: Database) -> None:
    async def work(connection: aiosqlite.Connection) -> dict[str, object]:
        found = {}
        for name in ("journal_mode", "synchronous", "locking_mode", "foreign_keys", "busy_timeout"):
            async with connection.execute(f"PRAGMA {name}") as cursor:
                row = await cursor.fetchone()
                found[name] = None if row is None else row[0]
        return found

    assert await database.transaction(work) == {
        "journal_mode": "wal",
        "synchronous": 2,  # FULL
        "locking_mode": "normal",
        "foreign_keys": 1,
        "busy_timeout": 5000,
    }


async def test_the_page_cap_follows_the_configured_size(path: Path) -> None:
    async def cap(connection: aiosqlite.Connection) -> int:
        async with connection.execute("PRAGMA max_page_count") as cursor:
            row = await cursor.fetchone()
            return 0 if row is None else int(row[0]) * 4096

    for size in (8 * MIB, 16 * MIB):
        store = await opened(path, max_size=size)
        assert await store.transaction(cap) == size
        await store.close()


async def test_a_store_goes_on_where_it_was_closed(path: Path) -> None:
    store = await opened(path)
    await UnitOfWork(store).commit(counted(0, 2, 3), render, NOON)
    await store.close()

    again = await opened(path)
    outbox = Outbox(again, ("routine",))
    await outbox.load()
    try:
        assert again.store_uuid == store.store_uuid
        assert again.restored is None
        assert outbox.head("routine") == 2
        assert await baseline(again) == 5
        assert [event.sequence for event in await UnitOfWork(again).commit(counted(5, 1), render, NOON)] == [3]
    finally:
        await again.close()


async def test_a_newer_schema_is_left_alone(path: Path) -> None:
    await (await opened(path)).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 999")
    before = SideFile(path).content()

    with pytest.raises(StoreError, match="newer version"):
        await opened(path)

    assert SideFile(path).content() == before


async def test_a_failed_migration_leaves_the_schema_before_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE gap (a)")  # the first migration stumbles over it, half way through

    with pytest.raises(StoreError, match="gap"):
        await opened(path)

    with closing(sqlite3.connect(path)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema")]
        assert tables == ["gap"]
        assert connection.execute("PRAGMA user_version").fetchone() == (0,)


@pytest.mark.parametrize("content", [b"not a database at all" * 500, b"SQLite format 3\x00" + b"\xff" * 8176])
async def test_a_file_that_is_no_database_is_called_damaged(path: Path, content: bytes) -> None:
    SideFile(path).write(content)

    with pytest.raises(StoreCorrupt, match="damaged"):
        await opened(path)

    assert SideFile(path).content() == content


async def test_a_store_in_a_missing_directory_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        await opened(tmp_path / "nowhere" / "edge-agent.db")
