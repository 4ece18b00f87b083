"""An event as a receiver sees it (events.md): the envelope, and the lines that are to be posted. Pure."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from edge_agent_receiver.places import Urn, read_urn
from edge_agent_receiver.strict_json import Malformed, read_object, read_text

ZEROS = "0" * 64
"""`prevhash` of the first event of a source."""
HIGHEST = 10**18
"""No stream gets that far."""
REVERSED, VOIDED, SNAPSHOT = "event.reversed", "sequence.voided", "stock.snapshot"
_TYPE = re.compile(r"io\.edgeagent\.(.+)\.v\d+")
_QUANTITY = re.compile(r"\d{1,18}(\.\d{1,9})?", re.ASCII)
_SEQUENCE = re.compile(r"\d{20}", re.ASCII)
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of `materialActual` with posting `actual`. `use` is its materialUse; `location` None: the order.

    `quantity` is in `unit`, a UN/ECE Rec 20 code. Two lines with one `pair` are a move. `data` has all of it.
    """

    id: str
    use: str
    material: str
    lot: str | None
    quantity: Decimal
    unit: str
    location: str | None
    pair: str | None
    data: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Event:
    """An event. `lines` are those to be posted: all of them or none.

    `again`: it may have been posted already, by a process that died before it wrote that down. `reverses`: the posted
    event that an `event.reversed` takes back; its lines are that event's, quantities positive. `fault` says what is
    wrong with its data, None if nothing is; such an event is never offered.
    """

    source: str
    sequence: int
    id: str
    type: str
    time: str
    prevhash: str
    data: dict[str, Any] = field(repr=False)
    lines: tuple[Line, ...]
    topic: str
    payload: bytes = field(repr=False)
    sha256: str
    correlation: str | None = None
    causation: str | None = None
    fault: str | None = None
    again: bool = False
    reverses: Event | None = None

    @property
    def name(self) -> str:
        """Its type without prefix and version: `material.consumed`."""
        matched = _TYPE.fullmatch(self.type)
        return matched[1] if matched else self.type

    @property
    def urn(self) -> Urn:
        """Agent, store and stream it comes from."""
        return read_urn(self.source)

    @property
    def order(self) -> str | None:
        """The order's number in the ERP, if it was for one."""
        order = self.data.get("jobOrderID")
        return order if isinstance(order, str) else None

    @property
    def posting_date(self) -> date | None:
        """The plant's posting day; never to be shifted silently."""
        day = self.data.get("postingDate")
        return date.fromisoformat(day) if isinstance(day, str) else None


def read_event(topic: str, payload: bytes) -> Event:
    """The event in `payload`. Raises Malformed where its envelope is none; faults of the data are kept in `fault`."""
    found = read_object(payload)
    if found.get("specversion") != "1.0":
        raise Malformed("no CloudEvents 1.0 envelope")
    source, sequence = read_text(found.get("source"), "source"), _sequence(found.get("sequence"))
    read_urn(source)
    identity = found.get("id")
    if identity != event_id(source, sequence):
        raise Malformed("id: not the one of this source and sequence")
    data = found.get("data")
    if not isinstance(data, dict):
        raise Malformed("data: not an object")
    lines, fault = _lines_or_fault(data)
    return Event(
        source=source,
        sequence=sequence,
        id=identity,
        type=read_text(found.get("type"), "type"),
        time=read_text(found.get("time"), "time"),
        prevhash=read_hash(found.get("prevhash"), "prevhash"),
        data=data,
        lines=lines,
        topic=topic,
        payload=payload,
        sha256=hashlib.sha256(payload).hexdigest(),
        correlation=_optional(found.get("correlationid"), "correlationid"),
        causation=_optional(found.get("causationid"), "causationid"),
        fault=fault,
    )


def event_id(source: str, sequence: int) -> str:
    """`uuid5(uuid5(NAMESPACE_URL, source), sequence)` (events.md, Envelope): what identifies an event is its place."""
    return str(uuid5(_namespace(source), f"{sequence:020d}"))


def read_hash(value: object, name: str) -> str:
    """`value` as a SHA-256 in hexadecimal. Raises Malformed."""
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise Malformed(f"{name}: not a SHA-256 in hexadecimal")
    return value


def read_number(value: object, name: str) -> int:
    """`value` as a sequence in data, a JSON integer from 1 on. Raises Malformed."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= HIGHEST:
        raise Malformed(f"{name}: not a whole number from 1 on")
    return value


def read_quantity(value: object) -> Decimal:
    """`value` as a quantity: a decimal string without a sign. Raises Malformed."""
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
        raise Malformed("quantityString: not a decimal of up to 18 digits and 9 decimals")
    return Decimal(value)


def all_lines(data: dict[str, Any]) -> list[dict[str, Any]]:
    """Every line, whatever its posting. Raises Malformed."""
    lines = data.get("materialActual", [])
    if not isinstance(lines, list) or not all(isinstance(line, dict) for line in lines):
        raise Malformed("materialActual: not a list of objects")
    return lines


def _lines_or_fault(data: dict[str, Any]) -> tuple[tuple[Line, ...], str | None]:
    try:
        day = data.get("postingDate")
        if day is not None:
            date.fromisoformat(read_text(day, "postingDate"))
        return tuple(_line(line) for line in all_lines(data) if line.get("posting") == "actual"), None
    except ValueError as fault:
        return (), str(fault)


def _line(data: dict[str, Any]) -> Line:
    quantity, place = data.get("quantity"), data.get("storageLocation")
    if not isinstance(quantity, dict):
        raise Malformed("quantity: not an object")
    if place is not None and not isinstance(place, dict):
        raise Malformed("storageLocation: not an object")
    return Line(
        id=read_text(data.get("id"), "id of a line"),
        use=read_text(data.get("materialUse"), "materialUse"),
        material=read_text(data.get("materialDefinitionID"), "materialDefinitionID"),
        lot=_optional(data.get("materialLotID"), "materialLotID"),
        quantity=read_quantity(quantity.get("quantityString")),
        unit=read_text(quantity.get("unitOfMeasure"), "unitOfMeasure"),
        location=None if place is None else read_text(place.get("location"), "location"),
        pair=_optional(data.get("pairID"), "pairID"),
        data=data,
    )


def _sequence(value: object) -> int:
    if not isinstance(value, str) or not _SEQUENCE.fullmatch(value) or not 0 < int(value) <= HIGHEST:
        raise Malformed("sequence: not 20 digits from 1 on")
    return int(value)


def _optional(value: object, name: str) -> str | None:
    return None if value is None else read_text(value, name)


@lru_cache(maxsize=256)
def _namespace(source: str) -> UUID:
    return uuid5(NAMESPACE_URL, source)
