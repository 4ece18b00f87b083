"""Snapshots compared with what came (events.md, Reconciliation): at the watermark, never at wall time.

Running totals plus the rows above the watermark: a comparison reads what came since the last one, not the inbox.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Context, Decimal, Inexact
from typing import Any, NamedTuple

from edge_agent_receiver import sql
from edge_agent_receiver.desk import Desk
from edge_agent_receiver.discrepancies import Finding
from edge_agent_receiver.event import ZEROS, read_event, read_hash, read_number
from edge_agent_receiver.figures import Key, figures, snapshot_figures
from edge_agent_receiver.sources import Source
from edge_agent_receiver.store import Db
from edge_agent_receiver.strict_json import Malformed, read_text

_EXACT = Context(prec=200, traps=[Inexact])
"""Sums of quantities are exact or an error."""

Figures = dict[Key, Decimal]


class Watermark(NamedTuple):
    """How far a source had got: `hash` is that of its event `sequence`, 64 zeros for 0."""

    source: str
    sequence: int
    hash: str


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a snapshot, without its figures."""

    snapshot: str
    part: int
    parts: int
    watermarks: tuple[Watermark, ...]


@dataclass(slots=True)
class _Pending:
    """A snapshot that is not compared yet. `places` are (source, sequence) of its parts."""

    parts: int
    watermarks: tuple[Watermark, ...]
    places: dict[int, tuple[int, int]] = field(default_factory=dict)


