"""What takes an event back (events.md, Types): posted where the original was, else both come to nothing.

A receiver that never posted the original voids it and posts nothing: a reversed rejection must not make stock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from edge_agent_receiver import sql
from edge_agent_receiver.desk import Desk
from edge_agent_receiver.effects import reads_original
from edge_agent_receiver.event import REVERSED, Event, read_event
from edge_agent_receiver.sources import Source
from edge_agent_receiver.store import Db


class Turn(Enum):
    """What to do with a reversal whose turn it is."""

    POST = "post"
    NOTHING = "nothing"
    WAIT = "wait"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do; for POST with the event to offer, for REFUSE with the reason."""

    turn: Turn
    event: Event
    text: str = ""


class Reversals:
    """Decides."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def taken_back(self, db: Db, source: Source, event: Event) -> bool:
        """Whether an event that is not posted yet is taken back by a reversal that may be believed; voids it."""
        if event.sequence not in source.reversed or event.name == REVERSED:
            return False
        ((number, reversal, _),) = db.rows(sql.REVERSAL_OF, source.number, event.sequence)
        by = self._desk.sources.numbered(number)
        if reversal > by.limit(prove=self._desk.prove):
            return False
        self._void(db, source, event.sequence)
        return True

    def turn(self, db: Db, event: Event) -> Verdict:
        """What to do with a reversal."""
        urn, sequence = reads_original(event)
        source = self._desk.sources.known(urn)
        if source is None:
            return Verdict(Turn.WAIT, event)
        known = db.rows(sql.ORIGINAL, source.number, sequence)
        if not known:
            return self._not_here(db, event, source, sequence)
        topic, payload, state, posted, uncertain = known[0]
        original = read_event(topic, bytes(payload))
        if original.name == REVERSED:
            return Verdict(Turn.REFUSE, event, f"event {sequence} of {urn} is a reversal itself")
        if posted:
            self._decide(db, source, sequence, "posted")
            return Verdict(Turn.POST, replace(event, reverses=original))
        if state == "offered" or (state == "received" and uncertain):
            return Verdict(Turn.WAIT, event)
        if state != "accepted":
            self._void(db, source, sequence)
        else:
            self._decide(db, source, sequence, "voided")
        return Verdict(Turn.NOTHING, event)

    def _not_here(self, db: Db, event: Event, source: Source, sequence: int) -> Verdict:
        if source.filled.contiguous < sequence:
            return Verdict(Turn.WAIT, event)
        self._decide(db, source, sequence, "voided")  # should it come later, it is never posted
        return Verdict(Turn.NOTHING, event)

    def _void(self, db: Db, source: Source, sequence: int) -> None:
        db.run(sql.VOID_EVENT, source.number, sequence)
        source.blocking.discard(sequence)
        self._decide(db, source, sequence, "voided")
        self._desk.counts["voided by a reversal"] += 1

    def _decide(self, db: Db, source: Source, sequence: int, outcome: str) -> None:
        db.run(sql.DECIDE_REVERSAL, outcome, source.number, sequence)
        source.reversed.discard(sequence)
        source.may_post = True
        self._desk.sources.touch(source)
