"""What a meter finds in its readings, in raw units of its signal: no order, lot, material or event is known here."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from edge_agent.model.movement import Cause, Flag
from edge_agent.model.value import value

Interval = tuple[datetime, datetime]


@value
class Delta:
    """Units that ran through the meter for certain, between two positions of one epoch.

    `raw_before` and `raw_after` are what the device showed. `ran` is the interval in which they ran, where it is not
    `since` to `until`: what ran since a reset that the change of an order explains belongs to the order that came.
    """

    epoch: int
    from_position: int
    to_position: int
    since: datetime
    until: datetime
    raw_before: int | Decimal | str
    raw_after: int | Decimal | str
    samples: int
    flags: tuple[Flag, ...] = ()
    ran: Interval | None = None


@value
class Doubt:
    """A quantity that the evidence does not prove: candidates in raw units, each with its reason.

    One below zero ran the other way: it is of the movement that undoes the rule's.
    """

    cause: Cause
    candidates: tuple[tuple[int, str], ...]
    at: Delta
    """Where it happened: the epoch that ended, at the position it left (`from` = `to`)."""
    message: str


@value
class Hole:
    """Units that nobody could see, within bounds in raw units (`maximum` None: unbounded).

    `seen` of the same interval were counted all the same, and are booked.
    """

    cause: Cause
    minimum: int
    maximum: int | None
    since: datetime
    until: datetime
    message: str
    seen: int = 0


Finding = Delta | Doubt | Hole
