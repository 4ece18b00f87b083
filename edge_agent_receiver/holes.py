"""Numbers that are accounted for without an event, and hashes that others say an event has."""

from __future__ import annotations

from edge_agent_receiver import sql
from edge_agent_receiver.desk import Desk
from edge_agent_receiver.discrepancies import Finding
from edge_agent_receiver.sources import Source
from edge_agent_receiver.store import Db


class Holes:
    """Voided by the agent, or pruned. The bytes may come all the same, then they are taken like any event."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def claim(self, db: Db, source: Source, sequence: int, sha256: str) -> None:
        """Somebody says that event `sequence` has this hash."""
        if source.head == (sequence, sha256) and not {sequence} & (source.doubts.keys() | source.disputed):
            source.proven.add(sequence)
            return
        db.run(sql.NEW_CLAIM, source.number, sequence, sha256)
        source.claimed.add(sequence)
        source.checks.add(sequence)
        self._desk.sources.touch(source)

    def void(self, db: Db, source: Source, sequence: int, sha256: str, by: tuple[int, int]) -> None:
        """The agent says that it cannot publish this number; `by` is the event (source, sequence) that says so."""
        self.claim(db, source, sequence, sha256)
        if sequence in source.filled:
            if db.rows(sql.EVENT_HASH, source.number, sequence):
                return  # it reached us all the same
            self.take_out(db, source, sequence)
        db.run(sql.NEW_HOLE, source.number, sequence, sequence, "voided", sha256, *by)
        source.voided[sequence] = sha256
        source.filled.add(sequence, sequence)
        source.checks |= {sequence - 1, sequence + 1}
        self._desk.counts["voided"] += 1

    def unsay(self, db: Db, by: Source, sequence: int) -> None:
        """The event that voided a number did not say so after all."""
        for number, first in db.rows(sql.HOLES_BY, by.number, sequence):
            source = self._desk.sources.numbered(number)
            db.run(sql.DROP_HOLE, number, first)
            source.voided.pop(first, None)
            self._desk.sources.reload_filled(db, source)
            self._desk.sources.touch(source)

    def prune(self, db: Db, source: Source, first: int, last: int) -> None:
        """The agent cannot send `first` to `last` any more: say so, and go on behind it."""
        for low, high in source.filled.missing(first, last):
            db.run(sql.NEW_HOLE, source.number, low, high, "pruned", None, None, None)
            source.filled.add(low, high)
            source.checks |= {low - 1, high + 1}
            self._desk.counts["pruned"] += high - low + 1
            self._desk.discrepancies.open(db, source, _pruned(source, low, high))
        self._desk.sources.touch(source)

    def take_out(self, db: Db, source: Source, sequence: int) -> None:
        """Something has come for this number: the hole around it becomes smaller."""
        rows = db.rows(sql.HOLE_AT, source.number, sequence, sequence)
        for first, last, kind, *said in rows:
            db.run(sql.DROP_HOLE, source.number, first)
            if kind == "pruned":
                self._desk.discrepancies.close(db, _pruned(source, first, last).name)
            for low, high in ((first, sequence - 1), (sequence + 1, last)):
                if low <= high:
                    db.run(sql.NEW_HOLE, source.number, low, high, kind, *said)
                    self._desk.discrepancies.open(db, source, _pruned(source, low, high))
        source.voided.pop(sequence, None)


def _pruned(source: Source, first: int, last: int) -> Finding:
    text = f"the agent can no longer send {first} to {last} of {source.urn}"
    return Finding(f"pruned/{source.urn}/{first}-{last}", "pruned", text, source=source.urn, sequence=first)
