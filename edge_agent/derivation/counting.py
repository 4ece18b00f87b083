"""Counter rules at work: readings in, and out what `counter` finds in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from edge_agent.config.signals import AtChange, Counter, Resets
from edge_agent.config.tagmap import Rule
from edge_agent.derivation import counter
from edge_agent.derivation.booking import Books
from edge_agent.derivation.context import Part, waits_for
from edge_agent.derivation.counter_beyond import is_beyond, is_disproved, with_beyond
from edge_agent.derivation.counter_cross import compared, moved, with_second
from edge_agent.derivation.counter_fall import in_review, newly_signed, remembered
from edge_agent.derivation.counter_reset import with_final, with_sign
from edge_agent.derivation.counter_terms import Observation, at_position
from edge_agent.derivation.counter_turn import facing, turned
from edge_agent.derivation.findings import Delta, Finding
from edge_agent.derivation.latch import change_in, read_until, with_changes, with_count
from edge_agent.derivation.lost_store import say_not_known
from edge_agent.derivation.merging import continued
from edge_agent.derivation.pipe import is_open, looked_into
from edge_agent.derivation.posting import evidence, look_into, moved_back, note, post, post_proven, say
from edge_agent.derivation.timetable import latest_of
from edge_agent.model.movement import Cause, Evidence, Flag
from edge_agent.model.outcome import EpochMark
from edge_agent.model.reading import Instant, Link, Quality, Reading, TagRef
from edge_agent.model.signal_state import CounterState, FinalTotal
from edge_agent.model.state import SourceState, TagState


@dataclass(frozen=True, slots=True)
class CounterRule:
    """A rule whose signal is a totalizer: the `Meter` of counters."""

    rule: Rule
    spec: Counter
    tags: Sequence[TagRef] = field(init=False)
    """The tag that counts, and those that tell more of it."""

    def __post_init__(self) -> None:
        check = self.spec.cross_check
        latch = self.spec.at_change
        latched = (latch and latch.count, latch and latch.changes)
        beside = [tag for tag in (self.spec.final_tag, check and check.tag, *latched) if tag is not None]
        object.__setattr__(self, "tags", (self.spec.tag, *beside))

    @property
    def source(self) -> str:
        """The source its signal comes from."""
        return self.spec.tag.source

    @property
    def epoch_tag(self) -> TagRef | None:
        """The tag that changes when the counter is reset."""
        return self.spec.epoch_tag

    def state(self, work: Books) -> CounterState | None:
        """What the counter remembers; None before its first reading."""
        signal = work.rule(self.rule.name).signal
        return signal if isinstance(signal, CounterState) else None

    def read(self, work: Books, reading: Reading, time: datetime, *, refused: bool) -> None:
        """One reading of one of the counter's tags, at event time `time` (`refused`: not the device's own)."""
        if reading.tag == self.spec.tag:
            self._count(work, reading, time, refused=refused)
        elif reading.tag == self.spec.final_tag:
            self._final(work, reading)
        elif self.spec.at_change is not None and reading.tag in {
            self.spec.at_change.count,
            self.spec.at_change.changes,
        }:
            self._latch(work, self.spec.at_change, reading, time)
        else:
            self._second(work, reading, time)

    def _count(self, work: Books, reading: Reading, time: datetime, *, refused: bool) -> None:
        name, state, at = self.rule.name, self.state(work), reading.received
        value = _value(work, self.spec, reading)
        if state is None:
            if value is not None:
                seen = Observation(self.spec.counts(value), at, time, Decimal(0))
                say_not_known(work, self.rule, at, time)
                begun = replace(counter.baseline(self.spec, seen), epoch=work.next_epoch(name))
                self._keep(work, replace(begun, final=self._known_final(work)))
            work.count(name, "not_a_reading" if value is None else "baseline")
            return
        if value is None:
            known = counter.stood_still(self.spec, state, at, time) if reading.continuous else state
            known = self._beyond(work, known, reading, time)
            work.count(name, "not_a_reading")
            self._keep_changed(work, state, counter.out_of_sight(known, outage=False))
            return
        if state.restored:
            state = self._rewound(work, state)
        signed = self._with_calendar(work, state, time, continuous=reading.continuous)
        known = counter.stood_still(self.spec, signed, at, time) if reading.continuous else signed
        source = work.state.sources[reading.tag.source]
        elapsed = _elapsed(source, known.last_at, state.last_time, at, time)
        if self.spec.is_both_ways:
            after = turned(self.spec, known, facing(self.spec, known).counts(value), elapsed)
            if after.back is not known.back:
                self._count_waiting(work, known, at)
            known = after
        spec = facing(self.spec, known)
        hold, raw = known.hold, spec.counts(value)
        in_hold = _elapsed(source, hold.at, hold.time, at, time) if hold is not None else Decimal(0)
        same = raw == known.last_raw and reading.source_time == state.last_time
        seen = Observation(raw, at, time, elapsed, in_hold, same, moved(spec, known, at), reading.continuous)
        after, found = counter.observe(spec, self.rule.unproven, known, seen)
        flags = (Flag.SOURCE_TIME_REFUSED,) if refused else ()
        self._take(work, known, after, found, now=at, time=time, statuses=(reading.status,), flags=flags)

    def _beyond(self, work: Books, state: CounterState, reading: Reading, time: datetime) -> CounterState:
        """The state after a value that is no reading: one that `wraps_at` says is never shown is said once."""
        value, at = _number(work, self.spec, reading), reading.received
        if value is None or not is_beyond(self.spec, self.spec.counts(value)):
            return state
        elapsed = _elapsed(work.state.sources[reading.tag.source], state.last_at, state.last_time, at, time)
        known = with_beyond(self.spec, state, self.spec.counts(value), elapsed)
        if is_disproved(self.spec, known) and not is_disproved(self.spec, state):
            message = (
                f"it shows {value}, which `wraps_at` says it never does: such values are not counted; mend `wraps_at`"
            )
            say(work, self.rule, Cause.BEYOND_WRAP, (min(state.last_time, time), time), message)
        return known

    def _final(self, work: Books, reading: Reading) -> None:
        """The tag of the last total; what it shows counts once a reset is seen."""
        state, value = self.state(work), _value(work, self.spec, reading)
        if value is None:
            work.count(self.rule.name, "not_a_total")
        elif state is None:
            work.state.tags[reading.tag] = TagState(value, reading.quality)
        else:
            counts = self.spec.counts(value)
            self._keep_changed(work, state, with_final(state, counts, reading.source_time, reading.received))

    def _second(self, work: Books, reading: Reading, time: datetime) -> None:
        """The second counter of the same flow."""
        state, check, value = self.state(work), self.spec.cross_check, reading.value
        is_number = isinstance(value, int | Decimal) and not isinstance(value, bool) and reading.quality is Quality.GOOD
        if check is None or not is_number or not isinstance(value, int | Decimal):
            work.count(self.rule.name, "not_compared")
            return
        if state is not None:
            continuous = reading.continuous
            known = with_second(self.spec, check, state, Decimal(value), reading.received, continuous=continuous)
            after, found = compared(self.spec, known, (known, ()), reading.received, time)
            self._take(work, known, after, found, now=reading.received, time=time)

    def _latch(self, work: Books, latch: AtChange, reading: Reading, time: datetime) -> None:
        """What the PLC latched with a change of order or lot."""
        known = work.rule(self.rule.name)
        if reading.tag == latch.count:
            value = _value(work, self.spec, reading)
            latched = known.latched if value is None else with_count(known.latched, self.spec.counts(value), time)
        else:
            value = _number(work, self.spec, reading)
            latched = known.latched if value is None else with_changes(known.latched, int(value))
        if value is None:
            work.count(self.rule.name, "not_a_latch")
        elif latched != known.latched:
            work.put(self.rule.name, replace(known, latched=latched))

    def _told(self, work: Books, before: CounterState, found: Delta) -> tuple[Part, ...] | None:
        """What the delta is parted in by the count that was latched with the change in it."""
        latched = work.rule(self.rule.name).latched
        change = change_in(self.rule, work.state, self.spec, latched, before=before, delta=found)
        if change is not None and change.parts is None:
            work.count(self.rule.name, "latch_contradicts")
        return None if change is None else change.parts

    def _known_final(self, work: Books) -> FinalTotal | None:
        """What the tag of the last total showed before the counter's first reading: that of some reset long ago."""
        known = None if self.spec.final_tag is None else work.state.tags.get(self.spec.final_tag)
        value = None if known is None else known.value
        return FinalTotal(self.spec.counts(value)) if isinstance(value, int | Decimal) else None

    def _waits(self, work: Books, proof: Evidence, time: datetime) -> str | None:
        """What has to be known before what has run is counted, as a word; then all of it is, at once."""
        rule = self.rule
        waiting = waits_for(rule, work.state, time)
        if waiting is not None or not rule.pipe:
            return waiting
        pipe = looked_into(rule, work.state, work.rule(rule.name).pipe, proof)
        is_unknown = pipe is None or is_open(pipe, proof.to_position - proof.from_position)
        return "order_unknown" if is_unknown else None

    def _count_waiting(self, work: Books, state: CounterState, now: Instant) -> None:
        """Post what has waited, whether or not all that it waited for is known by now."""
        known = work.rule(self.rule.name)
        if known.uncounted is not None:
            work.put(self.rule.name, replace(known, uncounted=None))
            self._mark(work, state)
            post_proven(work, self._facing_rule(state), known.uncounted, now, brief=2 * self.spec.sampling)

    def _rewound(self, work: Books, state: CounterState) -> CounterState:
        """A restored baseline before what had waited then: the lost store may have posted it."""
        known = work.rule(self.rule.name)
        if known.uncounted is None:
            return state
        work.put(self.rule.name, replace(known, uncounted=None))
        before = at_position(facing(self.spec, state), state, known.uncounted.from_position)
        return replace(before, last_time=known.uncounted.first_time)

    def _facing_rule(self, state: CounterState) -> Rule:
        """What ran back is the movement back."""
        return moved_back(self.rule) if facing(self.spec, state).runs_back else self.rule

    def settle(self, work: Books, now: Instant) -> None:
        """Time has passed: count what waited for nothing else, and decide a held value that has settled.

        The latter only if the source is there to contradict it.
        """
        state, waiting = self.state(work), work.rule(self.rule.name).uncounted
        if state is None:
            return
        if waiting is not None:
            look_into(work, self.rule, waiting)
        if waiting is not None and not state.restored and self._waits(work, waiting, now.wall) is None:
            self._count_waiting(work, state, now)
        if state.hold is None or work.state.sources[self.source].link is not Link.UP:
            return
        known = self._with_calendar(work, state, now.wall, continuous=False)
        after, found = counter.settle(facing(self.spec, known), self.rule.unproven, known, now)
        if after is not state:
            self._take(work, known, after, found, now=now, time=now.wall)

    def sign(self, work: Books, what: str, time: datetime) -> None:
        """A sign of a reset; that of an order came when the order changed."""
        state = self.state(work)
        if state is not None:
            self._keep_changed(work, state, with_sign(self.spec, state, what, time))

    def returned(self, work: Books) -> None:
        """The source is back: what is seen next spans an outage."""
        state = self.state(work)
        if state is not None:
            self._keep_changed(work, state, counter.out_of_sight(state, outage=True))

    def _with_calendar(self, work: Books, state: CounterState, until: datetime, *, continuous: bool) -> CounterState:
        """With the signs of the shifts and posting days that have begun since the last reading booked.

        A value that stood since the one before cannot have been reset in that time, but for `settle`.
        """
        since, calendar = state.last_time, work.map.calendar
        if continuous and state.hold is None:
            since = max(since, until - self.spec.sampling - self.spec.settle)
        for sign, times in ((Resets.SHIFT, tuple(calendar.shifts.values())), (Resets.DAY, (calendar.day_starts,))):
            if sign in self.spec.resets:
                began = latest_of(calendar, times, until)
                if since < began:
                    state = with_sign(self.spec, state, sign, began)
        return state

    def _take(
        self,
        work: Books,
        before: CounterState,
        after: CounterState,
        found: tuple[Finding, ...],
        *,
        now: Instant,
        time: datetime,
        statuses: tuple[int, ...] = (),
        flags: tuple[Flag, ...] = (),
    ) -> None:
        """Remember what was decided, and post it, unless it has to wait; a doubt or a gap ends the waiting."""
        spec, waiting = facing(self.spec, before), work.rule(self.rule.name).uncounted
        after = remembered(spec, before, after, found, now)
        for fall, message in newly_signed(self.state(work) or before, after):
            work.count(self.rule.name, "late_sign")
            if message is not None:
                say(work, self.rule, Cause.RESET, (fall.since, fall.until), message)
        if after.epoch == before.epoch and len(found) == 1 and isinstance(found[0], Delta):
            note(work, self.rule, found[0], brief=2 * spec.sampling)
            proof = evidence(found[0], statuses, flags)
            proof = proof if waiting is None else continued(waiting, proof)
            why = self._waits(work, proof, time)
            told = self._told(work, before, found[0]) if why is None and waiting is None else None
            if why is not None or waiting is not None:
                work.put(self.rule.name, replace(work.rule(self.rule.name), uncounted=proof if why else None))
            self._keep(work, after)
            if why is not None:
                work.count(self.rule.name, why)
            else:
                post_proven(work, self._facing_rule(before), proof, now, brief=2 * spec.sampling, told=told)
            return
        if found or (waiting is not None and self._waits(work, waiting, time) is None):
            self._count_waiting(work, before, now)
        if after.epoch != before.epoch:
            booked = [one for one in found if isinstance(one, Delta) and one.epoch == before.epoch]
            ended = at_position(spec, before, booked[-1].to_position) if booked else before
            self._mark(work, ended)
        self._keep(work, after)
        before_it = len(work.outcome.reviews)
        post(work, self._facing_rule(before), found, now, brief=2 * spec.sampling, statuses=statuses, flags=flags)
        if after.falls != before.falls:
            self._keep_changed(work, after, in_review(after, work.outcome.reviews[before_it:]))

    def _keep(self, work: Books, after: CounterState) -> None:
        """Remember the counter's state, and the proof of its epoch from raw values alone."""
        known = work.rule(self.rule.name)
        before, latched = known.signal, known.latched
        if (
            latched is not None
            and after.hold is None
            and not (isinstance(before, CounterState) and _same(before, after))
        ):
            latched = read_until(latched, after.last_time)
        work.put(self.rule.name, replace(known, signal=after, latched=latched))
        self._mark(work, after)

    def _mark(self, work: Books, state: CounterState) -> None:
        """What waits is not in the books, and no part of the proof yet."""
        name, modulus = self.rule.name, self.spec.modulus or 0
        waiting = work.rule(name).uncounted
        if waiting is not None:
            state = at_position(facing(self.spec, state), state, waiting.from_position)
        mark = EpochMark(name, state.epoch, state.first_raw, state.last_raw, state.wraps, modulus)
        work.outcome.epochs[name, state.epoch] = mark

    def _keep_changed(self, work: Books, before: CounterState, after: CounterState) -> None:
        if after != before:
            self._keep(work, after)


