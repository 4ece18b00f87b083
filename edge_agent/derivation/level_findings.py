"""What a level's ratchet states: what was booked, what is doubted, what nobody could see. Pure.

What has run through an epoch is `lifted` - mark - first level, from levels alone; a refill lifts the mark by what came
in, so that nothing of it is ever taken for use.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil

from edge_agent.config.signals import PER_UNIT, Level
from edge_agent.derivation.findings import Delta, Doubt, Finding, Hole
from edge_agent.model.measured import Filling, LevelState
from edge_agent.model.movement import Cause, Flag
from edge_agent.model.state import EPOCH_LEAP

_MICROSECOND = timedelta(microseconds=1)
Decided = tuple[LevelState, tuple[Finding, ...]]


def at_most(max_rate: Fraction, elapsed: timedelta) -> int:
    """Positions that can be used up in `elapsed`."""
    return ceil(max_rate * Fraction(elapsed // _MICROSECOND, 10**6))


def text(spec: Level, positions: int) -> str:
    """A quantity for people, in the material's unit."""
    return f"{(Decimal(positions) / PER_UNIT).normalize():f} {spec.unit}"


def booked(spec: Level, state: LevelState, level: int, until: datetime) -> Decided:
    """All between the mark and `level` was used; the mark moves there."""
    found = Delta(
        epoch=state.epoch,
        from_position=state.position,
        to_position=state.lifted - level,
        since=min(state.mark_time, until),
        until=until,
        raw_before=state.raw_before,
        raw_after=state.raw,
        samples=state.samples,
        flags=(*state.flags, *((Flag.NET,) if spec.net else ())),
    )
    after = replace(state, mark=level, mark_time=until, raw_before=state.raw, samples=0, flags=())
    return after, (found,)


def flushed(spec: Level, state: LevelState, level: int, boundary: datetime) -> Decided:
    """At a change of the order or posting day: what was used so far belongs to what was before it.

    Less than the hysteresis may be trembling: it stays unbooked, and goes with what is used next.
    """
    found: tuple[Finding, ...] = ()
    if state.mark - level >= spec.hysteresis:
        state, found = booked(spec, state, level, boundary - _MICROSECOND)
    return replace(state, mark_time=boundary), found


def shifted(spec: Level, state: LevelState, by: int, since: datetime, until: datetime, *, cause: Cause) -> Decided:
    """The level moved `by` and nothing of that was use; what was used meanwhile nobody could see."""
    state = replace(
        state,
        mark=state.mark + by,
        lifted=state.lifted + by,
        raw_before=state.raw,
        anchor=(state.level, until),
        top=None,
    )
    way = "rose" if (by >= 0) is not spec.rises else "fell"
    message = f"{_WHY[cause]}: the contents {way} by {text(spec, abs(by))}; what ran meanwhile was not seen"
    return state, (_hole(spec, cause, since, until, message),)


def refilled(spec: Level, state: LevelState, by: int, since: datetime, until: datetime) -> Decided:
    """A rise that is no trembling: recognised by the level, announced or not."""
    return shifted(spec, replace(state, away=0), by, since, until, cause=Cause.REFILL)


def before_baseline(spec: Level, filling: Filling, until: datetime) -> tuple[Finding, ...]:
    """Where the level was lost sight of before its window was full: what ran since the first reading was not seen."""
    if filling.cause is None:
        return ()
    message = f"{_WHY[filling.cause]} before there was a baseline; what ran meanwhile was not seen"
    return (_hole(spec, filling.cause, filling.since, until, message),)


def unclipped(spec: Level, state: LevelState, before: int, since: datetime, until: datetime) -> Decided:
    """The sensor was at its end: a rise is no use, a fall is, and what ran meanwhile was not seen."""
    by = max(state.level - before, 0)
    state, holes = shifted(spec, state, by, since, until, cause=Cause.CLIPPED)
    fell = max(before - state.level, 0)
    (hole,) = holes
    if isinstance(hole, Hole) and hole.maximum is not None:
        hole = replace(hole, maximum=max(hole.maximum - fell, 0), seen=fell)
    if state.mark - state.level < spec.hysteresis:
        return state, (hole,)
    state, found = booked(spec, state, state.level, until)
    return state, (hole, *found)


