"""The inbox in a PostgreSQL database: in the schema that the connection's search path begins with.

One connection, one advisory lock on that schema for as long as it is open. Needs the extra `postgresql`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import psycopg

from edge_agent_receiver.store.port import Db, Row, StoreError, StoreInUse, pending, statements

_LOCK = "SELECT pg_try_advisory_lock(hashtextextended('edge_agent_receiver ' || current_schema(), 0))"
_CONNECT_SECONDS = 10

_Connection = psycopg.Connection[tuple[Any, ...]]


class PostgresStore:
    """The database `url`. It may be used from any thread, but from one at a time.

    Raises StoreInUse where another receiver has it, StoreError where it cannot be opened.
    """

    def __init__(self, url: str) -> None:
        self._connection = _connect(url)
        try:
            with _errors():
                self._prepare()
        except BaseException:
            self._connection.close()
            raise
        self._db = _Db(self._connection)

    def _prepare(self) -> None:
        """The lock, every commit on the disk, and the newest tables."""
        connection = self._connection
        taken = connection.execute(_LOCK).fetchone()
        if taken is None or not taken[0]:
            raise StoreInUse("another receiver has this schema of the database open")
        connection.execute("SET synchronous_commit = on")
        with connection.transaction():
            connection.execute("CREATE TABLE IF NOT EXISTS migration (number BIGINT PRIMARY KEY)")
            found = connection.execute("SELECT coalesce(max(number), 0) FROM migration").fetchone()
            for number, text in pending(0 if found is None else found[0]):
                for statement in statements(text, bytes_type="BYTEA", number_type="BIGINT"):
                    connection.execute(statement)
                connection.execute("INSERT INTO migration VALUES (%s)", (number,))

    @contextmanager
    def transaction(self) -> Iterator[Db]:
        """See `Store.transaction`."""
        with _errors(), self._connection.transaction():
            yield self._db

    def close(self) -> None:
        """See `Store.close`."""
        self._connection.close()


class PostgresReader:
    """Reads beside a running receiver. Raises StoreError where there is no such store."""

    def __init__(self, url: str) -> None:
        self._connection = _connect(url)
        with _errors():
            self._connection.read_only = True
            self._connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ

    @contextmanager
    def transaction(self) -> Iterator[Db]:
        """Everything read in the block is of one moment."""
        with _errors(), self._connection.transaction():
            yield _Db(self._connection)

    def close(self) -> None:
        """Let go of it."""
        self._connection.close()


class _Db:
    """See `Db`."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    def run(self, sql: str, *values: object) -> int:
        with _errors():
            return self._connection.execute(_spelled(sql), values).rowcount

    def rows(self, sql: str, *values: object) -> list[Row]:
        with _errors():
            return self._connection.execute(_spelled(sql), values).fetchall()

    def many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        with _errors(), self._connection.cursor() as cursor:
            cursor.executemany(_spelled(sql), rows)


@contextmanager
def _errors() -> Iterator[None]:
    """Turns psycopg's errors into StoreError."""
    try:
        yield
    except psycopg.Error as error:
        raise StoreError(f"the database: {error}") from error


@lru_cache(maxsize=256)
def _spelled(sql: str) -> str:
    """psycopg's placeholders; the statements of sql.py hold neither a literal question mark nor a percent sign."""
    return sql.replace("?", "%s")


def _connect(url: str) -> _Connection:
    with _errors():
        return psycopg.connect(url, autocommit=True, connect_timeout=_CONNECT_SECONDS)
