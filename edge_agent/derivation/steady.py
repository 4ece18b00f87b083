"""A counter that runs on as it did: what nearly every reading says, in one go instead of in all the steps.

Nothing is decided here that `counting` would not decide alike: whatever is not plain (a doubt, a gap, another order or
posting day, a first line, a limit) is left to it. A test folds the same inputs both ways.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from math import lcm

from edge_agent.config.signals import Counter
from edge_agent.config.tagmap import Rule, Tag, TagMap
from edge_agent.derivation.booking import Books, exact
from edge_agent.model.movement import Evidence, Line, LineState
from edge_agent.model.outcome import EpochMark, LineMark
from edge_agent.model.reading import Quality, Reading
from edge_agent.model.state import CounterState, RuleState

_NANO = 10**9
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Steady:
    """A counter rule with what it comes to, once for all readings.

    In whole numbers, `delta` raw units fit into `elapsed` nanoseconds if delta x unit <= burst + rate x elapsed; `rate`
    None bounds nothing. `settle` is in nanoseconds.
    """

    rule: Rule
    spec: Counter
    tag: Tag
    unit: int
    burst: int
    rate: int | None
    settle: int
    modulus: int
    conversion: str

    @classmethod
    def of(cls, rule: Rule, tag_map: TagMap) -> Steady | None:
        """Prepare `rule`; None where there is no short cut for it."""
        spec = rule.signal
        if not isinstance(spec, Counter):
            return None
        rate, burst = Fraction(spec.max_rate or 0), Fraction(spec.burst)
        unit = lcm(rate.denominator, burst.denominator)
        return cls(
            rule=rule,
            spec=spec,
            tag=tag_map.tags[spec.tag],
            unit=unit * _NANO,
            burst=int(burst * unit * _NANO),
            rate=None if spec.max_rate is None else int(rate * unit),
            settle=int(spec.settle.total_seconds() * _NANO),
            modulus=spec.modulus or 0,
            conversion=rule.conversion,
        )


@dataclass(slots=True)
class _Step:
    """One reading beside what is remembered: `delta` raw units ran in `since` to `time`."""

    one: Steady
    known: RuleState
    state: CounterState
    reading: Reading
    raw: int
    since: datetime
    time: datetime


def run_on(work: Books, one: Steady, reading: Reading, time: datetime) -> bool:
    """Count a reading that says nothing but that the counter ran on, or stood; False where it may say more."""
    name = one.rule.name
    known, raw = work.state.rules.get(name), reading.value
    state = None if known is None else known.signal
    if known is None or type(state) is not CounterState or type(raw) is not int or not _is_plain(state, reading):
        return False
    delta, since = raw - state.last_raw, state.last_time
    if reading.continuous:
        since = max(since, time - one.spec.sampling)
    step = _Step(one, known, state, reading, raw, min(since, time), time)
    if delta < 0 or not _fits(work, step, delta) or not _one_order(work, step):
        return False
    pending = known.pending
    if delta:
        grown = _grown(work, step, delta)
        if grown is None:
            return False
        pending = (*pending[:-1], grown)
        proof = grown.evidence
        work.outcome.lines[name, proof.epoch, proof.from_position] = LineMark(grown, LineState.PENDING)
        work.count(name, "booked")
    after = CounterState(state.epoch, state.first_raw, raw, state.wraps, reading.received, time)
    work.state.rules[name] = RuleState(after, pending, known.serial)
    mark = EpochMark(name, after.epoch, after.first_raw, raw, after.wraps, one.modulus)
    work.outcome.epochs[name, after.epoch] = mark
    return True


def _is_plain(state: CounterState, reading: Reading) -> bool:
    """Whether the reading is good and nothing is open: no hold, no sign of a reset, nothing unseen, no restore."""
    is_open = state.hold or state.reset_signs or state.outage or state.skipped or state.restored
    return not is_open and reading.quality is Quality.GOOD and reading.received.boot_id == state.last_at.boot_id


def _fits(work: Books, step: _Step, delta: int) -> bool:
    """Whether the counter can have run so far: `counter.stood_still`, `counting._elapsed` and the band, in one."""
    one, reading, last = step.one, step.reading, step.state.last_at
    wraps_at = one.spec.wraps_at
    if (wraps_at is not None and step.raw >= wraps_at) or not one.tag.in_range(step.raw):
        return False
    if one.rate is None:
        return True
    elapsed = reading.received.monotonic_ns - last.monotonic_ns
    if reading.continuous and elapsed > one.settle:
        elapsed = one.settle
    elif elapsed == 0:
        elapsed = _claimed(work, step)
    return delta * one.unit <= one.burst + one.rate * max(elapsed, 0)


def _claimed(work: Books, step: _Step) -> int:
    """Nanoseconds between two values of one delivery: source time, capped by the time since the delivery before."""
    claimed = (step.time - step.state.last_time) // _MICROSECOND * 1000
    at, before = step.reading.received, work.state.sources[step.reading.tag.source].before
    if before is None:
        return claimed
    return min(claimed, at.monotonic_ns - before.monotonic_ns) if before.boot_id == at.boot_id else 0


def _one_order(work: Books, step: _Step) -> bool:
    """Whether the order that runs now, if orders are run, ran all the time."""
    order = step.one.rule.order
    if order is None:
        return True
    orders = work.state.orders.get(order)
    return orders is not None and orders.history[-1][1] <= step.since


def _grown(work: Books, step: _Step, delta: int) -> Line | None:
    """The open line with `delta` more; None where another has to be begun, or something is due."""
    one, state, pending = step.one, step.state, step.known.pending
    due = work.state.cadences.get(one.rule.cadence.name)
    if not pending or one.rule.max_qty is not None or due is None or due.due is None:
        return None
    last = pending[-1]
    proof = last.evidence
    position = state.last_raw + state.wraps * one.modulus
    follows = proof.epoch == state.epoch and proof.to_position == position and step.reading.status in proof.status_codes
    if not follows or not _is_open_for(work, step, last):
        return None
    return Line(
        last.key,
        last.quantity + exact(delta, one.rule.factor),
        last.unit,
        last.source_quantity + delta * one.tag.scale,
        last.source_unit,
        last.start_time,
        step.time,
        Evidence(
            proof.epoch,
            proof.from_position,
            position + delta,
            proof.first_time,
            step.time,
            proof.samples + 1,
            proof.raw_before,
            str(step.raw),
            proof.status_codes,
            proof.flags,
            proof.conversion,
        ),
    )


def _is_open_for(work: Books, step: _Step, line: Line) -> bool:
    """Whether what ran has the open line's key and units, all of it in its posting day."""
    rule, key, day = step.one.rule, line.key, work.day(step.time)
    order = work.state.orders[rule.order].history[-1][0] if rule.order is not None else None
    return (
        key.order == order
        and key.posting_day == day.date
        and day.starts <= step.since
        and key.material == rule.material.number
        and key.event is rule.event
        and (key.from_, key.to, key.container, key.rule) == (rule.from_, rule.to, None, rule.name)
        and line.unit == rule.material.unit.name
        and line.source_unit == rule.source_unit.name
        and line.evidence.conversion == step.one.conversion
    )
