"""How values stand in rows: hashes that notice a flipped bit, times as text."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime


def row_hash(*columns: str | int | bytes) -> bytes:
    """SHA-256 over a row's columns, each with its length, so that no two rows share an input."""
    digest = hashlib.sha256()
    for column in columns:
        data = column if isinstance(column, bytes) else str(column).encode()
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.digest()


def sha256(payload: bytes) -> str:
    """SHA-256 of an event's stored bytes, in hexadecimal: the next event's `prevhash`."""
    return hashlib.sha256(payload).hexdigest()


def to_text(moment: datetime) -> str:
    """RFC 3339 in UTC with microseconds: text order is time order."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def from_text(text: str) -> datetime:
    """The moment that `to_text` wrote."""
    return datetime.fromisoformat(text)
