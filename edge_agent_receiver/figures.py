"""The gross figures that snapshots compare (events.md, Reconciliation): what each line adds to which stock. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

from edge_agent_receiver.event import REVERSED, Event, Line
from edge_agent_receiver.strict_json import Malformed, read_text

_FIGURES = {
    ("consumed", "Consumed"): "consumed",
    ("returned", "Consumed"): "returned",
    ("produced", "Produced"): "produced",
    ("produced", "By-product"): "produced",
    ("produced", "Co-product"): "produced",
    ("produced", "Yield Produced"): "produced",
    ("received", "Produced"): "received",
    ("moved", "Consumed"): "movedOut",
    ("moved", "Produced"): "movedIn",
    ("adjusted", "Produced"): "adjustedUp",
    ("adjusted", "Consumed"): "adjustedDown",
    ("scrapped", "Other"): "scrapped",
    ("sampled", "Other"): "sampled",
}
_SUM = re.compile(r"\d{1,40}(\.\d{1,9})?", re.ASCII)
_NAMES = frozenset(_FIGURES.values())


class Key(NamedTuple):
    """One figure of one stock; '' is no location (the order, the process) or no lot."""

    location: str
    material: str
    lot: str
    unit: str
    figure: str

    def as_json(self) -> dict[str, str]:
        """As a discrepancy names it."""
        named = {"location": self.location, "material": self.material, "lot": self.lot, "unit": self.unit}
        return {name: value for name, value in named.items() if value} | {"figure": self.figure}


def figures(event: Event, *, of_original: bool = False) -> Iterator[tuple[Key, Decimal]]:
    """What the lines of `event` add, if any; `of_original`: what those of the event did that a reversal takes back."""
    is_reversal = event.name == REVERSED
    reversal = is_reversal and not of_original
    name = _material_name(str(event.data.get("reversesType", ""))) if is_reversal else _material_name(event.name)
    in_process = event.data.get("scrapOrigin") == "process"
    for line in event.lines:
        figure = _FIGURES.get((name, line.use))
        if figure is not None:
            location = None if name == "scrapped" and in_process else line.location
            yield _key(line, location, figure + "Reversed" if reversal else figure), line.quantity


def snapshot_figures(data: dict[str, Any]) -> Iterator[tuple[Key, Decimal]]:
    """What a part of a snapshot says. Raises Malformed."""
    stock = data.get("stock")
    if not isinstance(stock, list):
        raise Malformed("stock: not a list")
    for entry in stock:
        if not isinstance(entry, dict):
            raise Malformed("stock: holds what is no object")
        yield from _entry(entry)


def _entry(entry: dict[str, Any]) -> Iterator[tuple[Key, Decimal]]:
    place = entry.get("storageLocation")
    if place is not None and not isinstance(place, dict):
        raise Malformed("storageLocation: not an object")
    location = "" if place is None else read_text(place.get("location"), "location")
    lot = entry.get("materialLotID")
    stock = (
        location,
        read_text(entry.get("materialDefinitionID"), "materialDefinitionID"),
        "" if lot is None else read_text(lot, "materialLotID"),
        read_text(entry.get("unitOfMeasure"), "unitOfMeasure"),
    )
    for member, suffix in (("cumulative", ""), ("cumulativeReversed", "Reversed")):
        said = entry.get(member, {})
        if not isinstance(said, dict) or not said.keys() <= _NAMES:
            raise Malformed(f"{member}: not an object of figures")
        for figure, quantity in said.items():
            yield Key(*stock, figure + suffix), _sum(quantity)


def _sum(value: object) -> Decimal:
    """A figure: of many quantities, so it may have more digits than one. Raises Malformed."""
    if not isinstance(value, str) or not _SUM.fullmatch(value):
        raise Malformed("a figure is not a decimal string")
    return Decimal(value)


def _material_name(event_type: str) -> str:
    _, found, name = event_type.partition("material.")
    return name.partition(".")[0] if found else ""


def _key(line: Line, location: str | None, figure: str) -> Key:
    return Key(location or "", line.material, line.lot or "", line.unit, figure)
