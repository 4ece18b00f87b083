"""Totalizers: from raw values to deltas, doubts and holes (derivation.md, Counters: the two tables).

Everything here is in raw units and knows no order, material or event. A reading is booked at once only when it lies in
the band above the last one and nothing hints at a reset; anything else is held, compared with the value it left, and
decided once it has settled. The baseline always moves with the decision, so refusing one reading never refuses the
next.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from edge_agent.config.tagmap import Counter, Resets, Unproven
from edge_agent.model.movement import Cause, Flag
from edge_agent.model.reading import Instant
from edge_agent.model.state import CounterState, Hold

RESTART = "restart"
"""Sign: the server's StartTime changed."""
SESSION = "session"
"""Sign: the session was lost and no StartTime can be compared; the weakest of them."""
EPOCH_TAG = "epoch-tag"
"""Sign: the epoch tag changed."""


@dataclass(frozen=True, slots=True)
class Observation:
    """A good reading of the counter. `elapsed` is seconds since the state's last booked reading (0 at the first)."""

    raw: int
    at: Instant
    time: datetime
    elapsed: Decimal
    elapsed_in_hold: Decimal
    continuous: bool


@dataclass(frozen=True, slots=True)
class Delta:
    """Units that ran through the counter for certain, between two positions of one epoch."""

    epoch: int
    from_position: int
    to_position: int
    since: datetime
    until: datetime
    raw_before: int
    raw_after: int
    samples: int
    continuous: bool
    flags: tuple[Flag, ...] = ()


@dataclass(frozen=True, slots=True)
class Doubt:
    """A quantity that the evidence does not prove: candidates in raw units, each with its reason."""

    cause: Cause
    candidates: tuple[tuple[int, str], ...]
    at: Delta
    """Where it happened: the epoch that ended, at the position it left (`from` = `to`)."""
    message: str


@dataclass(frozen=True, slots=True)
class Hole:
    """Units that nobody could see, within bounds in raw units (`maximum` None: unbounded)."""

    cause: Cause
    minimum: int
    maximum: int | None
    since: datetime
    until: datetime
    epoch: int
    message: str


Finding = Delta | Doubt | Hole
Decided = tuple[CounterState, tuple[Finding, ...]]


def position(counter: Counter, state: CounterState) -> int:
    """The last booked reading, unrolled within its epoch."""
    return state.last_raw + state.wraps * (counter.modulus or 0)


def baseline(seen: Observation) -> CounterState:
    """The first reading ever: nothing is booked."""
    return CounterState(1, seen.raw, seen.raw, 0, seen.at, seen.time)


def observe(counter: Counter, unproven: Unproven, state: CounterState, seen: Observation) -> Decided:
    """Take one good reading in."""
    if state.restored:
        return _restored(counter, state, seen)
    room = _room(counter, seen.elapsed)
    in_band = _within(state.last_raw, seen.raw, room)
    if state.hold is None:
        if in_band and not state.reset_signs:
            return _progress(counter, state, seen, room)
        hold = Hold(seen.at, seen.raw, seen.at, seen.time, seen.elapsed, 1, left=not in_band)
    else:
        hold = _held_on(counter, state.hold, seen, in_band=in_band)
    if in_band and hold.left:
        return _decide_in_band(counter, unproven, replace(state, hold=hold), seen, room)
    held = replace(state, hold=hold)
    if seen.at.seconds_since(hold.since) >= _settle(counter):
        return _decide(counter, unproven, held, seen)
    return held, ()


def settle(counter: Counter, unproven: Unproven, state: CounterState, now: Instant) -> Decided:
    """Let time pass: a held value that has settled is decided without another reading."""
    hold = state.hold
    if hold is None or now.seconds_since(hold.since) < _settle(counter):
        return state, ()
    seen = Observation(hold.raw, hold.at, hold.time, hold.elapsed, Decimal(0), continuous=False)
    return _decide(counter, unproven, state, seen)


def with_sign(counter: Counter, state: CounterState, sign: str) -> CounterState:
    """Remember a sign of a reset, where the counter's `resets` lists what caused it."""
    heeded = sign == EPOCH_TAG or Resets.RESTART in counter.resets
    if not heeded or sign in state.reset_signs:
        return state
    return replace(state, reset_signs=(*state.reset_signs, sign))


def _settle(counter: Counter) -> Decimal:
    return Decimal(str(counter.settle.total_seconds()))


