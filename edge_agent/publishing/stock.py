"""What the lines of an event add to the stocks' gross figures, and what snapshots say of them. Pure.

Source of the rules: events.md, Reconciliation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from edge_agent.config.tagmap import Posting
from edge_agent.model.event import Figure, Snapshot, Stock, StockKey, StockMove
from edge_agent.model.movement import EventType
from edge_agent.publishing import contract_events as form
from edge_agent.publishing.contract import AnyLine, QuantityString
from edge_agent.publishing.isa95_lines import storage_location
from edge_agent.publishing.scalars import decimal_string, timestamp

STOCK_TYPE = "available"
_FIGURES = {
    EventType.CONSUMED: Figure.CONSUMED,
    EventType.RETURNED: Figure.RETURNED,
    EventType.PRODUCED: Figure.PRODUCED,
    EventType.SCRAPPED: Figure.SCRAPPED,
    EventType.SAMPLED: Figure.SAMPLED,
}


def stock_moves(
    event: EventType, lines: Sequence[AnyLine], *, process: bool = False, reverse: bool = False
) -> tuple[StockMove, ...]:
    """What `lines` of an `event` move; of a reversal, `event` is the original's type and `reverse` is set.

    Only what is posted counts. `process`: scrapped in the process, so at no location, whatever the lines say.
    """
    return tuple(_moves(event, lines, process=process, reverse=reverse))


def _moves(event: EventType, lines: Sequence[AnyLine], *, process: bool, reverse: bool) -> Iterator[StockMove]:
    for line in lines:
        if line["posting"] != Posting.ACTUAL:
            continue
        if event is EventType.MOVED:
            figure = Figure.MOVED_OUT if line["materialUse"] == "Consumed" else Figure.MOVED_IN
        else:
            figure = _FIGURES[event]
        place, quantity = line.get("storageLocation"), line["quantity"]
        key = StockKey(
            None if place is None or process else place["location"],
            line["materialDefinitionID"],
            line.get("materialLotID"),
            STOCK_TYPE,
            quantity["unitOfMeasure"],
        )
        yield StockMove(key, figure, Decimal(quantity["quantityString"]), reverse)


def snapshot_data(common: form.Common, snapshot: Snapshot, as_of: datetime) -> form.StockSnapshot:
    """One part of a snapshot. Raises EventInvalid where a figure has grown too large to be carried."""
    sequence, digest = snapshot.audit
    return {
        **common,
        "snapshotID": snapshot.id,
        "part": snapshot.part,
        "parts": snapshot.parts,
        "asOf": timestamp(as_of),
        "eventCount": snapshot.event_count,
        "watermarks": [
            {"source": mark.source, "sequence": mark.sequence, "hash": mark.hash} for mark in snapshot.watermarks
        ],
        "auditHead": {"sequence": sequence, "hash": digest},
        "stock": [_entry(stock) for stock in snapshot.stock],
    }


def _entry(stock: Stock) -> form.StockEntry:
    key = stock.key
    entry: form.StockEntry = {
        "materialDefinitionID": key.material,
        "stockType": key.stock_type,
        "unitOfMeasure": key.unit,
        "cumulative": _figures(stock.cumulative),
        "cumulativeReversed": _figures(stock.reversed),
        "openingBalance": None,
        "onHand": {"basis": "none"},
    }
    if key.location is not None:
        entry["storageLocation"] = storage_location(key.location)
    if key.lot is not None:
        entry["materialLotID"] = key.lot
    return entry


def _figures(figures: Mapping[Figure, Decimal]) -> dict[form.FigureName, QuantityString]:
    return {figure.value: decimal_string(quantity) for figure, quantity in figures.items() if quantity}
