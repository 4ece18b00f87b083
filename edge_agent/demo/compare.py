"""Do the line, the agent and the MES agree to the unit? Pure; the figures come from the three of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

Totals = Mapping[str, Decimal]
"""From `<event>/<material>/<order>/<location>` to a quantity in the material's unit."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """A review left open: what truly happened in its interval, `since` to `until`, by the key it may belong to."""

    rule: str
    truths: Totals
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Hole:
    """A gap and its bounds; `maximum` None bounds nothing."""

    key: str
    minimum: Decimal
    maximum: Decimal | None


@dataclass(frozen=True, slots=True)
class Fault:
    """A scripted fault that may end in a review of one of `keys`: when it began and when it was over."""

    keys: frozenset[str]
    since: datetime
    until: datetime


def disagreements(
    line: Totals,
    booked: Totals,
    received: Totals,
    *,
    reviews: Sequence[Doubt],
    gaps: Sequence[Hole],
    faults: Sequence[Fault],
) -> list[str]:
    """Everything that does not add up, one sentence each; empty where all agree.

    Booked equals received; for every key, what the line made less what was received and less what is in review lies
    within the bounds of the gaps; and every review is explained by one scripted fault that the evidence cannot settle.
    """
    wrong = [
        f"{key}: booked {booked.get(key, Decimal(0))}, the MES received {received.get(key, Decimal(0))}"
        for key in _keys(booked, received)
        if booked.get(key, Decimal(0)) != received.get(key, Decimal(0))
    ]
    in_review: dict[str, Decimal] = defaultdict(Decimal)
    low: dict[str, Decimal] = defaultdict(Decimal)
    high: dict[str, Decimal | None] = defaultdict(Decimal)
    for review in reviews:
        for key, truth in review.truths.items():
            in_review[key] += truth
    for gap in gaps:
        low[gap.key] += gap.minimum
        sofar = high[gap.key]
        high[gap.key] = None if sofar is None or gap.maximum is None else sofar + gap.maximum
    for key in _keys(line, received, in_review, low):
        missing = line.get(key, Decimal(0)) - received.get(key, Decimal(0)) - in_review[key]
        bound = high[key]
        if missing < low[key] or (bound is not None and missing > bound):
            allowed = f"between {low[key]} and {'any' if bound is None else bound}" if low[key] != bound else str(bound)
            wrong.append(f"{key}: {missing} unaccounted for, may be {allowed}")
    return wrong + _unexplained(reviews, faults)


def _keys(*totals: Mapping[str, object]) -> list[str]:
    return sorted(set().union(*totals))


def _unexplained(reviews: Iterable[Doubt], faults: Sequence[Fault]) -> list[str]:
    """Reviews that no fault of the script explains; a fault explains one review."""
    free = list(faults)
    wrong = []
    for review in reviews:
        cause = next(
            (f for f in free if f.keys & review.truths.keys() and f.since <= review.until and f.until >= review.since),
            None,
        )
        if cause is None:
            keys = ", ".join(review.truths)
            wrong.append(f"{keys}: {review.rule} has it in review, without a fault that the evidence cannot settle")
        else:
            free.remove(cause)
    return wrong
