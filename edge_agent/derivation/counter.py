"""Totalizers: from raw values to deltas, doubts and holes (derivation.md, Counters: the two tables).

Everything here is in raw units and knows no order, material or event. A reading is booked at once only when it lies in
the band above the last one and nothing hints at a reset; anything else is held, compared with the value it left, and
decided once it has settled. The baseline always moves with the decision, so refusing one reading never refuses the
next.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from edge_agent.config.signals import Counter, Resets
from edge_agent.config.tagmap import Unproven
from edge_agent.derivation.findings import Delta, Doubt, Finding, Hole
from edge_agent.model.movement import Cause, Flag
from edge_agent.model.reading import Instant
from edge_agent.model.state import EPOCH_LEAP, CounterState, Hold
from edge_agent.model.value import value

RESTART = "restart"
"""Sign: the server's StartTime changed."""
SESSION = "session"
"""Sign: the session was lost and no StartTime can be compared; the weakest of them."""
EPOCH_TAG = "epoch-tag"
"""Sign: the epoch tag changed."""

_PATIENCE = 10
"""A held value that never comes to rest is decided after so many times `settle`."""


@value
class Observation:
    """A good reading of the counter. `elapsed` is seconds since the state's last booked reading (0 at the first).

    `elapsed_in_hold` is seconds since the last reading held, where one is. `same` says that the device shows the value
    that is booked already, stamped as it was then: nothing has run, however long nobody looked.
    """

    raw: int
    at: Instant
    time: datetime
    elapsed: Decimal
    elapsed_in_hold: Decimal = Decimal(0)
    same: bool = False


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
    if _settled(counter, hold, seen.at):
        return _decide(counter, unproven, held, seen)
    return held, ()


def settle(counter: Counter, unproven: Unproven, state: CounterState, now: Instant) -> Decided:
    """Let time pass: a held value that has settled needs no other reading, unless it was out of sight since."""
    hold = state.hold
    if hold is None or not hold.sure or not _settled(counter, hold, now):
        return state, ()
    return _decide(counter, unproven, state, Observation(hold.raw, hold.at, hold.time, hold.elapsed))


def out_of_sight(state: CounterState, *, outage: bool) -> CounterState:
    """The counter could not be followed for a while (an outage, or a value that is no reading).

    A held value has to be seen again: nobody knows what it did meanwhile.
    """
    hold = state.hold and replace(state.hold, sure=False)
    return replace(state, outage=state.outage or outage, skipped=state.skipped or int(not outage), hold=hold)


def stood_still(counter: Counter, state: CounterState, at: Instant, time: datetime) -> CounterState:
    """Before a continuous reading: the value stood, for else its change had been seen.

    Whose the delta is, is asked of the sampling period before the reading; its room grows for `settle` at the most
    (which leaves time to counters that a slow PLC task writes). After a break nothing vouches for the silence.
    """
    if state.hold is not None or state.outage or state.skipped:
        return state
    last_at, settle = state.last_at, counter.settle
    nanoseconds = int(settle.total_seconds() * 1_000_000_000)
    if at.boot_id == last_at.boot_id and at.monotonic_ns - last_at.monotonic_ns > nanoseconds:
        last_at = Instant(at.wall - settle, at.monotonic_ns - nanoseconds, at.boot_id)
    return replace(state, last_at=last_at, last_time=max(state.last_time, time - counter.sampling))


def with_sign(counter: Counter, state: CounterState, sign: str) -> CounterState:
    """Remember a sign of a reset, where the counter's `resets` lists what caused it."""
    heeded = sign == EPOCH_TAG or Resets.RESTART in counter.resets
    if not heeded or sign in state.reset_signs:
        return state
    return replace(state, reset_signs=(*state.reset_signs, sign))


def _room(counter: Counter, elapsed: Decimal) -> Decimal | None:
    """How far the counter can have run in `elapsed` seconds; None where no rate bounds it."""
    return None if counter.max_rate is None else counter.max_rate * elapsed + counter.burst


def _fits(raw: int, room: Decimal | None) -> bool:
    return room is None or raw <= room


def _within(base: int, raw: int, room: Decimal | None) -> bool:
    return raw >= base and _fits(raw - base, room)


