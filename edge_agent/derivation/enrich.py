"""What a quantity belongs to: its time, its order (derivation.md, Context and Time)."""

from __future__ import annotations

from datetime import datetime, timedelta

from edge_agent.config.tagmap import Rule, Split
from edge_agent.model.movement import Cause, Flag
from edge_agent.model.reading import Quality, Reading
from edge_agent.model.state import OrderState, SourceState
from edge_agent.model.value import value

_HISTORY = 8
"""Changes of an order tag kept: more than can fall between two readings of a counter that is seen at all."""


@value
class OrdersIn:
    """The orders that ran in an interval, in sequence; `known` is False where its beginning is not covered."""

    orders: tuple[str | None, ...]
    known: bool


def event_time(reading: Reading, source: SourceState | None, max_skew: timedelta) -> tuple[datetime, bool]:
    """When the value arose, and whether the device's time had to be refused.

    Source time is used if within `max_skew` of our clock, or between the last receipt and now (queued values); else
    the time of receipt.
    """
    now, claimed = reading.received.wall, reading.source_time
    if claimed is None:
        return now, False
    if abs(now - claimed) <= max_skew:
        return claimed, False
    before = source.before if source is not None else None
    if before is not None and before.wall <= claimed <= now:
        return claimed, False
    return now, True


def with_order(known: OrderState | None, reading: Reading, time: datetime) -> OrderState | None:
    """The order tag's history with one more reading; None if it says nothing new.

    An empty text is "no order". The first value ever counts from when the device says it was written.
    """
    if reading.quality is not Quality.GOOD or reading.value is None:
        return None
    order = str(reading.value).strip() or None
    if known is None:
        since = min(reading.source_time or time, time)
        return OrderState(((order, since),))
    if known.history[-1][0] == order:
        return None
    return OrderState((*known.history, (order, max(time, known.history[-1][1])))[-_HISTORY:])


def orders_in(state: OrderState | None, since: datetime, until: datetime) -> OrdersIn:
    """The orders that ran in (since, until]; a change exactly at `until` happened before the count was read."""
    if state is None:
        return OrdersIn((), known=False)
    began = [entry for entry in state.history if entry[1] <= since]
    during = [entry[0] for entry in state.history if since < entry[1] <= until]
    if began:
        return OrdersIn((began[-1][0], *during), known=True)
    return OrdersIn(tuple(during), known=False)


@value
class Attribution:
    """Whose a quantity is: one order, or all that it may belong to and why that is open."""

    orders: tuple[str | None, ...]
    flags: tuple[Flag, ...] = ()
    cause: Cause = Cause.STRADDLED_ORDER


def attribute(rule: Rule, state: OrderState | None, since: datetime, until: datetime, brief: timedelta) -> Attribution:
    """The order of what ran in (since, until].

    A quantity that straddles a change goes to the old order, flagged, if the interval is at most `brief` (two sampling
    periods), else it is open; the rule's `split` overrides.
    """
    if rule.order is None:
        return Attribution((None,))
    within = orders_in(state, since, until)
    if not within.known:
        later = state.history[0][0] if state is not None else None
        return Attribution(within.orders or (later,), cause=Cause.ORDER_UNKNOWN)
    distinct = tuple(dict.fromkeys(within.orders))
    if len(distinct) == 1:
        return Attribution(distinct)
    flags = (Flag.STRADDLED_ORDER,)
    if rule.split is Split.NEW:
        return Attribution(within.orders[-1:], flags)
    if rule.split is Split.OLD or (rule.split is None and until - since <= brief):
        return Attribution(within.orders[:1], flags)
    return Attribution(distinct)
