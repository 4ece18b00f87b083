"""Gross figures of every stock, kept with the events that move them; snapshots are made of them and nothing else.

Absolute totals make a lost snapshot harmless: the next one says everything again (events.md, Reconciliation).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import uuid4

from edge_agent.model.event import Figure, Snapshot, Stock, StockKey, StockMove, Watermark
from edge_agent.store.connection import Connection, Statement
from edge_agent.store.rows import checked, row_hash
from edge_agent.store.streams import read_heads

STOCKS_PER_SNAPSHOT = 30
"""Keeps a snapshot under 64 KiB (events.md, Data), however long its names are."""
_CACHED = 20_000

_COLUMNS = "location, material, lot, stock_type, unit, figure, reversed, quantity, hash"
_SELECT = f"SELECT {_COLUMNS} FROM stock"  # noqa: S608 - fixed text
_PUT = f"INSERT OR REPLACE INTO stock ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - fixed text
_ONE = f"""
    {_SELECT} WHERE location = ? AND material = ? AND lot = ? AND stock_type = ? AND unit = ? AND figure = ?
    AND reversed = ?
"""
_LAST_AUDIT = "SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1"


class _Name(NamedTuple):
    location: str
    material: str
    lot: str
    stock_type: str
    unit: str
    figure: str
    reversed: int


class StockBooks:
    """Adds what events move. Its memory is adopted only after COMMIT, like the streams' heads."""

    def __init__(self) -> None:
        self._known: dict[_Name, Decimal] = {}
        self._moved: dict[_Name, Decimal] = {}

    async def add(self, connection: Connection, moves: Iterable[StockMove]) -> Statement:
        """The rows with `moves` added to them. Raises StoreCorrupt where a row does not match its hash."""
        self._moved = {}
        for move in moves:
            name = _name(move)
            if name not in self._moved:
                known = self._known.get(name)
                self._moved[name] = await _stored(connection, name) if known is None else known
            self._moved[name] += move.quantity
        return _PUT, [_row(name, quantity) for name, quantity in self._moved.items()]

    def adopt(self) -> None:
        """What was added is committed."""
        if len(self._known) > _CACHED:
            self._known.clear()
        self._known.update(self._moved)
        self._moved = {}

    def forget(self) -> None:
        """Nobody knows how far the failed transaction got."""
        self._known.clear()
        self._moved = {}


async def snapshots(connection: Connection) -> list[Snapshot]:
    """All stocks as this transaction finds them, in as many parts as it takes; at least one."""
    heads = await read_heads(connection)
    marks = tuple(Watermark(head.source, head.sequence, head.digest) for head in heads)
    async with connection.execute(_LAST_AUDIT) as cursor:
        row = await cursor.fetchone()
    audit = (0, "0" * 64) if row is None else (int(row[0]), str(row[1]))
    async with connection.execute(f"{_SELECT} ORDER BY {_COLUMNS}") as cursor:
        stocks = list(_stocks(await cursor.fetchall()))
    parts = [stocks[i : i + STOCKS_PER_SNAPSHOT] for i in range(0, len(stocks), STOCKS_PER_SNAPSHOT)] or [[]]
    identity, count = str(uuid4()), sum(head.sequence for head in heads)
    return [
        Snapshot(identity, number, len(parts), marks, count, audit, tuple(part))
        for number, part in enumerate(parts, start=1)
    ]


def _stocks(rows: Iterable[Any]) -> Iterator[Stock]:
    """Stocks of rows that come sorted by key."""
    found: dict[StockKey, tuple[dict[Figure, Decimal], dict[Figure, Decimal]]] = {}
    for *columns, digest in rows:
        checked(f"stock {columns[1]} at {columns[0]}", tuple(columns), digest)
        location, material, lot, stock_type, unit, figure, reverse, quantity = columns
        key = StockKey(location or None, material, lot or None, stock_type, unit)
        found.setdefault(key, ({}, {}))[reverse][Figure(figure)] = Decimal(quantity)
    return (Stock(key, *figures) for key, figures in found.items())


async def _stored(connection: Connection, name: _Name) -> Decimal:
    async with connection.execute(_ONE, name) as cursor:
        row = await cursor.fetchone()
    if row is None:
        return Decimal(0)
    *columns, digest = row
    checked(f"stock {name.material} at {name.location}", tuple(columns), digest)
    return Decimal(columns[-1])


def _name(move: StockMove) -> _Name:
    key = move.key
    where = (key.location or "", key.material, key.lot or "", key.stock_type, key.unit)
    return _Name(*where, str(move.figure), int(move.reversed))


def _row(name: _Name, quantity: Decimal) -> tuple[Any, ...]:
    columns = (*name, f"{quantity:f}")
    return (*columns, row_hash(*columns))
