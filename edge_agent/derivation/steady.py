"""A counter that runs on as it did: what nearly every reading says, in one go instead of in all the steps.

Nothing is decided here that `counting` would not decide alike: whatever is not plain (a doubt, a gap, another order or
posting day, a first line, a limit) is left to it. A test folds the same inputs both ways.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from math import lcm

from edge_agent.config.signals import Counter
from edge_agent.config.tagmap import LotWay, Rule, Tag, TagMap
from edge_agent.derivation.booking import Books, exact
from edge_agent.model.movement import Evidence, Line, LineState
from edge_agent.model.outcome import EpochMark, LineMark
from edge_agent.model.reading import Quality, Reading, TagRef
from edge_agent.model.state import CounterState, RuleState

_NANO = 10**9
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Steady:
    """A counter rule with what it comes to, once for all readings.

    In whole numbers, `delta` raw units fit into `elapsed` nanoseconds if delta x unit <= burst + rate x elapsed; `rate`
    None bounds nothing. `settle` is in nanoseconds. `contexts` are the order's and the lot's tag; `gates` the
    conditions by their text, with the truth that lets run.
    """

    rule: Rule
    spec: Counter
    tag: Tag
    unit: int
    burst: int
    rate: int | None
    settle: int
    modulus: int
    contexts: tuple[TagRef, ...] = ()
    gates: tuple[tuple[str, bool], ...] = ()
    lot: TagRef | None = None
    line: tuple[object, ...] = ()
    """What the rule's lines have in common: rule, event, material, places, no container, no operator."""
    units: tuple[str, str] = ("", "")

    @classmethod
    def of(cls, rule: Rule, tag_map: TagMap) -> Steady | None:
        """Prepare `rule`; None where there is no short cut for it."""
        spec = rule.signal
        if not isinstance(spec, Counter) or rule.lag or rule.container is not None or rule.operator is not None:
            return None
        if isinstance(rule.lot_from, LotWay) or tag_map.follows_lots(rule):
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
            contexts=tuple(tag for tag in (rule.order, rule.lot_tag) if tag is not None),
            lot=rule.lot_tag,
            line=(rule.name, rule.event, rule.material.number, rule.from_, rule.to, None, None),
            units=(rule.material.unit.name, rule.source_unit.name),
            gates=tuple(_gates(rule)),
        )


def _gates(rule: Rule) -> Iterator[tuple[str, bool]]:
    if rule.only_while is not None:
        yield rule.only_while.text, True
    if rule.pause is not None:
        yield rule.pause.when.text, False


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
    if delta < 0 or not _fits(work, step, delta) or not _one_setting(work, step):
        return False
    pending = known.pending
    excluded = known.excluded
    if delta:
        excluded = None
        grown = _grown(work, step, delta)
        if grown is None:
            return False
        pending = (*pending[:-1], grown)
        proof = grown.evidence
        work.outcome.lines[name, proof.epoch, proof.from_position] = LineMark(grown, LineState.PENDING)
        work.count(name, "booked")
    after = CounterState(state.epoch, state.first_raw, raw, state.wraps, reading.received, time)
    work.state.rules[name] = RuleState(after, pending, known.serial, excluded)
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


def _one_setting(work: Books, step: _Step) -> bool:
    """Whether order, lot and conditions are what they were all the time, and the conditions let run."""
    since = step.since
    for tag in step.one.contexts:
        known = work.state.contexts.get(tag)
        if known is None or known.history[-1][1] > since:
            return False
    for text, lets_run in step.one.gates:
        truths = work.state.conditions.get(text)
        if truths is None or truths.history[-1][1] > since or truths.history[-1][0] is not lets_run:
            return False
    return True


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
        ),
    )


def _is_open_for(work: Books, step: _Step, line: Line) -> bool:
    """Whether what ran has the open line's key and units, all of it in its posting day."""
    one, key, day, contexts = step.one, line.key, work.day(step.time), work.state.contexts
    order, lot = one.rule.order, one.lot
    return (
        key.order == (None if order is None else contexts[order].history[-1][0])
        and key.lot == (None if lot is None else contexts[lot].history[-1][0])
        and key.posting_day == day.date
        and day.starts <= step.since
        and one.line == (key.rule, key.event, key.material, key.from_, key.to, key.container, key.operator)
        and line.unit == one.units[0]
        and line.source_unit == one.units[1]
    )
