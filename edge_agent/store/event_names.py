"""How people name an event: `STREAM/SEQUENCE` of the present store, `SOURCE/SEQUENCE` of any, or its id. Read-only."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter

from edge_agent.errors import ControlError, StoreCorrupt
from edge_agent.model.event import StoredEvent
from edge_agent.store.outbox import HIGHEST
from edge_agent.store.rows import checked, from_text, sha256
from edge_agent.store.streams import STREAMS, Head, head_of

_EVENT = "SELECT stream, sequence, id, type, topic, recorded, payload, hash FROM event"
_PRUNED = "SELECT at FROM pruned WHERE stream = ? AND to_sequence >= ? ORDER BY to_sequence LIMIT 1"
_PLACE = re.compile(r"(.+)/([0-9]{1,20})")
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class EventNames:
    """The streams of a store as they are when it is made, and the events in them.

    Raises:
        StoreCorrupt: a stream's row does not match its hash.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.heads = {head.stream: head for head in map(head_of, connection.execute(f"{STREAMS} ORDER BY s.id"))}
        row = connection.execute("SELECT value FROM meta WHERE name = 'store_uuid'").fetchone()
        present = [] if row is None else [head for head in self.heads.values() if f":{row[0]}:" in head.source]
        often = Counter(head.name for head in present)  # twice where the agent was renamed
        self._by_name = {head.name: head for head in present if often[head.name] == 1}
        self._by_source = {head.source: head for head in self.heads.values()}

    def of(self, stream: int, sequence: int) -> str:
        """The shortest name of an event. `stream` is a row id."""
        head = self.heads[stream]
        return f"{head.name if self._by_name.get(head.name) is head else head.source}/{sequence}"

    def event(self, stream: int, sequence: int) -> StoredEvent:
        """An event that must be there. `stream` is a row id.

        Raises:
            StoreCorrupt: it is not, or does not match its hash.
        """
        found = self._one("stream = ? AND sequence = ?", stream, sequence)
        if found is None:
            raise StoreCorrupt(f"event {self.of(stream, sequence)} is gone; restore the database from a backup")
        return found[1]

    def by_id(self, identity: str) -> tuple[Head, StoredEvent] | None:
        """The event of that id, which reads the whole table; None where there is none (any more)."""
        return self._one("id = ?", identity)

    def find(self, name: str) -> tuple[Head, StoredEvent]:
        """The event that a person names.

        Raises:
            ControlError: there is none of that name (any more); the text says why.
            StoreCorrupt: its row does not match its hash.
        """
        if _ID.fullmatch(name.lower()):
            found = self.by_id(name.lower())
            if found is None:
                raise ControlError(f"there is no event {name} in the store (any more)")
            return found
        place = _PLACE.fullmatch(name)
        if place is None:
            raise ControlError(f"{name!r} names no event: write STREAM/SEQUENCE as in routine/17, or its id")
        head, sequence = self._stream(place[1]), int(place[2])
        if not 1 <= sequence <= min(head.sequence, HIGHEST):
            raise ControlError(f"there is no event {name}: {head.name} has events 1 to {head.sequence}")
        row = self._connection.execute(_PRUNED, (head.stream, sequence)).fetchone()
        if row is not None:
            raise ControlError(f"event {name} was pruned on {row[0]} (buffer.keep_sent)")
        return head, self.event(head.stream, sequence)

    def _stream(self, name: str) -> Head:
        head = self._by_name.get(name) or self._by_source.get(name)
        if head is not None:
            return head
        alike = [head.source for head in self.heads.values() if head.name == name]
        known = ", ".join(alike or self._by_name or self._by_source) or "none yet"
        if alike:
            raise ControlError(f"the present store has not one stream {name}: give its source, of {known}")
        raise ControlError(f"there is no stream {name}; there are {known}")

    def _one(self, where: str, *values: object) -> tuple[Head, StoredEvent] | None:
        row = self._connection.execute(f"{_EVENT} WHERE {where}", values).fetchone()
        if row is None:
            return None
        *columns, payload, digest = row
        stream, sequence, identity, kind, topic, recorded = columns
        checked(f"event {sequence} of stream {stream}", (*columns, sha256(payload)), digest)
        head = self.heads[stream]
        return head, StoredEvent(head.source, head.name, sequence, identity, kind, topic, payload, from_text(recorded))
