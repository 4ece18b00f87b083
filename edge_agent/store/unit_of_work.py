"""ONE transaction: state, events with their sequence numbers and chain, ledger lines, reviews, gaps, natural keys."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

import aiosqlite

from edge_agent.errors import NaturalKeyTaken, StoreError
from edge_agent.model.ack import Overdue
from edge_agent.model.event import (
    OPS_STREAM,
    Correction,
    EventDraft,
    Place,
    Render,
    Reversal,
    StockMove,
    StoredEvent,
    Voided,
)
from edge_agent.model.movement import Decision, EventType, Gap, Review
from edge_agent.model.outcome import EpochMark, LineMark, NaturalKey, Outcome
from edge_agent.store import answers, checkpoint, corrections, dead, messages, notices, reviews
from edge_agent.store.connection import Connection, Statement
from edge_agent.store.database import Database
from edge_agent.store.keys import total_key
from edge_agent.store.ledger import GAP_COLUMNS, PUT_LINE
from edge_agent.store.reviews import StoredReview
from edge_agent.store.rows import row_hash, sha256, to_text, wide
from edge_agent.store.stock import StockBooks, snapshots
from edge_agent.store.streams import WRITE_HEAD, Head, head_row, read_head, read_heads

_EVENT = (
    "INSERT INTO event (stream, sequence, id, type, topic, recorded, payload, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_EPOCH = "INSERT OR REPLACE INTO epoch (rule, epoch, first_raw, last_raw, wraps, modulus) VALUES (?, ?, ?, ?, ?, ?)"
_GAP = f"INSERT INTO gap ({GAP_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - fixed text
_SNAPSHOT_AT = "INSERT OR REPLACE INTO meta (name, value) VALUES ('snapshot_at', ?)"


class UnitOfWork:
    """Commits outcomes. `probe` is told when it passes `before-commit` and `after-commit`."""

    def __init__(self, database: Database, probe: Callable[[str], None] = lambda _point: None) -> None:
        self._database = database
        self._probe = probe
        self._heads: dict[str, Head] = {}
        self._stock = StockBooks()

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
            self._stock.forget()
            raise
        self._probe("after-commit")
        self._heads = heads
        self._stock.adopt()
        if stored:
            self._database.announce({event.stream: _newest(heads[event.stream]) for event in stored})
        return stored

    async def _work(
        self,
        connection: Connection,
        outcome: Outcome,
        heads: dict[str, Head],
        render: Render,
        recorded: datetime,
    ) -> list[StoredEvent]:
        to_decide = {d.review.id: await _still_open(connection, d) for d in outcome.decisions}
        await self._take_keys(connection, outcome.natural_keys, recorded)
        causes = {name: review.event_id for name, review in to_decide.items()}
        drafts = outcome.events
        if outcome.snapshot:
            parts = await snapshots(connection)
            drafts = [*drafts, *(EventDraft(EventType.SNAPSHOT, OPS_STREAM, recorded, about=part) for part in parts)]
        rendered = partial(_rendered, render, recorded)
        stored, moves = await self._place(connection, drafts, heads, causes, rendered, lines=outcome.lines)
        decided = [reviews.decided_row(to_decide[decision.review.id], decision) for decision in outcome.decisions]
        await connection.run_all(
            [
                (_EVENT, [_event_row(event, heads[event.stream].stream) for event in stored]),
                (WRITE_HEAD, [head_row(heads[stream]) for stream in {event.stream for event in stored}]),
                *_ledger(outcome, stored, heads),
                (reviews.DECIDE, decided),
                *messages.statements(outcome.nonces, recorded),
                checkpoint.statement(outcome.changed),
                await self._stock.add(connection, moves),
                *await _answerable(connection, drafts, stored, heads, recorded),
                (_SNAPSHOT_AT, [(to_text(recorded),)] if outcome.snapshot else []),
            ]
        )
        self._probe("before-commit")
        return stored

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
        causes: Mapping[str, str],
        rendered: Callable[[EventDraft, Head, str | None], tuple[StoredEvent, Sequence[StockMove]]],
        *,
        lines: notices.Lines,
    ) -> tuple[list[StoredEvent], list[StockMove]]:
        """Give every draft its sequence number and its place in the chain; and what they move in the stocks."""
        stored: list[StoredEvent] = []
        moves: list[StockMove] = []
        for draft in drafts:
            head = heads.get(draft.stream) or await read_head(connection, self._database, draft.stream)
            causation = _causation(draft, causes, stored)
            event, moved = rendered(await notices.named(connection, draft, lines, stored), head, causation)
            heads[draft.stream] = replace(head, sequence=event.sequence, digest=sha256(event.payload))
            stored.append(event)
            moves += moved
        return stored, moves


def _ledger(outcome: Outcome, stored: list[StoredEvent], heads: dict[str, Head]) -> list[Statement]:
    """Epochs and lines, for the accounting identity; reviews and gaps."""
    opened = {d.about.id: e.id for d, e in zip(outcome.events, stored, strict=False) if isinstance(d.about, Review)}
    opening = [StoredReview(review, opened[review.id]) for review in outcome.reviews]
    return [
        (_EPOCH, [_epoch_row(mark) for mark in outcome.epochs.values()]),
        (PUT_LINE, [_line_row(mark, stored, heads) for mark in outcome.lines.values()]),
        (reviews.INSERT, [reviews.review_row(review) for review in opening]),
        (_GAP, [_gap_row(gap) for gap in outcome.gaps]),
    ]


def _says_something(outcome: Outcome) -> bool:
    state = any(outcome.changed.kinds().values())
    events = outcome.events or outcome.snapshot
    return bool(state or events or outcome.lines or outcome.decisions or outcome.natural_keys or outcome.nonces)


async def _answerable(
    connection: Connection,
    drafts: Sequence[EventDraft],
    stored: Sequence[StoredEvent],
    heads: Mapping[str, Head],
    recorded: datetime,
) -> list[Statement]:
    """Whose word the events need; and what exceptions, dead letters and corrections among them settle."""
    asked = [
        row
        for draft, event in zip(drafts, stored, strict=True)
        if draft.accepted_by
        for row in answers.expected(draft, event, heads[event.stream].stream)
    ]
    statements = [answers.insert(asked)]
    if any(isinstance(draft.about, Overdue | Voided | Reversal | Correction) for draft in drafts):
        streams = {head.source: head.stream for head in (*await read_heads(connection), *heads.values())}
        statements += [answers.overdue_said(drafts, streams, recorded), dead.voided(drafts, streams, recorded)]
        statements += await corrections.settle(connection, drafts, stored, streams)
    return statements


def _newest(head: Head) -> tuple[int, str]:
    return head.sequence, head.digest


def _causation(draft: EventDraft, causes: Mapping[str, str], before: Sequence[StoredEvent]) -> str | None:
    """The id of the event that led to this one: of a decision the review's own, of a correction the reversal before."""
    if isinstance(draft.about, Correction):
        return before[-1].id
    return causes[draft.about.review.id] if isinstance(draft.about, Decision) else None


