"""The inbox in an SQLite file: WAL, every commit on the disk (reliability.md, invariants 1 and 14)."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edge_agent_receiver.store.port import Db, Row, StoreError, StoreInUse, pending, statements

_FULL = 2
_CACHE_KIB = 32_768


class SqliteStore:
    """The file `path` and an flock on `<path>.lock`. It may be used from any thread, but from one at a time.

    Raises StoreInUse where another process has it, StoreError where it cannot be opened.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._lock = _lock(self._path)
        try:
            self._connection = self._open()
        except BaseException:
            os.close(self._lock)
            raise
        self._db = _Db(self._connection)

    def _open(self) -> sqlite3.Connection:
        with _errors(f"the store {self._path}"):
            connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            with _errors(f"the store {self._path}"):
                _prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def transaction(self) -> Iterator[Db]:
        """See `Store.transaction`."""
        with _errors(f"the store {self._path}"):
            self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._db
            with _errors(f"the store {self._path}"):
                self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """See `Store.close`."""
        self._connection.close()
        os.close(self._lock)


class SqliteReader:
    """Reads beside a running receiver. Raises StoreError where there is no such store."""

    def __init__(self, path: str | Path) -> None:
        if not Path(path).is_file():
            raise StoreError(f"there is no store {path}")
        with _errors(f"the store {path}"):
            uri = f"{Path(path).absolute().as_uri()}?mode=ro"
            self._connection = sqlite3.connect(uri, uri=True, isolation_level=None)

    @contextmanager
    def transaction(self) -> Iterator[Db]:
        """Everything read in the block is of one moment."""
        with _errors("the store"):
            self._connection.execute("BEGIN")
        try:
            yield _Db(self._connection)
        finally:
            self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """Let go of it."""
        self._connection.close()


class _Db:
    """See `Db`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def run(self, sql: str, *values: object) -> int:
        with _errors("the store"):
            return self._connection.execute(sql, values).rowcount

    def rows(self, sql: str, *values: object) -> list[Row]:
        with _errors("the store"):
            return self._connection.execute(sql, values).fetchall()

    def many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        with _errors("the store"):
            self._connection.executemany(sql, rows)


class _errors:  # noqa: N801 - a context manager as a class: a generator costs ten times as much in the hottest place
    """Turns SQLite's errors into StoreError, saying what it is about."""

    __slots__ = ("_about",)

    def __init__(self, about: str) -> None:
        self._about = about

    def __enter__(self) -> None:
        return

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, sqlite3.Error):
            raise StoreError(f"{self._about}: {error}") from error


def _lock(path: Path) -> int:
    try:
        descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"the store {path} cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise StoreInUse(f"another receiver has the store {path} open") from None
    return descriptor


def _prepare(connection: sqlite3.Connection) -> None:
    """WAL and FULL, asserted, and the newest tables."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    synchronous = connection.execute("PRAGMA synchronous").fetchone()[0]
    if mode != "wal" or synchronous != _FULL:
        raise StoreError(f"the store does not keep its promises: journal {mode}, synchronous {synchronous}")
    connection.execute("CREATE TABLE IF NOT EXISTS migration (number INTEGER PRIMARY KEY) STRICT")
    version = connection.execute("SELECT coalesce(max(number), 0) FROM migration").fetchone()[0]
    for number, text in pending(version):
        connection.execute("BEGIN IMMEDIATE")
        for statement in statements(text, bytes_type="BLOB", number_type="INTEGER"):
            strict = " STRICT" if statement.startswith("CREATE TABLE") else ""
            connection.execute(statement + strict)
        connection.execute("INSERT INTO migration VALUES (?)", (number,))
        connection.execute("COMMIT")
