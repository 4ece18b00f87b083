"""Counter rules at work: readings in; what `counter` finds in them goes out as lines, reviews and gaps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from edge_agent.config.tagmap import Counter, OnSpan, Rule
from edge_agent.derivation import cadence, counter
from edge_agent.derivation.booking import Books, exact
from edge_agent.derivation.enrich import Attribution, attribute
from edge_agent.model.movement import Candidate, Cause, Evidence, Flag, Line
from edge_agent.model.outcome import EpochMark
from edge_agent.model.reading import Instant, Link, Quality, Reading
from edge_agent.model.state import CounterState, SourceState


@dataclass(frozen=True, slots=True)
class CounterRule:
    """A rule whose signal is a totalizer."""

    rule: Rule
    spec: Counter

    @property
    def name(self) -> str:
        """The rule's name."""
        return self.rule.name

    @property
    def source(self) -> str:
        """The source its signal comes from."""
        return self.spec.tag.source

    def state(self, work: Books) -> CounterState | None:
        """What the counter remembers; None before its first reading."""
        signal = work.rule(self.name).signal
        return signal if isinstance(signal, CounterState) else None

    def keep(self, work: Books, after: CounterState, before: CounterState | None = None) -> None:
        """Remember the counter's state, and the proof of its epochs from raw values alone."""
        work.put(self.name, replace(work.rule(self.name), signal=after))
        modulus = self.spec.modulus or 0
        for state in (before, after):
            if state is not None:
                mark = EpochMark(self.name, state.epoch, state.first_raw, state.last_raw, state.wraps, modulus)
                work.outcome.epochs[self.name, state.epoch] = mark


def count(work: Books, one: CounterRule, reading: Reading, time: datetime, *, refused: bool) -> None:
    """One reading of the counter's tag, at event time `time` (`refused`: the device's own time was not believed)."""
    state, spec, at = one.state(work), one.spec, reading.received
    raw = _raw(work, spec, reading)
    if state is None:
        if raw is not None:
            one.keep(work, counter.baseline(counter.Observation(raw, at, time, Decimal(0))))
        work.count(one.name, "not_a_reading" if raw is None else "baseline")
        return
    known = counter.stood_still(spec, state, at, time) if reading.continuous else state
    if raw is None or (one.rule.order is not None and one.rule.order not in work.state.orders):
        work.count(one.name, "not_a_reading" if raw is None else "order_unknown")
        _keep_changed(work, one, state, counter.out_of_sight(known, outage=False))
    else:
        source, hold = work.state.sources[reading.tag.source], state.hold
        elapsed = _elapsed(source, known.last_at, state.last_time, at, time)
        in_hold = _elapsed(source, hold.at, hold.time, at, time) if hold is not None else Decimal(0)
        same = raw == state.last_raw and reading.source_time == state.last_time
        seen = counter.Observation(raw, at, time, elapsed, in_hold, same)
        after, findings = counter.observe(spec, one.rule.unproven, known, seen)
        one.keep(work, after, before=state if after.epoch != state.epoch else None)
        flags = (Flag.SOURCE_TIME_REFUSED,) if refused else ()
        _findings(work, one, findings, at, (reading.status,), flags=flags)


def settle(work: Books, one: CounterRule, now: Instant) -> None:
    """Time has passed: decide a held value that has settled, if the source is there to contradict it."""
    state = one.state(work)
    if state is None or state.hold is None or work.state.sources[one.spec.tag.source].link is not Link.UP:
        return
    after, findings = counter.settle(one.spec, one.rule.unproven, state, now)
    if after is not state:
        one.keep(work, after, before=state)
        _findings(work, one, findings, now)


def sign(work: Books, one: CounterRule, what: str) -> None:
    """A sign of a reset."""
    state = one.state(work)
    if state is not None:
        _keep_changed(work, one, state, counter.with_sign(one.spec, state, what))


