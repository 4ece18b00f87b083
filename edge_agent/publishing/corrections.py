"""Reversals, and the events that take the place of reversed ones: made of the original's own bytes. Pure.

Nothing is ever edited (events.md, Types): both carry the original's lines, its evidence included.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal

from edge_agent.errors import EventInvalid
from edge_agent.model.event import Change, Correction, Reversal, StoredEvent
from edge_agent.model.movement import EventType
from edge_agent.publishing import contract_events as form
from edge_agent.publishing.contract import MATERIAL_EVENTS, AnyLine, Reason
from edge_agent.publishing.scalars import decimal_string, timestamp

_CODE = "correction"
_TYPES = {f"io.edgeagent.{event}.v1": event for event in MATERIAL_EVENTS}


class Original:
    """A stored event of material, read again; numbers stay exact. Raises EventInvalid where it is of another type."""

    def __init__(self, stored: StoredEvent) -> None:
        if stored.type not in _TYPES:
            raise EventInvalid(f"{stored.type} is no movement of material: it cannot be reversed")
        envelope = json.loads(stored.payload, parse_float=Decimal)
        self.stored = stored
        self.event: EventType = _TYPES[stored.type]
        self.data: form.MaterialData = envelope["data"]
        self.scrap: form.Scrap = {}
        if self.event is EventType.SCRAPPED:
            self.scrap = {"scrapOrigin": envelope["data"]["scrapOrigin"]}
        self.subject: str = envelope["subject"]
        self.partitionkey: str = envelope["partitionkey"]

    @property
    def process(self) -> bool:
        """Whether it scrapped what was in the process already."""
        return self.scrap.get("scrapOrigin") == "process"

    @property
    def reversal_topic(self) -> str:
        """Beside the original's own topic, whatever the line is called by now."""
        return f"{self.stored.topic.rpartition('/')[0]}/reversed"


def reversed_data(original: Original, common: form.Common, about: Reversal) -> form.EventReversed:
    """The original's lines again, for its order and its posting day; `common` says who reverses it and when."""
    was, stored = original.data, original.stored
    order: form.Ordered = {"jobOrderID": was["jobOrderID"]} if "jobOrderID" in was else {}
    return {
        "operationsType": was["operationsType"],
        **common,
        "hierarchyScope": was["hierarchyScope"],
        **order,
        "postingDate": was["postingDate"],
        "startTime": was["startTime"],
        **original.scrap,
        "materialActual": list(was["materialActual"]),
        "reversesSource": stored.source,
        "reversesSequence": stored.sequence,
        "reversesId": stored.id,
        "reversesType": stored.type,
        "reason": _reason(about),
        "correction": {"by": about.by, "at": timestamp(about.at)},
    }


def corrected_data(original: Original, version: str, about: Correction) -> form.MaterialData:
    """The original's data with the changes in it. Raises EventInvalid where a change names a line that is not there."""
    data = original.data
    unknown = about.lines.keys() - {line["id"] for line in data["materialActual"]}
    if unknown:
        raise EventInvalid(f"event {original.stored.id} has no line {', '.join(sorted(unknown))}")
    by_place = _by_pair(data, about.lines)
    for line in data["materialActual"]:
        change = by_place.get(_place(line))
        if change is not None:
            _amend(line, change)
    if about.order is not None:
        data["jobOrderID"] = about.order
    data["agentVersion"] = version
    data["reason"] = _reason(about)
    data["correction"] = {"by": about.by, "at": timestamp(about.at)}
    return data


def _by_pair(data: form.MaterialData, changes: Mapping[str, Change]) -> dict[tuple[str, str], Change]:
    """The changes by what they change: a move's two lines change together, by the first of them that is named."""
    found: dict[tuple[str, str], Change] = {}
    for line in data["materialActual"]:
        if line["id"] in changes:
            found.setdefault(_place(line), changes[line["id"]])
    return found


def _place(line: AnyLine) -> tuple[str, str]:
    pair = line.get("pairID")
    return ("line", line["id"]) if pair is None else ("pair", str(pair))


def _amend(line: AnyLine, change: Change) -> None:
    """A corrected quantity's source is the person, who says it in the line's own unit: no conversion is guessed."""
    if change.lot is not None:
        line["materialLotID"] = change.lot
    if change.quantity is not None:
        quantity = line["quantity"]
        quantity["quantityString"] = quantity["sourceQuantityString"] = decimal_string(change.quantity)
        quantity["sourceUnit"] = quantity["unitOfMeasure"]


def _reason(about: Reversal | Correction) -> Reason:
    return {"code": _CODE, "text": about.reason}
