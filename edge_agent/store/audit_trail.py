"""The audit log from outside: is its chain whole, and does it still say what an export of it said? Read-only."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

from edge_agent.model.event import FIRST_PREVHASH
from edge_agent.store.rows import row_hash

_COLUMNS = "sequence, at, who, action, detail, prevhash, hash"
_SELECT = f"SELECT {_COLUMNS} FROM audit"  # noqa: S608 - fixed text


class Entry(NamedTuple):
    """One entry. `at` is RFC 3339 text in UTC, `detail` JSON text; `hash` covers all before it, `prevhash` included."""

    sequence: int
    at: str
    who: str
    action: str
    detail: str
    prevhash: str
    hash: str

    def digest(self, *, sequence: int | None = None, prevhash: str | None = None) -> str:
        """SHA-256 of the entry as it is, or as it would be at another place of the chain."""
        place = self.sequence if sequence is None else sequence
        before = self.prevhash if prevhash is None else prevhash
        return row_hash(place, self.at, self.who, self.action, self.detail, before).hex()


@dataclass(frozen=True, slots=True)
class Break:
    """Where the chain is broken first. `kind`: hash, prevhash, missing, order, or rewritten. `entry`: what is there."""

    sequence: int
    kind: str
    message: str
    entry: Entry | None = None

    def as_json(self) -> dict[str, Any]:
        """For machines; bytes of the entry that are no text any more are written out."""
        entry = None if self.entry is None else {name: _legible(one) for name, one in self.entry._asdict().items()}
        return {"sequence": self.sequence, "kind": self.kind, "message": self.message, "entry": entry}


@dataclass(slots=True)
class Trail:
    """Follows entries, up to the first that does not continue the chain; `last` is the highest sequence there is."""

    last: int
    sequence: int = 0
    hash: str = FIRST_PREVHASH
    broken: Break | None = None

    def follow(self, entry: Entry) -> None:
        """The next entry as it lies in the log."""
        if self.broken is None:
            self.broken = self._fault(entry)
        if self.broken is None:
            self.sequence, self.hash = entry.sequence, entry.hash

    def _fault(self, entry: Entry) -> Break | None:
        expected = self.sequence + 1
        if entry.digest() == entry.hash:
            return self._misplaced(entry, expected)
        for place in chain((expected,), range(1, self.last + 1)):
            if place != entry.sequence and entry.digest(sequence=place) == entry.hash:
                return Break(expected, "order", f"here lies entry {place} under the number {entry.sequence}", entry)
        if entry.sequence != expected:
            return self._misplaced(entry, expected)
        if entry.digest(prevhash=self.hash) == entry.hash:
            return Break(expected, "prevhash", f"its prevhash is not the hash of entry {self.sequence}", entry)
        return Break(expected, "hash", "it does not match its hash: the entry or its hash was changed", entry)

    def _misplaced(self, entry: Entry, expected: int) -> Break | None:
        """What is wrong with where an entry lies; None if nothing is."""
        if entry.sequence < expected:
            return Break(expected, "order", f"entry {entry.sequence} follows entry {self.sequence}", entry)
        if entry.sequence > expected:
            upto = "" if entry.sequence == expected + 1 else f" to {entry.sequence - 1}"
            return Break(expected, "missing", f"{expected}{upto} is not in the log", entry)
        if entry.prevhash != self.hash:
            message = f"it does not continue entry {self.sequence}: one of the two was replaced"
            return Break(expected, "prevhash", message, entry)
        return None


def entries(connection: sqlite3.Connection) -> Iterator[Entry]:
    """Every entry in the order in which they lie."""
    return (Entry(*row) for row in connection.execute(f"{_SELECT} ORDER BY sequence"))


def highest(connection: sqlite3.Connection) -> int:
    """The highest sequence in the log; 0 where it is empty."""
    return int(connection.execute("SELECT coalesce(max(sequence), 0) FROM audit").fetchone()[0])


def verify(connection: sqlite3.Connection) -> Trail:
    """Follow the whole chain."""
    trail = Trail(highest(connection))
    for entry in entries(connection):
        trail.follow(entry)
        if trail.broken is not None:
            break
    return trail


def differing(connection: sqlite3.Connection, hashes: Iterable[tuple[int, str]], head: tuple[int, str]) -> Break | None:
    """The first entry that is not what an export of this log said; None where all are.

    `hashes` are (sequence, hash) of the entries in the export, in order; `head` is the newest entry at that time.
    """
    for sequence, digest in (*hashes, head):
        row = connection.execute(f"{_SELECT} WHERE sequence = ?", (sequence,)).fetchone()
        if row is None and sequence:
            there = highest(connection)
            return Break(
                min(sequence, there + 1), "missing", f"the export goes up to entry {head[0]}, the log to {there}"
            )
        if row is not None and row[-1] != digest:
            return Break(sequence, "rewritten", "the export has another entry here", Entry(*row))
    return None


def _legible(value: object) -> object:
    if not isinstance(value, str):
        return value
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
