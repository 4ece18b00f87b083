"""Counter rules at work: readings in, and out what `counter` finds in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from edge_agent.config.signals import Counter
from edge_agent.config.tagmap import Rule
from edge_agent.derivation import counter
from edge_agent.derivation.booking import Books
from edge_agent.derivation.context import waits_for
from edge_agent.derivation.findings import Finding
from edge_agent.derivation.pipe import is_open
from edge_agent.derivation.posting import post
from edge_agent.model.movement import Flag
from edge_agent.model.outcome import EpochMark
from edge_agent.model.reading import Instant, Link, Quality, Reading, TagRef
from edge_agent.model.state import CounterState, SourceState


@dataclass(frozen=True, slots=True)
class CounterRule:
    """A rule whose signal is a totalizer: the `Meter` of counters."""

    rule: Rule
    spec: Counter

    @property
    def source(self) -> str:
        """The source its signal comes from."""
        return self.spec.tag.source

    @property
    def tags(self) -> Sequence[TagRef]:
        """The tag that counts."""
        return (self.spec.tag,)

    @property
    def epoch_tag(self) -> TagRef | None:
        """The tag that changes when the counter is reset."""
        return self.spec.epoch_tag

    def state(self, work: Books) -> CounterState | None:
        """What the counter remembers; None before its first reading."""
        signal = work.rule(self.rule.name).signal
        return signal if isinstance(signal, CounterState) else None

    def read(self, work: Books, reading: Reading, time: datetime, *, refused: bool) -> None:
        """One reading of the counter's tag, at event time `time` (`refused`: the device's own was not believed)."""
        name, state, at = self.rule.name, self.state(work), reading.received
        raw = _raw(work, self.spec, reading)
        if state is None:
            if raw is not None:
                self._keep(work, counter.baseline(counter.Observation(raw, at, time, Decimal(0))))
            work.count(name, "not_a_reading" if raw is None else "baseline")
            return
        known = counter.stood_still(self.spec, state, at, time) if reading.continuous else state
        waiting = "not_a_reading" if raw is None else self._waits(work, state, raw, time)
        if raw is None or waiting is not None:
            work.count(name, waiting or "not_a_reading")
            self._keep_changed(work, state, counter.out_of_sight(known, outage=False))
            if raw is not None:
                work.put(name, replace(work.rule(name), unread=raw))
            return
        if work.rule(name).unread is not None:
            work.put(name, replace(work.rule(name), unread=None))
        after, findings = counter.observe(
            self.spec, self.rule.unproven, known, _seen(work, state, known, reading, raw=raw, time=time)
        )
        self._keep(work, after, before=state if after.epoch != state.epoch else None)
        flags = (Flag.SOURCE_TIME_REFUSED,) if refused else ()
        self._post(work, findings, at, (reading.status,), flags=flags)

    def _waits(self, work: Books, state: CounterState, raw: int, time: datetime) -> str | None:
        """What has to be known before anything is counted, as a word; then all of it is, at once."""
        rule = self.rule
        waiting = waits_for(rule, work.state, time)
        if waiting is not None or not rule.pipe:
            return waiting
        pipe, ran = work.rule(rule.name).pipe, raw - state.last_raw
        ran += (self.spec.modulus or 0) if ran < 0 else 0
        is_unknown = 0 <= ran < rule.pipe if pipe is None else is_open(pipe, ran)
        return "order_unknown" if is_unknown else None

    def settle(self, work: Books, now: Instant) -> None:
        """Time has passed: decide a held value that has settled, if the source is there to contradict it.

        A value that waited is taken as it stands now: had it changed, that would have been seen.
        """
        state = self.state(work)
        if state is None or work.state.sources[self.source].link is not Link.UP:
            return
        unread = work.rule(self.rule.name).unread
        if unread is not None and self._waits(work, state, unread, now.wall) is None:
            self.read(work, Reading(self.spec.tag, unread, Quality.GOOD, now), now.wall, refused=False)
            return
        if state.hold is None:
            return
        after, findings = counter.settle(self.spec, self.rule.unproven, state, now)
        if after is not state:
            self._keep(work, after, before=state)
            self._post(work, findings, now)

    def sign(self, work: Books, what: str) -> None:
        """A sign of a reset."""
        state = self.state(work)
        if state is not None:
            self._keep_changed(work, state, counter.with_sign(self.spec, state, what))

    def returned(self, work: Books) -> None:
        """The source is back: what is seen next spans an outage."""
        state = self.state(work)
        if state is not None:
            self._keep_changed(work, state, counter.out_of_sight(state, outage=True))

    def _post(
        self,
        work: Books,
        findings: tuple[Finding, ...],
        now: Instant,
        statuses: tuple[int, ...] = (),
        *,
        flags: tuple[Flag, ...] = (),
    ) -> None:
        post(work, self.rule, findings, now, brief=2 * self.spec.sampling, statuses=statuses, flags=flags)

    def _keep(self, work: Books, after: CounterState, before: CounterState | None = None) -> None:
        """Remember the counter's state, and the proof of its epochs from raw values alone."""
        name, modulus = self.rule.name, self.spec.modulus or 0
        work.put(name, replace(work.rule(name), signal=after))
        for state in (before, after):
            if state is not None:
                mark = EpochMark(name, state.epoch, state.first_raw, state.last_raw, state.wraps, modulus)
                work.outcome.epochs[name, state.epoch] = mark

    def _keep_changed(self, work: Books, before: CounterState, after: CounterState) -> None:
        if after != before:
            self._keep(work, after)


def _raw(work: Books, spec: Counter, reading: Reading) -> int | None:
    """The counter's raw value; None where the reading is none (not good, not a whole number, out of range)."""
    value = reading.value
    if reading.quality is not Quality.GOOD or isinstance(value, bool) or not isinstance(value, int):
        return None
    if spec.wraps_at is not None and not min(spec.wraps_to, 0) <= value < spec.wraps_at:
        return None
    tag = work.map.tags[reading.tag]
    return value if tag.in_range(value) else None


def _seen(
    work: Books, state: CounterState, known: CounterState, reading: Reading, *, raw: int, time: datetime
) -> counter.Observation:
    """The reading beside the times that have passed since what `state` (`known`, where it stood still) remembers."""
    source, hold, at = work.state.sources[reading.tag.source], state.hold, reading.received
    elapsed = _elapsed(source, known.last_at, state.last_time, at, time)
    in_hold = _elapsed(source, hold.at, hold.time, at, time) if hold is not None else Decimal(0)
    same = raw == state.last_raw and reading.source_time == state.last_time
    return counter.Observation(raw, at, time, elapsed, in_hold, same)


def _elapsed(source: SourceState, last_at: Instant, last_time: datetime, at: Instant, time: datetime) -> Decimal:
    """Seconds between two readings: monotonic ingest time; among values of one delivery, source time.

    Source time is capped by the time since the delivery before (derivation.md, Counters).
    """
    if at != last_at:
        return at.seconds_since(last_at)
    claimed = max(Decimal(str((time - last_time).total_seconds())), Decimal(0))
    return claimed if source.before is None else min(claimed, at.seconds_since(source.before))