def _room(counter: Counter, elapsed: Decimal) -> Decimal | None:
    """How far the counter can have run in `elapsed` seconds; None where no rate bounds it."""
    return None if counter.max_rate is None else counter.max_rate * elapsed + counter.burst


def _fits(raw: int, room: Decimal | None) -> bool:
    return room is None or raw <= room


def _within(base: int, raw: int, room: Decimal | None) -> bool:
    return raw >= base and _fits(raw - base, room)


def _held_on(counter: Counter, hold: Hold, seen: Observation, *, in_band: bool) -> Hold:
    """The hold with one more reading: the same plateau going on, or a new one beginning."""
    same = _within(hold.raw, seen.raw, _room(counter, seen.elapsed_in_hold))
    return Hold(
        since=hold.since if same else seen.at,
        raw=seen.raw,
        at=seen.at,
        time=seen.time,
        elapsed=seen.elapsed,
        samples=hold.samples + 1,
        left=hold.left or not in_band,
    )


def _restored(counter: Counter, state: CounterState, seen: Observation) -> Decided:
    """After a restore nothing up to now is booked by itself (reliability.md, invariant 13)."""
    ways = [(0, "already booked before the restore")]
    delta = seen.raw - state.last_raw
    if delta > 0:
        ways.append((delta, "ran since the restored baseline"))
    elif delta < 0 and counter.modulus is not None:
        ways.append((delta + counter.modulus, "wrapped since the restored baseline"))
    message = f"the store was restored: {state.last_raw} was the baseline, {seen.raw} is shown"
    if delta == 0:
        return _advance(replace(state, restored=False), seen), ()
    return _doubt(counter, state, seen, Cause.RESTORED, ways=ways, message=message)


def _progress(
    counter: Counter, state: CounterState, seen: Observation, room: Decimal | None, flags: tuple[Flag, ...] = ()
) -> Decided:
    """Within the band and no reset: the delta is booked, unless an outage leaves room for several wraps."""
    delta = seen.raw - state.last_raw
    if state.outage and delta:
        doubt = _after_outage(counter, state, seen, delta, room)
        if doubt is not None:
            return doubt
    return _book(counter, state, seen, delta, flags)


def _after_outage(
    counter: Counter, state: CounterState, seen: Observation, first: int, room: Decimal | None
) -> Decided | None:
    """Review instead of booking: several wraps fit into the outage, or the delta exceeds `review_over`."""
    modulus = counter.modulus
    if modulus is not None and room is not None and room >= modulus:
        ways = _whole_turns(first, modulus, room)
        message = f"unseen for {seen.elapsed:.1f} s: {len(ways)} or more turns of {modulus} fit"
        return _doubt(counter, state, seen, Cause.SEVERAL_WRAPS, ways=ways, message=message)
    if counter.review_over is not None and first > counter.review_over:
        ways = [(first, "ran during the outage"), (0, "did not")]
        message = f"{first} ran during the outage, more than review_over {counter.review_over}"
        return _doubt(counter, state, seen, Cause.REVIEW_OVER, ways=ways, message=message)
    return None