def _held_on(counter: Counter, hold: Hold, seen: Observation, *, in_band: bool) -> Hold:
    """The hold with one more reading: the same plateau going on, or a new one beginning."""
    same = hold.sure and _within(hold.raw, seen.raw, _room(counter, seen.elapsed_in_hold))
    return Hold(
        since=hold.since if same else seen.at,
        raw=seen.raw,
        at=seen.at,
        time=seen.time,
        elapsed=seen.elapsed,
        samples=hold.samples + 1,
        left=hold.left or not in_band,
        began=(hold.began or hold.since) if hold.sure else None,
    )


def _settled(counter: Counter, hold: Hold, now: Instant) -> bool:
    """Whether the held value has come to rest, or never will: one that outruns `max_rate` is decided as well."""
    settle = Decimal(str(counter.settle.total_seconds()))
    return now.seconds_since(hold.since) >= settle or now.seconds_since(hold.began or hold.since) >= _PATIENCE * settle


def _restored(counter: Counter, state: CounterState, seen: Observation) -> Decided:
    """After a restore nothing up to now is booked by itself (reliability.md, invariant 13)."""
    delta = seen.raw - state.last_raw
    if delta == 0:
        return _advance(replace(state, restored=False), seen), ()
    ways = [(0, "already booked before the restore")]
    if delta > 0:
        ways.append((delta, "ran since the restored baseline"))
    elif counter.modulus is not None:
        ways.append((delta + counter.modulus, "wrapped since the restored baseline"))
    since_reset = _since_reset(counter, seen.raw)
    if state.reset_signs and since_reset > 0:
        ways.append((since_reset, "was reset and ran since"))
    message = f"the store was restored: {state.last_raw} was the baseline, {seen.raw} is shown"
    return _doubt(counter, state, seen, Cause.RESTORED, ways=ways, message=message)


def _progress(
    counter: Counter, state: CounterState, seen: Observation, room: Decimal | None, flags: tuple[Flag, ...] = ()
) -> Decided:
    """Within the band and no reset: the delta is booked, unless it ran unseen and that leaves it open."""
    delta = seen.raw - state.last_raw
    return _unseen(counter, state, seen, delta, room) or _book(counter, state, seen, delta, flags)


def _unseen(
    counter: Counter, state: CounterState, seen: Observation, first: int, room: Decimal | None
) -> Decided | None:
    """Review instead of booking what ran unseen: several wraps fit, or it exceeds `review_over`."""
    modulus = counter.modulus
    unseen = (state.outage or state.skipped) and not seen.same
    if unseen and modulus is not None and room is not None and room >= modulus:
        ways = _turns(counter, first, room, "ran unseen")
        message = f"unseen for {seen.elapsed:.1f} s: whole turns of {modulus} fit"
        return _doubt(counter, state, seen, Cause.SEVERAL_WRAPS, ways=ways, message=message)
    if state.outage and counter.review_over is not None and first > counter.review_over:
        ways = [(first, "ran during the outage"), (0, "did not")]
        message = f"{first} ran during the outage, more than review_over {counter.review_over}"
        return _doubt(counter, state, seen, Cause.REVIEW_OVER, ways=ways, message=message)
    return None


