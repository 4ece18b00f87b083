"""The database: one process holds it, one task writes it.

WAL with `synchronous=FULL`, asserted at every open: a commit that has returned survives a power cut. Transactions run
in a writer task of their own that is never cancelled inside one: a cancelled caller does not cancel its transaction.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite

from edge_agent.errors import StoreCorrupt, StoreError, StoreFull, StoreLocked
from edge_agent.model.event import FIRST_PREVHASH
from edge_agent.store.anchor import Anchor
from edge_agent.store.connection import Connection
from edge_agent.store.rows import lenient_text

T = TypeVar("T")
Work = Callable[[Connection], Awaitable[T]]

_PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "locking_mode": "normal", "foreign_keys": 1}
_BUSY_MILLISECONDS = 5_000
_SMALLEST_PAGES = 256


class Database:
    """The open database. Use `open`, and `close` when done."""

    def __init__(self, path: Path, agent: str, lock: int, connection: Connection) -> None:
        self.path = path
        self.agent = agent
        self.anchor = Anchor(path.with_name(path.name + ".anchor"))
        self.store_uuid = ""
        self.restored: str | None = None
        self._lock = lock
        self._connection = connection
        self._waiting: asyncio.Queue[tuple[Work[Any], asyncio.Future[Any]] | None] = asyncio.Queue()
        self._writer = asyncio.create_task(self._write(), name="store writer")
        self._closed = False
        self._chores: set[asyncio.Task[Any]] = set()
        self.full = asyncio.Event()
        """Set when SQLite found no room; whoever makes room clears it."""
        self._heads: dict[str, tuple[int, str]] = {}
        self._news = asyncio.Event()

    @classmethod
    async def open(cls, path: Path, *, agent: str, max_size: int) -> Database:
        """Open or create the file at `path`, at most `max_size` bytes large. `restore.open_store` calls this.

        Raises:
            StoreLocked: another process holds it.
            StoreCorrupt: it is damaged.
            StoreError: it cannot be used as asked.
        """
        lock = _lock(path)
        try:
            connection = Connection(partial(sqlite3.connect, path, isolation_level=None), iter_chunk_size=64)
            await connection
            connection.text_factory = lenient_text
            try:
                await _prepare(connection, path, max_size)
            except BaseException:
                await connection.close()
                raise
        except BaseException as error:
            os.close(lock)
            if isinstance(error, sqlite3.Error | UnicodeDecodeError):
                raise _as_store_error(path, error) from error
            raise
        return cls(path, agent, lock, connection)

    async def transaction(self, work: Work[T]) -> T:
        """Run `work` between BEGIN IMMEDIATE and COMMIT; what it raises rolls back and is raised here.

        Raises:
            StoreError: SQLite refuses, for instance because the disk or the page cap is full.
        """
        if self._closed:
            raise StoreError(f"{self.path} is closed")
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((work, done))
        return await asyncio.shield(done)

    async def uncancelled(self, chore: Coroutine[Any, Any, T]) -> T:
        """Run `chore` to its end whatever happens to the caller; `close` waits for it."""
        task = asyncio.create_task(chore)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)
        return await asyncio.shield(task)

    def announce(self, heads: dict[str, tuple[int, str]]) -> None:
        """Tell who waits for events that streams have new heads: sequence, and SHA-256 of the event's bytes."""
        self._heads.update(heads)
        self._news.set()

    def head(self, stream: str) -> int:
        """The highest committed sequence of a stream of the present uuid."""
        return self.newest(stream)[0]

    def newest(self, stream: str) -> tuple[int, str]:
        """Sequence and hash of the newest event of a stream."""
        return self._heads.get(stream, (0, FIRST_PREVHASH))

    async def news(self) -> None:
        """Wait until something was announced since the last call."""
        await self._news.wait()
        self._news.clear()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    async def close(self) -> None:
        """Finish what waits, then let go of the file and its lock."""
        if self._closed:
            return
        await asyncio.gather(*self._chores, return_exceptions=True)
        self._closed = True
        self._waiting.put_nowait(None)
        await self._writer
        await self._connection.close()
        os.close(self._lock)

    async def _write(self) -> None:
        while (item := await self._waiting.get()) is not None:
            work, done = item
            # Whatever `work` raises is its caller's: the writer itself goes on.
            result: Any = (await asyncio.gather(self._one_transaction(work), return_exceptions=True))[0]
            if not isinstance(result, BaseException):
                done.set_result(result)
                continue
            error: BaseException = result
            if isinstance(result, sqlite3.Error | UnicodeDecodeError):
                error = _as_store_error(self.path, result)
            if isinstance(error, StoreFull):
                self.full.set()
            done.set_exception(error)
            done.exception()  # seen, even if the caller has gone

    async def _one_transaction(self, work: Work[T]) -> T:
        if self._connection.in_transaction:  # an earlier ROLLBACK failed
            await self._connection.execute("ROLLBACK")
        await self._connection.execute("BEGIN IMMEDIATE")
        try:
            result = await work(self._connection)
            await self._connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                if self._connection.in_transaction:
                    await self._connection.execute("ROLLBACK")
            raise
        return result


