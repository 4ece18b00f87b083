"""Flows: the integral of a rate over source time (derivation.md, Flows).

Between two readings the rate is a straight line (trapezoid); where the source reports what changes, it stood until one
sampling period before the change. A gap over `max_gap` is an exception and no quantity. The integral is a whole number
of `PER_POSITION`ths, so that nothing is ever rounded twice; what is booked is its position, which never falls: what
flowed back, or was booked while a late reading was under way, is set against what flows on.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil

from edge_agent.config.signals import Flow
from edge_agent.derivation.findings import Delta, Finding, Hole
from edge_agent.model.measured import FlowState, Run
from edge_agent.model.movement import Cause, Flag
from edge_agent.model.reading import Instant
from edge_agent.model.state import EPOCH_LEAP
from edge_agent.model.value import value

PER_POSITION = 2 * 10**12
"""Parts of a position: rates are millionths a second, time is microseconds, and a trapezoid halves their sum."""
_MICROSECOND = timedelta(microseconds=1)
_STEP = timedelta(seconds=1)
"""A source's clock that runs further ahead of ours than this, between two readings, was set."""
Decided = tuple[FlowState, tuple[Finding, ...]]


@value
class Seen:
    """A good reading of a flow: `raw` as the device shows it, `rate` as in `Run`, at event time `time`.

    `continuous`: no change since the reading before can have been missed. `written` is the source's own time of it.
    """

    raw: Decimal
    rate: int
    at: Instant
    time: datetime
    continuous: bool
    written: datetime | None = None


@value
class Stretch:
    """From one reading to the next: `before` and `after`, and whether all between them is known.

    `bend` is until when the rate of `before` stood. `stepped` tells that the source's clock was set: our own counts.
    """

    before: Run
    after: Run
    bend: datetime
    known: bool
    stepped: bool

    def integral(self, moment: datetime) -> int:
        """The integral at a moment of the stretch."""
        one, two = self.before, self.after
        if moment >= two.time:
            return two.integral
        stood = max(min(moment, self.bend) - one.time, timedelta(0))
        total = one.integral + 2 * one.rate * _microseconds(stood)
        if moment <= self.bend:
            return total
        ran, whole = _microseconds(moment - self.bend), _microseconds(two.time - self.bend)
        return total + 2 * one.rate * ran + (two.rate - one.rate) * ran * ran // whole


def begin(spec: Flow, seen: Seen) -> FlowState:
    """The first reading ever: nothing is booked."""
    run = started(seen)
    return FlowState(1, 0, 0, seen.time, run, seen.raw, spec.conversion, spec.unit)


def started(seen: Seen) -> Run:
    """A meter at its first reading."""
    return Run(seen.rate, seen.raw, seen.time, seen.at, written=seen.written)


def stretched(run: Run, seen: Seen, sampling: timedelta, max_gap: timedelta) -> Stretch:
    """The stretch that ends with a reading."""
    claimed, passed = seen.time - run.time, _passed(run, seen.at)
    late = max(run.at.wall - run.time - run.skew, timedelta(0))
    stepped = claimed < timedelta(0) or claimed > passed + late + _STEP
    skew = run.skew + passed - claimed if stepped else run.skew
    span = passed if stepped else claimed
    since = seen.time - span
    before = replace(run, time=since)
    stood = seen.continuous and not run.blind
    bend = max(since, seen.time - sampling) if stood else since
    known = stood or span <= max_gap
    integral = run.integral
    if known:
        integral += 2 * run.rate * _microseconds(bend - since)
        integral += (run.rate + seen.rate) * _microseconds(seen.time - bend)
    after = Run(seen.rate, seen.raw, seen.time, seen.at, integral, skew=skew, written=seen.written)
    return Stretch(before, after, bend, known, stepped)


def observe(spec: Flow, state: FlowState, seen: Seen, boundaries: tuple[datetime, ...]) -> Decided:
    """Take one good reading in; what ran is parted at each of `boundaries`."""
    if state.restored or state.unit != spec.unit:
        return _begun(spec, state, seen)
    one = stretched(state.run, seen, spec.sampling, spec.max_gap)
    state = replace(state, samples=state.samples + 1, conversion=spec.conversion)
    if one.stepped:
        state = flagged(state, Flag.SOURCE_TIME_REFUSED)
    if not one.known:
        return _gap(spec, state, one)
    found: list[Finding] = []
    if state.paused is None:
        for boundary in boundaries:
            if one.before.time < boundary <= seen.time:
                state, of_it = _booked(state, one.integral(boundary), one.after.raw, boundary - _MICROSECOND)
                state = replace(state, booked_time=boundary)
                found += of_it
        state, of_it = _booked(state, one.after.integral, one.after.raw, seen.time)
        found += of_it
        state = replace(state, booked_time=seen.time)
    return replace(state, run=one.after), tuple(found)


def settle(spec: Flow, state: FlowState, now: Instant, boundaries: tuple[datetime, ...]) -> Decided:
    """Time has passed: the value stands where the source reports what changes, up to `max_gap` ago."""
    if not spec.by_exception or state.run.blind or state.paused is not None or state.restored:
        return state, ()
    if state.conversion != spec.conversion:
        return state, ()
    until = clock(state, now) - spec.max_gap
    if until - max(state.booked_time, state.run.time) < spec.max_gap:
        return state, ()
    return _stood(state, until, boundaries)


def lost_sight(spec: Flow, state: FlowState, time: datetime | None, boundaries: tuple[datetime, ...]) -> Decided:
    """A reading that is none, or an outage; up to shortly before `time`, if that is given, the value had stood."""
    found: tuple[Finding, ...] = ()
    if time is not None and not state.run.blind and state.paused is None:
        until = time - spec.sampling
        if until > max(state.run.time, state.booked_time):
            state, found = _stood(state, until, boundaries)
    return replace(state, run=out_of_sight(state.run, spec.sampling, time)), found


