"""A count that the PLC latched in the scan in which the order or lot changed (derivation.md, Context). Pure.

It parts the delta that straddles the change at the very unit, however long that delta is, if it is surely of that
change: since the counter was last read the PLC has numbered one change more, the latched count is another one, one
change is known, and all of it was shown at the same time. What is missing or contradicts leaves everything as it was.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from edge_agent.config.signals import AtChange, Counter
from edge_agent.config.tagmap import Rule
from edge_agent.derivation.context import Part, pair_at
from edge_agent.derivation.findings import Delta
from edge_agent.model.movement import Flag
from edge_agent.model.signal_state import CounterState, Latched
from edge_agent.model.state import State

_FIRST = 1
"""The number of a change that a count begun anew shows as well."""


class Change(NamedTuple):
    """The one change in a delta: what it parts it into, or (None) that the latched count lies outside of it."""

    parts: tuple[Part, ...] | None


def with_count(known: Latched | None, counts: int, time: datetime) -> Latched:
    """With the count that the PLC's tag shows; the same one again says nothing new."""
    latched = known or Latched()
    return latched if latched.count == counts else replace(latched, count=counts, time=time)


def with_changes(known: Latched | None, number: int) -> Latched:
    """With the number of changes that the PLC's tag shows."""
    return replace(known or Latched(), changes=number)


def read_until(known: Latched | None, until: datetime) -> Latched | None:
    """What was latched by `until`, when the counter was read, is no news for what it counts from there on."""
    if known is None or (known.time is not None and known.time > until):
        return known
    return replace(known, count_before=known.count, changes_before=known.changes)


def change_in(
    rule: Rule, state: State, spec: Counter, latched: Latched | None, *, before: CounterState, delta: Delta
) -> Change | None:
    """The one change of order or lot in a delta whose count was latched; None where that is not certain.

    `before` is the counter as it was. A delta that is booked unproven may hide a reset, and is not parted.
    """
    if spec.at_change is None or latched is None or latched.count is None or latched.time is None:
        return None
    if not _is_fresh(spec.at_change, latched, delta) or delta.ran is not None or Flag.UNPROVEN in delta.flags:
        return None
    histories = [
        known.history if (known := state.contexts.get(tag)) is not None else ()
        for tag in (rule.order, rule.lot_tag)
        if tag is not None
    ]
    if any(not history or history[0][1] > delta.since for history in histories):
        return None
    moments = [[moment for _, moment in history if delta.since < moment <= delta.until] for history in histories]
    if max(map(len, moments)) != 1 or not _is_near([one for some in moments for one in some], latched.time, spec):
        return None
    units, ran = latched.count - before.last_raw, delta.to_position - delta.from_position
    if units < 0 and spec.modulus is not None:
        units += spec.modulus
    if not 0 <= units <= ran:
        return Change(None)
    parts = (Part(units, (pair_at(rule, state, delta.since),)), Part(ran - units, (pair_at(rule, state, delta.until),)))
    return Change(tuple(part for part in parts if part.units))


def _is_fresh(spec: AtChange, latched: Latched, delta: Delta) -> bool:
    """Whether both were shown anew since the counter was last read, and for one change.

    After an outage the first change of all may be one of a count that began anew, and had others before it.
    """
    if None in {latched.count_before, latched.changes, latched.changes_before}:
        return False
    ran = ((latched.changes or 0) - (latched.changes_before or 0)) % spec.modulus
    begun_anew = latched.changes == _FIRST and Flag.SPANNED_OUTAGE in delta.flags
    return ran == 1 and latched.count != latched.count_before and not begun_anew


def _is_near(moments: list[datetime], latched: datetime, spec: Counter) -> bool:
    """Whether the change and what was latched were shown together: two tags are sampled a moment apart."""
    together: timedelta = 2 * spec.sampling
    return all(abs(moment - latched) <= together for moment in moments)
