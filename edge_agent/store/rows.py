"""How values stand in rows: hashes that notice a flipped bit, times as text, integers exact beyond 64 bits."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from edge_agent.errors import StoreCorrupt

Column = str | int | None

_INT64 = 2**63


def row_hash(*columns: Column) -> bytes:
    """SHA-256 over a row's columns. `ascii` of a tuple is unambiguous, and the same in every version of Python.

    Columns are plain `str`, `int` or None (an enumeration shows itself otherwise); an event's bytes go in as their
    `sha256`.
    """
    return hashlib.sha256(ascii(columns).encode("ascii")).digest()


def checked(what: str, columns: tuple[Column, ...], digest: bytes) -> tuple[Column, ...]:
    """The columns of a row that is as it was written. Raises StoreCorrupt, which calls the row `what`."""
    if row_hash(*columns) != digest:
        raise StoreCorrupt(f"{what} does not match its hash; restore the database from a backup")
    return columns


def sha256(payload: bytes) -> str:
    """SHA-256 of an event's stored bytes, in hexadecimal: the next event's `prevhash`."""
    return hashlib.sha256(payload).hexdigest()


def to_text(moment: datetime) -> str:
    """RFC 3339 in UTC with microseconds: text order is time order."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def from_text(text: str) -> datetime:
    """The moment that `to_text` wrote."""
    return datetime.fromisoformat(text)


def lenient_text(data: bytes) -> str:
    """SQLite's text: bytes that are no UTF-8 any more get as far as the hash, which names their row."""
    return data.decode("utf-8", "surrogateescape")


def wide(number: int) -> int | str:
    """An integer as SQLite keeps it exactly: beyond 64 bits (a uint64's modulus) as decimal text."""
    return number if -_INT64 <= number < _INT64 else str(number)