def _same(before: CounterState, after: CounterState) -> bool:
    """Whether the counter has not been read in between."""
    return (before.epoch, before.last_raw, before.last_at, before.last_time) == (
        *(after.epoch, after.last_raw, after.last_at, after.last_time),
    )


def _value(work: Books, spec: Counter, reading: Reading) -> int | Decimal | None:
    """What the device shows; None where the reading is none (not good, no such number, out of range)."""
    value = _number(work, spec, reading)
    if value is None or is_beyond(spec, spec.counts(value)):
        return None
    return None if spec.saturates_at is not None and spec.counts(value) > spec.saturates_at else value


def _number(work: Books, spec: Counter, reading: Reading) -> int | Decimal | None:
    """A good number of the tag's type and range, whatever the counter's own bounds are."""
    value = reading.value
    if reading.quality is not Quality.GOOD or isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    if isinstance(value, Decimal) and not (spec.rounded and value.is_finite()):
        return None
    return value if work.map.tags[reading.tag].in_range(value) else None


def _elapsed(source: SourceState, last_at: Instant, last_time: datetime, at: Instant, time: datetime) -> Decimal:
    """Seconds between two readings: monotonic ingest time; among values of one delivery, source time.

    Source time is capped by the time since the delivery before (derivation.md, Counters).
    """
    if at != last_at:
        return at.seconds_since(last_at)
    claimed = max(Decimal(str((time - last_time).total_seconds())), Decimal(0))
    return claimed if source.before is None else min(claimed, at.seconds_since(source.before))
