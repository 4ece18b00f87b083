"""A read-only connection from anywhere, with the agent running or not; and exact integer sums in SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_agent.errors import StoreError
from edge_agent.store.rows import lenient_text, wide

_PATIENCE_SECONDS = 5


@contextmanager
def readonly(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to `path` that never writes, not even beside it; use it in short transactions.

    Without a WAL nobody has the database open: then it is read as it lies. Else SQLite would create the WAL even for
    reading, as the user who reads, and the agent could not write to it afterwards.

    Raises:
        StoreError: there is no store, or it cannot be read.
    """
    how = "mode=ro" if path.with_name(path.name + "-wal").exists() else "mode=ro&immutable=1"
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True, timeout=_PATIENCE_SECONDS)
    except sqlite3.Error as error:
        msg = f"no store at {path} ({error}); name its directory with --data"
        raise StoreError(msg) from error
    connection.text_factory = lenient_text
    connection.create_function("distance", 4, _distance, deterministic=True)
    connection.create_aggregate("exact_sum", 1, _ExactSum)  # type: ignore[arg-type]  # one argument, as declared
    try:
        yield connection
    except (sqlite3.Error, UnicodeDecodeError) as error:
        msg = f"{path} cannot be read: {error}"
        raise StoreError(msg) from error
    finally:
        connection.close()


def _distance(first: int | str, last: int | str, wraps: int | str, modulus: int | str) -> int | str:
    """What ran from `first` to `last`; integers beyond 64 bits come and go as text."""
    return wide(int(last) - int(first) + int(wraps) * int(modulus))


class _ExactSum:
    """`sum` without overflow and without a float."""

    def __init__(self) -> None:
        self._sum = 0

    def step(self, value: int | str, /) -> None:
        self._sum += int(value)

    def finalize(self) -> int | str:
        return wide(self._sum)