def _lock(path: Path) -> int:
    try:
        descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"{path} cannot be locked ({error}): check the data directory and its owner") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        msg = f"{path} is held by another process: is an agent running on it?"
        raise StoreLocked(msg) from error
    return descriptor


async def _prepare(connection: aiosqlite.Connection, path: Path, max_size: int) -> None:
    await connection.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
    for name, value in _PRAGMAS.items():
        await connection.execute(f"PRAGMA {name} = {value}")
        if (found := await one_value(connection, f"PRAGMA {name}")) != value:
            msg = f"{path}: {name} is {found}, not {value}: this file system cannot keep a store"
            raise StoreError(msg)
    page_size = int(await one_value(connection, "PRAGMA page_size"))
    await connection.execute(f"PRAGMA max_page_count = {max(_SMALLEST_PAGES, max_size // page_size)}")
    if (damage := await one_value(connection, "PRAGMA quick_check(1)")) != "ok":
        msg = f"{path} is damaged: {damage}; restore it from a backup or move it away to begin anew"
        raise StoreCorrupt(msg)
    await _migrate(connection, path)


async def _migrate(connection: aiosqlite.Connection, path: Path) -> None:
    """Run what `user_version` says is missing, each migration in a transaction of its own."""
    folder = files("edge_agent.store").joinpath("migrations")
    scripts = sorted((s for s in folder.iterdir() if s.name.endswith(".sql")), key=lambda script: script.name)
    version = int(await one_value(connection, "PRAGMA user_version"))
    if version > len(scripts):
        msg = f"{path} was written by a newer version of the agent (schema {version}, known up to {len(scripts)})"
        raise StoreError(msg)
    for number, script in enumerate(scripts[version:], start=version + 1):
        text = script.read_text(encoding="utf-8")
        await connection.executescript(f"BEGIN IMMEDIATE;\n{text}\nPRAGMA user_version = {number};\nCOMMIT;")


async def one_value(connection: aiosqlite.Connection, sql: str, values: tuple[Any, ...] = ()) -> Any:
    """The first column of the first row; None where there is none."""
    async with connection.execute(sql, values) as cursor:
        row = await cursor.fetchone()
    return row[0] if row else None


def _as_store_error(path: Path, error: sqlite3.Error | UnicodeDecodeError) -> StoreError:
    made = _translated(path, error, getattr(error, "sqlite_errorcode", 0) & 0xFF)
    made.__cause__ = error
    return made


def _translated(path: Path, error: sqlite3.Error | UnicodeDecodeError, code: int) -> StoreError:
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB} or isinstance(error, UnicodeDecodeError):
        return StoreCorrupt(f"{path} is damaged: {error}; restore it from a backup or move it away to begin anew")
    if code == sqlite3.SQLITE_FULL:
        return StoreFull(
            f"{path} is full ({error}): the disk has no room, or the store has reached buffer.max_size and nothing in "
            "it may be pruned; free the disk, bring the broker back, or raise buffer.max_size"
        )
    return StoreError(f"{path}: {error}")
