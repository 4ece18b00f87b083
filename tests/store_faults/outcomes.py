"""Outcomes as the engine makes them, and a renderer whose bytes can be read back; for the tests of the store."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from edge_agent.errors import StoreFull
from edge_agent.model.event import EventDraft, Place, Rendered, StoredEvent
from edge_agent.model.movement import (
    Candidate,
    Cause,
    Decision,
    EventType,
    Evidence,
    Gap,
    Key,
    Line,
    LineState,
    Review,
    Verdict,
)
from edge_agent.model.outcome import EpochMark, LineMark, NaturalKey, Outcome
from edge_agent.model.reading import Instant
from edge_agent.model.signal_state import CounterState, HandshakeState
from edge_agent.model.state import RuleState
from edge_agent.store.checkpoint import Checkpoint
from edge_agent.store.database import Database
from edge_agent.store.restore import open_store
from edge_agent.store.unit_of_work import UnitOfWork

AGENT = "l3-edge"
RULE = "bottles_made"
MODULUS = 65_536
NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
BOOT = Instant(NOON, 0, "boot-1")
MIB = 1024 * 1024
BOTTLES = "produced/900001/4711/L3-OUT"


def render(draft: EventDraft, place: Place) -> Rendered:
    """Readable bytes: what the draft and its place say."""
    content = {
        "source": place.source,
        "sequence": place.sequence,
        "prevhash": place.prevhash,
        "causation": place.causation,
        "quantity": str(sum((line.quantity for line in draft.lines), Decimal(0))),
        "text": "Größe ☃",
    }
    identity = str(uuid5(uuid5(NAMESPACE_URL, place.source), f"{place.sequence:020d}"))
    return Rendered(identity, f"io.edgeagent.{draft.type}.v1", f"mat/v1/{draft.type}", json.dumps(content).encode())


def booked(events: list[StoredEvent]) -> int:
    """What the bytes of events add up to."""
    return sum(int(json.loads(event.payload)["quantity"]) for event in events)


def line(first: int, last: int, *, rule: str = RULE, epoch: int = 1, order: str = "4711") -> Line:
    """Bottles produced from one position to another."""
    key = Key(rule, EventType.PRODUCED, "900001", order, None, "L3-OUT", date(2026, 3, 4))
    proof = Evidence(epoch, first, last, NOON, NOON, 1, str(first), str(last))
    return Line(key, Decimal(last - first), "pcs", Decimal(last - first), "pcs", NOON, NOON, proof)


def counter(last: int, *, epoch: int = 1) -> RuleState:
    """A counter that stands at `last`, begun at 0."""
    return RuleState(CounterState(epoch, 0, last, 0, BOOT, NOON))


def counted(first: int, *steps: int, stream: str = "routine", rule: str = RULE) -> Outcome:
    """From position `first` on, one event for each step; baseline, epoch and ledger move with them."""
    outcome, at = Outcome(), first
    for step in steps:
        made = line(at, at + step, rule=rule)
        outcome.lines[rule, 1, at] = LineMark(made, LineState.CUT, len(outcome.events))
        outcome.events.append(EventDraft(EventType.PRODUCED, stream, NOON, (made,)))
        at += step
    outcome.epochs[rule, 1] = EpochMark(rule, 1, 0, at, 0, MODULUS)
    outcome.changed.rules[rule] = counter(at)
    return outcome


def pending(first: int, last: int) -> Outcome:
    """Bottles counted and not yet cut."""
    outcome, made = Outcome(), line(first, last)
    outcome.lines[RULE, 1, first] = LineMark(made, LineState.PENDING)
    outcome.epochs[RULE, 1] = EpochMark(RULE, 1, 0, last, 0, MODULUS)
    outcome.changed.rules[RULE] = replace(counter(last), pending=(made,))
    return outcome


def review(first: int = 10, last: int = 30) -> Review:
    """Whose 20 bottles were they?"""
    made = line(first, last)
    ways = tuple(Candidate(made.quantity, f"order {o}", replace(made.key, order=o)) for o in ("4711", "4712"))
    return Review(f"{RULE}/1/1", Cause.STRADDLED_ORDER, made.key, ways, made, False, NOON, "whose are they?")


def doubted(found: Review) -> Outcome:
    """The review opened, with its event and its place in the ledger."""
    outcome, proof = Outcome(), found.line.evidence
    outcome.reviews.append(found)
    outcome.events.append(EventDraft(EventType.IN_REVIEW, "ops", NOON, about=found))
    outcome.lines[RULE, 1, proof.from_position] = LineMark(found.line, LineState.IN_REVIEW, review=found.id)
    outcome.epochs[RULE, 1] = EpochMark(RULE, 1, proof.from_position, proof.to_position, 0, MODULUS)
    return outcome


def decided(found: Review, verdict: Verdict = Verdict.ACCEPTED) -> Outcome:
    """A person's word: the second candidate, or nothing."""
    chosen = 2 if verdict is Verdict.ACCEPTED else None
    decision = Decision(found, verdict, chosen, "Ada", "as the batch record says", NOON)
    outcome = Outcome(decisions=[decision])
    name = (RULE, 1, found.line.evidence.from_position)
    if chosen is None:
        outcome.lines[name] = LineMark(found.line, LineState.REJECTED, review=found.id)
        return outcome
    made = replace(found.line, key=found.candidates[chosen - 1].key)
    outcome.events.append(EventDraft(EventType.PRODUCED, "routine", NOON, (made,), about=decision))
    outcome.lines[name] = LineMark(made, LineState.BOOKED_BY_REVIEW, 0, found.id)
    return outcome


