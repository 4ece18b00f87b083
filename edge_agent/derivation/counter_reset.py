"""Resets: their signs, what ran since, and what ran before by the last total (derivation.md, Counters). Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from edge_agent.config.signals import Counter, Resets
from edge_agent.derivation.counter_fall import explained
from edge_agent.derivation.counter_terms import (
    EPOCH_TAG,
    RESTART,
    SESSION,
    TIMED,
    Decided,
    Observation,
    Way,
    book,
    doubt,
    fits,
    left_over,
    reached,
    since_reset,
)
from edge_agent.derivation.findings import Delta, Finding, Hole
from edge_agent.model.movement import Cause, Flag
from edge_agent.model.reading import Instant
from edge_agent.model.signal_state import CounterState, FinalTotal

_INSTANT = timedelta(microseconds=1)


def with_sign(counter: Counter, state: CounterState, sign: str, came: datetime) -> CounterState:
    """Remember a sign of a reset, where the counter's `resets` lists what caused it.

    `came` is when the order, shift or day changed, or the sign was seen. Of several changes any may have reset it; one
    that follows another within two sampling periods takes its place.
    """
    cause = Resets.RESTART.value if sign in (RESTART, SESSION) else sign
    if sign != EPOCH_TAG and cause not in counter.resets:
        return state
    if sign in TIMED:
        dues = [one for one in (state.due, state.latest, came) if one is not None]
        first, latest = min(dues), max(dues)
        state = replace(state, due=latest if latest - first <= 2 * counter.sampling else first, latest=latest)
    state = replace(state, told=came if state.told is None else max(state.told, came))
    return state if sign in state.reset_signs else replace(state, reset_signs=(*state.reset_signs, sign))


def is_due(state: CounterState, time: datetime) -> bool:
    """Whether a sign may be about a value of `time`: the change of an order, shift or day is not before it came."""
    return not TIMED.issuperset(state.reset_signs) or state.due is None or time >= state.due


def expired(counter: Counter, state: CounterState, time: datetime) -> CounterState:
    """Without the signs of an order, shift or day that changed longer ago than `settle`: it has not reset by then."""
    grace = counter.settle + counter.sampling
    if state.latest is None or state.hold is not None or time - state.latest <= grace:
        return state
    state = explained(counter, state)
    signs = tuple(sign for sign in state.reset_signs if sign not in TIMED)
    return replace(state, reset_signs=signs, due=None, latest=None, told=state.told if signs else None)


def with_final(state: CounterState, counts: int, written: datetime | None, at: Instant) -> CounterState:
    """Remember what the last total's tag shows. It is new where the value changed, or the device wrote it again."""
    known = state.final
    if known is None or (counts == known.counts and known.written is None):
        return replace(state, final=FinalTotal(counts, written, None if known is None else known.at))
    changed = counts != known.counts
    again = known.written is not None and written is not None and written > known.written
    if not changed and not again:
        return state
    unused = known.at is not None and known.at.seconds_since(state.last_at) > 0
    twice = unused and (known.twice or (changed and known.changed))
    changed = changed or (known.at is not None and known.changed)
    return replace(state, final=FinalTotal(counts, written, at, changed=changed, twice=twice))


def total_since(counter: Counter, state: CounterState, seen: Observation, room: Decimal | None) -> int | None:
    """What ran in all if this is a reset and the last total is right; None where there is none to be believed."""
    before = _ran_before(counter, state, seen, room)
    total = None if before is None else before + since_reset(counter, seen.raw)
    return total if before is not None and total is not None and before >= 0 and fits(total, room) else None


def reset(counter: Counter, state: CounterState, seen: Observation, room: Decimal | None) -> Decided:
    """A reset: a new epoch from where it begins; what ran before is exact by the last total, or a hole with bounds."""
    since = since_reset(counter, seen.raw)
    if not {RESTART, SESSION}.isdisjoint(state.reset_signs):
        state = replace(state, due=None, latest=None)  # when the device restarted nobody knows
    shown = reached(state, seen)
    came = _came_with(counter, state, shown)
    before = replace(seen, time=_ended(state, shown))
    found = _found_before(counter, state, before, room, since)
    begun = replace(
        state,
        epoch=state.epoch + 1,
        first_raw=counter.resets_to,
        last_raw=counter.resets_to,
        wraps=int(seen.raw < counter.resets_to),
        last_time=state.last_time if came is None else came[0],
        final=used(state),
    )
    if came is None:
        after, findings = book(counter, begun, seen, since, (Flag.RESET,))
        return after, (*found, *findings)
    after, findings = book(counter, begun, replace(seen, time=max(seen.time, came[1])), since, (Flag.RESET,))
    ran = (min(state.last_time, shown), shown)
    booked = [replace(one, until=max(one.until, came[1]), ran=ran) for one in findings if isinstance(one, Delta)]
    return after, (*found, *booked)


