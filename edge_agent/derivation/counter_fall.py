"""Signs of a reset that come late: after the fall that they explain was decided without them. Pure.

Each reset has its signs, one of a kind. So the first that comes soon after a fall which lacks it is that fall's, and
tells of no other: what ran since is counted already, or in review (derivation.md, "nothing counted twice"). Unless the
counter falls again while the sign is weighed, or was out of sight: then it may have been reset once more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from edge_agent.config.signals import Counter
from edge_agent.derivation.counter_terms import EPOCH_TAG, TIMED, fits, room_in, since_reset
from edge_agent.derivation.findings import Delta, Finding
from edge_agent.model.movement import Flag, Review
from edge_agent.model.reading import Instant
from edge_agent.model.signal_state import CounterState, Fall

_LATE = 3
"""A sign of a fall comes within so many times `settle` after its decision."""
_LATE_SIGNS = TIMED | {EPOCH_TAG}
"""Signs that may come late; one of a new session tells of what nobody saw, which was after the fall."""


def late_for(counter: Counter, state: CounterState) -> Fall | None:
    """The fall that what `reset_signs` tell of belongs to; None where they are signs of what is seen now."""
    signs, told = state.reset_signs, state.told
    if not signs or told is None or not _LATE_SIGNS.issuperset(signs):
        return None
    before, after = counter.settle + counter.sampling, _LATE * counter.settle + counter.sampling
    mine = (one for one in state.falls if one.followed and one.since - before <= told <= one.until + after)
    return next((one for one in mine if set(signs).isdisjoint(one.signs)), None)


def explained(counter: Counter, state: CounterState) -> CounterState:
    """The signs given to the fall that they are late for."""
    late = late_for(counter, state)
    if late is None:
        return state
    signed = replace(late, signs=(*late.signs, *state.reset_signs))
    falls = tuple(signed if one is late else one for one in state.falls)
    return replace(state, falls=falls, reset_signs=(), due=None, latest=None, told=None)


def may_be_of(state: CounterState) -> str:
    """For people: the review of the last fall, which the signs may be of as well; nothing where there is none."""
    last = state.falls[-1] if state.falls else None
    if last is None or last.review is None or not set(state.reset_signs).isdisjoint(last.signs):
        return ""
    return f"; if that is of the fall in review {last.review}, nothing was reset since, and it ran on"


def remembered(
    counter: Counter, before: CounterState, after: CounterState, found: tuple[Finding, ...], now: Instant
) -> CounterState:
    """The state after a decision, with the fall that it was about, if a reset can have brought the value.

    Where its signs may be those of an earlier fall, it still lacks its own.
    """
    if after.epoch == before.epoch and after.wraps == before.wraps:
        return after
    ran = since_reset(counter, after.last_raw)
    if ran < 0 or not fits(ran, room_in(counter, now.seconds_since(before.last_at))):
        return after
    wrapped = (one for one in found if isinstance(one, Delta) and Flag.WRAPPED in one.flags)
    fall = Fall(
        since=min(before.last_time, after.last_time),
        until=after.last_time,
        ran=ran,
        signs=() if late_for(counter, before) is not None else before.reset_signs,
        wrap=sum(one.to_position - one.from_position for one in wrapped),
    )
    return replace(after, falls=(*_recent(counter, after, fall.until), fall))


def _recent(counter: Counter, state: CounterState, until: datetime) -> tuple[Fall, ...]:
    """Those whose signs may still come."""
    return tuple(one for one in state.falls if until - one.until <= _LATE * counter.settle + counter.sampling)


def in_review(state: CounterState, opened: Sequence[Review]) -> CounterState:
    """With the review of the last fall's quantity among those that were `opened` for it."""
    name = next((one.id for one in opened if one.quantity_doubted), None)
    return replace(state, falls=(*state.falls[:-1], replace(state.falls[-1], review=name)))


def newly_signed(before: CounterState, after: CounterState) -> Iterator[tuple[Fall, str | None]]:
    """Falls whose signs have come late, each with what a person should know where it was decided without any."""
    for had, fall in zip(before.falls, after.falls, strict=False):
        late = fall.signs[len(had.signs) :]
        if late and (had.since, had.until) == (fall.since, fall.until):
            yield fall, None if had.signs else _said(fall, ", ".join(late))


def _said(fall: Fall, signs: str) -> str | None:
    which = f"a sign of a reset ({signs}) came late"
    if fall.review is not None:
        return f"{which}, for the fall in review {fall.review}: if it was reset, {fall.ran} counts ran since"
    if fall.wrap:
        return (
            f"{which}, for a fall that was booked as a wrap, with {fall.wrap} counts: if it was reset, {fall.ran} ran "
            "since, and what ran before was not seen; then correct it with `edge-agent correct`"
        )
    return None
