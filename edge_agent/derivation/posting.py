"""What a meter has found becomes lines, reviews and gaps, once it is known whose it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from edge_agent.config.tagmap import OnSpan, Rule
from edge_agent.derivation import cadence
from edge_agent.derivation.amounts import exact
from edge_agent.derivation.booking import Books
from edge_agent.derivation.context import Attribution, Part, Setting, attribute, attribute_part, settings_in
from edge_agent.derivation.findings import Delta, Doubt, Finding, Hole, Interval
from edge_agent.derivation.pipe import advanced, looked_into, noted, part_out, parts_out
from edge_agent.model.movement import Candidate, Cause, EventType, Evidence, Flag, Line, Notice
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
                note(work, rule, found, brief=brief)
                post_proven(work, rule, evidence(found, statuses, flags), now, brief=brief, ran=found.ran)
            case Doubt():
                _doubt(work, rule, found, evidence(found.at, statuses, flags), brief)
            case Hole():
                _hole(work, rule, found, brief)


def say(work: Books, rule: Rule, cause: Cause, span: tuple[datetime, datetime], message: str) -> None:
    """Tell a person at once what stands in the way of counting; no quantity is stated."""
    whose = settings_in(rule, work.state, *span).settings[0]
    work.notice(Notice("", cause, work.key(rule, whose, span[1]), Decimal(0), *span, message))


def post_proven(
    work: Books,
    rule: Rule,
    proof: Evidence,
    now: Instant,
    *,
    brief: timedelta,
    ran: Interval | None = None,
    told: tuple[Part, ...] | None = None,
) -> None:
    """Give what has run for certain its place in the books. `ran` is as a `Delta` says it, `told` are its parts."""
    for one, part in _parts(work, rule, proof, told):
        _book(work, rule, one, part, brief=brief, ran=ran)
    cadence.schedule(work, (rule,), now.wall)


def evidence(delta: Delta, statuses: tuple[int, ...], flags: tuple[Flag, ...]) -> Evidence:
    """What proves a delta, with the status codes of its reading and flags of the reading itself."""
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


def note(work: Books, rule: Rule, delta: Delta, *, brief: timedelta) -> None:
    """What has run for certain has entered the rule's pipe, where it has one, even if it waits to be booked."""
    raw = delta.to_position - delta.from_position
    _enter(work, rule, (delta.since, delta.until), raw, brief=_lasted((delta.since, delta.until), delta.ran) <= brief)


def _enter(work: Books, rule: Rule, span: Interval, most: int, *, brief: bool) -> None:
    if rule.pipe:
        known = work.rule(rule.name)
        pipe = noted(rule, work.state, known.pipe, span, most, waiting=known.uncounted, brief=brief)
        work.put(rule.name, replace(known, pipe=pipe))


def look_into(work: Books, rule: Rule, waiting: Evidence) -> None:
    """The rule's pipe, where it has one, is known as soon as its tags are."""
    known = work.rule(rule.name)
    if rule.pipe and known.pipe is None and (pipe := looked_into(rule, work.state, None, waiting)) is not None:
        work.put(rule.name, replace(known, pipe=pipe))


def _lasted(span: Interval, ran: Interval | None) -> timedelta:
    return max(until - since for since, until in (span, ran or span))


def _whose(work: Books, rule: Rule, span: Interval, brief: timedelta, units: tuple[int, int | None]) -> Attribution:
    """Whose is what ran in `span`: `units` at the least and the most (None: nothing bounds it)."""
    within, lasted = settings_in(rule, work.state, *span), _lasted(span, None)
    if not rule.pipe:
        return attribute(rule, within, lasted, brief)
    least, most = units
    reach = rule.pipe if most is None else most
    _enter(work, rule, span, reach, brief=lasted <= brief)
    known = work.rule(rule.name)
    if known.pipe is not None:
        work.put(rule.name, replace(known, pipe=advanced(known.pipe, least, most)))
    return attribute_part(rule, within, part_out(known.pipe, 0, reach), lasted, brief)


def _parts(
    work: Books, rule: Rule, proof: Evidence, told: tuple[Part, ...] | None
) -> Iterator[tuple[Evidence, Part | None]]:
    """What has run for certain, in parts where more than the time tells whose it is."""
    if rule.pipe:
        known, units = work.rule(rule.name), proof.to_position - proof.from_position
        pipe = looked_into(rule, work.state, known.pipe, proof)
        work.put(rule.name, replace(known, pipe=None if pipe is None else advanced(pipe, units, units)))
        told = tuple(parts_out(pipe, units))
    if told is None:
        yield proof, None
        return
    start = proof.from_position
    for part in told:
        yield replace(proof, from_position=start, to_position=start + part.units), part
        start += part.units


