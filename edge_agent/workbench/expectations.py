"""What a case expects of each movement, and where what was derived differs. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from edge_agent.config.codes import Code
from edge_agent.config.findings import Place, shown
from edge_agent.config.scalars import Kind
from edge_agent.config.yaml_nodes import Node, Scalar
from edge_agent.workbench.nodes import Nodes
from edge_agent.workbench.values import plain
from edge_agent.workbench.view import Bounds, Movement

ASPECTS = ("booked", "review", "excluded", "gaps", "exceptions")


@dataclass(frozen=True, slots=True)
class Expected:
    """What one movement is expected to come to, compared as text; `places` are those of the values in the case file."""

    values: Mapping[str, Any]
    places: Mapping[str, Place]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One aspect of one movement that is not as expected."""

    place: Place
    movement: str
    aspect: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.movement}: {self.aspect}: expected {self.expected}, found {self.found}"

    def as_json(self) -> dict[str, Any]:
        """The difference for a machine."""
        return {
            "file": self.place.source.name,
            "line": self.place.line,
            "col": self.place.column,
            "movement": self.movement,
            "what": self.aspect,
            "expected": self.expected,
            "found": self.found,
        }


NOTHING = Expected({"booked": {}, "review": [], "excluded": Decimal(0), "gaps": [], "exceptions": []}, {})


def read_expected(nodes: Nodes, node: Node, movements: Collection[str]) -> dict[str, Expected]:
    """The expectations of a case, by movement."""
    found: dict[str, Expected] = {}
    entries = nodes.map(node)
    for name, entry in (entries or {}).items():
        if entries is not None and name not in movements:
            advice = nodes.findings.nearest(name, movements)
            nodes.findings.error(
                entries.places[name], Code.UNKNOWN_NAME, f"the map has no movement {shown(name)}", advice
            )
            continue
        found[name] = _read_one(nodes, entry)
    return found


def _read_one(nodes: Nodes, node: Node) -> Expected:
    entry = nodes.entries(node, ASPECTS)
    values, places = dict(NOTHING.values), {"": node.place}
    for aspect, value in (entry or {}).items():
        places[aspect] = value.place
        match aspect:
            case "booked":
                orders = nodes.map(value)
                booked = {order: nodes.number(quantity) for order, quantity in (orders or {}).items()}
                values[aspect] = {order: quantity for order, quantity in booked.items() if quantity}
            case "review":
                values[aspect] = [_candidates(nodes, item) for item in nodes.items(value)]
            case "excluded":
                values[aspect] = nodes.number(value)
            case "gaps":
                values[aspect] = [_bounds(nodes, item) for item in nodes.items(value)]
            case "exceptions":
                values[aspect] = [nodes.text(item) for item in nodes.items(value)]
    return Expected(values, places)


def _candidates(nodes: Nodes, node: Node) -> tuple[Decimal, ...]:
    quantities = (nodes.number(item) for item in nodes.items(node))
    return tuple(sorted({quantity for quantity in quantities if quantity is not None}))


def _bounds(nodes: Nodes, node: Node) -> Bounds | None:
    """`[0, 87]`, or `[0, null]` where nothing bounds it above."""
    ends = list(nodes.items(node))
    if len(ends) != 2:
        nodes.findings.error(node.place, Code.WRONG_SHAPE, "a gap has two bounds", "write [0, 87], or [0, null]")
        return None
    low, high = nodes.number(ends[0]), ends[1]
    unbounded = isinstance(high, Scalar) and high.kind is Kind.NULL
    return None if low is None else (low, None if unbounded else nodes.number(high))


def mismatches(expected: Mapping[str, Expected], found: Mapping[str, Movement], place: Place) -> Iterator[Mismatch]:
    """Every difference; a movement that is not expected must have come to nothing. `place` is that of `expect`."""
    for name, movement in found.items():
        wanted = expected.get(name, NOTHING)
        actual = {
            "booked": {order: quantity for order, quantity in movement.booked.items() if quantity},
            "review": [doubt.candidates for doubt in movement.review],
            "excluded": movement.excluded,
            "gaps": list(movement.bounds),
            "exceptions": list(movement.causes),
        }
        for aspect in ASPECTS:
            if actual[aspect] != wanted.values[aspect]:
                where = wanted.places.get(aspect) or wanted.places.get("") or place
                yield Mismatch(where, name, aspect, _shown(wanted.values[aspect]), _shown(actual[aspect]))


def _shown(value: object) -> str:
    """A value as a case writes it."""
    match value:
        case dict():
            return "{" + ", ".join(f'"{key}": {_shown(each)}' for key, each in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(_shown, value)) + "]"
        case Decimal():
            return plain(value)
        case str():
            return value
        case _:
            return "null"