def _stood(state: FlowState, until: datetime, boundaries: tuple[datetime, ...]) -> Decided:
    """Book what ran up to `until` while the last value stood, parted at the boundaries."""
    found: list[Finding] = []
    for boundary in boundaries:
        if state.booked_time < boundary <= until:
            state, of_it = _booked(state, standing(state.run, boundary), state.run.raw, boundary - _MICROSECOND)
            state = replace(state, booked_time=boundary)
            found += of_it
    state, of_it = _booked(state, standing(state.run, until), state.run.raw, until)
    return replace(state, booked_time=until), (*found, *of_it)


def clock(state: FlowState, now: Instant) -> datetime:
    """Event time now: that of the last reading, and what has passed since it came."""
    return state.run.time + _passed(state.run, now)


def standing(run: Run, moment: datetime) -> int:
    """The integral at a moment after the newest reading, if that stood."""
    return run.integral + 2 * run.rate * _microseconds(moment - run.time)


def out_of_sight(run: Run, sampling: timedelta, time: datetime | None) -> Run:
    """Nothing vouches for the last value any more; up to `time`, if that is given, it had stood."""
    if time is None or run.blind or (stood := time - sampling - run.time) <= timedelta(0):
        return replace(run, blind=True)
    moment, at = run.time + stood, run.at
    later = Instant(at.wall + stood, at.monotonic_ns + 1000 * _microseconds(stood), at.boot_id)
    return replace(run, integral=standing(run, moment), time=moment, at=later, blind=True)


def flagged(state: FlowState, flag: Flag) -> FlowState:
    """The next line carries `flag`."""
    return state if flag in state.flags else replace(state, flags=(*state.flags, flag))


def paused(state: FlowState, now: Instant) -> FlowState:
    """From now on what flows is not booked; it is measured on."""
    return state if state.paused is not None else replace(state, paused=clock(state, now))


def resumed(spec: Flow, state: FlowState, now: Instant, *, rebase: bool) -> Decided:
    """What was measured meanwhile is booked with what comes, or left out and stated (`rebase`)."""
    if state.paused is None:
        return state, ()
    since, state = state.paused, replace(state, paused=None)
    left_out = state.run.integral // PER_POSITION - state.last_raw
    if not rebase or left_out <= 0:
        return state, ()
    run = replace(state.run, integral=state.run.integral - left_out * PER_POSITION)
    until = max(clock(state, now), since)
    message = f"paused: {text(spec, left_out)} ran meanwhile and is left out"
    return replace(state, run=run, booked_time=until), (Hole(Cause.PAUSED, left_out, left_out, since, until, message),)


def text(spec: Flow, positions: int) -> str:
    """A quantity for people, in the material's unit."""
    return f"{Decimal(positions).scaleb(-6).normalize():f} {spec.unit}"


def at_most(spec: Flow, elapsed: timedelta) -> int | None:
    """Positions that can run in `elapsed`; None where no rate bounds it."""
    if spec.max_rate is None:
        return None
    return ceil(Fraction(spec.max_rate * _microseconds(elapsed), 10**12))


def _booked(state: FlowState, integral: int, raw: Decimal, until: datetime) -> Decided:
    """Book up to the position of `integral`, unless that is booked already."""
    position = integral // PER_POSITION
    if position <= state.last_raw:
        return state, ()
    found = Delta(
        epoch=state.epoch,
        from_position=state.last_raw,
        to_position=position,
        since=min(state.booked_time, until),
        until=until,
        raw_before=state.raw_before,
        raw_after=raw,
        samples=state.samples,
        flags=state.flags,
    )
    after = replace(state, last_raw=position, booked_time=until, raw_before=raw, samples=0, flags=())
    return after, (found,)


def _gap(spec: Flow, state: FlowState, one: Stretch) -> Decided:
    """Nobody knows what ran: stated with bounds; what was booked while the value seemed to stand is part of it.

    What had flowed back is not: it stays set against what flows on.
    """
    stood = standing(state.run, max(state.booked_time, state.run.time))
    integral = max(one.before.integral, min(state.last_raw * PER_POSITION, stood))
    seen = integral // PER_POSITION - one.before.integral // PER_POSITION
    since, until = one.before.time, one.after.time
    most = at_most(spec, until - since)
    message = f"no reading for {(until - since).total_seconds():.1f} s, more than max_gap"
    bound = None if most is None else max(most - seen, 0)
    hole = Hole(Cause.NOT_SEEN, 0, bound, since, until, message, seen)
    run = replace(one.after, integral=integral)
    return replace(state, run=run, booked_time=until, raw_before=run.raw, flags=()), (hole,)


def _begun(spec: Flow, state: FlowState, seen: Seen) -> Decided:
    """After a restore, or in another unit: a new epoch; what ran since the last reading is a gap."""
    since = min(state.run.time, seen.time)
    cause, leap, why = Cause.CONVERSION, 1, f"the material is booked in {spec.unit} now"
    if state.restored:
        cause, leap, why = Cause.RESTORED, EPOCH_LEAP, "the store was restored"
    begun = replace(begin(spec, seen), epoch=state.epoch + leap)
    hole = Hole(cause, 0, at_most(spec, seen.time - since), since, seen.time, f"{why}: what ran was not measured")
    return begun, (hole,)


def _passed(run: Run, now: Instant) -> timedelta:
    return timedelta(microseconds=int(now.seconds_since(run.at) * 10**6))


def _microseconds(span: timedelta) -> int:
    return span // _MICROSECOND
