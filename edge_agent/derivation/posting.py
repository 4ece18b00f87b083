"""What a meter has found becomes lines, reviews and gaps, once it is known whose it is."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from edge_agent.config.tagmap import OnSpan, Rule
from edge_agent.derivation import cadence
from edge_agent.derivation.booking import Books, exact
from edge_agent.derivation.enrich import Attribution, attribute
from edge_agent.derivation.findings import Delta, Doubt, Finding, Hole
from edge_agent.model.movement import Candidate, Cause, Evidence, Flag, Line
from edge_agent.model.reading import Instant


def post(
    work: Books,
    rule: Rule,
    findings: tuple[Finding, ...],
    now: Instant,
    *,
    brief: timedelta,
    statuses: tuple[int, ...] = (),
    flags: tuple[Flag, ...] = (),
) -> None:
    """Give each finding its place in the books.

    `brief` is how long a quantity may straddle a change and still go to what was before it (two sampling periods).
    """
    for found in findings:
        match found:
            case Delta():
                _book(work, rule, found, _evidence(found, statuses, flags), brief)
                cadence.schedule(work, (rule,), now.wall)
            case Doubt():
                _doubt(work, rule, found, _evidence(found.at, statuses, flags), brief)
            case Hole():
                _hole(work, rule, found, brief)


def _evidence(delta: Delta, statuses: tuple[int, ...], flags: tuple[Flag, ...]) -> Evidence:
    return Evidence(
        epoch=delta.epoch,
        from_position=delta.from_position,
        to_position=delta.to_position,
        first_time=delta.since,
        last_time=delta.until,
        samples=delta.samples,
        raw_before=str(delta.raw_before),
        raw_after=str(delta.raw_after),
        status_codes=statuses,
        flags=(*delta.flags, *flags),
    )


def _whose(work: Books, rule: Rule, since: datetime, until: datetime, brief: timedelta) -> Attribution:
    known = work.state.orders.get(rule.order) if rule.order is not None else None
    return attribute(rule, known, since, until, brief)


def _book(work: Books, rule: Rule, delta: Delta, proof: Evidence, brief: timedelta) -> None:
    """Book a certain quantity, unless it is open whose it is: then it is in review as a whole."""
    since, until = proof.first_time, proof.last_time
    whose = _whose(work, rule, since, until, brief)
    line = work.line(
        rule,
        work.key(rule, whose.orders[0], until),
        delta.to_position - delta.from_position,
        replace(proof, flags=(*proof.flags, *whose.flags)),
    )
    first_day = work.day(since).date
    if len(whose.orders) > 1 or whose.cause is Cause.ORDER_UNKNOWN:
        ways = [Candidate(line.quantity, f"order {o or 'none'}", replace(line.key, order=o)) for o in whose.orders]
        message = f"{line.quantity} {line.unit} ran while the order changed: {', '.join(w.why for w in ways)}"
        work.review(rule, whose.cause, tuple(ways), line, quantity_doubted=False, message=message)
    elif first_day != line.key.posting_day and rule.on_span is OnSpan.REVIEW:
        days = (line.key.posting_day, first_day)
        ways = [Candidate(line.quantity, f"posting day {day}", replace(line.key, posting_day=day)) for day in days]
        message = f"{line.quantity} {line.unit} ran across the start of posting day {line.key.posting_day}"
        work.review(rule, Cause.STRADDLED_DAY, tuple(ways), line, quantity_doubted=False, message=message)
    else:
        work.book(rule, line)


def _doubt(work: Books, rule: Rule, doubt: Doubt, proof: Evidence, brief: timedelta) -> None:
    """The quantity itself is open: every way it may have gone, for every order it may belong to."""
    whose = _whose(work, rule, proof.first_time, proof.last_time, brief)
    line: Line = work.line(rule, work.key(rule, whose.orders[0], proof.last_time), 0, proof)
    ways = [
        Candidate(exact(raw, rule.factor), why if len(whose.orders) == 1 else f"{why}, order {order or 'none'}", key)
        for raw, why in doubt.candidates
        for order in (whose.orders if raw else whose.orders[:1])
        for key in (replace(line.key, order=order),)
    ]
    work.review(rule, doubt.cause, tuple(ways), line, quantity_doubted=True, message=doubt.message)


def _hole(work: Books, rule: Rule, hole: Hole, brief: timedelta) -> None:
    whose = _whose(work, rule, hole.since, hole.until, brief)
    low = exact(hole.minimum, rule.factor)
    high = None if hole.maximum is None else exact(hole.maximum, rule.factor)
    key = work.key(rule, whose.orders[0], hole.until)
    seen = exact(hole.seen, rule.factor)
    work.gap(rule, hole.cause, key, bounds=(low, high), span=(hole.since, hole.until), message=hole.message, seen=seen)
