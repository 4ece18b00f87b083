"""Reading the store from another process: `mode=ro`, short transactions, with the agent running or not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any

from edge_agent.errors import ControlError, StoreError
from edge_agent.model.movement import Evidence, LineState
from edge_agent.store import audit_trail, checkpoint, ledger, letters, reviews
from edge_agent.store.audit_trail import Break, Entry, Trail
from edge_agent.store.event_names import EventNames
from edge_agent.store.keys import total_key
from edge_agent.store.readonly import readonly
from edge_agent.store.reviews import StoredReview
from edge_agent.store.rows import checked, to_text
from edge_agent.store.streams import STREAMS, head_of

DATABASE_NAME = "edge-agent.db"
"""The database's file name in the data directory."""


class Reader:
    """A read-only view of the store, as it was at the first question."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def totals(self) -> dict[str, Decimal]:
        """Booked quantities by `<event>/<material>/<order>/<location>`."""
        return ledger.totals(self._connection)

    def pending(self) -> dict[str, Decimal]:
        """Quantities not yet cut into events, by the same keys."""
        return ledger.totals(self._connection, (LineState.PENDING,))

    def in_transit(self) -> list[dict[str, Any]]:
        """What has departed and not arrived, the longest under way first; `late`: an exception has said so."""
        sql = "SELECT name, body, hash FROM checkpoint WHERE kind = 'rule' ORDER BY name"
        found = []
        for name, body, digest in self._connection.execute(sql):
            checked(f"checkpoint of rule {name}", ("rule", name, body), digest)
            found += [(name, one) for one in checkpoint.decoded("rule", body).transit]
        return [
            {
                "rule": name,
                "container": one.key.container,
                "material": one.key.material,
                "quantity": f"{one.quantity:f}",
                "unit": one.unit,
                "since": one.time.isoformat(),
                "late": one.late,
            }
            for name, one in sorted(found, key=lambda entry: entry[1].time)
        ]

    def excluded(self) -> dict[str, Decimal]:
        """What conditions have left out, by the same keys."""
        return ledger.totals(self._connection, (LineState.EXCLUDED,))

    def imbalances(self) -> list[ledger.Imbalance]:
        """Epochs whose lines do not add up."""
        return ledger.imbalances(self._connection)

    def reviews(self, *, everything: bool = False) -> list[dict[str, Any]]:
        """Open reviews, oldest first; or all of them."""
        rows = self._connection.execute(f"{reviews.SELECT} ORDER BY opened, id")
        found = [reviews.stored_review(row) for row in rows]
        return [_review(one) for one in found if everything or one.status == reviews.OPEN]

    def review(self, name: str) -> dict[str, Any]:
        """One review with its evidence and the event that announced it; `name` is its id.

        Raises:
            ControlError: there is none of that id.
        """
        row = self._connection.execute(f"{reviews.SELECT} WHERE id = ?", (name,)).fetchone()
        if row is None:
            raise ControlError(f"there is no review {name}; `edge-agent review list --all` shows them")
        stored = reviews.stored_review(row)
        line = stored.review.line
        return _review(stored) | {
            "quantity": f"{line.quantity:f}",
            "quantity_doubted": stored.review.quantity_doubted,
            "booked": ledger.booked_by(self._connection, stored.review),
            "evidence": _evidence(line.evidence),
            "event": self._announced(stored.event_id),
        }

    def dead_letters(self) -> dict[str, list[dict[str, Any]]]:
        """What was `rejected` and still is, and what is `unpublishable`."""
        return {
            "rejected": letters.rejected(self._connection),
            "unpublishable": letters.unpublishable(self._connection),
        }

    def originals(self) -> list[dict[str, Any]]:
        """The dead letters, an event each, with their original bytes."""
        return list(letters.originals(self._connection))

    def waiting(self, now: datetime) -> dict[str, list[dict[str, Any]]]:
        """What waits for receiving systems: `corrections_waiting`, `overdue`, `busy`."""
        return letters.waiting(self._connection, now)

    def letter_figures(self, now: datetime) -> dict[str, int]:
        """How many are `rejected`, `unpublishable`, `overdue`, `corrections_waiting`."""
        return letters.figures(self._connection, now)

    def event(self, name: str) -> dict[str, Any]:
        """An event by its name with all that became of it. Raises ControlError where there is none (any more)."""
        return letters.whole(self._connection, name)

    def audit(self) -> Trail:
        """The audit log's chain, followed to its end or its first break."""
        return audit_trail.verify(self._connection)

    def audit_entries(self) -> tuple[Iterator[Entry], Trail]:
        """Every entry of the audit log, and a trail to follow them with."""
        return audit_trail.entries(self._connection), Trail(audit_trail.highest(self._connection))

    def audit_differs(self, hashes: Iterable[tuple[int, str]], head: tuple[int, str]) -> Break | None:
        """The first entry that is not what an export of this log said."""
        return audit_trail.differing(self._connection, hashes, head)

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

    def _announced(self, identity: str) -> dict[str, Any]:
        """Where the event of that id is; its name is None once it is pruned."""
        names = EventNames(self._connection)
        found = names.by_id(identity)
        if found is None:
            return {"id": identity, "name": None}
        head, event = found
        return {"id": identity, "name": names.of(head.stream, event.sequence), "source": event.source}

    def _recorded(self, stream: int, sequence: int) -> str | None:
        sql = "SELECT recorded FROM event WHERE stream = ? AND sequence = ?"
        row = self._connection.execute(sql, (stream, sequence)).fetchone()
        return None if row is None else str(row[0])


@contextmanager
def open_reader(path: Path) -> Iterator[Reader]:
    """A reader of the store at `path`.

    Raises:
        StoreError: there is no store, it cannot be read, or it is of another version of the agent.
    """
    with readonly(path) as connection:
        connection.execute("BEGIN")
        _check_schema(connection, path)
        yield Reader(connection)


def _check_schema(connection: sqlite3.Connection, path: Path) -> None:
    """Raises StoreError where the tables are not those of this version."""
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    known = sum(script.name.endswith(".sql") for script in files("edge_agent.store").joinpath("migrations").iterdir())
    if found != known:
        advice = "start the agent, which brings it up to date" if found < known else "use the newer edge-agent"
        raise StoreError(f"{path} has schema {found}, this version reads {known}: {advice}")


def _review(stored: StoredReview) -> dict[str, Any]:
    review = stored.review
    return {
        "id": review.id,
        "key": total_key(review.key),
        "rule": review.key.rule,
        "cause": str(review.cause),
        "candidates": [
            {
                "candidate": number,
                "quantity": f"{one.quantity:f}",
                "why": one.why,
                "order": one.key.order,
                "lot": one.key.lot,
                "container": one.key.container,
                "key": total_key(one.key),
            }
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


def _evidence(proof: Evidence) -> dict[str, Any]:
    """Positions are raw units, unrolled within the epoch."""
    return {
        "epoch": proof.epoch,
        "from_position": proof.from_position,
        "to_position": proof.to_position,
        "first_time": proof.first_time.isoformat(),
        "last_time": proof.last_time.isoformat(),
        "samples": proof.samples,
        "raw_before": proof.raw_before,
        "raw_after": proof.raw_after,
        "status_codes": list(proof.status_codes),
        "flags": [str(flag) for flag in proof.flags],
    }
