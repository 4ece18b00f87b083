"""A movement that someone has confirmed, its figures in order: booked, unless it is known already or half of one."""

from __future__ import annotations

from datetime import datetime

from edge_agent.config.tagmap import Rule
from edge_agent.derivation import cadence, once_per, transport
from edge_agent.derivation.booking import Books
from edge_agent.model.movement import Candidate, Cause, Line

NAMELESS = "no container is named, and the rule tells movements apart by it"


def tells_apart(rule: Rule) -> bool:
    """Whether the rule needs to know each movement's container."""
    return rule.departs or rule.arrival is not None or rule.once_per is not None


def settle(work: Books, rule: Rule, line: Line, now: datetime) -> str | None:
    """Book the line, or what its rule says instead; why a person must decide, None where nobody must.

    Its positions stay in the identity in each case.
    """
    if tells_apart(rule) and line.key.container is None:
        ways = (Candidate(line.quantity, "happened as confirmed", line.key), once_per.nothing(line))
        work.review(rule, Cause.FAILED_CHECK, ways, line, quantity_doubted=False, message=NAMELESS)
        return NAMELESS
    if rule.departs:
        return transport.depart(work, rule, line)
    if rule.arrival is not None:
        return transport.arrive(work, rule, rule.arrival, line, now)
    if rule.once_per is not None:
        again = once_per.again(work, rule, rule.once_per, line)
        if again is not None:
            return once_per.suppress(work, rule, rule.once_per, line, again)
    why = work.book(rule, line)
    cadence.schedule(work, (rule,), now)
    return why