def _rendered(
    render: Render, recorded: datetime, draft: EventDraft, head: Head, causation: str | None
) -> tuple[StoredEvent, Sequence[StockMove]]:
    """The draft as the event that follows `head`, and what it moves in the stocks."""
    place = Place(head.source, head.sequence + 1, head.digest, recorded, causation)
    made = render(draft, place)
    event = StoredEvent(
        head.source, draft.stream, place.sequence, made.id, made.type, made.topic, made.payload, recorded
    )
    return event, made.stock


def _event_row(event: StoredEvent, stream: int) -> tuple[Any, ...]:
    columns = (stream, event.sequence, event.id, event.type, event.topic, to_text(event.recorded))
    return (*columns, event.payload, row_hash(*columns, sha256(event.payload)))


def _epoch_row(mark: EpochMark) -> tuple[Any, ...]:
    return (mark.rule, mark.epoch, wide(mark.first_raw), wide(mark.last_raw), mark.wraps, wide(mark.modulus))


def _line_row(mark: LineMark, stored: list[StoredEvent], heads: dict[str, Head]) -> tuple[Any, ...]:
    line, proof = mark.line, mark.line.evidence
    event = None if mark.draft is None else stored[mark.draft]
    columns = (
        *(line.key.rule, proof.epoch, wide(proof.from_position), wide(proof.to_position), str(mark.state)),
        *(total_key(line.key), f"{line.quantity:f}", line.unit, to_text(line.time)),
        *((None, None) if event is None else (heads[event.stream].stream, event.sequence)),
        mark.review,
    )
    return (*columns, row_hash(*columns))


def _gap_row(gap: Gap) -> tuple[Any, ...]:
    columns = (
        *(gap.id, gap.key.rule, str(gap.cause), total_key(gap.key), f"{gap.minimum:f}"),
        None if gap.maximum is None else f"{gap.maximum:f}",
        *(f"{gap.seen:f}", to_text(gap.since), to_text(gap.until), gap.message),
    )
    return (*columns, row_hash(*columns))


async def _still_open(connection: aiosqlite.Connection, decision: Decision) -> StoredReview:
    """The review as stored. Raises StoreError where it cannot be decided (any more)."""
    name = decision.review.id
    async with connection.execute(f"{reviews.SELECT} WHERE id = ?", (name,)) as cursor:
        row = await cursor.fetchone()
    if row is None:
        raise StoreError(f"review {name} is not in the store")
    found = reviews.stored_review(row)
    if found.status != reviews.OPEN:
        raise StoreError(f"review {name} is not open any more: {found.status} by {found.decided_by}")
    return found
