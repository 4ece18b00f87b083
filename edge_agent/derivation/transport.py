"""Transports in two steps: what departs and arrives is one movement, paired by container (derivation.md, Handshakes).

The departure books nothing: its goods are on their way, which is part of the state, and its positions are excluded. The
arrival books the movement, from the one time to the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from edge_agent.config.tagmap import Arrival, Rule
from edge_agent.derivation import cadence
from edge_agent.derivation.booking import Books
from edge_agent.derivation.once_per import nothing
from edge_agent.model.movement import Candidate, Cause, Line
from edge_agent.model.state import Departure


def depart(work: Books, rule: Rule, line: Line) -> str | None:
    """Goods set out. If their container is on its way already, a person says what became of the first ones.

    The answer says why, None where nobody is asked.
    """
    known = _under_way(work, rule.name, line.key.container)
    gone = Departure(line.key, line.quantity, line.unit, line.time)
    _put(work, rule.name, known, gone)
    if known is None:
        work.exclude(rule, line, "departed")
        return None
    ways = (
        Candidate(known.quantity, f"what departed at {known.time.isoformat()} has arrived", known.key),
        Candidate(Decimal(0), "it is the same departure, or the first one was in vain", line.key),
    )
    message = f"container {line.key.container} departed at {known.time.isoformat()} and again, and did not arrive"
    work.review(rule, Cause.DEPARTED_TWICE, ways, line, quantity_doubted=False, message=message)
    return message


def arrive(work: Books, rule: Rule, arrival: Arrival, line: Line, now: datetime) -> str | None:
    """Goods are there: one movement, if they are what departed. Why a person must decide, else None."""
    known = _under_way(work, arrival.departed, line.key.container)
    if known is None:
        ways = (Candidate(line.quantity, "moved, and its departure was not confirmed", line.key), nothing(line))
        message = f"container {line.key.container} arrived, and did not depart"
        work.review(rule, Cause.NOT_DEPARTED, ways, line, quantity_doubted=False, message=message)
        return message
    _put(work, arrival.departed, known, None)
    work.count(rule.name, "arrived")
    whole = _both(known, line)
    if known.quantity == line.quantity:
        work.book(rule, whole)
        cadence.schedule(work, (rule,), now)
        return None
    as_arrived = Candidate(line.quantity, "as much as arrived", whole.key)
    as_departed = Candidate(known.quantity, "as much as departed", whole.key)
    message = f"of container {line.key.container} {known.quantity} {known.unit} departed, and {line.quantity} arrived"
    work.review(
        rule,
        Cause.OTHER_QUANTITY,
        (as_arrived, as_departed, nothing(whole)),
        whole,
        quantity_doubted=False,
        message=message,
    )
    return message


def say_late(work: Books, rules: Iterable[Rule], now: datetime) -> None:
    """An exception for what should have arrived by `now`, once; it stays on its way, and may arrive yet."""
    for rule in rules:
        if rule.arrival is None:
            continue
        name, limit = rule.arrival.departed, rule.arrival.within
        for known in work.rule(name).transit:
            if not known.late and now - known.time > limit:
                _put(work, name, known, replace(known, late=True))
                message = f"container {known.key.container} has not arrived within {limit}"
                span = (known.time, max(now, known.time))
                work.gap(
                    rule, Cause.NOT_ARRIVED, known.key, bounds=(Decimal(0), known.quantity), span=span, message=message
                )


def _under_way(work: Books, departed: str, container: str | None) -> Departure | None:
    return next((one for one in work.rule(departed).transit if one.key.container == container), None)


def _put(work: Books, departed: str, before: Departure | None, after: Departure | None) -> None:
    """What is on its way, with `after` in the place of `before`."""
    state = work.rule(departed)
    rest = tuple(one for one in state.transit if one is not before)
    work.put(departed, replace(state, transit=rest if after is None else (*rest, after)))


def _both(known: Departure, line: Line) -> Line:
    """The whole movement: from where and when it departed, for its order, with its lot where the arrival names none."""
    order = known.key.order if known.key.order is not None else line.key.order
    since = min(known.time, line.time)
    return replace(
        line,
        key=replace(line.key, from_=known.key.from_, order=order, lot=line.key.lot or known.key.lot),
        start_time=since,
        evidence=replace(line.evidence, first_time=since),
    )