def returned(work: Books, one: CounterRule) -> None:
    """The source is back: what is seen next spans an outage."""
    state = one.state(work)
    if state is not None:
        _keep_changed(work, one, state, counter.out_of_sight(state, outage=True))


def _keep_changed(work: Books, one: CounterRule, before: CounterState, after: CounterState) -> None:
    if after != before:
        one.keep(work, after)


def _raw(work: Books, spec: Counter, reading: Reading) -> int | None:
    """The counter's raw value; None where the reading is none (not good, not a whole number, out of range)."""
    value = reading.value
    if reading.quality is not Quality.GOOD or isinstance(value, bool) or not isinstance(value, int):
        return None
    if spec.wraps_at is not None and not min(spec.wraps_to, 0) <= value < spec.wraps_at:
        return None
    tag = work.map.tags[reading.tag]
    return value if tag.in_range(value) else None


def _elapsed(source: SourceState, last_at: Instant, last_time: datetime, at: Instant, time: datetime) -> Decimal:
    """Seconds between two readings: monotonic ingest time; among values of one delivery, source time.

    Source time is capped by the time since the delivery before (derivation.md, Counters).
    """
    if at != last_at:
        return at.seconds_since(last_at)
    claimed = max(Decimal(str((time - last_time).total_seconds())), Decimal(0))
    return claimed if source.before is None else min(claimed, at.seconds_since(source.before))


def _findings(
    work: Books,
    one: CounterRule,
    findings: tuple[counter.Finding, ...],
    now: Instant,
    statuses: tuple[int, ...] = (),
    *,
    flags: tuple[Flag, ...] = (),
) -> None:
    for found in findings:
        match found:
            case counter.Delta():
                _book(work, one, found, _evidence(found, statuses, flags))
                cadence.schedule(work, (one.rule,), now.wall)
            case counter.Doubt():
                _doubt(work, one, found, _evidence(found.at, statuses, flags))
            case counter.Hole():
                _hole(work, one, found)


def _evidence(delta: counter.Delta, statuses: tuple[int, ...], flags: tuple[Flag, ...]) -> Evidence:
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


def _whose(work: Books, one: CounterRule, since: datetime, until: datetime) -> Attribution:
    rule = one.rule
    known = work.state.orders.get(rule.order) if rule.order is not None else None
    return attribute(rule, known, since, until, 2 * one.spec.sampling)


def _book(work: Books, one: CounterRule, delta: counter.Delta, proof: Evidence) -> None:
    """Book a certain quantity, unless it is open whose it is: then it is in review as a whole."""
    rule, since, until = one.rule, proof.first_time, proof.last_time
    whose = _whose(work, one, since, until)
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


def _doubt(work: Books, one: CounterRule, doubt: counter.Doubt, proof: Evidence) -> None:
    """The quantity itself is open: every way it may have gone, for every order it may belong to."""
    rule = one.rule
    whose = _whose(work, one, proof.first_time, proof.last_time)
    line: Line = work.line(rule, work.key(rule, whose.orders[0], proof.last_time), 0, proof)
    ways = [
        Candidate(exact(raw, rule.factor), why if len(whose.orders) == 1 else f"{why}, order {order or 'none'}", key)
        for raw, why in doubt.candidates
        for order in (whose.orders if raw else whose.orders[:1])
        for key in (replace(line.key, order=order),)
    ]
    work.review(rule, doubt.cause, tuple(ways), line, quantity_doubted=True, message=doubt.message)


def _hole(work: Books, one: CounterRule, hole: counter.Hole) -> None:
    rule = one.rule
    whose = _whose(work, one, hole.since, hole.until)
    low = exact(hole.minimum, rule.factor)
    high = None if hole.maximum is None else exact(hole.maximum, rule.factor)
    key = work.key(rule, whose.orders[0], hole.until)
    seen = exact(hole.seen, rule.factor)
    work.gap(rule, hole.cause, key, bounds=(low, high), span=(hole.since, hole.until), message=hole.message, seen=seen)
