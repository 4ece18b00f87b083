"""Reading the store from another process: `mode=ro`, short transactions, with the agent running or not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from edge_agent.errors import StoreError
from edge_agent.model.movement import LineState
from edge_agent.store import ledger


class Reader:
    """A read-only view of the store."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.row_factory = sqlite3.Row

    def totals(self) -> dict[str, Decimal]:
        """Booked quantities by `<event>/<material>/<order>/<location>`."""
        with _plain(self._connection) as connection:
            return ledger.totals(connection)

    def pending(self) -> dict[str, Decimal]:
        """Quantities not yet cut into events, by the same keys."""
        with _plain(self._connection) as connection:
            return ledger.totals(connection, (LineState.PENDING,))

    def imbalances(self) -> list[ledger.Imbalance]:
        """Epochs whose lines do not add up."""
        with _plain(self._connection) as connection:
            return ledger.imbalances(connection)

    def reviews(self, *, everything: bool = False) -> list[dict[str, Any]]:
        """Open reviews, oldest first; or all of them."""
        rows = self._connection.execute(
            "SELECT * FROM review WHERE status = 'open' OR ? ORDER BY opened, id", (everything,)
        )
        return [_review(row) for row in rows]

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
            for row in self._connection.execute("SELECT * FROM gap ORDER BY since, id")
        ]

    def streams(self) -> list[dict[str, Any]]:
        """Every stream: head, delivered, what waits, and since when."""
        sql = """
            SELECT source, name, head, delivered, head - delivered AS waiting,
                   (SELECT recorded FROM event WHERE event.stream = s.id AND sequence = s.delivered + 1)
                       AS oldest_waiting
            FROM stream AS s ORDER BY id
        """
        return [dict(row) for row in self._connection.execute(sql)]

    def size(self) -> dict[str, int]:
        """Bytes in use, and of the file."""
        page, used, free = (
            self._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_size", "page_count", "freelist_count")
        )
        return {"used": (used - free) * page, "file": used * page}


@contextmanager
def open_reader(path: Path) -> Iterator[Reader]:
    """A reader of the store at `path`.

    Raises:
        StoreError: there is no store, or it cannot be read.
    """
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
    except sqlite3.Error as error:
        msg = f"no store at {path} ({error}); name its directory with --data"
        raise StoreError(msg) from error
    try:
        yield Reader(connection)
    except sqlite3.Error as error:
        msg = f"{path} cannot be read: {error}"
        raise StoreError(msg) from error
    finally:
        connection.close()


@contextmanager
def _plain(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Rows as plain tuples."""
    connection.row_factory = None
    try:
        yield connection
    finally:
        connection.row_factory = sqlite3.Row


def _review(row: sqlite3.Row) -> dict[str, Any]:
    review = ledger.decoded(row["id"], row["body"], row["event_id"], row["hash"])
    return {
        "id": review.id,
        "key": row["total_key"],
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
        **{name: row[name] for name in ("opened", "status", "candidate", "decided_by", "reason", "decided")},
    }