def _turns(counter: Counter, first: int, room: Decimal | None, why: str) -> list[tuple[int, str]]:
    """`first`, and with each number of whole turns more that fits, at most eight in all."""
    more = 0 if counter.modulus is None or room is None else int((room - first) // counter.modulus)
    turns = range(1, min(more, 7) + 1)
    return [(first, why), *((first + n * (counter.modulus or 0), f"{why}, {n} whole turns more") for n in turns)]


def _since_reset(counter: Counter, raw: int) -> int:
    """What ran since a reset to zero: past its largest value a signed counter shows negative ones."""
    return raw if raw >= 0 else raw + (counter.modulus or 0)


def _signed(counter: Counter, state: CounterState, raw: int, room: Decimal | None) -> bool:
    """Whether there is a sign of a reset, and time enough to show this value after one."""
    since_reset = _since_reset(counter, raw)
    return bool(state.reset_signs) and since_reset >= 0 and _fits(since_reset, room)


def _decide_in_band(
    counter: Counter, unproven: Unproven, state: CounterState, seen: Observation, room: Decimal | None
) -> Decided:
    """The value is where it would be had nothing happened: a glitch, a retained value, or a reset that climbed back."""
    delta, since_reset = seen.raw - state.last_raw, _since_reset(counter, seen.raw)
    flags = (Flag.GLITCH,) if state.hold is not None and state.hold.left else ()
    if not _signed(counter, state, seen.raw, room):
        return _progress(counter, state, seen, room, flags)
    weak = set(state.reset_signs) == {SESSION}
    if weak and unproven is Unproven.BOOK:
        return _progress(counter, state, seen, room, (*flags, Flag.UNPROVEN))
    ways = [*_turns(counter, delta, room, "ran on"), (since_reset, "was reset and ran since")]
    if len(ways) == 2 and delta == since_reset:
        return _reset(counter, state, seen, room)
    cause = Cause.UNPROVEN if weak else Cause.RESET_OR_GLITCH
    message = f"{state.last_raw} → {seen.raw} with a sign of a reset ({', '.join(state.reset_signs)})"
    return _doubt(counter, state, seen, cause, ways=ways, message=message)


def _decide(counter: Counter, unproven: Unproven, state: CounterState, seen: Observation) -> Decided:
    """The held value has settled (derivation.md, the second table)."""
    room = _room(counter, seen.elapsed)
    if _within(state.last_raw, seen.raw, room):
        return _decide_in_band(counter, unproven, state, seen, room)
    delta = seen.raw - state.last_raw
    if delta > 0 and not _signed(counter, state, seen.raw, room):
        ways = [(0, "was preset or jumped"), (delta, "ran that fast")]
        message = f"{state.last_raw} → {seen.raw} is more than {room} in {seen.elapsed:.1f} s"
        return _doubt(counter, state, seen, Cause.ROSE_TOO_FAST, ways=ways, message=message)
    return _decide_fallen(counter, state, seen, room)


def _decide_fallen(counter: Counter, state: CounterState, seen: Observation, room: Decimal | None) -> Decided:
    """Wrapped, reset, or neither; a signed counter comes up to zero by a reset while it shows negative values."""
    modulus, since_reset = counter.modulus, _since_reset(counter, seen.raw)
    wrap = None if modulus is None else modulus + seen.raw - state.last_raw
    wrap_fits = wrap is not None and _fits(wrap, room)
    signed = _signed(counter, state, seen.raw, room)
    if wrap is not None and wrap_fits and not state.reset_signs:
        wrapped = replace(state, wraps=state.wraps + 1)
        return _unseen(counter, state, seen, wrap, room) or _book(counter, wrapped, seen, wrap, (Flag.WRAPPED,))
    if signed and not wrap_fits:
        return _reset(counter, state, seen, room)
    signs = f" with a sign of a reset ({', '.join(state.reset_signs)})" if state.reset_signs else ""
    message = f"fell from {state.last_raw} to {seen.raw}{signs}"
    if signed and wrap is not None:
        ways = [*_turns(counter, wrap, room, "wrapped"), (since_reset, "was reset and ran since")]
        return _doubt(counter, state, seen, Cause.RESET_OR_WRAP, ways=ways, message=message)
    ways = [(0, "was restored or preset")]
    if since_reset > 0:
        ways.append((since_reset, "was reset and ran since"))
    if wrap is not None:
        ways.append((wrap, "wrapped"))
    return _doubt(counter, state, seen, Cause.FELL, ways=ways, message=message)


def _reset(counter: Counter, state: CounterState, seen: Observation, room: Decimal | None) -> Decided:
    """A signed reset: a new epoch from zero; what ran before the reset is a hole with bounds."""
    since_reset = _since_reset(counter, seen.raw)
    hole = Hole(
        Cause.RESET,
        0,
        None if room is None else int(room) - since_reset,
        min(state.last_time, seen.time),
        seen.time,
        f"reset ({', '.join(state.reset_signs)}): what ran between {state.last_raw} and the reset was not seen",
        since_reset,
    )
    begun = replace(state, epoch=state.epoch + 1, first_raw=0, last_raw=0, wraps=int(seen.raw < 0))
    after, findings = _book(counter, begun, seen, since_reset, (Flag.RESET,))
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
        flags=(Flag.SPANNED_OUTAGE,) if state.outage else (),
    )
    begun = CounterState(
        state.epoch + (EPOCH_LEAP if cause is Cause.RESTORED else 1), seen.raw, seen.raw, 0, seen.at, seen.time
    )
    return begun, (Doubt(cause, tuple(ways), where, message),)
