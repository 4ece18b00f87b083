"""Totalizers: from raw values to deltas, doubts and holes (derivation.md, Counters: the two tables).

Everything here is in counts and knows no order, material or event. A reading is booked at once only when it lies in the
band above the last one and nothing hints at a reset; anything else is held, compared with the value it left, and
decided once it has settled (`counter_decisions`). The baseline always moves with the decision, so refusing one reading
never refuses the next.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from edge_agent.config.signals import Counter
from edge_agent.config.tagmap import Unproven
from edge_agent.derivation.counter_cross import compared, moved
from edge_agent.derivation.counter_decisions import decide, decide_in_band, progress, restored
from edge_agent.derivation.counter_reset import expired, is_due
from edge_agent.derivation.counter_stop import baseline_at_stop, with_stop
from edge_agent.derivation.counter_terms import TIMED, Decided, Observation, room_in, signed, within
from edge_agent.model.reading import Instant
from edge_agent.model.signal_state import CounterState, Hold

_PATIENCE = 10
"""A held value that never comes to rest is decided after so many times `settle`."""


def baseline(counter: Counter, seen: Observation) -> CounterState:
    """The first reading ever: nothing is booked."""
    return baseline_at_stop(counter, CounterState(1, seen.raw, seen.raw, 0, seen.at, seen.time))


def observe(counter: Counter, unproven: Unproven, state: CounterState, seen: Observation) -> Decided:
    """Take one good reading in."""
    after, found = _observe(counter, unproven, state, seen)
    return compared(counter, state, with_stop(counter, state, seen, after, found), seen.at, seen.time)


def _observe(counter: Counter, unproven: Unproven, state: CounterState, seen: Observation) -> Decided:
    if state.restored:
        return restored(counter, state, seen)
    room = room_in(counter, seen.elapsed)
    in_band = within(state.last_raw, seen.raw, room)
    if state.hold is None:
        if in_band and not _hints_at_reset(counter, state, seen, room) and not _asks_the_second(counter, state):
            after, found = progress(counter, state, seen, room)
            return expired(counter, _still_signed(state, after), seen.time), found
        hold = _held_from(seen, in_band=in_band)
    else:
        hold = _held_on(counter, state.hold, seen, in_band=in_band)
        seen = replace(seen, continuous=hold.continuous)
    if in_band and hold.left:
        return decide_in_band(counter, unproven, replace(state, hold=hold), seen, room)
    held = replace(state, hold=hold)
    if _settled(counter, hold, seen.at):
        return decide(counter, unproven, held, seen)
    return held, ()


def _hints_at_reset(counter: Counter, state: CounterState, seen: Observation, room: Decimal | None) -> bool:
    """Whether a value of the band has to be held for a sign.

    A device may keep its count while the order, shift or day changes: then only a value that a reset can show is held.
    """
    if not state.reset_signs or not TIMED.issuperset(state.reset_signs):
        return bool(state.reset_signs)
    return is_due(state, seen.time) and signed(counter, state, seen.raw, room)


def _asks_the_second(counter: Counter, state: CounterState) -> bool:
    """Whether a value after an outage waits until a second counter has been read as well."""
    return counter.cross_check is not None and state.outage


def _still_signed(state: CounterState, after: CounterState) -> CounterState:
    """The reset that an order, shift or day may bring can still come, until it has expired."""
    if after.epoch != state.epoch or not state.reset_signs:
        return after
    return replace(after, reset_signs=state.reset_signs, due=state.due, latest=state.latest, told=state.told)


def settle(counter: Counter, unproven: Unproven, state: CounterState, now: Instant) -> Decided:
    """Let time pass: a held value that has settled needs no other reading, unless it was out of sight since."""
    hold = state.hold
    if hold is None or not hold.sure or not _settled(counter, hold, now):
        return state, ()
    moved_on, followed = moved(counter, state, now), hold.continuous
    seen = Observation(hold.raw, hold.at, hold.time, hold.elapsed, moved=moved_on, continuous=followed)
    after, found = decide(counter, unproven, state, seen)
    return compared(counter, state, with_stop(counter, state, seen, after, found), now, seen.time)


def out_of_sight(state: CounterState, *, outage: bool) -> CounterState:
    """The counter could not be followed for a while (an outage, or a value that is no reading).

    A held value has to be seen again: nobody knows what it did meanwhile.
    """
    hold = state.hold and replace(state.hold, sure=False)
    second = replace(state.second, seen=False) if outage and state.second is not None else state.second
    skipped = state.skipped or int(not outage)
    falls = tuple(replace(fall, followed=False) for fall in state.falls)
    return replace(state, outage=state.outage or outage, skipped=skipped, hold=hold, second=second, falls=falls)


def stood_still(counter: Counter, state: CounterState, at: Instant, time: datetime) -> CounterState:
    """Before a continuous reading: the value stood, for else its change had been seen.

    Whose the delta is, is asked of the sampling period before the reading; its room grows for `settle` at the most
    (which leaves time to counters that a slow PLC task writes). After a break nothing vouches for the silence.
    """
    if state.hold is not None or state.outage or state.skipped:
        return state
    state = expired(counter, state, time - counter.sampling)
    last_at, settle = state.last_at, counter.settle
    nanoseconds = int(settle.total_seconds() * 1_000_000_000)
    if at.boot_id == last_at.boot_id and at.monotonic_ns - last_at.monotonic_ns > nanoseconds:
        last_at = Instant(at.wall - settle, at.monotonic_ns - nanoseconds, at.boot_id)
    return replace(state, last_at=last_at, last_time=max(state.last_time, time - counter.sampling))


def _held_on(counter: Counter, hold: Hold, seen: Observation, *, in_band: bool) -> Hold:
    """The hold with one more reading: the same plateau going on, or a new one beginning."""
    begun = replace(
        _held_from(seen, in_band=in_band),
        samples=hold.samples + 1,
        left=hold.left or not in_band,
        began=(hold.began or hold.since) if hold.sure else None,
        continuous=hold.continuous and seen.continuous,
    )
    if not hold.sure or not within(hold.raw, seen.raw, room_in(counter, seen.elapsed_in_hold)):
        return begun
    reached = hold.reached if seen.raw == hold.raw else seen.time
    return replace(begun, since=hold.since, first=hold.first, reached=reached)


def _held_from(seen: Observation, *, in_band: bool) -> Hold:
    """A plateau that begins with this reading."""
    return Hold(
        since=seen.at,
        first=seen.raw,
        raw=seen.raw,
        at=seen.at,
        time=seen.time,
        reached=seen.time,
        elapsed=seen.elapsed,
        samples=1,
        left=not in_band,
        continuous=seen.continuous,
    )


def _settled(counter: Counter, hold: Hold, now: Instant) -> bool:
    """Whether the held value has come to rest, or never will: one that outruns `max_rate` is decided as well."""
    settle = Decimal(str(counter.settle.total_seconds()))
    return now.seconds_since(hold.since) >= settle or now.seconds_since(hold.began or hold.since) >= _PATIENCE * settle