def _whole_turns(first: int, modulus: int, room: Decimal) -> list[tuple[int, str]]:
    """At most eight candidates, one for each number of whole turns that fits."""
    turns = range(min(8, int((room - first) // modulus) + 1))
    return [(first + turn * modulus, f"{turn} whole turns unseen") for turn in turns]


def _decide_in_band(
    counter: Counter, unproven: Unproven, state: CounterState, seen: Observation, room: Decimal | None
) -> Decided:
    """The value is where it would be had nothing happened: a glitch, a retained value, or a reset that climbed back."""
    delta = seen.raw - state.last_raw
    flags = (Flag.GLITCH,) if state.hold is not None and state.hold.left else ()
    if not state.reset_signs or seen.raw == delta or not _fits(seen.raw, room):
        return _progress(counter, state, seen, room, flags)
    weak = set(state.reset_signs) == {SESSION}
    if weak and unproven is Unproven.BOOK:
        return _book(counter, state, seen, delta, (*flags, Flag.UNPROVEN))
    ways = [(delta, "ran on"), (seen.raw, "was reset and ran since")]
    cause = Cause.UNPROVEN if weak else Cause.RESET_OR_GLITCH
    message = f"{state.last_raw} → {seen.raw} with a sign of a reset ({', '.join(state.reset_signs)})"
    return _doubt(counter, state, seen, cause, ways=ways, message=message)


def _decide(counter: Counter, unproven: Unproven, state: CounterState, seen: Observation) -> Decided:
    """The held value has settled (derivation.md, the second table)."""
    room = _room(counter, seen.elapsed)
    if _within(state.last_raw, seen.raw, room):
        return _decide_in_band(counter, unproven, state, seen, room)
    delta = seen.raw - state.last_raw
    if delta > 0:
        ways = [(0, "was preset or jumped"), (delta, "ran that fast")]
        message = f"{state.last_raw} → {seen.raw} is more than {room} in {seen.elapsed:.1f} s"
        return _doubt(counter, state, seen, Cause.ROSE_TOO_FAST, ways=ways, message=message)
    return _decide_below(counter, state, seen, room)


def _decide_below(counter: Counter, state: CounterState, seen: Observation, room: Decimal | None) -> Decided:
    modulus = counter.modulus
    wrap = None if modulus is None else modulus + seen.raw - state.last_raw
    wrap_fits = wrap is not None and _fits(wrap, room)
    reset_fits = seen.raw >= 0 and _fits(seen.raw, room)
    if wrap is not None and wrap_fits and not state.reset_signs:
        if state.outage:
            doubt = _after_outage(counter, state, seen, wrap, room)
            if doubt is not None:
                return doubt
        return _book(counter, replace(state, wraps=state.wraps + 1), seen, wrap, (Flag.WRAPPED,))
    if state.reset_signs and reset_fits and not wrap_fits:
        return _reset(counter, state, seen, room)
    signs = f" with a sign of a reset ({', '.join(state.reset_signs)})" if state.reset_signs else ""
    message = f"fell from {state.last_raw} to {seen.raw}{signs}"
    if state.reset_signs and reset_fits and wrap is not None:
        ways = [(wrap, "wrapped"), (seen.raw, "was reset and ran since")]
        return _doubt(counter, state, seen, Cause.RESET_OR_WRAP, ways=ways, message=message)
    ways = [(0, "was restored or preset")]
    if seen.raw > 0:
        ways.append((seen.raw, "was reset and ran since"))
    if wrap is not None:
        ways.append((wrap, "wrapped"))
    return _doubt(counter, state, seen, Cause.FELL, ways=ways, message=message)


def _reset(counter: Counter, state: CounterState, seen: Observation, room: Decimal | None) -> Decided:
    """A signed reset: a new epoch from zero; what ran before the reset is a hole with bounds."""
    unseen = None if room is None else int(room) - seen.raw
    hole = Hole(
        Cause.RESET,
        0,
        unseen,
        state.last_time,
        seen.time,
        state.epoch,
        f"reset ({', '.join(state.reset_signs)}): what ran between {state.last_raw} and the reset was not seen",
    )
    begun = replace(state, epoch=state.epoch + 1, first_raw=0, last_raw=0, wraps=0)
    after, findings = _book(counter, begun, seen, seen.raw, (Flag.RESET,))
    return after, (hole, *findings)


def _book(counter: Counter, state: CounterState, seen: Observation, delta: int, flags: tuple[Flag, ...]) -> Decided:
    """Move the baseline to what was seen and state the delta; `state.wraps` already counts a wrap of this delta."""
    after = _advance(state, seen)
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
        until=seen.time,
        raw_before=state.last_raw,
        raw_after=seen.raw,
        samples=1 + held,
        continuous=seen.continuous and state.hold is None,
        flags=all_flags,
    )
    return after, (found,)


def _advance(state: CounterState, seen: Observation) -> CounterState:
    """The baseline at what was seen, all doubts settled."""
    return CounterState(state.epoch, state.first_raw, seen.raw, state.wraps, seen.at, seen.time)


def _doubt(
    counter: Counter,
    state: CounterState,
    seen: Observation,
    cause: Cause,
    *,
    ways: list[tuple[int, str]],
    message: str,
) -> Decided:
    """The quantity is doubted: the epoch ends at the value it left, a new one begins at the settled value."""
    left = position(counter, state)
    where = Delta(
        epoch=state.epoch,
        from_position=left,
        to_position=left,
        since=min(state.last_time, seen.time),
        until=seen.time,
        raw_before=state.last_raw,
        raw_after=seen.raw,
        samples=state.hold.samples if state.hold is not None else 1,
        continuous=False,
        flags=(Flag.SPANNED_OUTAGE,) if state.outage else (),
    )
    begun = CounterState(state.epoch + 1, seen.raw, seen.raw, 0, seen.at, seen.time)
    return begun, (Doubt(cause, tuple(ways), where, message),)
