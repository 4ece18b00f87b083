"""Drafts of events whose bytes can be read back: what acknowledgement, correction and stock are tested with."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from edge_agent.model.event import (
    Correction,
    EventDraft,
    Figure,
    Place,
    Rendered,
    Reversal,
    Snapshot,
    StockKey,
    StockMove,
    StoredEvent,
)
from edge_agent.model.outcome import Outcome
from edge_agent.store.database import Database
from edge_agent.store.outbox import Outbox
from edge_agent.store.unit_of_work import UnitOfWork
from tests.store.outcomes import AT, booked

WITHIN = timedelta(minutes=30)
STREAMS = ("critical", "routine", "ops")


def render(draft: EventDraft, place: Place) -> Rendered:
    """A small event with the fields that the store reads back."""
    name = f"io.edgeagent.{draft.type}.v1"
    body: dict[str, object] = {"time": AT.isoformat(), "prevhash": place.prevhash, "causationid": place.causation}
    moves: tuple[StockMove, ...] = ()
    data: dict[str, Any] = {}
    if isinstance(draft.about, Reversal | Correction):
        data = json.loads(draft.about.original.payload)["data"]
        if isinstance(draft.about, Correction):
            data = _changed(data, draft.about)
    elif draft.lines:
        data = {"jobOrderID": draft.lines[0].key.order, "materialActual": [_entry(draft)]}
    if data:
        body["data"] = data
        back = isinstance(draft.about, Reversal)
        moves = tuple(_move(entry, reverse=back) for entry in data["materialActual"])
    elif isinstance(draft.about, Snapshot):
        body["data"] = {"stock": [[*one.key, str(one.cumulative), str(one.reversed)] for one in draft.about.stock]}
    identity = str(uuid5(NAMESPACE_URL, f"{place.source} {place.sequence}"))
    return Rendered(identity, name, f"mat/v1/{draft.type}", json.dumps(body).encode(), moves)


def _entry(draft: EventDraft) -> dict[str, Any]:
    line = draft.lines[0]
    proof = line.evidence
    return {
        "id": "1",
        "materialDefinitionID": line.key.material,
        "storageLocation": {"location": line.key.to},
        "quantity": {"quantityString": str(line.quantity), "unitOfMeasure": "H87"},
        "evidence": {"rule": line.key.rule, "epoch": proof.epoch, "fromPosition": proof.from_position},
    }


def _changed(data: dict[str, Any], about: Correction) -> dict[str, Any]:
    entry = dict(data["materialActual"][0])
    change = about.lines.get("1")
    if change is not None and change.quantity is not None:
        entry["quantity"] = {"quantityString": str(change.quantity), "unitOfMeasure": "H87"}
    return {"jobOrderID": about.order or data["jobOrderID"], "materialActual": [entry]}


def _move(entry: dict[str, Any], *, reverse: bool = False) -> StockMove:
    key = StockKey(entry["storageLocation"]["location"], str(entry["materialDefinitionID"]), None, "available", "H87")
    return StockMove(key, Figure.PRODUCED, Decimal(entry["quantity"]["quantityString"]), reverse)


def produced(since: int, until: int, systems: tuple[str, ...] = ("mes",), stream: str = "routine") -> Outcome:
    """A booked delta whose event needs the word of `systems`."""
    outcome = booked(since, until, stream)
    outcome.events[0] = replace(outcome.events[0], accepted_by=systems, accepted_within=WITHIN)
    return outcome


async def store_events(
    database: Database, count: int, systems: tuple[str, ...] = ("mes",)
) -> tuple[UnitOfWork, Outbox, list[StoredEvent]]:
    """`count` events of ten units each in the stream routine."""
    work, outbox = UnitOfWork(database), Outbox(database, STREAMS)
    await outbox.load()
    stored = []
    for number in range(count):
        stored += await work.commit(produced(10 * number, 10 * number + 10, systems), render, AT)
    return work, outbox, stored
