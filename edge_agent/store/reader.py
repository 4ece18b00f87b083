"""Reading the store from another process: `mode=ro`, short transactions, with the agent running or not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from edge_agent.model.movement import LineState
from edge_agent.store import ledger, reviews
from edge_agent.store.keys import total_key
from edge_agent.store.readonly import readonly
from edge_agent.store.reviews import StoredReview
from edge_agent.store.rows import to_text
from edge_agent.store.streams import STREAMS, head_of

DATABASE_NAME = "edge-agent.db"
"""The database's file name in the data directory."""


class Reader:
    """A read-only view of the store."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def totals(self) -> dict[str, Decimal]:
        """Booked quantities by `<event>/<material>/<order>/<location>`."""
        return ledger.totals(self._connection)

    def pending(self) -> dict[str, Decimal]:
        """Quantities not yet cut into events, by the same keys."""
        return ledger.totals(self._connection, (LineState.PENDING,))

    def imbalances(self) -> list[ledger.Imbalance]:
        """Epochs whose lines do not add up."""
        return ledger.imbalances(self._connection)

    def reviews(self, *, everything: bool = False) -> list[dict[str, Any]]:
        """Open reviews, oldest first; or all of them."""
        rows = self._connection.execute(f"{reviews.SELECT} ORDER BY opened, id")
        found = [reviews.stored_review(row) for row in rows]
        return [_review(one) for one in found if everything or one.status == reviews.OPEN]

    def gaps(self) -> list[dict[str, Any]]:
        """What could not be seen, with bounds."""
        return [
            {
                "id": row["id"],
                "key": row["total_key"],
                "rule": row["rule"],
                "cause": row["cause"],
                "candidates": [],
                "min": row["minimum"],
                "max": row["maximum"],
                "seen": row["seen"],
                "since": row["since"],
                "until": row["until"],
                "message": row["message"],
            }
            for row in ledger.gaps(self._connection)
        ]

    def streams(self) -> list[dict[str, Any]]:
        """Every stream: head, delivered, what waits, and since when."""
        heads = [head_of(row) for row in self._connection.execute(f"{STREAMS} ORDER BY s.id")]
        return [
            {
                "source": head.source,
                "name": head.name,
                "head": head.sequence,
                "delivered": head.delivered,
                "waiting": head.sequence - head.delivered,
                "oldest_waiting": self._recorded(head.stream, head.delivered + 1),
            }
            for head in heads
        ]

    def size(self) -> dict[str, int]:
        """Bytes in use, and of the file."""
        page, used, free = (
            self._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_size", "page_count", "freelist_count")
        )
        return {"used": (used - free) * page, "file": used * page}

    def _recorded(self, stream: int, sequence: int) -> str | None:
        sql = "SELECT recorded FROM event WHERE stream = ? AND sequence = ?"
        row = self._connection.execute(sql, (stream, sequence)).fetchone()
        return None if row is None else str(row[0])


@contextmanager
def open_reader(path: Path) -> Iterator[Reader]:
    """A reader of the store at `path`.

    Raises:
        StoreError: there is no store, or it cannot be read.
    """
    with readonly(path) as connection:
        yield Reader(connection)


def _review(stored: StoredReview) -> dict[str, Any]:
    review = stored.review
    return {
        "id": review.id,
        "key": total_key(review.key),
        "rule": review.key.rule,
        "cause": str(review.cause),
        "candidates": [
            {"candidate": number, "quantity": f"{one.quantity:f}", "why": one.why, "order": one.key.order}
            for number, one in enumerate(review.candidates, start=1)
        ],
        "unit": review.line.unit,
        "message": review.message,
        "since": review.line.start_time.isoformat(),
        "until": review.line.time.isoformat(),
        "raw": {"before": review.line.evidence.raw_before, "after": review.line.evidence.raw_after},
        "opened": to_text(review.opened),
        "status": stored.status,
        "candidate": stored.candidate,
        "decided_by": stored.decided_by,
        "reason": stored.reason,
        "decided": stored.decided,
    }
