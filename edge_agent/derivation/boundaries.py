"""Moments at which what is measured over time goes over to another order or posting day. Pure."""

from __future__ import annotations

from datetime import datetime

from edge_agent.config.tagmap import OnSpan, Rule, Split
from edge_agent.derivation.booking import Books


def boundaries(work: Books, rule: Rule, since: datetime, until: datetime) -> tuple[datetime, ...]:
    """Changes of the rule's order and the start of the posting day in (since, until], oldest first.

    None where the rule says what becomes of a quantity that straddles them: then it is one quantity.
    """
    moments = set()
    known = work.state.contexts.get(rule.order) if rule.order is not None else None
    if known is not None and rule.split in {None, Split.OLD}:
        moments = {changed for _, changed in known.history if since < changed <= until}
    day = work.day(until).starts
    if rule.on_span is not OnSpan.REVIEW and since < day:
        moments.add(day)
    return tuple(sorted(moments))