def restored(spec: Level, state: LevelState, level: int, until: datetime) -> Decided:
    """After a restore nothing up to now is booked by itself (reliability.md, invariant 13)."""
    fell, credit = state.mark - level, max(state.level - state.mark, 0)
    state = replace(state, level=state.mark + min(max(-fell, 0), credit))
    message = f"the store was restored: booked down to {text(spec, abs(state.mark))}, shown is {text(spec, abs(level))}"
    if fell > 0:
        ways = [(0, "already booked before the restore"), (fell, f"{ran(spec)} since the restored baseline")]
        return doubted(spec, state, level, until, cause=Cause.RESTORED, ways=ways, message=message)
    begun = replace(new_epoch(state, level, level - (state.level - state.mark), until), restored=False)
    begun = replace(begun, epoch=state.epoch + EPOCH_LEAP)
    if -fell - credit < spec.refill_min:
        return begun, ()
    return begun, (_hole(spec, Cause.RESTORED, state.mark_time, until, message),)


def ran(spec: Level) -> str:
    """What a fall was (a rise, where that counts)."""
    return "was produced" if spec.rises else "was used"


def doubted(
    spec: Level,
    state: LevelState,
    here: int,
    time: datetime,
    *,
    cause: Cause,
    ways: list[tuple[int, str]],
    message: str,
) -> Decided:
    """The quantity is doubted: what was used before is booked, and a new epoch begins at `here`."""
    found: tuple[Finding, ...] = ()
    if state.level < state.mark:
        state, found = booked(spec, state, state.level, min(state.level_time, time))
    where = Delta(
        epoch=state.epoch,
        from_position=state.position,
        to_position=state.position,
        since=min(state.mark_time, time),
        until=time,
        raw_before=state.raw_before,
        raw_after=state.raw,
        samples=state.samples,
        flags=state.flags,
    )
    begun = new_epoch(state, here, here - (state.level - state.mark), time)
    if cause is Cause.RESTORED:
        begun = replace(begun, epoch=state.epoch + EPOCH_LEAP, restored=False)
    return begun, (*found, Doubt(cause, tuple(ways), where, message))


def new_epoch(state: LevelState, level: int, mark: int, time: datetime) -> LevelState:
    """The next epoch begins at `level`, with the mark there or a credit below it."""
    return replace(
        state,
        epoch=state.epoch + 1,
        first_raw=-mark,
        mark=mark,
        mark_time=time,
        lifted=0,
        level=level,
        level_time=time,
        raw_before=state.raw,
        anchor=(level, time),
        top=None,
        fall=None,
        filling=None,
        samples=0,
        flags=(),
    )


def other_unit(spec: Level, state: LevelState) -> Finding:
    """The material is booked in another unit from now on: what was not booked yet was less than the hysteresis."""
    message = f"the material is booked in {spec.unit} now, no longer in {state.unit}: what was not booked yet is left"
    return Hole(Cause.CONVERSION, 0, spec.hysteresis, state.mark_time, state.last_time, message)


_WHY = {
    Cause.REFILL: "refilled",
    Cause.PAUSED: "paused",
    Cause.TARE: "the scale was tared",
    Cause.CLIPPED: "the sensor was at its end",
    Cause.NOT_SEEN: "out of sight",
    Cause.FELL_TOO_FAST: "the container was exchanged",
}


def _hole(spec: Level, cause: Cause, since: datetime, until: datetime, message: str) -> Hole:
    most = None if spec.max_rate is None else at_most(spec.max_rate, until - since)
    return Hole(cause, 0, most, since, until, message)
