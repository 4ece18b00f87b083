"""An event has come: keep it once, whatever comes again, and know what is the same and what is another content."""

from __future__ import annotations

from typing import NamedTuple

from edge_agent_receiver import sql
from edge_agent_receiver.acks import Acks
from edge_agent_receiver.chain import MOST_VERSIONS, Chain
from edge_agent_receiver.desk import Desk
from edge_agent_receiver.effects import Effects, Standing
from edge_agent_receiver.event import Event
from edge_agent_receiver.holes import Holes
from edge_agent_receiver.positions import Positions
from edge_agent_receiver.sources import Source
from edge_agent_receiver.store import Db


class _Known(NamedTuple):
    """What is known of an event that comes again. `unheard`: the agent did not take our answer."""

    sha256: str
    state: str
    unheard: int


class Arrivals:
    """Takes events in. Their id follows from their source and sequence, so that these two identify them."""

    def __init__(
        self, desk: Desk, *, effects: Effects, chain: Chain, holes: Holes, positions: Positions, acks: Acks
    ) -> None:
        self._desk = desk
        self._effects = effects
        self._chain = chain
        self._holes = holes
        self._positions = positions
        self._acks = acks

    def take(self, db: Db, prefix: str, event: Event) -> None:
        """Take an event in that came in the line `prefix`."""
        source = self._desk.sources.known(event.source)
        if source is None:
            source = self._positions.new_source(db, event.source, prefix)
        source.prefix = prefix
        self._desk.sources.touch(source)
        if event.sequence in source.filled:
            known = db.rows(sql.KNOWN, source.number, event.sequence)
            if known:
                self._known(db, source, event, _Known(*known[0]))
                return
            self._holes.take_out(db, source, event.sequence)
            self._keep(db, source, event, late=True)
        else:
            self._keep(db, source, event, late=False)

    def _keep(self, db: Db, source: Source, event: Event, *, late: bool) -> None:
        standing = self._effects.apply(db, source, event)
        if late and db.rows(sql.VOIDED_BY_REVERSAL, source.number, event.sequence):
            standing = Standing("voided", 0)
        content = (event.sha256, event.prevhash, event.topic, event.payload)
        db.run(sql.NEW_EVENT, source.number, event.sequence, *content, *standing)
        source.filled.add(event.sequence, event.sequence)
        self._chain.link(source, event)
        if event.sequence <= source.told and not standing.pending:
            self._acks.accepted(db, source, event.sequence)
        self._desk.counts["events"] += 1

    def _known(self, db: Db, source: Source, event: Event, known: _Known) -> None:
        if event.sequence in source.asked:
            source.replayed.setdefault(event.sequence, set()).add(event.sha256)
        if known.sha256 == event.sha256:
            self._desk.counts["duplicates"] += 1
            if known.state == "rejected":
                db.run(sql.RECEIVE_AGAIN, source.number, event.sequence)  # the agent's retry
            elif known.state in {"accepted", "voided"} and (known.unheard or self._desk.sources.is_former(source)):
                self._acks.accepted_as_before(db, source, event.sequence)
            return
        place = (source.number, event.sequence)
        versions = [sha256 for sha256, _ in db.rows(sql.VERSIONS, *place)] if event.sequence in source.disputed else []
        if event.sha256 in versions:
            self._desk.counts["duplicates"] += 1
            return
        self._desk.counts["conflicts"] += 1
        if len(versions) < MOST_VERSIONS:
            db.run(sql.NEW_VERSION, *place, event.sha256, event.prevhash, event.topic, event.payload)
            source.disputed.add(event.sequence)
            source.checks |= {event.sequence - 1, event.sequence, event.sequence + 1}
