"""What does not agree: opened once, published once per change, closed when it agrees again (events.md)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from edge_agent_receiver import sql
from edge_agent_receiver.figures import Key
from edge_agent_receiver.places import discrepancy_topic
from edge_agent_receiver.sources import Source
from edge_agent_receiver.store import Db
from edge_agent_receiver.strict_json import write
from edge_agent_receiver.timing import Backoff

_FIRST, _LONGEST = 2.0, 60.0
"""Seconds after which what the broker has not acknowledged is published again."""
CAUSES = ("lost", "changed", "doubled", "pruned", "restored", "overlap", "unexplained")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not agree. `name` identifies it among the open ones; `key` to `sequence` as published."""

    name: str
    cause: str
    message: str
    key: Key | None = None
    expected: Decimal | None = None
    found: Decimal | None = None
    source: str | None = None
    sequence: int | None = None

    def body(self) -> dict[str, Any]:
        """Its optional members."""
        members: dict[str, Any] = {
            "key": None if self.key is None else self.key.as_json(),
            "expected": None if self.expected is None else f"{self.expected:f}",
            "found": None if self.found is None else f"{self.found:f}",
            "source": self.source,
            "sequence": self.sequence,
        }
        return {name: value for name, value in members.items() if value is not None}

    def says_more_than(self, cause: str, message: str, body: dict[str, Any]) -> bool:
        """Whether it is news: of a stock's figures only their difference is, both of them grow all the time."""
        if self.expected is None or self.found is None:
            return (self.cause, self.message, self.body()) != (cause, message, body)
        before = Decimal(body["expected"]) - Decimal(body["found"])
        return (self.cause, self.expected - self.found) != (cause, before)


class Discrepancies:
    """The open and the closed ones."""

    def __init__(self, system: str) -> None:
        self._system = system
        self.now = 0.0
        """The moment of the call that is being served, in seconds since 1970."""
        self.unpublished = False
        """Whether there may be something to publish."""

        self._open: set[str] = set()
        self._backoff = Backoff(_FIRST, _LONGEST)

    def load(self, db: Db) -> None:
        """Which are open, and whether something was left unpublished."""
        self._open = {name for (name,) in db.rows(sql.OPEN_NAMES)}
        self.unpublished = bool(db.rows(sql.UNPUBLISHED))

    def open(self, db: Db, source: Source, finding: Finding) -> None:
        """Open it, or say what has changed of it."""
        body = json.dumps(finding.body())
        known = db.rows(sql.OPEN_DISCREPANCY, finding.name) if finding.name in self._open else []
        if not known:
            self._open.add(finding.name)
            (number,) = db.rows(sql.NEXT_DISCREPANCY)[0]
            about = (finding.name, source.agent, source.prefix, finding.cause, finding.message, body)
            db.run(sql.NEW_DISCREPANCY, number, *about, moment(self.now))
            self._news()
            return
        ((number, cause, message, former),) = known
        news = finding.says_more_than(cause, message, json.loads(former))
        db.run(sql.CHANGE_DISCREPANCY, finding.cause, finding.message, body, int(news), number)
        if news:
            self._news()

    def close(self, db: Db, name: str, finding: Finding | None = None) -> None:
        """It agrees again; `finding` says with which figures."""
        if name not in self._open:
            return
        self._open.discard(name)
        for number, cause, message, body in db.rows(sql.OPEN_DISCREPANCY, name):
            last = body if finding is None else json.dumps(finding.body())
            db.run(sql.CHANGE_DISCREPANCY, cause, message, last, 1, number)
            db.run(sql.CLOSE_DISCREPANCY, moment(self.now), number)
            self._news()

    def close_others(self, db: Db, start: str, but: str) -> None:
        """Close what is open under names that begin with `start`, but not with `but`: nobody speaks of it any more."""
        for name in sorted(self._open):
            if name.startswith(start) and not name.startswith(but):
                self.close(db, name)

    def due(self, now: float) -> bool:
        """Whether something is to be published now."""
        return self.unpublished and self._backoff.due(now)

    def step(self, db: Db) -> list[tuple[str, bytes, str]]:
        """(topic, payload, key) of what is to be published now; it comes again until `published` with its key."""
        if not self.due(self.now):
            return []
        self._backoff.tried(self.now)
        return [self._message(row) for row in db.rows(sql.UNPUBLISHED)]

    def published(self, db: Db, key: str) -> None:
        """The broker has the message."""
        number, _, revision = key.partition("/")
        db.run(sql.PUBLISHED, int(revision), int(number), int(revision))
        self.unpublished = bool(db.rows(sql.UNPUBLISHED))

    def _news(self) -> None:
        self.unpublished = True
        self._backoff = Backoff(_FIRST, _LONGEST)

    def _message(self, row: tuple[Any, ...]) -> tuple[str, bytes, str]:
        number, name, agent, prefix, cause, message, body, opened, closed, revision = row
        data = {"system": self._system, "agent": agent, "cause": cause, "message": message}
        data |= json.loads(body) | {"opened": opened}
        if closed is not None:
            data["closed"] = closed
        source = f"urn:edgeagent-receiver:{self._system}"
        event = {
            "specversion": "1.0",
            "id": str(uuid5(NAMESPACE_URL, f"{source} {name} {opened} {revision}")),
            "source": source,
            "type": "io.edgeagent.stock.discrepancy.v1",
            "time": closed or opened,
            "datacontenttype": "application/json",
            "data": data,
        }
        return discrepancy_topic(prefix), write(event), f"{number}/{revision}"


def moment(now: float) -> str:
    """Seconds since 1970 as RFC 3339 in UTC with milliseconds."""
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
