"""The inbox: messages go in, postings and messages come out. No transport, no thread, no clock.

Every call is one transaction: when it returns, what it was given is on the disk. `now` is in seconds since 1970. After
a StoreError the inbox is of no use; make a new one over the store.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from edge_agent_receiver import sql
from edge_agent_receiver.acks import Acks
from edge_agent_receiver.answers import Outcome
from edge_agent_receiver.arrivals import Arrivals
from edge_agent_receiver.chain import Chain
from edge_agent_receiver.desk import Desk, Outgoing
from edge_agent_receiver.discrepancies import Discrepancies, moment
from edge_agent_receiver.effects import Effects
from edge_agent_receiver.event import Event, read_event
from edge_agent_receiver.gaps import Gaps
from edge_agent_receiver.gateway import Gateway
from edge_agent_receiver.holes import Holes
from edge_agent_receiver.places import Place, read_topic
from edge_agent_receiver.positions import Positions
from edge_agent_receiver.posting import Posting
from edge_agent_receiver.reversals import Reversals
from edge_agent_receiver.snapshots import Snapshots
from edge_agent_receiver.sources import Source, Sources
from edge_agent_receiver.store import Db, Store, StoreError
from edge_agent_receiver.strict_json import Malformed, is_plain
from edge_agent_receiver.timing import Timing

_MALFORMED_KEPT = 10_000
"""Most unreadable messages whose bytes are kept; further ones are only counted."""
_GATEWAY = "_gateway/"
_OTHERS = ("_recon/discrepancy",)
"""What receivers publish themselves."""

__all__ = ["Inbox", "Outgoing"]


class Inbox:
    """The inbox of `system` over `store`, for agents under `{root}/v1/#`.

    `run` must be unlike that of any other run of this system, also of one that a backup has made forgotten. With
    `prove` an event is posted only once its successor, a heartbeat or a snapshot has proven its bytes.
    """

    def __init__(
        self,
        store: Store,
        system: str,
        *,
        run: str,
        now: float,
        root: str = "mat",
        prove: bool = False,
        timing: Timing | None = None,
    ) -> None:
        self._store = store
        self._broken = False
        desk = Desk(system, root, run, prove, timing or Timing(), Sources(), Discrepancies(system))
        self._desk = desk
        self._counted: Counter[str] = Counter()
        self._noted: dict[str, str] = {}
        self._holes = Holes(desk)
        self._positions = Positions(desk)
        self._snapshots = Snapshots(desk)
        self._acks = Acks(desk)
        self._effects = Effects(
            desk, holes=self._holes, positions=self._positions, snapshots=self._snapshots, acks=self._acks
        )
        self._chain = Chain(desk, self._effects, self._acks)
        self._gaps = Gaps(desk, self._holes, self._chain)
        self._arrivals = Arrivals(
            desk,
            effects=self._effects,
            chain=self._chain,
            holes=self._holes,
            positions=self._positions,
            acks=self._acks,
        )
        self._gateway = Gateway(desk, self._holes, self._gaps, self._acks, self._positions)
        self._posting = Posting(desk, Reversals(desk), self._acks)
        with self._transaction(now) as db:
            self._load(db)

    @property
    def sources(self) -> Sources:
        """How far each source has got; to be read, not changed."""
        return self._desk.sources

    @property
    def counts(self) -> Counter[str]:
        """What was counted since the store was made."""
        return self._desk.counts

    def receive(self, topic: str, payload: bytes, now: float) -> None:
        """Take one message in, whatever it is. Raises StoreError."""
        self.receive_all([(topic, payload)], now)

    def receive_all(self, messages: Iterable[tuple[str, bytes]], now: float) -> None:
        """Take messages in, all in one transaction. Raises StoreError."""
        with self._transaction(now) as db:
            for topic, payload in messages:
                self._take(db, topic, payload)

    def step(self, now: float) -> list[Outgoing]:
        """What is to be published now: requests, answers, discrepancies. What is not answered comes again later."""
        self._desk.now = now
        outgoing = list(self._gaps.step())
        if self._positions.due() or self._acks.due() or self._desk.discrepancies.due(now):
            with self._transaction(now) as db:
                outgoing += self._positions.step(db)
                outgoing += self._acks.step(db)
                outgoing += (Outgoing(*message) for message in self._desk.discrepancies.step(db))
        return outgoing

    def sent(self, key: str, now: float) -> None:
        """The broker has acknowledged the outgoing message with this `key`."""
        with self._transaction(now) as db:
            self._desk.discrepancies.published(db, key)

    def offer(self, now: float, limit: int = 100) -> list[Event]:
        """Events to post now, at most about `limit`; in each source's order, and no more of it until all are settled.

        They are marked as offered before this returns: should the process end before `settle`, they come again with
        `again` set.
        """
        self._desk.now = now
        if not self._posting.ready():
            return []
        with self._transaction(now, wakes=False) as db:
            return self._posting.offer(db, limit)

    def settle(self, outcomes: Iterable[tuple[Event, Outcome]], now: float) -> None:
        """Write down what became of offered events; None: `post` was not called. Raises ValueError for others."""
        settled = list(outcomes)
        for event, _ in settled:
            self._posting.expect(event)
        with self._transaction(now) as db:
            for event, outcome in settled:
                self._posting.settle(db, event, outcome)

    def notices(self) -> list[str]:
        """What is to be logged, once."""
        notices, self._desk.notices = self._desk.notices, []
        return notices

    @contextmanager
    def _transaction(self, now: float, *, wakes: bool = True) -> Iterator[Db]:
        """One transaction and what follows from it. `wakes`: the sources it touches may have more to post."""
        if self._broken:
            raise StoreError("this inbox has failed before: make a new one")
        self._desk.now = self._desk.discrepancies.now = now
        try:
            with self._store.transaction() as db:
                yield db
                for source in self._finish(db):
                    source.may_post |= wakes
        except BaseException:
            self._broken = True
            raise

    def _load(self, db: Db) -> None:
        db.run(sql.OFFERED_BEFORE)
        self._desk.sources.load(db)
        self._desk.discrepancies.load(db)
        self._desk.counts.update(dict(db.rows(sql.COUNTERS)))
        self._counted = self._desk.counts.copy()
        self._positions.load(db)
        self._snapshots.load(db)
        self._acks.load(db)
        self._acks.greet(db)

    def _finish(self, db: Db) -> list[Source]:
        """What follows from everything that was done in this transaction; gives the sources that changed."""
        self._chain.check_all(db)
        self._snapshots.compare_ready(db)
        touched = self._desk.sources.save(db)
        for source in touched:
            self._acks.caught_up(db, source)
        changed = [(name, value) for name, value in self._desk.counts.items() if self._counted[name] != value]
        db.many(sql.SAVE_COUNTER, changed)
        self._counted |= Counter(dict(changed))
        self._save_notes(db)
        return touched

    def _save_notes(self, db: Db) -> None:
        notes = {"post raised": self._desk.last_error, "answers refused": self._desk.refused_because}
        for name, text in notes.items():
            if text is not None and self._noted.get(name) != text:
                db.run(sql.SAVE_NOTE, name, text)
                self._noted[name] = text
            elif text is None and self._noted.pop(name, None) is not None:
                db.run(sql.DROP_NOTE, name)

    def _take(self, db: Db, topic: str, payload: bytes) -> None:
        place = read_topic(self._desk.root, topic)
        if place is not None and place.rest in _OTHERS:
            return
        try:
            if place is None:
                raise Malformed("the topic is not one of an agent's line")  # noqa: TRY301 - counted like the others
            self._take_known(db, place, topic, payload)
        except Malformed as reason:
            self._malformed(db, topic, payload, str(reason))

    def _take_known(self, db: Db, place: Place, topic: str, payload: bytes) -> None:
        if place.rest.startswith(_GATEWAY):
            self._gateway.take(db, place.prefix, place.rest[len(_GATEWAY) :], payload)
        else:
            self._arrivals.take(db, place.prefix, read_event(topic, payload))

    def _malformed(self, db: Db, topic: str, payload: bytes, reason: str) -> None:
        self._desk.counts["malformed"] += 1
        shown, said = (text if is_plain(text) else ascii(text) for text in (topic, reason))
        if db.rows(sql.MALFORMED_KEPT)[0][0] < _MALFORMED_KEPT:
            digest = hashlib.sha256(payload).hexdigest()
            db.run(sql.NEW_MALFORMED, digest, shown, said, payload, moment(self._desk.now))