def _book(
    work: Books, rule: Rule, proof: Evidence, part: Part | None, *, brief: timedelta, ran: Interval | None
) -> None:
    """Book a certain quantity, unless it is open whose it is: then it is in review as a whole."""
    since, until = proof.first_time, proof.last_time
    raw, lasted = proof.to_position - proof.from_position, _lasted((since, until), ran)
    within = settings_in(rule, work.state, since, until, ran)
    if part is None:
        whose = attribute(rule, within, lasted, brief)
    else:
        whose = attribute_part(rule, within, part, lasted, brief)
    proof = replace(proof, flags=(*proof.flags, *whose.flags))
    line = work.line(rule, work.key(rule, whose.first, until), raw, proof)
    first_day = work.day(since).date
    if whose.cause is not None:
        ways = tuple(_ways(work, rule, whose, line))
        message = f"{line.quantity} {line.unit} ran {_doubtful(whose)}: {', '.join(way.why for way in ways)}"
        work.review(rule, whose.cause, ways, line, quantity_doubted=False, message=message)
    elif whose.first.runs is False:
        work.exclude(rule, line)
    elif first_day != line.key.posting_day and rule.on_span is OnSpan.REVIEW:
        days = (line.key.posting_day, first_day)
        ways = tuple(Candidate(line.quantity, f"posting day {day}", replace(line.key, posting_day=day)) for day in days)
        message = f"{line.quantity} {line.unit} ran across the start of posting day {line.key.posting_day}"
        work.review(rule, Cause.STRADDLED_DAY, ways, line, quantity_doubted=False, message=message)
    else:
        work.book(rule, line)


def moved_back(rule: Rule) -> Rule:
    """The movement that undoes the rule's: what was consumed returns to where it came from, what moved goes back."""
    match rule.event:
        case EventType.CONSUMED:
            return replace(rule, event=EventType.RETURNED, from_=None, to=rule.from_)
        case EventType.RETURNED:
            return replace(rule, event=EventType.CONSUMED, from_=rule.to, to=None)
    return replace(rule, from_=rule.to, to=rule.from_)


def _doubtful(whose: Attribution) -> str:
    cause = str(whose.cause)
    part, unknown = cause.replace("straddled-", "").replace("-unknown", ""), cause.endswith("-unknown")
    return f"while the {part} was not known" if unknown else f"while the {part} changed"


def _ways(work: Books, rule: Rule, whose: Attribution, line: Line) -> Iterator[Candidate]:
    """Each setting as a way the quantity may have gone; where a condition may have left it out, that too."""
    running = (setting._replace(runs=True) for setting in whose.settings if setting.runs is not False)
    for setting in dict.fromkeys(running):
        yield Candidate(line.quantity, _named(whose, setting), work.key(rule, setting, line.time))
    if any(not setting.runs for setting in whose.settings):
        yield Candidate(Decimal(0), "excluded, as its condition says", line.key)


def _named(whose: Attribution, setting: Setting) -> str:
    """The setting by what tells it from the others, and always by its order where orders are run."""
    others = whose.settings
    parts = [f"order {setting.order or 'none'}"]
    parts += [
        f"{part} {getattr(setting, part) or 'none'}"
        for part in ("lot", "container")
        if len({getattr(one, part) for one in others}) > 1
    ]
    return ", ".join(parts)


def _doubt(work: Books, rule: Rule, doubt: Doubt, proof: Evidence, brief: timedelta) -> None:
    """The quantity itself is open: every way it may have gone, for every order it may belong to."""
    raws, span = [max(raw, 0) for raw, _ in doubt.candidates], (proof.first_time, proof.last_time)
    whose = _whose(work, rule, span, brief, (min(raws), max(raws)))
    key = work.key(rule, whose.first, proof.last_time)
    if whose.cause is None and whose.first.runs is False:
        low, high = (exact(raw, rule.factor) for raw in (min(raws), max(raws)))
        work.count(rule.name, "excluded")
        work.gap(rule, doubt.cause, key, bounds=(low, high), span=span, message=f"excluded: {doubt.message}")
        return
    line: Line = work.line(rule, key, 0, proof)
    ways: list[Candidate] = []
    for raw, why in doubt.candidates:
        way = rule if raw >= 0 else moved_back(rule)
        full = replace(line, key=work.key(way, whose.first, line.time), quantity=exact(abs(raw), rule.factor))
        if raw == 0 or whose.cause is None:
            ways.append(Candidate(full.quantity, why, full.key))
        else:
            some = _ways(work, way, whose, full)
            ways += [replace(one, why=f"{why}, {one.why}") for one in some if one.quantity]
    if not any(way.quantity == 0 for way in ways) and not all(setting.runs for setting in whose.settings):
        ways.append(Candidate(Decimal(0), "excluded, as its condition says", key))
    work.review(rule, doubt.cause, tuple(ways), line, quantity_doubted=True, message=doubt.message)


def _hole(work: Books, rule: Rule, hole: Hole, brief: timedelta) -> None:
    whose = _whose(work, rule, (hole.since, hole.until), brief, (hole.minimum, hole.maximum))
    low = exact(hole.minimum, rule.factor)
    high = None if hole.maximum is None else exact(hole.maximum, rule.factor)
    key = work.key(rule, whose.first, hole.until)
    seen = exact(hole.seen, rule.factor)
    work.gap(rule, hole.cause, key, bounds=(low, high), span=(hole.since, hole.until), message=hole.message, seen=seen)
