"""ONE transaction: state, events with their sequence numbers and chain, ledger lines, reviews, gaps, natural keys."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import aiosqlite
from pydantic import TypeAdapter

from edge_agent.errors import NaturalKeyTaken, StoreError
from edge_agent.model.event import Place, Render, StoredEvent
from edge_agent.model.movement import Decision, EventDraft, Review
from edge_agent.model.outcome import LineMark, NaturalKey, Outcome
from edge_agent.store import checkpoint
from edge_agent.store.database import Database
from edge_agent.store.keys import total_key
from edge_agent.store.rows import row_hash, sha256, to_text
from edge_agent.store.streams import Head, read_head, write_head

REVIEW_CODEC: TypeAdapter[Review] = TypeAdapter(Review)

_EVENT = (
    "INSERT INTO event (stream, sequence, id, type, topic, recorded, payload, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_EPOCH = "INSERT OR REPLACE INTO epoch (rule, epoch, first_raw, last_raw, wraps, modulus) VALUES (?, ?, ?, ?, ?, ?)"
_LINE = (
    "INSERT OR REPLACE INTO line (rule, epoch, from_position, to_position, state, total_key, quantity, unit, ended,"
    " stream, sequence, review) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_REVIEW = (
    "INSERT INTO review (id, rule, cause, total_key, body, hash, event_id, opened, status)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'open')"
)
_DECIDE = (
    "UPDATE review SET status = ?, candidate = ?, decided_by = ?, reason = ?, decided = ?"
    " WHERE id = ? AND status = 'open'"
)
_GAP = (
    "INSERT INTO gap (id, rule, cause, total_key, minimum, maximum, seen, since, until, message)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class UnitOfWork:
    """Commits outcomes. `probe` is told when it passes `before-commit` and `after-commit`."""

    def __init__(self, database: Database, probe: Callable[[str], None] = lambda _point: None) -> None:
        self._database = database
        self._probe = probe
        self._heads: dict[str, Head] = {}

    async def commit(self, outcome: Outcome, render: Render, recorded: datetime) -> list[StoredEvent]:
        """Store the outcome whole, or nothing of it; an outcome that changes nothing costs no transaction.

        Raises:
            NaturalKeyTaken: a confirmation in it is booked already.
            StoreError: SQLite refuses, or a review in it is not open any more.
        """
        if not _says_something(outcome):
            return []
        heads = dict(self._heads)
        try:
            stored = await self._database.transaction(
                lambda connection: self._work(connection, outcome, heads, render, recorded)
            )
        except BaseException:
            self._heads.clear()  # read again: nobody knows how far the failed one got
            raise
        self._probe("after-commit")
        self._heads = heads
        if stored:
            self._database.announce({event.stream: event.sequence for event in stored})
        return stored

    async def _work(
        self,
        connection: aiosqlite.Connection,
        outcome: Outcome,
        heads: dict[str, Head],
        render: Render,
        recorded: datetime,
    ) -> list[StoredEvent]:
        await self._take_keys(connection, outcome.natural_keys, recorded)
        stored = await self._place(connection, outcome.events, heads, render, recorded)
        await self._write_ledger(connection, outcome, stored, heads)
        await self.write_state(connection, outcome)
        self._probe("before-commit")
        return stored

    async def write_state(self, connection: aiosqlite.Connection, outcome: Outcome) -> None:
        """The baselines and accumulators, in the same transaction as everything else."""
        await checkpoint.write(connection, outcome.changed)

    async def _take_keys(self, connection: aiosqlite.Connection, keys: list[NaturalKey], recorded: datetime) -> None:
        for key in keys:
            try:
                await connection.execute(
                    "INSERT INTO natural_key (key, rule, content, at) VALUES (?, ?, ?, ?)",
                    (key.key, key.rule, key.content, to_text(recorded)),
                )
            except sqlite3.IntegrityError as error:
                raise NaturalKeyTaken(key.rule, key.key) from error

    async def _place(
        self,
        connection: aiosqlite.Connection,
        drafts: list[EventDraft],
        heads: dict[str, Head],
        render: Render,
        recorded: datetime,
    ) -> list[StoredEvent]:
        """Give every draft its sequence number and its place in the chain, and store its bytes."""
        stored = []
        for draft in drafts:
            head = heads.get(draft.stream) or await read_head(connection, self._database, draft.stream)
            causation = await _opened_by(connection, draft.decision) if draft.decision else None
            place = Place(head.source, head.sequence + 1, head.digest, recorded, causation)
            made = render(draft, place)
            heads[draft.stream] = replace(head, sequence=place.sequence, digest=sha256(made.payload))
            stored.append(
                StoredEvent(
                    head.source, draft.stream, place.sequence, made.id, made.type, made.topic, made.payload, recorded
                )
            )
        await connection.executemany(_EVENT, [_event_row(event, heads[event.stream].stream) for event in stored])
        for stream in {draft.stream for draft in drafts}:
            await write_head(connection, heads[stream])
        return stored

    async def _write_ledger(
        self,
        connection: aiosqlite.Connection,
        outcome: Outcome,
        stored: list[StoredEvent],
        heads: dict[str, Head],
    ) -> None:
        epochs = [(e.rule, e.epoch, e.first_raw, e.last_raw, e.wraps, e.modulus) for e in outcome.epochs.values()]
        await connection.executemany(_EPOCH, epochs)
        await connection.executemany(_LINE, [_line_row(mark, stored, heads) for mark in outcome.lines.values()])
        opened = {d.review.id: e.id for d, e in zip(outcome.events, stored, strict=True) if d.review is not None}
        await connection.executemany(_REVIEW, [_review_row(review, opened[review.id]) for review in outcome.reviews])
        for decision in outcome.decisions:
            await _decide(connection, decision)
        await connection.executemany(
            _GAP,
            [
                (
                    *(gap.id, gap.key.rule, gap.cause, total_key(gap.key), f"{gap.minimum:f}"),
                    None if gap.maximum is None else f"{gap.maximum:f}",
                    *(f"{gap.seen:f}", to_text(gap.since), to_text(gap.until), gap.message),
                )
                for gap in outcome.gaps
            ],
        )


def _says_something(outcome: Outcome) -> bool:
    changed = outcome.changed
    state = changed.rules or changed.orders or changed.sources or changed.cadences or changed.tags
    return bool(state or outcome.events or outcome.lines or outcome.decisions or outcome.natural_keys)


def _event_row(event: StoredEvent, stream: int) -> tuple[Any, ...]:
    columns = (stream, event.sequence, event.id, event.type, event.topic, to_text(event.recorded), event.payload)
    return (*columns, row_hash(*columns))


def _line_row(mark: LineMark, stored: list[StoredEvent], heads: dict[str, Head]) -> tuple[Any, ...]:
    line, proof = mark.line, mark.line.evidence
    event = None if mark.draft is None else stored[mark.draft]
    return (
        *(line.key.rule, proof.epoch, proof.from_position, proof.to_position, mark.state, total_key(line.key)),
        *(f"{line.quantity:f}", line.unit, to_text(line.time)),
        *((None, None) if event is None else (heads[event.stream].stream, event.sequence)),
        mark.review,
    )


def _review_row(review: Review, event_id: str) -> tuple[Any, ...]:
    body = REVIEW_CODEC.dump_json(review).decode()
    digest = row_hash(review.id, body, event_id)
    return (
        *(review.id, review.key.rule, review.cause, total_key(review.key), body, digest, event_id),
        to_text(review.opened),
    )


async def _decide(connection: aiosqlite.Connection, decision: Decision) -> None:
    values = (decision.verdict, decision.candidate, decision.by, decision.reason, to_text(decision.at))
    cursor = await connection.execute(_DECIDE, (*values, decision.review.id))
    if cursor.rowcount != 1:
        msg = f"review {decision.review.id} is not open any more"
        raise StoreError(msg)


async def _opened_by(connection: aiosqlite.Connection, decision: Decision) -> str:
    """The id of the event that announced the review."""
    async with connection.execute("SELECT event_id FROM review WHERE id = ?", (decision.review.id,)) as cursor:
        row = await cursor.fetchone()
    if row is None:
        msg = f"review {decision.review.id} is not in the store"
        raise StoreError(msg)
    return str(row[0])
