"""Answers to the agents on `cmd/ack`: cumulative where that says all, else single; sent until confirmed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

from edge_agent_receiver import sql
from edge_agent_receiver.answers import LONGEST_TEXT, Accepted, Busy, Rejected
from edge_agent_receiver.desk import Desk, Outgoing
from edge_agent_receiver.discrepancies import Finding
from edge_agent_receiver.event import event_id
from edge_agent_receiver.places import command_topic
from edge_agent_receiver.positions import expiry
from edge_agent_receiver.sources import Source
from edge_agent_receiver.store import Db
from edge_agent_receiver.strict_json import write
from edge_agent_receiver.timing import Backoff

MOST_ANSWERS = 200
_MARGIN = 3600.0
"""A message is made anew where less than this is left of its validity, in seconds."""


@dataclass(slots=True)
class _Message:
    """What waits for its reply. Sent again unchanged: the agent tells it by its nonce."""

    nonce: str
    up_to: int | None
    payload: bytes
    expires: float
    backoff: Backoff


class Acks:
    """At most one message per source is on its way; what comes meanwhile gathers for the next one."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._messages: dict[int, _Message] = {}
        self._gathering: dict[int, Backoff] = {}
        self._reminded: set[tuple[str, int]] = set()

    def load(self, db: Db) -> None:
        """What was on its way goes out again; each agent is asked how far it knows us."""
        self._messages.clear()
        self._gathering.clear()
        for nonce, number, up_to, payload, expires in db.rows(sql.MESSAGES):
            self._messages[number] = _Message(nonce, up_to, bytes(payload), expires, self._backoff())

    def greet(self, db: Db) -> None:
        """Say again how far everything is settled: the reply tells whether this inbox is older than what it said."""
        for source in self._desk.sources:
            if source.settled and source.number not in self._messages:
                self._say_all(db, source, source.settled)
            if source.settled:
                source.hello = self._desk.now + self._desk.timing.hello

    def remind(self, db: Db, store: str, source: Source, last: int) -> None:
        """A restored agent, now of `store`, has `source` up to `last`: what it was told since it has lost."""
        if not last or (store, source.number) in self._reminded:
            return
        self._reminded.add((store, source.number))
        message = self._messages.get(source.number)
        if message is not None:
            self._forget(db, source, message)
        if source.settled:
            self._say_all(db, source, min(source.settled, last))

    def _say_all(self, db: Db, source: Source, up_to: int) -> None:
        """A cumulative word with the rejections that stand, in case the agent has forgotten them."""
        standing = db.rows(sql.STANDING_REJECTIONS, source.number, up_to, MOST_ANSWERS + 1)
        if len(standing) > MOST_ANSWERS:
            up_to = standing.pop()[0] - 1
        answers = [_rejection(source, sequence, code, text) for sequence, code, text in standing]
        self._make(db, source, answers, up_to)

    def accepted(self, db: Db, source: Source, sequence: int, answer: Accepted | None = None) -> None:
        """Say singly that an event is accepted."""
        answer = answer or Accepted()
        more: dict[str, Any] = {"status": "accepted"}
        if answer.document is not None:
            more["document"] = answer.document
        if answer.duplicate:
            more["duplicate"] = True
        if answer.posted_on is not None:
            more["postedOn"] = answer.posted_on.isoformat()
        self._say(db, source, sequence, more)

    def accepted_as_before(self, db: Db, source: Source, sequence: int) -> None:
        """Say once more that an event is accepted."""
        document, day = db.rows(sql.ACCEPTED_AS, source.number, sequence)[0]
        posted_on = None if day is None else date.fromisoformat(day)
        self.accepted(db, source, sequence, Accepted(document, posted_on=posted_on))

    def rejected(self, db: Db, source: Source, sequence: int, answer: Rejected) -> None:
        """Say that an event is rejected."""
        text = {"text": answer.text[:LONGEST_TEXT]} if answer.text else {}
        self._say(db, source, sequence, {"status": "rejected", "code": answer.code, **text})

    def busy(self, db: Db, source: Source, sequence: int, answer: Busy) -> None:
        """Say that an event has to wait."""
        after = {} if answer.retry_after is None else {"retryAfter": answer.retry_after}
        self._say(db, source, sequence, {"status": "busy", **after})

    def due(self) -> bool:
        """Whether `step` has something to do."""
        return any(self._is_due(source) for source in self._desk.sources)

    def step(self, db: Db) -> Iterator[Outgoing]:
        """The messages that are due, new ones and those not confirmed."""
        for source in self._desk.sources:
            if not self._is_due(source):
                continue
            message = self._messages.get(source.number)
            if message is not None and self._desk.now > message.expires - _MARGIN:
                self._forget(db, source, message)
                message = None
            message = message or self._gather(db, source)
            if message is not None:
                message.backoff.tried(self._desk.now)
                yield Outgoing(command_topic(source.prefix, source.agent, "ack"), message.payload)

    def replied(self, db: Db, reply: dict[str, Any]) -> None:
        """An agent's answer to a message of ours; one to another system, or to no message, is let be."""
        source = self._desk.sources.known(str(reply.get("source")))
        message = None if source is None else self._messages.get(source.number)
        if source is None or message is None or reply.get("system") != self._desk.system:
            return
        if reply.get("nonce") != message.nonce:
            return
        self._desk.sources.touch(source)
        if reply.get("reason") is not None:
            self._turned_down(db, source, message, str(reply["reason"]))
            return
        self._desk.refused_because = None
        beyond = [self._refused(db, source, refused) for refused in _list(reply.get("refused"))]
        db.run(sql.DROP_ANSWERS, message.nonce)
        db.run(sql.DROP_MESSAGE, message.nonce)
        del self._messages[source.number]
        if any(beyond):
            self._gather_later(source)
        else:
            source.told = max(source.told, message.up_to or 0)
        source.hello = None
        self._heard(db, source, reply.get("upTo"))

    def _say(self, db: Db, source: Source, sequence: int, more: dict[str, Any]) -> None:
        body = {"sequence": sequence, "id": event_id(source.urn, sequence), **more}
        db.run(sql.SAVE_ANSWER, source.number, sequence, json.dumps(body))
        db.run(sql.ANSWERED_SINGLY, source.number, sequence)
        source.answers = True

    def _is_due(self, source: Source) -> bool:
        message = self._messages.get(source.number)
        if message is not None:
            return message.backoff.due(self._desk.now)
        if not source.answers and source.settled <= source.told:
            return False
        gathering = self._gathering.get(source.number)
        if gathering is None:
            gathering = self._gathering[source.number] = self._backoff()
            gathering.wait(self._desk.now, self._desk.timing.gather)
        return gathering.due(self._desk.now)

    def _gather(self, db: Db, source: Source) -> _Message | None:
        """A new message of what waits, the oldest first."""
        self._gathering.pop(source.number, None)
        waiting = [json.loads(body) for (body,) in db.rows(sql.ANSWERS, source.number, MOST_ANSWERS + 1)]
        source.answers = bool(waiting)
        up_to = source.settled
        if len(waiting) > MOST_ANSWERS:  # whoever is not in this message must not be in its upTo either
            up_to = min(up_to, waiting.pop()["sequence"] - 1)
        if not waiting and up_to <= source.told:
            return None
        return self._make(db, source, waiting, up_to if up_to > source.told else None)

    def _make(self, db: Db, source: Source, answers: list[dict[str, Any]], up_to: int | None) -> _Message:
        nonce, expires = self._desk.nonce(), int(self._desk.now + self._desk.timing.valid)
        command: dict[str, Any] = {
            "system": self._desk.system,
            "nonce": nonce,
            "expires": expiry(expires),
            "source": source.urn,
        }
        if up_to is not None:
            command["upTo"] = up_to
        if answers:
            command["answers"] = answers
        message = _Message(nonce, up_to, write(command), expires, self._backoff())
        self._messages[source.number] = message
        db.run(sql.NEW_MESSAGE, nonce, source.number, up_to, message.payload, expires)
        db.many(sql.CARRY_ANSWER, ((nonce, source.number, answer["sequence"]) for answer in answers))
        source.answers = bool(db.rows(sql.UNTOLD_ANSWERS, source.number))
        return message

    def _turned_down(self, db: Db, source: Source, message: _Message, why: str) -> None:
        """The agent took nothing of it: say it again later, as a new message."""
        if why != self._desk.refused_because:
            self._desk.notices.append(f"agent {source.agent} refuses our answers: {why}")
        self._desk.refused_because = why
        self._desk.counts["acks refused"] += 1
        self._forget(db, source, message)
        source.hello = None
        self._gather_later(source)

    def _gather_later(self, source: Source) -> None:
        """Whatever is wrong, saying it again at once does not help."""
        pause = self._gathering[source.number] = self._backoff()
        pause.wait(self._desk.now, self._desk.timing.refused)

    def _forget(self, db: Db, source: Source, message: _Message) -> None:
        db.run(sql.UNCARRY_ANSWERS, message.nonce)
        db.run(sql.DROP_MESSAGE, message.nonce)
        del self._messages[source.number]
        source.answers = bool(db.rows(sql.UNTOLD_ANSWERS, source.number))

    def _refused(self, db: Db, source: Source, refused: object) -> bool:
        """One answer was not taken: should the event come again, it is said again. Whether it was the `upTo`."""
        self._desk.counts["answers refused"] += 1
        sequence = refused.get("sequence") if isinstance(refused, dict) else None
        if type(sequence) is int and sequence in source.filled:
            db.run(sql.UNHEARD, source.number, sequence)
        return sequence is None

    def _heard(self, db: Db, source: Source, up_to: object) -> None:
        """How far the agent knows us to have accepted everything: more than we know is of a former life."""
        name = f"restored/{source.urn}"
        if type(up_to) is int and up_to > max(source.settled, source.restored_to):
            text = f"accepted up to {up_to} of {source.urn} before, now up to {source.settled}: restored from a backup?"
            source.restored_to = up_to
            self._desk.notices.append(text)
            finding = Finding(name, "restored", text, source=source.urn, sequence=up_to)
            self._desk.discrepancies.open(db, source, finding)

    def caught_up(self, db: Db, source: Source) -> None:
        """What this inbox had accepted in its former life it has accepted again."""
        if source.restored_to and source.settled >= source.restored_to:
            self._desk.discrepancies.close(db, f"restored/{source.urn}")

    def _backoff(self) -> Backoff:
        return Backoff(self._desk.timing.first, self._desk.timing.longest)


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _rejection(source: Source, sequence: int, code: str, text: str | None) -> dict[str, Any]:
    body = {"sequence": sequence, "id": event_id(source.urn, sequence), "status": "rejected", "code": code}
    return body | ({"text": text[:LONGEST_TEXT]} if text else {})
