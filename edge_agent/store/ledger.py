"""What people ask the store: reviews, gaps, totals, and whether the books balance. Plain SQL on any connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import aiosqlite

from edge_agent.errors import ControlError, StoreCorrupt
from edge_agent.model.movement import LineState, Review
from edge_agent.store.database import Database
from edge_agent.store.rows import row_hash
from edge_agent.store.unit_of_work import REVIEW_CODEC

BOOKED = (LineState.CUT, LineState.BOOKED_BY_REVIEW)

_IDENTITY = """
    SELECT e.rule, e.epoch, e.last_raw - e.first_raw + e.wraps * e.modulus AS ran,
           coalesce((SELECT sum(l.to_position - l.from_position) FROM line l
                     WHERE l.rule = e.rule AND l.epoch = e.epoch), 0) AS accounted
    FROM epoch e
    WHERE ran <> accounted
"""


@dataclass(frozen=True, slots=True)
class Imbalance:
    """An epoch whose lines do not add up to what ran through it, in raw units."""

    rule: str
    epoch: int
    ran: int
    accounted: int


class Ledger:
    """The running agent's view."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open_review(self, name: str) -> Review:
        """The open review of that id.

        Raises:
            ControlError: there is none, or it is decided already.
            StoreCorrupt: its row does not match its hash.
        """

        async def work(connection: aiosqlite.Connection) -> Any:
            async with connection.execute(
                "SELECT id, body, event_id, hash, status, decided_by FROM review WHERE id = ?", (name,)
            ) as cursor:
                return await cursor.fetchone()

        row = await self._database.transaction(work)
        if row is None:
            raise ControlError(f"there is no review {name}; `edge-agent review list` shows them")
        if row[4] != "open":
            raise ControlError(f"review {name} is {row[4]} already, by {row[5]}")
        return decoded(*row[:4])

    async def identity(self) -> list[Imbalance]:
        """Every epoch whose lines do not add up; empty where the books balance (reliability.md, invariant 3)."""

        async def work(connection: aiosqlite.Connection) -> list[Imbalance]:
            async with connection.execute(_IDENTITY) as cursor:
                return [Imbalance(*row) for row in await cursor.fetchall()]

        return await self._database.transaction(work)


def decoded(identity: str, body: str, event_id: str, digest: bytes) -> Review:
    """A review from its row. Raises StoreCorrupt where it does not match its hash."""
    if digest != row_hash(identity, body, event_id):
        msg = f"review {identity} does not match its hash; restore the database from a backup"
        raise StoreCorrupt(msg)
    return REVIEW_CODEC.validate_json(body)


def imbalances(connection: sqlite3.Connection) -> list[Imbalance]:
    """The same check on a plain connection."""
    return [Imbalance(*row) for row in connection.execute(_IDENTITY)]


def totals(connection: sqlite3.Connection, states: Iterable[LineState] = BOOKED) -> dict[str, Decimal]:
    """Quantities by `<event>/<material>/<order>/<location>`, summed exactly."""
    chosen = set(states)
    sums: dict[str, Decimal] = {}
    for key, quantity, state in connection.execute("SELECT total_key, quantity, state FROM line"):
        if LineState(state) in chosen:
            sums[key] = sums.get(key, Decimal(0)) + Decimal(quantity)
    return sums
