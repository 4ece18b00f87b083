"""Which positions of a rule's signal are held, over all stores of an agent (reliability.md, invariant 13).

A restored or taken-over agent counts on from an older state under a new store uuid: what it books again is known here
by its positions. It is told how far we got (`cmd/positions`) until it answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeGuard

from edge_agent_receiver import sql
from edge_agent_receiver.desk import Desk, Outgoing
from edge_agent_receiver.event import Event
from edge_agent_receiver.places import command_topic
from edge_agent_receiver.sources import Source
from edge_agent_receiver.store import Db
from edge_agent_receiver.strict_json import is_plain, write
from edge_agent_receiver.timing import Backoff

_WIDEST = 10**20
_EPOCHS = 1 << 63
_MOST = 500
"""Most positions of one command."""


class Span(NamedTuple):
    """What a line stands for: `first` included, `last` not, in raw units unrolled within the epoch."""

    rule: str
    epoch: int
    first: int
    last: int


class Positions:
    """What is held, and what the agents are told of it."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._due: dict[str, Backoff] = {}
        self._prefixes: dict[str, str] = {}
        self._awaited: dict[str, set[str]] = {}

    def load(self, db: Db) -> None:
        """Who has not answered yet."""
        self._prefixes = dict(db.rows(sql.STATEMENTS))
        self._due = {agent: self._backoff() for agent in self._prefixes}
        self._awaited.clear()

    def new_source(self, db: Db, urn: str, prefix: str) -> Source:
        """A source not seen before; a second store of an agent is told how far the others got."""
        source = self._desk.sources.create(db, urn, prefix)
        if len(self._desk.sources.stores(source.agent)) > 1 and len(self._of_store(source)) == 1:
            db.run(sql.NEW_STATEMENT, source.agent, prefix)
            self._prefixes[source.agent] = prefix
            self._due[source.agent] = self._backoff()
            for former in self._desk.sources:
                if former.agent == source.agent and former.store != source.store:
                    former.checks.add(former.filled.contiguous)  # nothing will follow its last event any more
            notice = f"agent {source.agent} writes under a new store {source.store}: telling it what is held"
            self._desk.notices.append(notice)
        return source

    def take(self, db: Db, source: Source, event: Event) -> str | None:
        """Hold the event's positions; where another store's event holds some of them, say which instead."""
        spans = list(dict.fromkeys(_spans(event)))
        settled_by_a_person = event.correlation is not None and event.causation is not None
        if not settled_by_a_person and len(self._desk.sources.stores(source.agent)) > 1:
            for rule, epoch, first, last in spans:
                place = (rule, epoch, _text(first), _text(last), source.agent, source.store)
                for urn, sequence in db.rows(sql.OVERLAPPING, *place):
                    what = f"rule {rule}, epoch {epoch}, positions {first} to {last}"
                    return f"{what}: event {sequence} of {urn} holds some of them"
        rows = [(rule, epoch, _text(first), _text(last)) for rule, epoch, first, last in spans]
        db.many(sql.NEW_SPAN, [(source.number, event.sequence, *row) for row in rows])
        return None

    def forget(self, db: Db, source: Source, sequence: int) -> None:
        """The event was another one."""
        db.run(sql.DROP_SPANS, source.number, sequence)

    def highest(self, db: Db, agent: str) -> list[tuple[str, int, int]]:
        """(rule, epoch, highest position held) over all stores of an agent."""
        return [(rule, epoch, int(last) - _WIDEST) for rule, epoch, last in db.rows(sql.HIGHEST_POSITIONS, agent)]

    def due(self) -> bool:
        """Whether an agent is to be told now."""
        return any(backoff.due(self._desk.now) for backoff in self._due.values())

    def step(self, db: Db) -> Iterator[Outgoing]:
        """The commands that are due, with what is held by now."""
        for agent, backoff in self._due.items():
            if not backoff.due(self._desk.now):
                continue
            backoff.tried(self._desk.now)
            held = self.highest(db, agent)
            self._awaited[agent] = set()
            for start in range(0, max(len(held), 1), _MOST):
                yield self._command(agent, held[start : start + _MOST])

    def replied(self, db: Db, reply: dict[str, Any]) -> None:
        """An agent's answer to one of ours."""
        agent, nonce = str(reply.get("agent")), str(reply.get("nonce"))
        awaited = self._awaited.get(agent, set())
        if reply.get("system") != self._desk.system or nonce not in awaited or agent not in self._due:
            return
        if reply.get("reason") is not None:
            self._due[agent].wait(self._desk.now, self._desk.timing.refused)
            return
        awaited.discard(nonce)
        if not awaited:
            db.run(sql.DROP_STATEMENT, agent)
            del self._due[agent], self._prefixes[agent], self._awaited[agent]

    def _command(self, agent: str, held: list[tuple[str, int, int]]) -> Outgoing:
        nonce = self._desk.nonce()
        self._awaited[agent].add(nonce)
        command = {
            "system": self._desk.system,
            "nonce": nonce,
            "expires": expiry(self._desk.now + self._desk.timing.valid),
            "agent": agent,
            "positions": [{"rule": rule, "epoch": epoch, "position": position} for rule, epoch, position in held],
        }
        return Outgoing(command_topic(self._prefixes[agent], agent, "positions"), write(command))

    def _of_store(self, source: Source) -> list[Source]:
        return list(self._desk.sources.of_store(source.agent, source.store))

    def _backoff(self) -> Backoff:
        return Backoff(self._desk.timing.first, self._desk.timing.longest)


def expiry(moment: float) -> str:
    """Seconds since 1970 as RFC 3339 in whole seconds."""
    return datetime.fromtimestamp(int(moment), UTC).isoformat().replace("+00:00", "Z")


def _spans(event: Event) -> Iterator[Span]:
    """What the lines say they stand for; a person's own entry stands for no positions."""
    for line in event.lines:
        evidence = line.data.get("evidence")
        if not isinstance(evidence, dict):
            continue
        rule, epoch, first, last = (evidence.get(name) for name in ("rule", "epoch", "fromPosition", "toPosition"))
        if not isinstance(rule, str) or not is_plain(rule) or not _is_number(epoch):
            continue
        if abs(epoch) < _EPOCHS and _is_number(first) and _is_number(last) and -_WIDEST < first < last < _WIDEST:
            yield Span(rule, epoch, first, last)


def _is_number(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _text(position: int) -> str:
    """Offset and padded: text order is number order, in every database."""
    return f"{position + _WIDEST:021d}"
