"""Levels and weights: from raw readings to deltas, doubts and holes (derivation.md, Levels and weights).

Everything here is in positions of the material's contents and knows no order, material or event. A level is smoothed
over time (`level_window`) and followed by a ratchet: it books once the level has fallen by the hysteresis below the
mark, all of the fall, and the mark is then that level. Every quantity is so the difference of two levels, whatever
trembled between them; nothing adds up. What rises counts instead where the rule says so: then contents are negated.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from edge_agent.config.signals import PER_RAW, Level
from edge_agent.derivation import level_findings as findings
from edge_agent.derivation import level_window as window
from edge_agent.derivation.findings import Finding
from edge_agent.model.measured import Fall, Filling, LevelState, Refilling, Window
from edge_agent.model.movement import Cause, Flag
from edge_agent.model.reading import Instant
from edge_agent.model.value import value

_STRONGER = (Refilling.BASELINE, Refilling.RESTORED, Refilling.REBASE, Refilling.CLIPPED, Refilling.BOOK)
"""What a window fills for: what stands further on never takes the place of what stands before."""
Boundaries = tuple[datetime, ...]
"""Changes of the order and beginnings of posting days since the mark, oldest first."""
Decided = tuple[LevelState, tuple[Finding, ...]]


@value
class Seen:
    """A good reading of the level, in raw units, at event time `time`."""

    raw: Decimal
    at: Instant
    time: datetime


def begin(spec: Level, seen: Seen) -> LevelState:
    """The first reading ever: the baseline is the level once the window is full."""
    nano = _nano(seen.raw)
    here = _height(spec, nano)
    return LevelState(
        epoch=1,
        first_raw=-here,
        mark=here,
        mark_time=seen.time,
        lifted=0,
        level=here,
        level_time=seen.time,
        window=window.opened(nano, seen.time),
        last_at=seen.at,
        last_time=seen.time,
        raw=seen.raw,
        raw_before=seen.raw,
        conversion=spec.conversion,
        unit=spec.unit,
        anchor=(here, seen.time),
        filling=Filling(Refilling.BASELINE, seen.time),
    )


def observe(spec: Level, state: LevelState, seen: Seen, boundaries: Boundaries) -> Decided:
    """Take one good reading in. Source time that steps back stands still until it has caught up."""
    time = max(seen.time, state.last_time)
    state, of_old = converted(spec, state)
    state, flushed = _advanced(spec, state, time, boundaries)
    state, judged = _judged(spec, _accepted(spec, state, seen, time), time, boundaries)
    return state, (*of_old, *flushed, *judged)


def settle(spec: Level, state: LevelState, now: Instant, boundaries: Boundaries) -> Decided:
    """Let time pass: the last reading stands. Nothing changes until a slot of the window has passed."""
    if state.paused is not None or state.blind or state.restored or state.conversion != spec.conversion:
        return state, ()
    until = clock(state, now)
    if state.fall is not None:
        return _fallen(spec, state, until)
    if until - state.window.advanced < window.slot_width(spec):
        return state, ()
    state, flushed = _advanced(spec, state, until, boundaries)
    state, judged = _judged(spec, state, until, boundaries)
    return state, (*flushed, *judged)


def clock(state: LevelState, now: Instant) -> datetime:
    """Event time now: that of the last reading, and what has passed since it came."""
    return state.last_time + timedelta(microseconds=int(now.seconds_since(state.last_at) * 10**6))


def out_of_sight(
    spec: Level,
    state: LevelState,
    time: datetime,
    boundaries: Boundaries,
    *,
    clips: bool = False,
    flags: tuple[Flag, ...] = (),
) -> Decided:
    """A reading that is none; `clips`: the sensor is at its end."""
    state, flushed = _advanced(spec, state, max(time, state.last_time), boundaries)
    clipped = (state.clipped or time) if clips else state.clipped
    for flag in flags:
        state = replace(state, flags=_with(state.flags, flag))
    return replace(_interrupted(state, Cause.NOT_SEEN), blind=True, clipped=clipped), flushed


def returned(state: LevelState) -> LevelState:
    """After an outage: the window fills anew, and what it then shows is compared with the level before."""
    again = _refilling(state, Refilling.BOOK, state.last_time, Cause.NOT_SEEN)
    return replace(again, flags=_with(state.flags, Flag.SPANNED_OUTAGE), blind=True)


def rebased(state: LevelState, time: datetime, cause: Cause) -> LevelState:
    """The next readings mean the same contents as the last ones did: the scale was tared.

    The reading after it counts; one that fell already is that.
    """
    again = _refilling(state, Refilling.REBASE, time, cause)
    emptied = replace(window.passed(again.window, time), recent=(_nano(state.raw),))
    return replace(again, window=emptied, blind=state.fall is None)


def paused(spec: Level, state: LevelState, now: Instant, boundaries: Boundaries) -> Decided:
    """From now on readings are no evidence of use."""
    if state.paused is not None:
        return state, ()
    time = clock(state, now)
    state, flushed = _advanced(spec, state, time, boundaries)
    state, judged = _judged(spec, state, time, boundaries)
    return replace(state, paused=time), (*flushed, *judged)


def resumed(state: LevelState, now: Instant, *, rebase: bool) -> LevelState:
    """Readings are evidence again: what they show is a new baseline (`rebase`), or the difference is booked."""
    if state.paused is None:
        return state
    kind = Refilling.REBASE if rebase else Refilling.BOOK
    again = _refilling(state, kind, state.paused, Cause.PAUSED)
    emptied = replace(again.window, recent=(_nano(state.raw),), advanced=clock(state, now))
    return replace(again, window=emptied, paused=None)


def _refilling(state: LevelState, kind: Refilling, since: datetime, cause: Cause) -> LevelState:
    """What was weighed says nothing any more: the window fills anew, and is compared with the level known before.

    That is the level before a fall that is held, and before a rise under way: all of it is still to be judged.
    """
    state = _interrupted(state, cause)
    level, known = (state.level, state.level_time) if state.top is None else state.anchor
    filling = state.filling
    if filling is None or _STRONGER.index(kind) < _STRONGER.index(filling.kind):
        filling = Filling(kind, min(known, since), cause)
    emptied = window.emptied(state.window)
    return replace(state, window=emptied, filling=filling, level=level, level_time=known, fall=None, top=None)


def _interrupted(state: LevelState, cause: Cause) -> LevelState:
    """The level was lost sight of: before there is a baseline, what ran since its first reading is then a gap."""
    filling = state.filling
    if filling is None or filling.kind is not Refilling.BASELINE or filling.cause is not None:
        return state
    return replace(state, filling=replace(filling, cause=cause))


def converted(spec: Level, state: LevelState) -> Decided:
    """What a new tag map or a restore asks for, before anything else is read.

    By another conversion the same readings are other contents, and nothing of that is use: what is not booked yet, or
    is credited, is carried over as it was valued. In another unit there is nothing to carry: a new epoch begins.
    """
    if state.restored and (state.filling is None or state.filling.kind is not Refilling.RESTORED):
        filling = Filling(Refilling.RESTORED, state.last_time)
        state = replace(state, window=window.emptied(state.window), filling=filling, fall=None, top=None, blind=True)
    if (state.conversion, state.unit) == (spec.conversion, spec.unit):
        return state, ()
    level = _height(spec, window.mean(state.window) if state.window.slots else _nano(state.raw))
    by, (base, since) = level - state.level, state.anchor
    if state.unit != spec.unit:
        begun = findings.new_epoch(state, level, level, state.level_time)
        kept = replace(begun, filling=state.filling, restored=state.restored)
        return replace(kept, conversion=spec.conversion, unit=spec.unit), (findings.other_unit(spec, state),)
    moved = replace(state, mark=state.mark + by, lifted=state.lifted + by, level=level, anchor=(base + by, since))
    top = None if state.top is None else (state.top[0] + by, state.top[1])
    return replace(moved, top=top, fall=None, conversion=spec.conversion), ()


def _nano(raw: Decimal) -> int:
    return round(Fraction(raw) * PER_RAW)


def _height(spec: Level, nano: int) -> int:
    contents = spec.contents(Fraction(nano, PER_RAW))
    return -contents if spec.rises else contents


def _with(flags: tuple[Flag, ...], flag: Flag) -> tuple[Flag, ...]:
    return flags if flag in flags else (*flags, flag)


def _next(state: LevelState, boundaries: Boundaries) -> datetime | None:
    return next((one for one in boundaries if one > state.mark_time), None)


def _lateness(spec: Level) -> timedelta:
    """How long after a change the level still shows what ran before it: smoothing, and what falls after the valve."""
    return (window.SLOTS + 1) * window.slot_width(spec) + spec.after_flow


def _advanced(spec: Level, state: LevelState, until: datetime, boundaries: Boundaries) -> Decided:
    """Time passes up to `until`; at each boundary on the way what is not booked yet goes to what was before it."""
    if state.blind or state.fall is not None or state.paused is not None:
        return replace(state, window=window.passed(state.window, until)), ()
    found: tuple[Finding, ...] = ()
    while state.filling is None and (boundary := _next(state, boundaries)) is not None:
        due = boundary + _lateness(spec)
        if due > until or state.window.advanced > due + spec.window:
            break
        state = _weighed(spec, state, due)
        level = _height(spec, window.mean(state.window)) if state.window.slots else state.level
        state, of_it = findings.flushed(spec, state, level, boundary)
        found = (*found, *of_it)
    return _weighed(spec, state, until), found


def _weighed(spec: Level, state: LevelState, until: datetime) -> LevelState:
    return replace(state, window=window.weighed(spec, state.window, state.last_time, until))


def _accepted(spec: Level, state: LevelState, seen: Seen, time: datetime) -> LevelState:
    """The reading taken in: into the window, or into a fall that is held apart."""
    nano = _nano(seen.raw)
    here = _height(spec, nano)
    fresh = replace(
        state, last_at=seen.at, last_time=time, raw=seen.raw, blind=False, clipped=None, samples=state.samples + 1
    )
    if state.paused is not None:
        return fresh
    if state.fall is not None:
        return _held(spec, state.fall, fresh, here, time)
    lag = spec.window + max(time - state.level_time, timedelta(0))
    if state.filling is None and _too_far(spec, state.level - here, lag):
        return replace(fresh, fall=Fall(time, here, here))
    if state.clipped is not None and time - state.clipped >= max(spec.settle, spec.window):
        fresh = _refilling(fresh, Refilling.CLIPPED, state.clipped, Cause.CLIPPED)
    if state.blind:
        return replace(fresh, window=replace(fresh.window, recent=(nano,)))
    taken = window.taken(fresh.window, nano, time, state.last_time)
    if state.filling is not None and _jumped(spec, taken):
        return replace(_interrupted(fresh, Cause.NOT_SEEN), window=window.emptied(taken))
    return replace(fresh, window=taken)


def _jumped(spec: Level, filling: Window) -> bool:
    """Whether the readings are further from what was weighed than use explains: lifted off, set back, being refilled.

    A mean of both would be neither; the window fills anew once that is over.
    """
    if not filling.slots:
        return False
    here, there = (_height(spec, nano) for nano in (window.median(filling), window.mean(filling)))
    return _too_far(spec, abs(here - there), spec.window)


def _too_far(spec: Level, fall: int, elapsed: timedelta) -> bool:
    """Whether a fall is more than can be used up in `elapsed`."""
    return spec.max_rate is not None and fall > spec.hysteresis + findings.at_most(spec.max_rate, elapsed)


def _held(spec: Level, fall: Fall, fresh: LevelState, here: int, time: datetime) -> LevelState:
    """A reading while the level is down: back where it could be by use alone, the fall never was."""
    low = min(fall.low, here)
    back = here - low > spec.hysteresis and not _too_far(spec, fresh.level - here, time - fall.since)
    if back and here <= fresh.level + spec.hysteresis:
        again = replace(fresh.window, recent=(_nano(fresh.raw),), advanced=time)
        return replace(fresh, window=again, fall=None, flags=_with(fresh.flags, Flag.GLITCH))
    above = (fall.above or time) if back else None
    return replace(fresh, fall=Fall(fall.since, low, here, above))


def _fallen(spec: Level, state: LevelState, time: datetime) -> Decided:
    """Down for as long as is waited for, or settled above where it was: a person decides what became of the fall."""
    fall = state.fall
    if fall is None or state.blind:
        return state, ()
    exchanged = fall.above is not None and time - fall.above >= spec.settle
    if not exchanged and time - fall.since < spec.hold:
        return state, ()
    down = fall.low if fall.last > state.level else fall.last
    way = "rose" if spec.rises else "fell"
    message = f"{way} by {findings.text(spec, state.level - down)} faster than max_rate"
    ways = [
        (state.level - down, findings.ran(spec)),
        (0, "was taken away unused: enter it as returned or scrapped"),
        (0, "the reading was false: nothing left"),
    ]
    here = _height(spec, _nano(state.raw))
    state, found = findings.doubted(spec, state, here, time, cause=Cause.FELL_TOO_FAST, ways=ways, message=message)
    again = replace(window.emptied(state.window), recent=(_nano(state.raw),), advanced=time)
    left = max(ways[0][0], 0)
    stood = Filling(Refilling.BASELINE, fall.above, Cause.FELL_TOO_FAST) if exchanged and fall.above else None
    filling = stood or Filling(Refilling.BASELINE, time)
    return replace(state, window=again, filling=filling, away=left), found


def _judged(spec: Level, state: LevelState, time: datetime, boundaries: Boundaries) -> Decided:
    """What the smoothed level says, once enough of the window is known."""
    if state.paused is not None or state.blind:
        return state, ()
    if state.fall is not None:
        return _fallen(spec, state, time)
    known, whole = window.weight(spec, state.window), window.SLOTS * window.slot_width(spec)
    if state.filling is None and 2 * known < whole:
        return replace(state, filling=Filling(Refilling.BOOK, state.level_time)), ()
    if state.filling is not None and known < whole:
        return state, ()
    level = _height(spec, window.mean(state.window))
    if state.filling is not None:
        return _filled(spec, state, level, time, state.filling)
    return _ratchet(spec, replace(state, level=level, level_time=time), time, boundaries)


def _ratchet(spec: Level, state: LevelState, time: datetime, boundaries: Boundaries) -> Decided:
    state, found = _rising(spec, state, time)
    boundary = _next(state, boundaries)
    waits = boundary is not None and time < boundary + _lateness(spec)
    if found or waits or state.mark - state.level < spec.hysteresis:
        return state, found
    return findings.booked(spec, state, state.level, time)


def _rising(spec: Level, state: LevelState, time: datetime) -> Decided:
    """A rise is followed to its end: `refill_min` or more of it is a refill, less is a credit against later falls."""
    level, (base, since), top = state.level, state.anchor, state.top
    still = max(spec.settle, spec.window)
    if level <= base or (top is None and level - base < spec.hysteresis and time - since >= spec.settle):
        state = replace(state, anchor=(level, time), top=None)
    elif (top is None and level - base >= spec.hysteresis) or (
        top is not None and 4 * (level - top[0]) >= spec.hysteresis
    ):
        state = replace(state, top=(level, time))
    elif top is not None and time - top[1] >= still:
        if level - base >= _refill_min(spec, state):
            return findings.refilled(spec, state, level - base, since, time)
        state = replace(state, anchor=(level, time), top=None)
    if state.top is None and level - state.mark >= spec.refill_min:
        return findings.refilled(spec, state, level - state.mark, min(state.mark_time, time), time)
    return state, ()


def _refill_min(spec: Level, state: LevelState) -> int:
    """What a rise must be to be no credit: half of what was taken away may be the container set back."""
    return min(spec.refill_min, max(state.away // 2, spec.hysteresis)) if state.away else spec.refill_min


def _filled(spec: Level, state: LevelState, level: int, time: datetime, filling: Filling) -> Decided:
    """The window is full again: what its level means depends on why it had to fill."""
    before, credit = state.level, state.level - state.mark
    base, since = state.anchor if state.anchor[0] < before else (before, filling.since)
    full = replace(state, filling=None, level=level, level_time=time, top=None)
    match filling.kind:
        case Refilling.BASELINE:
            mark = level - credit
            begun = replace(full, mark=mark, first_raw=-mark, mark_time=time, anchor=(level, time))
            return begun, findings.before_baseline(spec, filling, time)
        case Refilling.REBASE:
            cause = filling.cause or Cause.PAUSED
            return findings.shifted(spec, full, level - before, filling.since, time, cause=cause)
        case Refilling.CLIPPED:
            return findings.unclipped(spec, full, base, min(since, filling.since), time)
        case Refilling.RESTORED:
            return findings.restored(spec, replace(full, level=before), level, time)
        case Refilling.BOOK if level - base >= _refill_min(spec, state):
            return findings.refilled(spec, full, level - base, min(since, filling.since), time)
        case Refilling.BOOK:
            return _fell_unseen(spec, full, before, time, filling.since)


def _fell_unseen(spec: Level, state: LevelState, before: int, time: datetime, since: datetime) -> Decided:
    """The level is known again, and no refill: what it fell by meanwhile was used, if that can be."""
    level = state.level
    if _too_far(spec, before - level, time - since):
        message = f"{findings.text(spec, before - level)} unseen, more than max_rate allows"
        ways = [(before - level, findings.ran(spec)), (0, "was taken away unused, or the reading was false")]
        left = replace(state, level=before)
        return findings.doubted(spec, left, level, time, cause=Cause.FELL_TOO_FAST, ways=ways, message=message)
    state = replace(state, anchor=(level, time))
    if state.mark - level < spec.hysteresis:
        return state, ()
    return findings.booked(spec, state, level, time)
