"""The books of a receiving system: documents with lines, by event id, exact to the last decimal.

Written from the event's description alone (events.md, Types and Data), without a line of the agent's code or of the
receiver kit's. Nothing here refuses a second posting of the same event: who posts asks `document_of` first, and
`posted_twice` tells when he did not.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

_QUANTITY = re.compile(r"\d{1,18}(\.\d{1,9})?", re.ASCII)
_TYPE = re.compile(r"io\.edgeagent\.(material\.([a-z]+)|event\.reversed)\.v1")
_FIGURES = {
    ("consumed", "Consumed"): "consumed",
    ("returned", "Consumed"): "returned",
    ("produced", "Produced"): "produced",
    ("moved", "Consumed"): "moved out",
    ("moved", "Produced"): "moved in",
    ("scrapped", "Other"): "scrapped",
    ("sampled", "Other"): "sampled",
}
_SCHEMA = """
CREATE TABLE IF NOT EXISTS document (
    number INTEGER PRIMARY KEY, event TEXT NOT NULL, source TEXT NOT NULL, sequence INTEGER NOT NULL,
    type TEXT NOT NULL, sha256 TEXT NOT NULL, day TEXT NOT NULL, happened TEXT NOT NULL, reverses INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS document_event ON document (event);
CREATE TABLE IF NOT EXISTS line (
    document INTEGER NOT NULL REFERENCES document (number), figure TEXT NOT NULL, material TEXT NOT NULL,
    job_order TEXT NOT NULL, location TEXT NOT NULL, lot TEXT NOT NULL, unit TEXT NOT NULL, quantity TEXT NOT NULL,
    container TEXT NOT NULL
) STRICT;
"""
_DOCUMENT = "number, event, source, sequence, type, sha256, day, happened, reverses"


class Unpostable(Exception):
    """The event cannot be posted, whatever its receiver thinks of it."""


class Stock(NamedTuple):
    """What is counted apart: `figure` is the event's name, `order`, `location` and `lot` are '' where there is none."""

    figure: str
    material: str
    order: str
    location: str
    lot: str
    unit: str


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a document; the quantity of a reversal's is negative."""

    stock: Stock
    quantity: Decimal
    container: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """What one event became. `day` is its posting day, `happened` its time, both as in the event."""

    number: int
    event: str
    source: str
    sequence: int
    type: str
    sha256: str
    day: str
    happened: str
    reverses: int | None
    lines: tuple[Line, ...] = field(default=())


class Books:
    """Kept in the SQLite file `path`; every posting is one transaction."""

    def __init__(self, path: str | Path = ":memory:") -> None:
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def backup(self, path: Path) -> None:
        """Copy everything into the new file `path`, while the books stay open."""
        copy = sqlite3.connect(path)
        try:
            self._database.backup(copy)
        finally:
            copy.close()

    def post(self, payload: bytes, sha256: str = "") -> int:
        """Post an event; its document's number. Raises Unpostable, and then nothing was posted."""
        event = _envelope(payload)
        lines = list(_lines(event))
        if not lines:
            raise Unpostable(f"{event['type']}: no line of it is to be posted")
        reverses = self._reversed_document(event, lines)
        sign = 1 if reverses is None else -1
        data = event["data"]
        place = (event["id"], event["source"], int(event["sequence"]), event["type"], sha256)
        row = (*place, data.get("postingDate") or "", event["time"], reverses)
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            number = self.highest + 1
            self._database.execute("INSERT INTO document VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (number, *row))
            rows = [(number, *line.stock, f"{sign * line.quantity:f}", line.container) for line in lines]
            self._database.executemany("INSERT INTO line VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        return number

    @property
    def highest(self) -> int:
        """The last document's number; 0 where there is none."""
        (number,) = self._database.execute("SELECT coalesce(max(number), 0) FROM document").fetchone()
        return int(number)

    def document_of(self, event: str) -> int | None:
        """The number of the (first) document that an event became, by its id."""
        row = self._database.execute("SELECT min(number) FROM document WHERE event = ?", (event,)).fetchone()
        return None if row[0] is None else int(row[0])

    def balances(self) -> dict[Stock, Decimal]:
        """What is on the books, reversals taken off; what came to nothing is left out."""
        sums: dict[Stock, Decimal] = defaultdict(Decimal)
        columns = "figure, material, job_order, location, lot, unit, quantity"
        for *stock, quantity in self._database.execute(f"SELECT {columns} FROM line"):  # noqa: S608 - fixed text
            sums[Stock(*stock)] += Decimal(quantity)
        return {stock: quantity for stock, quantity in sums.items() if quantity}

    def documents(self) -> list[Document]:
        """All of them, in the order in which they were posted."""
        by_document: dict[int, list[Line]] = defaultdict(list)
        for number, *stock, quantity, container in self._database.execute("SELECT * FROM line ORDER BY rowid"):
            by_document[number].append(Line(Stock(*stock), Decimal(quantity), container))
        found = self._database.execute(f"SELECT {_DOCUMENT} FROM document ORDER BY number")  # noqa: S608 - fixed text
        return [replace(Document(*row), lines=tuple(by_document[row[0]])) for row in found]

    def posted_twice(self) -> list[str]:
        """Ids of events that became more than one document, or that were reversed more than once."""
        twice = "SELECT event FROM document GROUP BY event HAVING count(*) > 1"
        reversed_twice = """
            SELECT min(event) FROM document WHERE reverses IS NOT NULL GROUP BY reverses HAVING count(*) > 1"""
        return [event for query in (twice, reversed_twice) for (event,) in self._database.execute(query)]

    def holds_container(self, container: str) -> bool:
        """Whether a document moves this container."""
        query = "SELECT sum(CASE WHEN d.reverses IS NULL THEN 1 ELSE -1 END) FROM line l JOIN document d"
        found = self._database.execute(f"{query} ON d.number = l.document WHERE l.container = ?", (container,))
        return bool(found.fetchone()[0])

    def _reversed_document(self, event: dict[str, Any], lines: list[Line]) -> int | None:
        """The number of what the event takes back; None where it takes nothing back. Raises Unpostable."""
        if event["type"] != "io.edgeagent.event.reversed.v1":
            return None
        number = self.document_of(_text(event["data"], "reversesId"))
        if number is None:
            raise Unpostable("it reverses an event that was never posted")
        rows = self._database.execute("SELECT * FROM line WHERE document = ?", (number,))
        former = sorted((Line(Stock(*stock), Decimal(quantity), box) for _, *stock, quantity, box in rows), key=_order)
        if former != sorted(lines, key=_order):
            raise Unpostable(f"its lines are not those of document {number}")
        return number


def _order(line: Line) -> tuple[Any, ...]:
    return (*line.stock, line.quantity, line.container)


def _envelope(payload: bytes) -> dict[str, Any]:
    try:
        event = json.loads(payload)
    except ValueError as error:
        raise Unpostable(f"no JSON: {error}") from None
    if not isinstance(event, dict) or not isinstance(event.get("data"), dict):
        raise Unpostable("no CloudEvent with data")
    for name in ("id", "source", "sequence", "type", "time"):
        _text(event, name)
    return event


def _lines(event: dict[str, Any]) -> Iterator[Line]:
    """The lines to be posted, quantities positive. Raises Unpostable."""
    data = event["data"]
    kind = data.get("reversesType") if event["type"] == "io.edgeagent.event.reversed.v1" else event["type"]
    matched = _TYPE.fullmatch(str(kind))
    if matched is None or matched[2] is None:
        raise Unpostable(f"{kind} moves no material")
    for line in data.get("materialActual") or ():
        if line.get("posting") != "actual":
            continue
        figure = _FIGURES.get((matched[2], line.get("materialUse")))
        if figure is None:
            raise Unpostable(f"{matched[2]} has no line of use {line.get('materialUse')}")
        quantity, place = line.get("quantity") or {}, line.get("storageLocation") or {}
        amount = quantity.get("quantityString")
        if not isinstance(amount, str) or not _QUANTITY.fullmatch(amount):
            raise Unpostable(f"{amount!r} is no quantity")
        location = "" if data.get("scrapOrigin") == "process" else place.get("location") or ""
        stock = Stock(
            *(figure, _text(line, "materialDefinitionID"), data.get("jobOrderID") or "", location),
            *(line.get("materialLotID") or "", _text(quantity, "unitOfMeasure")),
        )
        yield Line(stock, Decimal(amount), line.get("containerID") or "")


def _text(of: dict[str, Any], name: str) -> str:
    value = of.get(name)
    if not isinstance(value, str) or not value:
        raise Unpostable(f"{name}: missing")
    return value
