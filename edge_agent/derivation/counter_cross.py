"""A second counter of the same flow: it proves one candidate of a doubt, and says where the two part. Pure.

It never corrects: what it proves is booked from the counter's own values, and where the sums of a period differ by more
than the tolerance an exception says so (derivation.md, Counters and Flows).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from edge_agent.config.signals import Counter, CrossCheck
from edge_agent.derivation.counter_terms import Decided, Moved, fits, room_in
from edge_agent.derivation.findings import Delta, Doubt, Hole
from edge_agent.model.movement import Cause
from edge_agent.model.reading import Instant
from edge_agent.model.signal_state import CounterState, Second

_SAMPLES_APART = 2
"""Sampling periods that two readings of one flow may lie apart."""


def with_second(
    counter: Counter, check: CrossCheck, state: CounterState, value: Decimal, at: Instant, *, continuous: bool
) -> CounterState:
    """Take a reading of the second counter in; where it may have been reset or glitched, comparing begins anew."""
    known = state.second
    if known is None:
        return replace(state, second=_anew(counter, check, state, value, at))
    ran, elapsed = Fraction(value - known.value) * check.factor, at.seconds_since(known.at)
    room = room_in(counter, elapsed)
    followed = continuous or elapsed <= _SAMPLES_APART * _seconds(counter, check) + _settle(counter)
    is_sure = (known.seen and followed) or not fits(int(Fraction(value) * check.factor), room)
    if ran < 0 or not fits(int(ran), room) or not is_sure:
        return replace(state, second=_anew(counter, check, state, value, at))
    return replace(state, second=replace(known, value=value, at=at, seen=True))


def _anew(counter: Counter, check: CrossCheck, state: CounterState, value: Decimal, at: Instant) -> Second:
    """Nothing to compare with yet, but for a counter that has been read just now."""
    together = state.hold is None and at.seconds_since(state.last_at) <= _SAMPLES_APART * _seconds(counter, check)
    return Second(value, at, value if together else None, value if together else None, state.last_time)


def moved(counter: Counter, state: CounterState, at: Instant) -> Moved | None:
    """What the second counter says of the time since the last booked reading, in counts; None where it cannot."""
    check, second = counter.cross_check, state.second
    if check is None or second is None or second.base is None or not _is_current(counter, check, second, at):
        return None
    ran = Fraction(second.value - second.base) * check.factor
    slack = _tolerance(check, ran) + _skew(counter, check)
    return Moved(ran - slack, ran + slack)


def compared(counter: Counter, before: CounterState, decided: Decided, at: Instant, time: datetime) -> Decided:
    """Remember where the second counter stood at what was booked; state where the two part, once a period is over."""
    after, found = decided
    check, second = counter.cross_check, after.second
    if check is None or second is None:
        return after, found
    if (after.epoch, after.last_raw, after.last_at) != (before.epoch, before.last_raw, before.last_at):
        ran = sum(one.to_position - one.from_position for one in found if isinstance(one, Delta))
        second = replace(second, base=second.value, counted=second.counted + ran)
    if any(isinstance(one, Doubt | Hole) for one in found) or second.begun is None:
        second = replace(second, begun=second.value, counted=0, since=time)
    elif after.hold is None and time - second.since >= check.every and _is_current(counter, check, second, at):
        other = Fraction(second.value - second.begun) * check.factor
        slack = _tolerance(check, max(other, Fraction(second.counted))) + _skew(counter, check)
        if abs(other - second.counted) > slack:
            found = (*found, _parted(check, second, other, time))
        second = replace(second, begun=second.value, counted=0, since=time)
    return replace(after, second=second), found


def _parted(check: CrossCheck, second: Second, other: Fraction, time: datetime) -> Hole:
    message = f"{second.counted} were counted, and {check.tag} says {int(other)}: they part by more than the tolerance"
    most = max(int(other) - second.counted, 0)
    return Hole(Cause.CROSS_CHECK, 0, most, second.since, time, message, second.counted)


def _is_current(counter: Counter, check: CrossCheck, second: Second, at: Instant) -> bool:
    """Whether its last reading still stands: it comes from the same session, or just now."""
    if not second.seen:
        return False
    return check.tag.source == counter.tag.source or at.seconds_since(second.at) <= (
        _SAMPLES_APART * _seconds(counter, check)
    )


def _tolerance(check: CrossCheck, ran: Fraction) -> Fraction:
    return max(abs(ran) * check.share, Fraction(check.amount))


def _skew(counter: Counter, check: CrossCheck) -> Fraction:
    """What can run while one of them has been read and the other not yet."""
    room = room_in(counter, _SAMPLES_APART * _seconds(counter, check))
    return Fraction(0) if room is None else Fraction(room)


def _seconds(counter: Counter, check: CrossCheck) -> Decimal:
    return Decimal(str(max(counter.sampling, check.sampling).total_seconds()))


def _settle(counter: Counter) -> Decimal:
    return Decimal(str(counter.settle.total_seconds()))
