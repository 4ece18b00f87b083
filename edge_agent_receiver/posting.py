"""What is to be posted next, and what became of it (events.md, States)."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from edge_agent_receiver import sql
from edge_agent_receiver.acks import Acks
from edge_agent_receiver.answers import Accepted, Busy, Outcome, Raised, Rejected
from edge_agent_receiver.desk import Desk
from edge_agent_receiver.discrepancies import Finding
from edge_agent_receiver.event import REVERSED, Event, read_event
from edge_agent_receiver.reversals import Reversals, Turn
from edge_agent_receiver.sources import Hold, Source
from edge_agent_receiver.store import Db
from edge_agent_receiver.timing import Backoff


class _Row(NamedTuple):
    """An event without a final answer."""

    sequence: int
    topic: str
    payload: bytes
    uncertain: int
    fault: str | None
    text: str | None


class Posting:
    """In order within a source; what is with `post` is marked as such before `post` sees it."""

    def __init__(self, desk: Desk, reversals: Reversals, acks: Acks) -> None:
        self._desk = desk
        self._reversals = reversals
        self._acks = acks

    def ready(self) -> bool:
        """Whether `offer` may find something."""
        return any(self._is_ready(source) for source in self._desk.sources)

    def offer(self, db: Db, limit: int) -> list[Event]:
        """At most about `limit` events to post now, each source's in order."""
        ready = [source for source in self._desk.sources if self._is_ready(source)]
        offers: list[Event] = []
        for source in ready:
            share = max(1, (limit - len(offers)) // max(1, len(ready)))
            offers += self._of_source(db, source, share)
        return offers

    def expect(self, event: Event) -> Source:
        """The source of an offered event. Raises ValueError where it is not offered."""
        source = self._desk.sources.known(event.source)
        if source is None or event.sequence not in source.offered:
            raise ValueError(f"event {event.sequence} of {event.source} was not offered")
        return source

    def settle(self, db: Db, event: Event, outcome: Outcome) -> None:
        """Write down what became of an offer. Raises ValueError where there was none."""
        source = self.expect(event)
        source.offered.discard(event.sequence)
        source.may_post = True
        self._desk.sources.touch(source)
        if event.sequence in source.disputed:
            source.checks.add(event.sequence)
        match outcome:
            case Accepted():
                self._accepted(db, source, event, outcome)
            case Rejected():
                self._rejected(db, source, event.sequence, outcome)
            case Busy() | Raised():
                self._held(db, source, event, outcome)
            case None:
                db.run(sql.TAKE_BACK, 0, source.number, event.sequence)

    def _is_ready(self, source: Source) -> bool:
        if not source.may_post or source.offered:
            return False
        if source.hello is not None and self._desk.now < source.hello:
            return False
        return source.hold is None or source.hold.backoff.due(self._desk.now)

    def _of_source(self, db: Db, source: Source, limit: int) -> list[Event]:
        upto = source.limit(prove=self._desk.prove)
        rows = [_Row(*row) for row in db.rows(sql.PENDING, source.number, upto, limit)]
        source.may_post = len(rows) == limit  # the rest becomes ready by what will happen to the source
        offers = []
        for row in rows:
            event = read_event(row.topic, bytes(row.payload))
            offer = self._offer_or_not(db, source, event, row)
            if offer is Turn.WAIT:
                break
            if isinstance(offer, Event):
                offers.append(offer)
        if offers or rows:
            self._desk.sources.touch(source)
        source.offered = {event.sequence for event in offers}
        db.many(sql.OFFER, ((source.number, event.sequence) for event in offers))
        return offers

    def _offer_or_not(self, db: Db, source: Source, event: Event, row: _Row) -> Event | Turn:
        """The event to offer, NOTHING where it was answered without `post`, WAIT where its source has to wait."""
        sequence = row.sequence
        if not row.uncertain and self._reversals.taken_back(db, source, event):
            self._accept_singly(db, source, sequence)
            return Turn.NOTHING
        if row.fault is not None:
            return self._faulty(db, source, row)
        again = bool(row.uncertain) or sequence <= source.restored_to
        if event.name != REVERSED:
            return replace(event, again=again)
        return self._reversal(db, source, replace(event, again=again))

    def _reversal(self, db: Db, source: Source, event: Event) -> Event | Turn:
        verdict = self._reversals.turn(db, event)
        if verdict.turn is Turn.POST and event.lines:
            return verdict.event
        if verdict.turn is Turn.WAIT:
            self._wait_for_original(source)
            return Turn.WAIT
        if verdict.turn is Turn.REFUSE:
            self._rejected(db, source, event.sequence, Rejected("malformed", verdict.text))
        else:
            db.run(sql.ACCEPT, 0, None, None, source.number, event.sequence)
            self._accept_singly(db, source, event.sequence)
        return Turn.NOTHING

    def _faulty(self, db: Db, source: Source, row: _Row) -> Turn:
        """What is not posted whatever `post` would say: only where the chain bears out that it is the original."""
        proven = source.limit(prove=True) >= row.sequence
        if not proven:
            return Turn.WAIT
        text = row.text or ""
        if row.fault != "overlap":
            self._rejected(db, source, row.sequence, Rejected("malformed", text))
            return Turn.NOTHING
        db.run(sql.WITHHOLD, "overlap", text, source.number, row.sequence)
        self._acks.rejected(db, source, row.sequence, Rejected("id_conflict", text))
        name = f"overlap/{source.urn}/{row.sequence}"
        finding = Finding(name, "overlap", f"not posted: {text}", source=source.urn, sequence=row.sequence)
        self._desk.discrepancies.open(db, source, finding)
        return Turn.NOTHING

    def _wait_for_original(self, source: Source) -> None:
        """The original is in another stream: look again soon, nothing of this one may tell when it has come."""
        if source.hold is None:
            source.hold = Hold(0, Backoff(self._desk.timing.first, self._desk.timing.first))
        source.hold.backoff.tried(self._desk.now)
        source.may_post = True

    def _accepted(self, db: Db, source: Source, event: Event, answer: Accepted) -> None:
        single = db.rows(sql.WAS_SINGLE, source.number, event.sequence)[0][0]
        day = None if answer.posted_on is None else answer.posted_on.isoformat()
        db.run(sql.ACCEPT, 1, answer.document, day, source.number, event.sequence)
        if single or answer != Accepted() or event.sequence <= source.told:
            self._acks.accepted(db, source, event.sequence, answer)
        self._desk.counts["accepted"] += 1
        source.hold = None

    def _rejected(self, db: Db, source: Source, sequence: int, answer: Rejected) -> None:
        db.run(sql.REJECT, answer.code, answer.text, source.number, sequence)
        self._acks.rejected(db, source, sequence, answer)
        self._desk.counts["rejected"] += 1
        source.hold = None

    def _held(self, db: Db, source: Source, event: Event, outcome: Busy | Raised) -> None:
        hold = source.hold
        if hold is None or hold.sequence != event.sequence:
            timing = self._desk.timing
            hold = source.hold = Hold(event.sequence, Backoff(timing.first, timing.longest))
            self._acks.busy(db, source, event.sequence, outcome if isinstance(outcome, Busy) else Busy())
        hold.backoff.tried(self._desk.now)
        if isinstance(outcome, Busy) and outcome.retry_after is not None:
            hold.backoff.wait(self._desk.now, outcome.retry_after)
        if isinstance(outcome, Raised):
            self._desk.last_error = f"event {event.sequence} of {event.source}: {outcome.why}"
            if not hold.said:
                self._desk.notices.append(f"post raised, {self._desk.last_error}\n{outcome.trace}".rstrip())
            hold.said = True
        db.run(sql.TAKE_BACK, int(isinstance(outcome, Raised)), source.number, event.sequence)
        self._desk.counts["busy"] += 1

    def _accept_singly(self, db: Db, source: Source, sequence: int) -> None:
        """Accepted without `post`: singly where a cumulative answer would not say it."""
        if sequence <= source.told or db.rows(sql.WAS_SINGLE, source.number, sequence)[0][0]:
            self._acks.accepted(db, source, sequence)
