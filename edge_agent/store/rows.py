"""Rows as they are stored: a hash that covers every column, times as text, integers exact beyond 64 bits."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime

from edge_agent.errors import StoreCorrupt

Column = str | int | bytes | None
Row = tuple[Column, ...]

_INT64 = 2**63


def row_hash(table: str, columns: Sequence[Column]) -> bytes:
    """SHA-256 over a row. `ascii` of a tuple is unambiguous, and the same in every Python version."""
    return hashlib.sha256(ascii((table, *columns)).encode("ascii")).digest()


def sealed(table: str, columns: Row) -> Row:
    """The row with its hash as the last column, as it is stored."""
    return (*columns, row_hash(table, columns))


def unsealed(table: str, row: Row, keys: int = 1) -> Row:
    """The columns of a stored row without its hash. Raises StoreCorrupt, naming its first `keys` columns."""
    columns = row[:-1]
    if row_hash(table, columns) != row[-1]:
        raise corrupt(table, *columns[:keys])
    return columns


def corrupt(table: str, *key: Column) -> StoreCorrupt:
    """The error for a row that is not what was once written."""
    name = "/".join(str(part) for part in key)
    return StoreCorrupt(
        f"table {table}, row {name}: it does not match its hash, so the storage has altered it; "
        "restore the data directory from a backup, and have the disk checked"
    )


def digest(payload: bytes) -> str:
    """SHA-256 (hex) of an event's bytes: what the next event of its source carries as `prevhash`."""
    return hashlib.sha256(payload).hexdigest()


def utc_text(moment: datetime) -> str:
    """RFC 3339 in UTC with microseconds: its text order is the order of time."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def utc_moment(text: str) -> datetime:
    """The inverse of `utc_text`."""
    return datetime.fromisoformat(text)


def wide(number: int) -> Column:
    """An integer as SQLite holds it exactly: beyond 64 bits (a uint64 counter's modulus) as decimal text."""
    return number if -_INT64 <= number < _INT64 else str(number)
