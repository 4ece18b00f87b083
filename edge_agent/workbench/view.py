"""What was derived, by movement: the object of `derive --json`, and what `test` and `diff` compare. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from edge_agent.config.tagmap import Rule, TagMap
from edge_agent.model.movement import Gap, LineState, Notice, Review
from edge_agent.workbench.deriving import BOOKED, Derived, quantity_of
from edge_agent.workbench.values import plain, written

Bounds = tuple[Decimal, Decimal | None]


@dataclass(frozen=True, slots=True)
class Doubt:
    """A review: all quantities that it may have been, ascending, and what a person is told of it."""

    candidates: tuple[Decimal, ...]
    review: Review

    def as_json(self) -> dict[str, Any]:
        """The review for a machine."""
        review = self.review
        ways = [
            {"quantity": plain(way.quantity), "order": way.key.order or "", "why": way.why} for way in review.candidates
        ]
        return {
            "candidates": [plain(quantity) for quantity in self.candidates],
            "cause": review.cause.value,
            "message": review.message,
            "ways": ways,
            **_span(review.line.start_time, review.line.time),
        }


@dataclass(frozen=True, slots=True)
class Movement:
    """What became of one movement. Quantities are in the material's unit; booked ones by order, "" where none ran."""

    unit: str
    booked: Mapping[str, Decimal]
    review: tuple[Doubt, ...]
    excluded: Decimal
    gaps: tuple[Gap, ...]
    exceptions: tuple[Notice, ...] = ()

    @property
    def causes(self) -> tuple[str, ...]:
        """Those of what was said at once of quantities that are booked, in order."""
        return tuple(one.cause.value for one in self.exceptions)

    @property
    def bounds(self) -> tuple[Bounds, ...]:
        """The bounds of the gaps."""
        return tuple((gap.minimum, gap.maximum) for gap in self.gaps)

    def as_json(self) -> dict[str, Any]:
        """The movement for a machine: quantities as decimal text."""
        return {
            "unit": self.unit,
            "booked": {order: plain(quantity) for order, quantity in self.booked.items()},
            "review": [doubt.as_json() for doubt in self.review],
            "excluded": plain(self.excluded),
            "gaps": [_gap(gap) for gap in self.gaps],
            "exceptions": [_exception(one) for one in self.exceptions],
        }


def view(tag_map: TagMap, derived: Derived) -> dict[str, Movement]:
    """Every movement of the map, by name, in the map's order; those to which nothing happened too."""
    return {name: _movement(rule, derived) for name, rule in tag_map.rules.items()}


def _movement(rule: Rule, derived: Derived) -> Movement:
    booked: defaultdict[str, Decimal] = defaultdict(Decimal)
    for line in derived.lines_of(rule.name, *BOOKED):
        booked[line.key.order or ""] += quantity_of(line, rule)
    excluded = (quantity_of(line, rule) for line in derived.lines_of(rule.name, LineState.EXCLUDED))
    return Movement(
        rule.material.unit.name,
        dict(sorted(booked.items())),
        tuple(_doubt(review) for review in derived.reviews if review.key.rule == rule.name),
        sum(excluded, Decimal(0)),
        tuple(gap for gap in derived.gaps if gap.key.rule == rule.name),
        tuple(one for one in derived.notices if one.key.rule == rule.name),
    )


def _doubt(review: Review) -> Doubt:
    return Doubt(tuple(sorted({way.quantity for way in review.candidates})), review)


def _gap(gap: Gap) -> dict[str, Any]:
    return {
        "min": plain(gap.minimum),
        "max": None if gap.maximum is None else plain(gap.maximum),
        "cause": gap.cause.value,
        "message": gap.message,
        **_span(gap.since, gap.until),
    }


def _exception(one: Notice) -> dict[str, Any]:
    return {
        "quantity": plain(one.quantity),
        "cause": one.cause.value,
        "message": one.message,
        **_span(one.since, one.until),
    }


def _span(since: datetime, until: datetime) -> dict[str, str]:
    return {"since": written(since), "until": written(until)}