def _ended(state: CounterState, shown: datetime) -> datetime:
    """The last instant that may lie before the reset."""
    if state.due is None or state.latest is None:
        return shown
    return (state.latest if state.latest <= shown else min(state.due, shown)) - _INSTANT


def _came_with(counter: Counter, state: CounterState, shown: datetime) -> tuple[datetime, datetime] | None:
    """Between when and when the order, shift or day changed that reset it; None where none did, or it restarted too.

    It comes with the change, which may be told late. Of several changes any may have reset it, but for those that lie
    two sampling periods before the value was shown and no more: then it was the latest.
    """
    if state.due is None or state.latest is None:
        return None
    first = max(state.due, state.last_time)
    if state.due > shown:
        return first, max(first, state.latest)
    near = shown - first <= 2 * counter.sampling and first <= state.latest <= shown
    return (state.latest, state.latest) if near else (first, first)


def used(state: CounterState) -> FinalTotal | None:
    """The last total, once an epoch has ended: it tells of no later reset."""
    return state.final and replace(state.final, at=None)


def _found_before(
    counter: Counter, state: CounterState, until: Observation, room: Decimal | None, since: int
) -> tuple[Finding, ...]:
    """What ran between the last booked reading and the reset; it belongs to what was before the reset."""
    ran, final = _ran_before(counter, state, until, room), state.final
    last = counter.shows(state.last_raw)
    beside = since if state.due is None else 0  # what ran since the reset came after the change, and is no part of it

    def unseen(message: str, ran: int = 0) -> Hole:
        start, most = min(state.last_time, until.time), left_over(room, ran + since)
        return Hole(Cause.RESET, 0, most, start, until.time, message, ran + beside)

    if ran is None or final is None:
        message = f"reset ({', '.join(state.reset_signs)}): what ran between {last} and the reset was not seen"
        return (unseen(message),)
    message = f"reset after {last}, and the last total says {counter.shows(final.counts)}"
    if ran < 0:
        return (unseen(f"{message}: it is of another reset, and what ran before this one was not seen"),)
    if not fits(ran + since, room):
        said = f"as the last total {counter.shows(final.counts)} says"
        ways = [Way(0, "nothing more ran before the reset"), Way(ran, said)]
        return (doubt(counter, state, until, Cause.FINAL_TOTAL, ways=ways, message=message),)
    has_wrapped = final.counts < state.last_raw
    at_reset = replace(state, hold=None, wraps=state.wraps + int(has_wrapped))
    booked = book(counter, at_reset, replace(until, raw=final.counts), ran, (Flag.FINAL_TOTAL,))[1]
    if {RESTART, SESSION}.isdisjoint(state.reset_signs):
        return booked
    return (*booked, unseen(f"{message}: the device restarted too, and may have been reset twice", ran))


def _ran_before(counter: Counter, state: CounterState, seen: Observation, room: Decimal | None) -> int | None:
    """What the last total says of the time before the reset, negative where it cannot be; None without a new one.

    It lies below the last reading where the counter wrapped in between, if there was time for that.
    """
    final, seen_first = state.final, state.hold and (state.hold.began or state.hold.since)
    if final is None or final.at is None or final.twice:
        return None
    if not final.changed and (state.outage or not {RESTART, SESSION}.isdisjoint(state.reset_signs)):
        return None  # a device that starts writes again what it had: the total of some reset long ago
    if state.outage and fits(since_reset(counter, final.counts), room):
        return None  # another count may have come as far from zero, begun and ended unseen
    grace = Decimal(str((counter.settle + counter.sampling).total_seconds()))
    if (seen_first or seen.at).seconds_since(final.at) > grace:
        return None
    ran, modulus = final.counts - state.last_raw, counter.modulus
    return ran + modulus if ran < 0 and modulus is not None and fits(ran + modulus, room) else ran
