"""A counter that runs on as it did: what nearly every reading says, in one go instead of in all the steps.

Within one fold the readings of such a counter are only added up; what they come to is put into the books once, when
anything else asks for the rule, or at the end. Nothing is decided here that `counting` would not decide alike: whatever
is not plain (a doubt, a gap, another order or posting day, a first line, a limit) is left to it. A test folds the same
inputs both ways.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from math import ceil, floor, lcm

from edge_agent.config.devices import Tag
from edge_agent.config.signals import Counter
from edge_agent.config.tagmap import LotWay, Rule, TagMap
from edge_agent.derivation.amounts import exact, total
from edge_agent.derivation.booking import Books
from edge_agent.model.movement import Evidence, Line, LineState
from edge_agent.model.outcome import EpochMark, LineMark
from edge_agent.model.reading import Instant, Quality, Reading, TagRef
from edge_agent.model.signal_state import CounterState
from edge_agent.model.state import RuleState

_NANO = 10**9
_MICROSECOND = timedelta(microseconds=1)
_GOOD = Quality.GOOD


@dataclass(frozen=True, slots=True)
class Steady:
    """A counter rule with what it comes to, once for all readings.

    In whole numbers, `delta` raw units fit into `elapsed` nanoseconds if delta x unit <= burst + rate x elapsed; `rate`
    None bounds nothing. `settle` is in nanoseconds; `lowest` to `highest` are the raw values that are readings.
    `contexts` are the order's and the lot's tag; `gates` the conditions by their text, with the truth that lets run.
    """

    rule: Rule
    spec: Counter
    tag: Tag
    unit: int
    burst: int
    rate: int | None
    settle: int
    modulus: int
    lowest: int | None
    highest: int | None
    contexts: tuple[TagRef, ...] = ()
    gates: tuple[tuple[str, bool], ...] = ()
    lot: TagRef | None = None
    conversion: str = ""

    @classmethod
    def of(cls, rule: Rule, tag_map: TagMap) -> Steady | None:
        """Prepare `rule`; None where there is no short cut for it."""
        spec = rule.signal
        if not isinstance(spec, Counter) or not spec.is_plain or rule.max_qty is not None:
            return None
        if rule.lag or any(part is not None for part in (rule.container, rule.operator, rule.into_lot)):
            return None
        if isinstance(rule.lot_from, LotWay) or tag_map.follows_lots(rule) or rule.material.lot_status is not None:
            return None
        tag = tag_map.tags[spec.tag]
        rate, burst = Fraction(spec.max_rate or 0), Fraction(spec.burst)
        unit = lcm(rate.denominator, burst.denominator)
        lowest, highest = _bounds(tag)
        if spec.wraps_at is not None:
            highest = spec.wraps_at - 1 if highest is None else min(highest, spec.wraps_at - 1)
        return cls(
            rule=rule,
            spec=spec,
            tag=tag,
            unit=unit * _NANO,
            burst=int(burst * unit * _NANO),
            rate=None if spec.max_rate is None else int(rate * unit),
            settle=int(spec.settle.total_seconds() * _NANO),
            modulus=spec.modulus or 0,
            lowest=lowest,
            highest=highest,
            contexts=tuple(tag for tag in (rule.order, rule.lot_tag) if tag is not None),
            lot=rule.lot_tag,
            gates=tuple(_gates(rule)),
            conversion=rule.conversion,
        )


def _gates(rule: Rule) -> Iterator[tuple[str, bool]]:
    if rule.only_while is not None:
        yield rule.only_while.text, True
    if rule.pause is not None:
        yield rule.pause.when.text, False


def _bounds(tag: Tag) -> tuple[int | None, int | None]:
    """The tag's range in raw units."""
    if tag.range is None:
        return None, None
    low, high = (Fraction(bound) / Fraction(tag.scale) for bound in tag.range)
    return ceil(low), floor(high)