class Snapshots:
    """All agents' snapshots. Those of one store are in one stream, so their order is that of its sequence."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._pending: dict[tuple[int, str], _Pending] = {}
        self._former: dict[tuple[str, int, int], Figures] = {}
        """Sums of a former store by (store that counts them, source, watermark)."""

    def load(self, db: Db) -> None:
        """Read which are not compared yet."""
        self._pending.clear()
        for number, sequence in db.rows(sql.SNAPSHOT_PARTS):
            topic, payload = db.rows(sql.EVENT_BYTES, number, sequence)[0]
            self._add(number, sequence, read_part(read_event(topic, bytes(payload)).data))

    def take(self, db: Db, source: Source, sequence: int, part: Part) -> None:
        """A part has come."""
        db.run(sql.NEW_SNAPSHOT_PART, source.number, sequence)
        self._add(source.number, sequence, part)

    def forget(self, db: Db, source: Source, sequence: int) -> None:
        """The part was another one."""
        if db.run(sql.DROP_SNAPSHOT_PART, source.number, sequence):
            self.load(db)

    def moved(self, source: Source) -> None:
        """Its events are others than they were when their sums were kept."""
        self._former = {name: sums for name, sums in self._former.items() if name[1] != source.number}

    def compare_ready(self, db: Db) -> None:
        """Compare every snapshot whose events are all here. Of several of one store the last says all."""
        ready: dict[int, tuple[str, _Pending]] = {}
        for (number, name), pending in self._pending.items():
            if self._complete(number, pending):
                former = ready.get(number)
                if former is None or _last(former[1]) < _last(pending):
                    ready[number] = (name, pending)
        for number, (_, pending) in ready.items():
            self._compare(db, self._desk.sources.numbered(number), pending)
            self._drop_up_to(db, number, _last(pending))

    def _add(self, number: int, sequence: int, part: Part) -> None:
        pending = self._pending.setdefault((number, part.snapshot), _Pending(part.parts, part.watermarks))
        pending.places[part.part] = (number, sequence)

    def _complete(self, number: int, pending: _Pending) -> bool:
        if len(pending.places) < pending.parts:
            return False
        own = self._desk.sources.numbered(number)
        if _last(pending) > own.limit(prove=self._desk.prove):
            return False
        for mark in pending.watermarks:
            source = self._desk.sources.known(mark.source)
            if source is None or source.filled.contiguous < mark.sequence:
                return False
            if any(doubt <= mark.sequence for doubt in source.open_doubts()):
                return False
        return True

    def _drop_up_to(self, db: Db, number: int, last: int) -> None:
        db.run(sql.DROP_SNAPSHOTS_UP_TO, number, last)
        self._pending = {
            key: pending for key, pending in self._pending.items() if key[0] != number or _last(pending) > last
        }

    def _compare(self, db: Db, own: Source, pending: _Pending) -> None:
        marks = {mark.source: mark.sequence for mark in pending.watermarks}
        sources = {mark: self._desk.sources.known(mark) for mark in marks}
        streams = [source for source in sources.values() if source is not None]
        places = [(source, marks[source.urn]) for source in streams]
        present = [(source, last) for source, last in places if source.store == own.store]
        if any(last < source.folded for source, last in present):
            return  # an older one that came late: a later one has said more already
        found = self._fold(db, own, present)
        for source, last in places:
            if source.store != own.store:
                _add(found, self._of_former_store(db, own, source, last))
            for topic, payload in db.rows(sql.REVERSED_HOLES, source.number, last):
                _add(found, figures(read_event(topic, bytes(payload)), of_original=True))
        expected = self._said(db, pending)
        cause = self._cause(db, places)
        self._desk.counts["snapshots compared"] += 1
        self._desk.discrepancies.close_others(db, f"stock/{own.agent}/", f"stock/{own.agent}/{own.store}/")
        for key in sorted(expected.keys() | found.keys()):
            name = f"stock/{own.agent}/{own.store}/{'/'.join(key)}"
            amounts = (expected.get(key, Decimal(0)), found.get(key, Decimal(0)))
            if not self._agree(db, own, Finding(name, *cause, key, *amounts)) and cause[0] == "lost":
                for source, last in places:
                    source.missed |= {number for number in source.voided if number <= last}

    def _agree(self, db: Db, own: Source, finding: Finding) -> bool:
        if finding.expected == finding.found:
            self._desk.discrepancies.close(db, finding.name, finding)
            return True
        self._desk.discrepancies.open(db, own, finding)
        return False

    def _of_former_store(self, db: Db, own: Source, source: Source, last: int) -> Figures:
        """What a restored store counts of the one it was: up to its backup, whatever that one has done since."""
        name = (own.store, source.number, last)
        if name not in self._former:
            sums: Figures = defaultdict(Decimal)
            for topic, payload in db.rows(sql.EVENTS_UP_TO, source.number, last):
                event = read_event(topic, bytes(payload))
                if event.fault is None:
                    _add(sums, figures(event))
            self._former[name] = sums
        return self._former[name]

    def _fold(self, db: Db, own: Source, marks: list[tuple[Source, int]]) -> Figures:
        """Move everything up to the watermarks into the totals; gives them."""
        totals: Figures = defaultdict(Decimal)
        for row in db.rows(sql.TOTALS, own.agent, own.store):
            totals[Key(*row[:-1])] = Decimal(row[-1])
        changed = set()
        for source, last in marks:
            for row in db.rows(sql.MOVES_UP_TO, source.number, last):
                key = Key(*row[:-1])
                totals[key] = _EXACT.add(totals[key], Decimal(row[-1]))
                changed.add(key)
            db.run(sql.DROP_MOVES_UP_TO, source.number, last)
            source.folded = last
            self._desk.sources.touch(source)
        db.many(sql.SAVE_TOTAL, ((own.agent, own.store, *key, f"{totals[key]:f}") for key in sorted(changed)))
        return totals

    def _said(self, db: Db, pending: _Pending) -> Figures:
        said: Figures = defaultdict(Decimal)
        for place in pending.places.values():
            topic, payload = db.rows(sql.EVENT_BYTES, *place)[0]
            for key, quantity in snapshot_figures(read_event(topic, bytes(payload)).data):
                said[key] = _EXACT.add(said[key], quantity)
        return said

    def _cause(self, db: Db, marks: list[tuple[Source, int]]) -> tuple[str, str]:
        """Why stocks of this store may differ: what is known to be missing or other, else nobody knows."""
        for cause, query, text in (
            ("pruned", sql.PRUNED_WITHIN, "the agent could no longer send {} of {}"),
            ("changed", sql.CHANGED_WITHIN, "event {} of {} was changed on its way and posted as it came"),
            ("lost", sql.VOIDED_WITHIN, "event {} of {} could not be published"),
        ):
            for source, last in marks:
                if found := db.rows(query, source.number, last):
                    return cause, text.format(found[0][0], source.urn)
        return "unexplained", "all events up to the watermarks are here, and they add up to something else"


def _add(sums: Figures, more: Figures | Iterable[tuple[Key, Decimal]]) -> None:
    for key, amount in more.items() if isinstance(more, dict) else more:
        sums[key] = _EXACT.add(sums.get(key, Decimal(0)), amount)


def read_part(data: dict[str, Any]) -> Part:
    """What part of which snapshot it is. Raises Malformed."""
    marks = data.get("watermarks")
    if not isinstance(marks, list) or not all(isinstance(mark, dict) for mark in marks):
        raise Malformed("watermarks: not a list of objects")
    part = Part(
        read_text(data.get("snapshotID"), "snapshotID"),
        read_number(data.get("part"), "part"),
        read_number(data.get("parts"), "parts"),
        tuple(_watermark(mark) for mark in marks),
    )
    if part.part > part.parts or part.parts > 10_000:
        raise Malformed("part: not one of parts")
    return part


def _watermark(mark: dict[str, Any]) -> Watermark:
    sequence = mark.get("sequence")
    sequence = 0 if sequence == 0 and sequence is not False else read_number(sequence, "sequence of a watermark")
    sha256 = read_hash(mark.get("hash"), "hash of a watermark")
    if not sequence and sha256 != ZEROS:
        raise Malformed("hash of a watermark: not 64 zeros for 0")
    return Watermark(read_text(mark.get("source"), "source of a watermark"), sequence, sha256)


def _last(pending: _Pending) -> int:
    return max(sequence for _, sequence in pending.places.values())
