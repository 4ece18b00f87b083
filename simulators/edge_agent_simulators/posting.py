"""Which lines of an event an MES posts, and under which key (events.md, Data)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

_QUANTITY = re.compile(r"\d{1,18}(\.\d{1,9})?", re.ASCII)
_TYPE = re.compile(r"io\.edgeagent\.material\.([a-z]+)\.v1")
COUNTED = {
    "consumed": "Consumed",
    "produced": "Produced",
    "moved": "Consumed",
    "returned": "Consumed",
    "scrapped": "Other",
    "sampled": "Other",
}
"""The `materialUse` that is counted by event: of a move's pair the first location's line, once."""


class Malformed(Exception):
    """The message cannot be read as what it says it is."""


@dataclass(frozen=True, slots=True)
class Posting:
    """One posted line: `<event>/<material>/<order>/<location>` and its quantity in the material's unit."""

    key: str
    quantity: Decimal


def postings(event_type: str, data: dict[str, Any]) -> Iterator[Posting]:
    """The lines to post: those with posting `actual`, each movement counted once. Raises Malformed."""
    matched = _TYPE.fullmatch(event_type)
    if matched is None or matched[1] not in COUNTED:
        return
    name = matched[1]
    lines = data.get("materialActual")
    if not isinstance(lines, list) or not lines:
        msg = f"{event_type} without materialActual"
        raise Malformed(msg)
    order = data.get("jobOrderID") or ""
    for line in lines:
        quantity = _quantity(line)
        if line.get("posting") == "actual" and line.get("materialUse") == COUNTED[name]:
            place = "" if data.get("scrapOrigin") == "process" else _location(line)
            yield Posting(f"{name}/{_text(line, 'materialDefinitionID')}/{order}/{place}", quantity)


def decimal_string(value: Decimal) -> str:
    """A decimal without exponent and without trailing zeros."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _quantity(line: object) -> Decimal:
    quantity = line.get("quantity") if isinstance(line, dict) else None
    text = quantity.get("quantityString") if isinstance(quantity, dict) else None
    if not isinstance(text, str) or not _QUANTITY.fullmatch(text):
        msg = f"quantityString: {text!r} is no quantity"
        raise Malformed(msg)
    return Decimal(text)


def _location(line: dict[str, Any]) -> str:
    place = line.get("storageLocation")
    if not isinstance(place, dict):
        msg = "a line without storageLocation"
        raise Malformed(msg)
    return _text(place, "location")


def _text(of: dict[str, Any], name: str) -> str:
    value = of.get(name)
    if not isinstance(value, str) or not value:
        msg = f"{name}: missing"
        raise Malformed(msg)
    return value