class Run:
    """What one fold has seen of a steady counter, and not yet put into the books.

    It holds as long as what is counted lies in (`since`, `until`): the order's time and the posting day of the open
    line, whose next growth it is. `line` None: nothing may be counted, for there is no open line that could grow.
    """

    __slots__ = (
        *("at", "context", "delta", "grew", "grown", "known", "line"),
        *("one", "raw", "since", "state", "time", "until"),
    )

    def __init__(self, work: Books, one: Steady, known: RuleState, state: CounterState) -> None:
        self.one = one
        self.known = known
        self.state = state
        self.raw = state.last_raw
        self.at = state.last_at
        self.time = state.last_time
        self.delta = 0
        self.grown = 0
        self.context = work.context
        self.line: Line | None = None
        self.since = self.until = self.grew = state.last_time

    def take(self, work: Books, reading: Reading, time: datetime) -> bool:
        """Count a reading that says nothing but that the counter ran on, or stood; False where it may say more."""
        one, raw = self.one, reading.value
        if type(raw) is not int or reading.quality is not _GOOD or self.context != work.context:
            return False
        delta = raw - self.raw
        if delta < 0 or not self._fits(work, reading, delta, time):
            return False
        if delta:
            line = self.line or self._open(work, time)
            if line is None or not self.since <= time < self.until:
                return False
            # it may have run since the reading before, or for one sampling period where a change would have been seen
            if self.time < self.since and not (reading.continuous and time - one.spec.sampling >= self.since):
                return False
            if reading.status not in line.evidence.status_codes:
                return False
            self.line = line
            self.delta += delta
            self.grown += 1
            self.raw = raw
            self.grew = time
        self.at = reading.received
        self.time = time
        return True

    def _fits(self, work: Books, reading: Reading, delta: int, time: datetime) -> bool:
        """Whether the counter can have run so far: `counter.stood_still`, `counting._elapsed` and the band, in one."""
        one, at, last, raw = self.one, reading.received, self.at, self.raw + delta
        if at is not last and at.boot_id != last.boot_id:
            return False
        if (one.highest is not None and raw > one.highest) or (one.lowest is not None and raw < one.lowest):
            return False
        may_turn = not reading.continuous and one.modulus > 0
        if one.rate is None or not (delta or may_turn):
            return True
        elapsed = at.monotonic_ns - last.monotonic_ns
        if reading.continuous and elapsed > one.settle:
            elapsed = one.settle
        elif elapsed == 0:
            elapsed = self._claimed(work, at, time)
        room = one.burst + one.rate * max(elapsed, 0)
        return delta * one.unit <= room and not (may_turn and (delta + one.modulus) * one.unit <= room)

    def _claimed(self, work: Books, at: Instant, time: datetime) -> int:
        """Nanoseconds between two values of one delivery: source time, capped by the time since the one before."""
        claimed = (time - self.time) // _MICROSECOND * 1000
        before = work.state.sources[self.one.tag.ref.source].before
        if before is None:
            return claimed
        return min(claimed, at.monotonic_ns - before.monotonic_ns) if before.boot_id == at.boot_id else 0

    def _open(self, work: Books, time: datetime) -> Line | None:
        """The open line, if what ran until `time` may grow it; None where another has to be begun, or one is due."""
        rule, pending, day = self.one.rule, self.known.pending, work.day(time)
        due = work.state.cadences.get(rule.cadence.name)
        if not pending or due is None or due.due is None:
            return None
        since = self._setting(work)
        if since is None:
            return None
        line, self.since, self.until = pending[-1], max(since, day.starts), day.ends
        key, proof, contexts = line.key, line.evidence, work.state.contexts
        same = (
            key.order == (contexts[rule.order].history[-1][0] if rule.order is not None else None)
            and key.lot == (contexts[self.one.lot].history[-1][0] if self.one.lot is not None else None)
            and (key.operator, key.into_lot) == (None, None)
            and key.posting_day == day.date
            and key.material == rule.material.number
            and key.event is rule.event
            and (key.from_, key.to, key.container, key.rule) == (rule.from_, rule.to, None, rule.name)
            and (line.unit, line.source_unit) == (rule.material.unit.name, rule.source_unit.name)
            and proof.conversion == self.one.conversion
            and proof.epoch == self.state.epoch
            and proof.to_position == self.state.last_raw + self.state.wraps * self.one.modulus
        )
        return line if same else None

    def _setting(self, work: Books) -> datetime | None:
        """Since when order, lot and conditions are what they are now; None where the conditions do not let run."""
        since = datetime.min.replace(tzinfo=UTC)
        for tag in self.one.contexts:
            since = max(since, work.state.contexts[tag].history[-1][1])
        for text, lets_run in self.one.gates:
            truths = work.state.conditions.get(text)
            if truths is None or truths.history[-1][0] is not lets_run:
                return None
            since = max(since, truths.history[-1][1])
        return since

    def close(self, work: Books) -> None:
        """Put what was added up into the books."""
        one, state, name = self.one, self.state, self.one.rule.name
        pending = self.known.pending
        if self.line is not None and self.delta:
            grown = self._grown_line(self.line)
            pending = (*pending[:-1], grown)
            work.outcome.lines[name, grown.evidence.epoch, grown.evidence.from_position] = LineMark(
                grown, LineState.PENDING
            )
            work.count(name, "booked", self.grown)
        where = (state.epoch, state.first_raw, self.raw, state.wraps, self.at, self.time)
        after = CounterState(*where, falls=state.falls)
        excluded = None if self.delta else self.known.excluded
        work.state.rules[name] = RuleState(after, pending, self.known.serial, excluded)
        work.outcome.epochs[name, after.epoch] = EpochMark(
            name, after.epoch, after.first_raw, self.raw, after.wraps, one.modulus
        )

    def _grown_line(self, line: Line) -> Line:
        one, proof = self.one, line.evidence
        return Line(
            line.key,
            total(line.quantity, exact(self.delta, one.rule.factor)),
            line.unit,
            line.source_quantity + self.delta * one.tag.scale,
            line.source_unit,
            line.start_time,
            self.grew,
            Evidence(
                proof.epoch,
                proof.from_position,
                proof.to_position + self.delta,
                proof.first_time,
                self.grew,
                proof.samples + self.grown,
                proof.raw_before,
                str(self.raw),
                proof.status_codes,
                proof.flags,
                proof.conversion,
            ),
        )


def run_on(work: Books, one: Steady, reading: Reading, time: datetime) -> bool:
    """Count a reading that says nothing but that the counter ran on, or stood; False where it may say more."""
    name = one.rule.name
    run = work.runs.get(name)
    if run is None:
        known = work.state.rules.get(name)
        state = None if known is None else known.signal
        if known is None or known.uncounted or type(state) is not CounterState or not _is_plain(work, one, state):
            return False
        run = Run(work, one, known, state)
        if not run.take(work, reading, time):
            return False
        work.runs[name] = run
        return True
    return run.take(work, reading, time)


def _is_plain(work: Books, one: Steady, state: CounterState) -> bool:
    """Whether nothing is open: no hold, no sign of a reset, nothing unseen, no restore, no context to be read first."""
    if state.beyond is not None or any(tag not in work.state.contexts for tag in one.contexts):
        return False
    return not (state.hold or state.reset_signs or state.outage or state.skipped or state.restored)
