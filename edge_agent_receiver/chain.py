"""The hash chain (events.md, Envelope): which bytes are the original ones, and which were changed on their way.

Any claim that equals the hash of some bytes proves them: the `prevhash` of any content of the next event, a heartbeat,
a snapshot, a voided number. Chance does not make two SHA-256 agree, so even a changed message proves its predecessor.
"""

from __future__ import annotations

from typing import NamedTuple

from edge_agent_receiver import sql
from edge_agent_receiver.acks import Acks
from edge_agent_receiver.answers import Rejected
from edge_agent_receiver.desk import Desk
from edge_agent_receiver.discrepancies import Finding
from edge_agent_receiver.effects import Effects, Standing
from edge_agent_receiver.event import ZEROS, Event, read_event
from edge_agent_receiver.sources import MOST_REPLAYS, Source
from edge_agent_receiver.store import Db

_SURE = 2
"""How many replays have to bring the same before it is believed against what a heartbeat said."""
MOST_VERSIONS = 10
"""Most contents kept under one number besides the one that stands."""


class _Content(NamedTuple):
    """Bytes that came under a number, without the bytes."""

    sha256: str
    prevhash: str


class _Stood(NamedTuple):
    """How the event stands whose bytes are judged."""

    state: str
    posted: int
    why: str | None

    @property
    def is_open(self) -> bool:
        """Whether it is neither with `post` nor was it ever there."""
        return not self.posted and self.state in {"received", "accepted"}


class _Case(NamedTuple):
    """An event whose bytes are judged, and those that stand for it now."""

    source: Source
    sequence: int
    stands: _Content
    stood: _Stood


