"""What taking an event in means besides keeping it: stocks, positions, voided numbers, reversals, snapshots.

All of it can be undone, for the day the chain proves that the bytes were others.
"""

from __future__ import annotations

from typing import NamedTuple

from edge_agent_receiver import sql
from edge_agent_receiver.acks import Acks
from edge_agent_receiver.desk import Desk
from edge_agent_receiver.event import REVERSED, SNAPSHOT, VOIDED, Event, event_id, read_hash, read_number
from edge_agent_receiver.figures import figures, snapshot_figures
from edge_agent_receiver.holes import Holes
from edge_agent_receiver.places import read_urn
from edge_agent_receiver.positions import Positions
from edge_agent_receiver.snapshots import Part, Snapshots, read_part
from edge_agent_receiver.sources import Source
from edge_agent_receiver.store import Db
from edge_agent_receiver.strict_json import Malformed, read_text


class Standing(NamedTuple):
    """How an event begins. `fault`: `malformed` or `overlap` where it is not to be posted, `text` says it to people."""

    state: str
    pending: int
    fault: str | None = None
    text: str | None = None


_NOTHING_TO_POST = Standing("accepted", 0)
_TO_POST = Standing("received", 1)


class Effects:
    """Applies and undoes."""

    def __init__(self, desk: Desk, *, holes: Holes, positions: Positions, snapshots: Snapshots, acks: Acks) -> None:
        self._desk = desk
        self._acks = acks
        self._holes = holes
        self._positions = positions
        self._snapshots = snapshots

    def apply(self, db: Db, source: Source, event: Event) -> Standing:
        """All of it; gives how the event begins."""
        self._snapshots.moved(source)
        if event.fault is not None:
            return Standing("received", 1, "malformed", event.fault)
        try:
            self._special(db, source, event)
        except Malformed as fault:
            return Standing("received", 1, "malformed", str(fault))
        db.many(sql.NEW_MOVE, ((source.number, event.sequence, *key, f"{amount:f}") for key, amount in figures(event)))
        if event.name == REVERSED:
            return self._reversed(db, source, event)
        if not event.lines:
            return _NOTHING_TO_POST
        overlap = self._positions.take(db, source, event)
        return _TO_POST if overlap is None else Standing("received", 1, "overlap", overlap)

    def undo(self, db: Db, source: Source, event: Event) -> None:
        """Nothing of it remains: what the totals count already is taken off again."""
        self._snapshots.moved(source)
        place = (source.number, event.sequence)
        if not db.run(sql.DROP_MOVES, *place) and event.fault is None and event.sequence <= source.folded:
            db.many(sql.NEW_MOVE, ((*place, *key, f"{-amount:f}") for key, amount in figures(event)))
        self._positions.forget(db, source, event.sequence)
        self._snapshots.forget(db, source, event.sequence)
        self._holes.unsay(db, source, event.sequence)
        for original_source, original in db.rows(sql.UNDECIDED_BY, *place):
            self._desk.sources.numbered(original_source).reversed.discard(original)
        db.run(sql.DROP_UNDECIDED, *place)

    def _special(self, db: Db, source: Source, event: Event) -> None:
        """What only some types mean. Raises Malformed."""
        if event.name == VOIDED:
            self._voided(db, source, event)
        elif event.name == SNAPSHOT:
            self._snapshot(db, source, event)

    def _voided(self, db: Db, source: Source, event: Event) -> None:
        said = event.data.get("voided")
        if not isinstance(said, dict):
            raise Malformed("voided: not an object")
        target = self._of_same_agent(db, source, said.get("source"))
        sequence = read_number(said.get("sequence"), "sequence")
        sha256 = read_hash(said.get("sha256"), "sha256")
        before = read_hash(said["prevhash"], "prevhash") if "prevhash" in said else None  # added to the contract later
        self._holes.void(db, target, sequence, sha256, (source.number, event.sequence))
        if before is not None and sequence > 1:
            self._holes.claim(db, target, sequence - 1, before)

    def _snapshot(self, db: Db, source: Source, event: Event) -> None:
        part: Part = read_part(event.data)
        for _ in snapshot_figures(event.data):
            pass  # what cannot be read is refused at once, not when it is compared
        for urn, sequence, sha256 in part.watermarks:
            stream = self._of_same_agent(db, source, urn)
            stream.announced = max(stream.announced, sequence)
            if sequence:
                self._holes.claim(db, stream, sequence, sha256)
            if stream.store != source.store:
                self._acks.remind(db, source.store, stream, sequence)
        self._snapshots.take(db, source, event.sequence, part)

    def _reversed(self, db: Db, source: Source, event: Event) -> Standing:
        try:
            original_source, original = reads_original(event)
            target = self._of_same_agent(db, source, original_source)
        except Malformed as fault:
            return Standing("received", 1, "malformed", str(fault))
        known = db.rows(sql.REVERSAL_OF, target.number, original)
        if known and known[0][:2] != (source.number, event.sequence):
            return Standing("received", 1, "malformed", f"event {original} of {original_source} is reversed already")
        if not known:
            db.run(sql.NEW_REVERSAL, target.number, original, source.number, event.sequence)
            target.reversed.add(original)
        target.announced = max(target.announced, original)
        self._desk.sources.touch(target)
        if target.hold is not None and target.hold.sequence == original:
            target.hold = None  # what is taken back need not be posted first
        return _TO_POST

    def _of_same_agent(self, db: Db, source: Source, urn: object) -> Source:
        """A source that the event speaks of. Raises Malformed."""
        text = read_text(urn, "source")
        if read_urn(text).agent != source.agent:
            raise Malformed("source: of another agent")
        target = self._desk.sources.known(text) or self._positions.new_source(db, text, source.prefix)
        self._desk.sources.touch(target)
        return target


def reads_original(event: Event) -> tuple[str, int]:
    """(source, sequence) of what `event.reversed` takes back. Raises Malformed."""
    source = read_text(event.data.get("reversesSource"), "reversesSource")
    sequence = read_number(event.data.get("reversesSequence"), "reversesSequence")
    if event.data.get("reversesId") != event_id(source, sequence):
        raise Malformed("reversesId: not the one of reversesSource and reversesSequence")
    return source, sequence
