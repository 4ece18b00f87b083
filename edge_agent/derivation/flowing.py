"""Flow rules at work: readings in, and out what `flow` finds in them; a second meter in series beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from edge_agent.config.signals import Flow, FlowCheck
from edge_agent.config.tagmap import Rule
from edge_agent.derivation import flow
from edge_agent.derivation.booking import Books
from edge_agent.derivation.boundaries import boundaries
from edge_agent.derivation.context import is_paused, waits_for
from edge_agent.derivation.cross_check import disagree
from edge_agent.derivation.findings import Finding, Hole
from edge_agent.derivation.lost_store import say_not_known
from edge_agent.derivation.posting import post
from edge_agent.model.measured import Compared, FlowState
from edge_agent.model.movement import Cause, Flag
from edge_agent.model.outcome import EpochMark
from edge_agent.model.reading import Instant, Link, Quality, Reading, TagRef


@dataclass(frozen=True, slots=True)
class FlowRule:
    """A rule whose signal is a rate of flow: the `Meter` of flows."""

    rule: Rule
    spec: Flow

    @property
    def source(self) -> str:
        """The source its signal comes from."""
        return self.spec.tag.source

    @property
    def tags(self) -> Sequence[TagRef]:
        """The flow's tag, and that of the meter it is compared with."""
        check = self.spec.check
        return (self.spec.tag,) if check is None else (self.spec.tag, check.tag)

    @property
    def epoch_tag(self) -> TagRef | None:
        """A flow has nothing to reset."""
        return None

    def state(self, work: Books) -> FlowState | None:
        """What the flow remembers; None before its first reading."""
        signal = work.rule(self.rule.name).signal
        return signal if isinstance(signal, FlowState) else None

    def read(self, work: Books, reading: Reading, time: datetime, *, refused: bool) -> None:
        """One reading of one of its tags, at event time `time` (`refused`: the device's own was not believed)."""
        check, state = self.spec.check, self.state(work)
        if check is not None and reading.tag == check.tag:
            if state is not None:
                self._second(work, state, check, reading, time)
            return
        if state is not None and _stood(state, reading):
            time, refused = flow.clock(state, reading.received), False
        name, seen = self.rule.name, self._seen(work, reading, time, self.spec.rate)
        waiting = None if seen is None else waits_for(self.rule, work.state, time)
        if waiting is not None:
            work.count(name, waiting)
            return
        if state is None:
            if seen is not None:
                say_not_known(work, self.rule, reading.received, time)
                self._keep(work, replace(flow.begin(self.spec, seen), epoch=work.next_epoch(name)))
                if is_paused(self.rule, work.state):
                    self.pause(work, reading.received)
            work.count(name, "not_a_reading" if seen is None else "baseline")
            return
        if seen is None:
            work.count(name, "not_a_reading")
            moments = boundaries(work, self.rule, state.booked_time, time)
            stood_until = time if reading.continuous else None
            skipped = flow.flagged(state, Flag.SKIPPED_READINGS)
            self._take(work, state, flow.lost_sight(self.spec, skipped, stood_until, moments), reading.received)
            return
        moments = boundaries(work, self.rule, state.run.time, time)
        flags = (Flag.SOURCE_TIME_REFUSED,) if refused else ()
        decided = flow.observe(self.spec, state, seen, moments)
        self._take(work, state, decided, reading.received, status=reading.status, flags=flags)

    def settle(self, work: Books, now: Instant) -> None:
        """Time has passed: a value stands while its source is there and reports no change."""
        state = self.state(work)
        if state is None or work.state.sources[self.source].link is not Link.UP:
            return
        moments = boundaries(work, self.rule, state.booked_time, flow.clock(state, now))
        self._take(work, state, flow.settle(self.spec, state, now, moments), now)

    def sign(self, work: Books, what: str, time: datetime) -> None:
        """Whatever resets counters does nothing to a flow."""

    def returned(self, work: Books) -> None:
        """The source is back: nobody knows what flowed meanwhile."""
        state = self.state(work)
        if state is not None:
            run = flow.out_of_sight(state.run, self.spec.sampling, None)
            self._keep(work, replace(flow.flagged(state, Flag.SPANNED_OUTAGE), run=run))

    def pause(self, work: Books, now: Instant) -> None:
        """From now on what flows is measured and not booked."""
        state = self.state(work)
        if state is not None:
            self._keep(work, flow.paused(state, now))

    def resume(self, work: Books, now: Instant, *, rebase: bool) -> None:
        """What flowed meanwhile is left out and stated, or booked with what comes."""
        state = self.state(work)
        if state is not None:
            self._take(work, state, flow.resumed(self.spec, state, now, rebase=rebase), now)

    def _seen(self, work: Books, reading: Reading, time: datetime, rate: Fraction) -> flow.Seen | None:
        """The reading as a rate; None where it is none: not good, out of range, or above `max_rate`."""
        value, most = reading.value, self.spec.max_rate
        if reading.quality is not Quality.GOOD or isinstance(value, bool | str) or value is None:
            return None
        raw = Decimal(value)
        if not raw.is_finite() or not work.map.tags[reading.tag].in_range(raw):
            return None
        now = round(Fraction(raw) * rate)
        if most is not None and abs(now) > most:
            return None
        shown = 0 if abs(now) < self.spec.low_cut else now
        return flow.Seen(raw, shown, reading.received, time, reading.continuous, reading.source_time)

    def _take(
        self,
        work: Books,
        before: FlowState,
        decided: flow.Decided,
        now: Instant,
        *,
        status: int | None = None,
        flags: tuple[Flag, ...] = (),
    ) -> None:
        """Remember what was decided, and post what was found."""
        after, found = decided
        if after is before:
            return
        if any(isinstance(one, Hole) for one in found):
            after = replace(after, compared=None)
        after, differs = self._compared(after)
        self._keep(work, after)
        self._post(work, (*found, *differs), now, status, flags)

    def _second(self, work: Books, state: FlowState, check: FlowCheck, reading: Reading, time: datetime) -> None:
        """A reading of the second meter; a gap in it begins another comparison."""
        seen, known = self._seen(work, reading, time, check.rate), state.compared
        if seen is None:
            work.count(self.rule.name, "not_a_reading")
            if known is not None:
                run = flow.out_of_sight(known.run, self.spec.sampling, time if reading.continuous else None)
                self._keep(work, replace(state, compared=replace(known, run=run)))
            return
        one = None if known is None else flow.stretched(known.run, seen, self.spec.sampling, self.spec.max_gap)
        if known is None or one is None or not one.known:
            begun = Compared(flow.started(seen), time, flow.standing(state.run, max(time, state.run.time)), 0)
            self._keep(work, replace(state, compared=begun))
            return
        after, differs = self._compared(replace(state, compared=replace(known, run=one.after)))
        self._keep(work, after)
        self._post(work, differs, reading.received, None, ())

    def _compared(self, state: FlowState) -> tuple[FlowState, tuple[Finding, ...]]:
        """Once both meters have run for as long as they are compared over: whether they say the same."""
        check, known = self.spec.check, state.compared
        if check is None or known is None:
            return state, ()
        until = max(state.run.time, known.run.time)
        lag = until - min(state.run.time, known.run.time)
        if until - known.since < check.over:
            return state, ()
        if lag > self.spec.max_gap and not self.spec.by_exception:
            return replace(state, compared=None), ()
        one, other = flow.standing(state.run, until), flow.standing(known.run, until)
        begun = replace(state, compared=replace(known, since=until, first=one, second=other))
        ran, beside = (one - known.first) // flow.PER_POSITION, (other - known.second) // flow.PER_POSITION
        if not disagree(ran, beside, share=check.share, amount=check.amount):
            return begun, ()
        message = f"{self.spec.tag} counted {flow.text(self.spec, ran)}, {check.tag} {flow.text(self.spec, beside)}"
        hole = Hole(Cause.CROSS_CHECK, 0, abs(ran - beside), known.since, until, message, max(ran, 0))
        return begun, (hole,)

    def _post(
        self, work: Books, found: tuple[Finding, ...], now: Instant, status: int | None, flags: tuple[Flag, ...]
    ) -> None:
        statuses = () if status is None else (status,)
        post(work, self.rule, found, now, brief=2 * self.spec.sampling, statuses=statuses, flags=flags)

    def _keep(self, work: Books, after: FlowState) -> None:
        """Remember the flow's state, and the proof of its epoch from its integral alone."""
        name = self.rule.name
        work.put(name, replace(work.rule(name), signal=after))
        mark = EpochMark(name, after.epoch, after.first_raw, after.last_raw, 0, 0)
        work.outcome.epochs[name, after.epoch] = mark


def _stood(state: FlowState, reading: Reading) -> bool:
    """Whether the device says again what it said before, of the same time: the value has stood until now."""
    run = state.run
    return run.written is not None and (reading.source_time, reading.value) == (run.written, run.raw)
