"""Reviews as rows: opened with their event, decided once. Shared by those who write, show and decide them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter

from edge_agent.model.movement import Decision, Review
from edge_agent.store.keys import total_key
from edge_agent.store.rows import checked, row_hash, to_text

OPEN = "open"
COLUMNS = "id, rule, cause, total_key, body, event_id, opened, status, candidate, decided_by, reason, decided, hash"
INSERT = f"INSERT INTO review ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - fixed text
SELECT = f"SELECT {COLUMNS} FROM review"  # noqa: S608 - fixed text
DECIDE = (
    "UPDATE review SET status = ?, candidate = ?, decided_by = ?, reason = ?, decided = ?, hash = ?"
    " WHERE id = ? AND status = 'open'"
)
_CODEC: TypeAdapter[Review] = TypeAdapter(Review)


@dataclass(frozen=True, slots=True)
class StoredReview:
    """A review, the event that announced it, and what became of it. `decided` is RFC 3339 text."""

    review: Review
    event_id: str
    status: str = OPEN
    candidate: int | None = None
    decided_by: str | None = None
    reason: str | None = None
    decided: str | None = None


def review_row(stored: StoredReview) -> tuple[Any, ...]:
    """The row, its hash last."""
    review = stored.review
    columns = (
        *(review.id, review.key.rule, str(review.cause), total_key(review.key)),
        *(_CODEC.dump_json(review).decode(), stored.event_id, to_text(review.opened)),
        *(stored.status, stored.candidate, stored.decided_by, stored.reason, stored.decided),
    )
    return (*columns, row_hash(*columns))


def decided_row(stored: StoredReview, decision: Decision) -> tuple[Any, ...]:
    """The parameters of `DECIDE`."""
    after = replace(
        stored,
        status=str(decision.verdict),
        candidate=decision.candidate,
        decided_by=decision.by,
        reason=decision.reason,
        decided=to_text(decision.at),
    )
    *_, status, candidate, by, reason, decided, digest = review_row(after)
    return (status, candidate, by, reason, decided, digest, stored.review.id)


def stored_review(row: Any) -> StoredReview:
    """What a row holds. Raises StoreCorrupt where it does not match its hash."""
    *columns, digest = row
    checked(f"review {columns[0]}", tuple(columns), digest)
    *_, body, event_id, _opened, status, candidate, by, reason, decided = columns
    return StoredReview(_CODEC.validate_json(body), event_id, status, candidate, by, reason, decided)