def gap() -> Gap:
    """Up to 12 bottles that nobody saw."""
    return Gap(f"{RULE}/gap/1", Cause.RESET, line(0, 1).key, Decimal(0), Decimal(12), NOON, NOON, "reset unseen")


def confirmed(number: int) -> Outcome:
    """A pallet handshake, once."""
    outcome = counted(number - 1, 1, stream="critical", rule="pallet_out")
    outcome.changed.rules["pallet_out"] = RuleState(HandshakeState(1, 0, number, 0, "c0ffee", 0, released=False))
    outcome.natural_keys.append(NaturalKey("pallet_out", f"pallet_out/1/{number}", "c0ffee"))
    return outcome


async def opened(path: Path, *, max_size: int = 64 * MIB) -> Database:
    """The store at `path`, opened as the agent does."""
    return await open_store(path, agent=AGENT, max_size=max_size, now=BOOT)


async def filled(database: Database, *, stream: str = "bulk") -> int:
    """Commit events until the store is full; returns the position that was reached."""
    unit_of_work, stands = UnitOfWork(database), 0
    while True:
        try:
            await unit_of_work.commit(counted(stands, *[1] * 50, stream=stream), render, NOON)
        except StoreFull:
            return stands
        stands += 50


async def baseline(database: Database, rule: str = RULE) -> int:
    """Where a counter stands by the checkpoint; 0 before its first reading."""
    known = (await Checkpoint(database).load()).rules.get(rule)
    return known.signal.last_raw if known is not None and isinstance(known.signal, CounterState) else 0


@contextmanager
def tampering(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection for which no trigger holds: what a flipped bit or an intruder may do."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        triggers = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        yield connection
        for _, sql in triggers:
            connection.execute(sql)
    finally:
        connection.close()


class SideFile:
    """The file beside a database whose name ends with `suffix`, and what may befall it."""

    def __init__(self, path: Path, suffix: str = "") -> None:
        self.path = path.with_name(path.name + suffix)

    def content(self) -> bytes:
        return self.path.read_bytes()

    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.content())
        return found

    def write(self, content: bytes) -> None:
        self.path.write_bytes(content)

    def remove(self) -> None:
        self.path.unlink()

    def exists(self) -> bool:
        return self.path.exists()

    def neighbours(self) -> list[str]:
        """All that lies in the same directory."""
        return sorted(entry.name for entry in self.path.parent.iterdir())

    def block(self) -> None:
        """Nobody can write here: a directory has the name."""
        self.path.mkdir()

    def unblock(self) -> None:
        self.path.rmdir()
