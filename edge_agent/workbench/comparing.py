"""What two maps would have booked from one recording, side by side. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from edge_agent.config.tagmap import TagMap
from edge_agent.workbench.values import plain
from edge_agent.workbench.view import Movement

Said = Any
"""One side's word on one aspect, as JSON; None where the map has no such movement."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One aspect of a movement under both maps. `order` is None but for what is booked."""

    movement: str
    aspect: str
    order: str | None
    a: Said
    b: Said

    @property
    def differs(self) -> bool:
        """Whether the maps disagree."""
        return bool(self.a != self.b)


def compare(maps: tuple[TagMap, TagMap], first: Mapping[str, Movement], second: Mapping[str, Movement]) -> list[Pair]:
    """All pairs, by movement; one that the second map has renamed (`was`) is the same one, under its new name."""
    heirs = {
        rule.was: name
        for name, rule in maps[1].rules.items()
        if rule.was is not None and rule.was in first and name not in first and rule.was not in second
    }
    renamed = {heirs.get(name, name): movement for name, movement in first.items()}
    names = dict.fromkeys((*renamed, *second))
    return [pair for name in names for pair in _pairs(name, renamed.get(name), second.get(name))]


def as_json(pairs: Iterable[Pair]) -> dict[str, Any]:
    """By movement and aspect: `{"a": …, "b": …}`; what is booked, by order."""
    found: dict[str, Any] = {}
    for pair in pairs:
        aspects = found.setdefault(pair.movement, {})
        sides = {"a": pair.a, "b": pair.b}
        if pair.order is None:
            aspects[pair.aspect] = sides
        else:
            aspects.setdefault(pair.aspect, {})[pair.order] = sides
    return found


def _pairs(name: str, a: Movement | None, b: Movement | None) -> list[Pair]:
    pairs = [Pair(name, "unit", None, a and a.unit, b and b.unit)]
    orders = sorted({*(a.booked if a else ()), *(b.booked if b else ())})
    pairs += [Pair(name, "booked", order, _booked(a, order), _booked(b, order)) for order in orders]
    pairs.append(Pair(name, "review", None, _reviews(a), _reviews(b)))
    pairs.append(Pair(name, "excluded", None, a and plain(a.excluded), b and plain(b.excluded)))
    pairs.append(Pair(name, "gaps", None, _gaps(a), _gaps(b)))
    pairs.append(Pair(name, "exceptions", None, a and [*a.causes], b and [*b.causes]))
    return pairs


def _booked(movement: Movement | None, order: str) -> Said:
    return None if movement is None else plain(movement.booked[order]) if order in movement.booked else "0"


def _reviews(movement: Movement | None) -> Said:
    return None if movement is None else [[plain(way) for way in doubt.candidates] for doubt in movement.review]


def _gaps(movement: Movement | None) -> Said:
    if movement is None:
        return None
    return [{"min": plain(low), "max": None if high is None else plain(high)} for low, high in movement.bounds]
