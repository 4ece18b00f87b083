"""What counters are reckoned with: readings, room, positions, the baseline. Everything is in counts and seconds."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from enum import Enum, auto
from fractions import Fraction
from typing import NamedTuple

from edge_agent.config.signals import Counter, Resets
from edge_agent.derivation.findings import Delta, Doubt, Finding
from edge_agent.model.movement import Cause, Flag
from edge_agent.model.reading import Instant
from edge_agent.model.signal_state import CounterState
from edge_agent.model.value import value

RESTART = "restart"
"""Sign: the server's StartTime changed."""
SESSION = "session"
"""Sign: the session was lost and no StartTime can be compared; the weakest of them."""
EPOCH_TAG = "epoch-tag"
"""Sign: the epoch tag changed."""
TIMED = frozenset({Resets.ORDER.value, Resets.SHIFT.value, Resets.DAY.value})
"""Signs that come at a known instant: the order, shift or posting day changed."""


class Moved(NamedTuple):
    """What a second counter says has run since the last booked reading: between these counts."""

    least: Fraction
    most: Fraction


class Kind(Enum):
    """How a doubtful quantity may have come about."""

    RAN = auto()
    RESET = auto()
    PRESET = auto()


class Way(NamedTuple):
    """One candidate of a doubt."""

    counts: int
    why: str
    kind: Kind = Kind.RAN


@value
class Observation:
    """A good reading of the counter. `elapsed` is seconds since the state's last booked reading (0 at the first).

    `elapsed_in_hold` is seconds since the last reading held, where one is. `same` says that the device shows the value
    that is booked already, stamped as it was then: nothing has run, however long nobody looked. `moved` is what a
    second counter says.
    """

    raw: int
    at: Instant
    time: datetime
    elapsed: Decimal
    elapsed_in_hold: Decimal = Decimal(0)
    same: bool = False
    moved: Moved | None = None
    continuous: bool = False


Decided = tuple[CounterState, tuple[Finding, ...]]


def position(counter: Counter, state: CounterState) -> int:
    """The last booked reading, unrolled within its epoch."""
    return state.last_raw + state.wraps * (counter.modulus or 0)


def at_position(counter: Counter, state: CounterState, reached: int) -> CounterState:
    """The state at another position of its epoch, as the device showed it there."""
    raw, wraps = reached - state.wraps * (counter.modulus or 0), state.wraps
    if counter.wraps_at is not None and raw >= counter.wraps_at:
        raw, wraps = raw - (counter.modulus or 0), wraps + 1
    elif counter.wraps_at is not None and raw < min(counter.wraps_to, 0):
        raw, wraps = raw + (counter.modulus or 0), wraps - 1
    return replace(state, last_raw=raw, wraps=wraps)


def room_in(counter: Counter, elapsed: Decimal) -> Decimal | None:
    """How far the counter can have run in `elapsed` seconds; None where no rate bounds it."""
    return None if counter.max_rate is None else counter.max_rate * elapsed + counter.burst


def fits(counts: int, room: Decimal | None) -> bool:
    """Whether so much can have run."""
    return room is None or counts <= room


def within(base: int, raw: int, room: Decimal | None) -> bool:
    """Whether `raw` lies in the band above `base`."""
    return raw >= base and fits(raw - base, room)


def left_over(room: Decimal | None, counts: int) -> int | None:
    """What else can have run beside `counts`; None where nothing bounds it."""
    return None if room is None else max(int(room) - counts, 0)


def since_reset(counter: Counter, raw: int) -> int:
    """What ran since a reset; past its largest value a counter that wraps shows ones below its first."""
    since = raw - counter.resets_to
    if counter.is_both_ways:
        return abs(since)
    return since if since >= 0 else since + (counter.modulus or 0)


def signed(counter: Counter, state: CounterState, raw: int, room: Decimal | None) -> bool:
    """Whether there is a sign of a reset, and time enough to show this value after one."""
    since = since_reset(counter, raw)
    return bool(state.reset_signs) and since >= 0 and fits(since, room)


def reached(state: CounterState, seen: Observation) -> datetime:
    """When the value that was seen was shown first: what ran had run by then, however long it was held since."""
    hold = state.hold
    if hold is None or (hold.raw, hold.time) != (seen.raw, seen.time):
        return seen.time
    return max(hold.reached, min(state.last_time, seen.time))


def ran_in_sight(state: CounterState) -> int:
    """What ran while the held value was watched: all that is certain where another value was put there."""
    return 0 if state.hold is None else state.hold.raw - state.hold.first


def settled_at(state: CounterState, seen: Observation) -> CounterState:
    """The baseline at what was seen, all doubts settled."""
    return replace(
        state,
        last_raw=seen.raw,
        last_at=seen.at,
        last_time=seen.time,
        reset_signs=(),
        due=None,
        latest=None,
        told=None,
        outage=False,
        skipped=0,
        restored=False,
        hold=None,
        beyond=replace(state.beyond, ran_to=None) if state.beyond is not None and state.beyond.sure else None,
    )


def book(counter: Counter, state: CounterState, seen: Observation, delta: int, flags: tuple[Flag, ...]) -> Decided:
    """Move the baseline to what was seen and state the delta; `state.wraps` already counts a wrap of this delta."""
    after = settled_at(state, seen)
    if delta == 0:
        return after, ()
    until = position(counter, after)
    held = state.hold.samples - 1 if state.hold is not None else 0
    all_flags = (
        *flags,
        *((Flag.SPANNED_OUTAGE,) if state.outage else ()),
        *((Flag.SKIPPED_READINGS,) if state.skipped else ()),
        *((Flag.WALL_CLOCK_ELAPSED,) if seen.at.boot_id != state.last_at.boot_id else ()),
    )
    found = Delta(
        epoch=state.epoch,
        from_position=until - delta,
        to_position=until,
        since=min(state.last_time, seen.time),
        until=reached(state, seen),
        raw_before=counter.shows(state.last_raw),
        raw_after=counter.shows(seen.raw),
        samples=1 + held,
        flags=all_flags,
    )
    return after, (found,)


def doubt(
    counter: Counter, state: CounterState, seen: Observation, cause: Cause, *, ways: list[Way], message: str
) -> Doubt:
    """The quantity between the last booked reading and what was seen is open."""
    left = position(counter, state)
    where = Delta(
        epoch=state.epoch,
        from_position=left,
        to_position=left,
        since=min(state.last_time, seen.time),
        until=reached(state, seen),
        raw_before=counter.shows(state.last_raw),
        raw_after=counter.shows(seen.raw),
        samples=state.hold.samples if state.hold is not None else 1,
        flags=(Flag.SPANNED_OUTAGE,) if state.outage else (),
    )
    return Doubt(cause, tuple((way.counts, way.why) for way in ways), where, message)