class Chain:
    """Judges every number that was marked for a check, before its transaction ends."""

    def __init__(self, desk: Desk, effects: Effects, acks: Acks) -> None:
        self._desk = desk
        self._acks = acks
        self._effects = effects

    def link(self, source: Source, event: Event) -> None:
        """A new event: mark what has to be looked at. In the usual case, in order and fitting, that is nothing."""
        sequence = event.sequence
        before = source.head if sequence > 1 else (0, ZEROS)
        if before != (sequence - 1, event.prevhash) or _odd(source, sequence - 1) or _odd(source, sequence):
            source.checks |= {sequence - 1, sequence}
        if sequence + 1 in source.filled:
            source.checks |= {sequence, sequence + 1}
        elif self._desk.prove and self._desk.sources.is_former(source):
            source.checks.add(sequence)
        source.proven.discard(sequence - 1)
        if sequence > source.head[0]:
            source.head = (sequence, event.sha256)

    def check_all(self, db: Db) -> None:
        """Judge what is marked, and what that marks in turn."""
        while marked := [source for source in self._desk.sources if source.checks]:
            for source in marked:
                numbers, source.checks = sorted(source.checks), set()
                self._desk.sources.touch(source)
                for sequence in numbers:
                    self._check(db, source, sequence)

    def answered(self, db: Db, source: Source, sequence: int, *, gone: bool) -> None:
        """A replay of a doubted event was answered, and the doubt has remained. `gone`: the agent has it no more."""
        asked = MOST_REPLAYS if gone else source.doubts[sequence] + 1
        believed = self._believed(db, source, sequence, asked=asked)
        if believed is not None:
            db.run(sql.NEW_CLAIM, source.number, sequence, believed)
            source.claimed.add(sequence)
            source.checks.add(sequence)
        elif asked >= MOST_REPLAYS:
            self._give_up(db, source, sequence)
        else:
            source.doubts[sequence] = asked
            db.run(sql.SAVE_DOUBT, source.number, sequence, asked)

    def _believed(self, db: Db, source: Source, sequence: int, *, asked: int) -> str | None:
        """The hash of an event that no successor says anything about: of what replays bring, or of all that ever came.

        Where somebody else says otherwise, a second replay decides: had the event been changed, it would bring another.
        """
        if self._following(db, source, sequence):
            return None
        denied = bool(self._claims(db, source, sequence))
        contents = [
            content.sha256
            for content in self._contents(db, source, sequence)
            if self._fits(db, source, sequence, content)
        ]
        replayed = source.replayed.get(sequence, set())
        believed = [sha256 for sha256 in contents if sha256 in replayed]
        if denied and asked < _SURE:
            return None
        if not denied and not believed and asked >= MOST_REPLAYS:
            believed = contents
        return believed[0] if len(believed) == 1 else None

    def _give_up(self, db: Db, source: Source, sequence: int) -> None:
        """Nobody can send the original any more: what came is not posted, and a person has to look at it."""
        source.doubts[sequence] = MOST_REPLAYS
        source.checks.add(sequence + 1)
        db.run(sql.SAVE_DOUBT, source.number, sequence, MOST_REPLAYS)
        text = "the chain does not bear out its bytes, and the agent cannot send others"
        if sequence in source.blocking:
            source.blocking.discard(sequence)
            db.run(sql.WITHHOLD, "changed", text, source.number, sequence)
            self._acks.rejected(db, source, sequence, Rejected("malformed", text))
            self._disagree(db, source, sequence, f"event {sequence} of {source.urn} is not posted: {text}")
        elif db.run(sql.MARK_POSTED_CHANGED, source.number, sequence):
            self._disagree(db, source, sequence, f"event {sequence} of {source.urn} is posted, but {text}")

    def _check(self, db: Db, source: Source, sequence: int) -> None:
        stored = db.rows(sql.STANDING_CONTENT, source.number, sequence)
        if not stored:
            return
        sha256, prevhash, *how = stored[0]
        case = _Case(source, sequence, _Content(sha256, prevhash), _Stood(*how))
        contents = self._contents(db, source, sequence)
        claims = self._claims(db, source, sequence)
        proven = [content for content in contents if content.sha256 in claims]
        fitting = [content for content in contents if self._fits(db, source, sequence, content)]
        if proven:
            self._decide(db, case, case.stands if case.stands in proven else proven[0])
            if sequence in source.claimed:
                self._heard(db, source, sequence, claims)
        elif not claims and len(fitting) == 1 and not self._is_last(db, case):
            self._decide(db, case, fitting[0])
        else:
            self._doubt(db, case, disputed=len(contents) > 1)

    def _decide(self, db: Db, case: _Case, best: _Content) -> None:
        """It is known which content is the original."""
        source, sequence, stands, stood = case
        if source.doubts.pop(sequence, None) is not None:
            db.run(sql.DROP_DOUBT, source.number, sequence)
        source.blocking.discard(sequence)
        if best != stands and (stood.posted or stood.state == "offered"):
            db.run(sql.MARK_CHANGED, source.number, sequence)
            text = f"posted with SHA-256 {stands.sha256}, the original has {best.sha256}"
            self._disagree(db, source, sequence, f"event {sequence} of {source.urn} was changed on its way: {text}")
            return
        if best != stands:
            self._replace(db, case, best)
        elif stood.why == "changed":
            db.run(sql.UNMARK_CHANGED if stood.posted else sql.RECEIVE_AGAIN, source.number, sequence)
        self._desk.discrepancies.close(db, _name(source, sequence))

    def _doubt(self, db: Db, case: _Case, *, disputed: bool) -> None:
        source, sequence, _, stood = case
        if sequence not in source.doubts:
            source.doubts[sequence] = 0
            db.run(sql.SAVE_DOUBT, source.number, sequence, 0)
            self._desk.counts["doubts"] += 1
        if stood.is_open and source.doubts[sequence] < MOST_REPLAYS:
            source.blocking.add(sequence)
        if disputed:
            text = "the chain has yet to say which is the original"
            self._disagree(db, source, sequence, f"several contents came as event {sequence} of {source.urn}: {text}")

    def _replace(self, db: Db, case: _Case, best: _Content) -> None:
        """The original takes the place of what was changed; that is kept as another content."""
        source, sequence, _, stood = case
        place = (source.number, sequence)
        former = self._read(db, sql.EVENT_BYTES, *place)
        original = self._read(db, sql.VERSION_BYTES, *place, best.sha256)
        self._effects.undo(db, source, former)
        db.run(sql.DROP_VERSION, *place, best.sha256)
        db.run(sql.NEW_VERSION, *place, former.sha256, former.prevhash, former.topic, former.payload)
        standing = self._effects.apply(db, source, original)
        if stood.state == "voided":
            standing = Standing("voided", 0)
        content = (original.sha256, original.prevhash, original.topic, original.payload)
        db.run(sql.REPLACE_EVENT, *content, *standing, *place)
        if source.head[0] == sequence:
            source.head = (sequence, original.sha256)
        source.checks |= {sequence - 1, sequence + 1}
        self._desk.counts["healed"] += 1

    def _contents(self, db: Db, source: Source, sequence: int) -> list[_Content]:
        stored = [_Content(*row[:2]) for row in db.rows(sql.STANDING_CONTENT, source.number, sequence)]
        return [*stored, *self._others(db, source, sequence)]

    def _others(self, db: Db, source: Source, sequence: int) -> list[_Content]:
        if sequence not in source.disputed:
            return []
        return [_Content(*row) for row in db.rows(sql.VERSIONS, source.number, sequence)]

    def _claims(self, db: Db, source: Source, sequence: int) -> set[str]:
        """What is said to be the hash of this event, by whomever."""
        claims = self._following(db, source, sequence)
        if sequence in source.claimed:
            claims |= {sha256 for (sha256,) in db.rows(sql.CLAIMS, source.number, sequence)}
        if source.head[0] == sequence and sequence in source.proven:
            claims.add(source.head[1])
        return claims

    def _following(self, db: Db, source: Source, sequence: int) -> set[str]:
        """What any content of the next event says it is."""
        said = {prevhash for (prevhash,) in db.rows(sql.PREVHASH, source.number, sequence + 1)}
        return said | {content.prevhash for content in self._others(db, source, sequence + 1)}

    def _is_last(self, db: Db, case: _Case) -> bool:
        """Whether no successor will ever prove an event to be proven: a hole follows, or its store is no more."""
        source, following = case.source, case.sequence + 1
        if not self._desk.prove or not case.stood.is_open:
            return False
        if following > source.end and self._desk.sources.is_former(source):
            return True
        return following in source.filled and not db.rows(sql.EVENT_HASH, source.number, following)

    def _fits(self, db: Db, source: Source, sequence: int, content: _Content) -> bool:
        """Whether its `prevhash` is that of some content of the event before; it fits where that is not known."""
        if sequence == 1:
            return content.prevhash == ZEROS
        if sequence - 1 in source.voided:
            return content.prevhash == source.voided[sequence - 1]
        if source.doubts.get(sequence - 1, 0) >= MOST_REPLAYS:
            return True  # nobody knows its original any more
        known = {sha256 for (sha256,) in db.rows(sql.EVENT_HASH, source.number, sequence - 1)}
        known |= {other.sha256 for other in self._others(db, source, sequence - 1)}
        return not known or content.prevhash in known

    def _heard(self, db: Db, source: Source, sequence: int, claims: set[str]) -> None:
        """It is proven. What was claimed has done its work once the successor, which stays, says the same."""
        if source.head[0] != sequence or source.head[1] in claims:  # else what stands is not what was proven
            source.proven.add(sequence)
        hashes = {content.sha256 for content in self._contents(db, source, sequence)}
        if any(prevhash in hashes for (prevhash,) in db.rows(sql.PREVHASH, source.number, sequence + 1)):
            db.run(sql.DROP_CLAIMS, source.number, sequence)
            source.claimed.discard(sequence)
            source.proven.discard(sequence)

    def _disagree(self, db: Db, source: Source, sequence: int, text: str) -> None:
        finding = Finding(_name(source, sequence), "changed", text, source=source.urn, sequence=sequence)
        self._desk.discrepancies.open(db, source, finding)

    @staticmethod
    def _read(db: Db, query: str, *place: object) -> Event:
        topic, payload = db.rows(query, *place)[0]
        return read_event(topic, bytes(payload))


def _odd(source: Source, sequence: int) -> bool:
    return sequence in source.doubts or sequence in source.claimed or sequence in source.disputed


def _name(source: Source, sequence: int) -> str:
    return f"changed/{source.urn}/{sequence}"
