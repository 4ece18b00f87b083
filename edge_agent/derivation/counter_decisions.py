"""What a settled value means: the second counter table of derivation.md, outages and restores."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from edge_agent.config.signals import Counter
from edge_agent.config.tagmap import Unproven
from edge_agent.derivation.counter_beyond import is_disproved, surely, unseen_beyond, ways_down
from edge_agent.derivation.counter_fall import explained, late_for, may_be_of
from edge_agent.derivation.counter_reset import reset, total_since, used
from edge_agent.derivation.counter_terms import (
    SESSION,
    Decided,
    Kind,
    Moved,
    Observation,
    Way,
    book,
    doubt,
    fits,
    left_over,
    ran_in_sight,
    reached,
    room_in,
    settled_at,
    signed,
    since_reset,
    within,
)
from edge_agent.derivation.findings import Doubt, Hole
from edge_agent.model.movement import Cause, Flag
from edge_agent.model.signal_state import CounterState
from edge_agent.model.state import EPOCH_LEAP

_MOST_WAYS = 8
"""Candidates of one doubt that differ by whole turns; where more would fit, the list says so by being as long."""
_FOR_A_PERSON = frozenset({Cause.RESTORED, Cause.REVIEW_OVER})
"""Doubts that no second counter settles."""


def progress(
    counter: Counter, state: CounterState, seen: Observation, room: Decimal | None, flags: tuple[Flag, ...] = ()
) -> Decided:
    """Within the band and no reset: the delta is booked, unless it ran unseen and that leaves it open."""
    delta = seen.raw - state.last_raw
    return _unseen(counter, state, seen, delta, room) or book(counter, state, seen, delta, flags)


def restored(counter: Counter, state: CounterState, seen: Observation) -> Decided:
    """After a restore nothing up to now is booked by itself (reliability.md, invariant 13)."""
    delta = seen.raw - state.last_raw
    if delta == 0:
        return settled_at(replace(state, restored=False), seen), ()
    ways = [Way(0, "already booked before the restore")]
    if delta > 0:
        ways.append(Way(delta, "ran since the restored baseline"))
    elif counter.modulus is not None:
        ways.append(Way(delta + counter.modulus, "wrapped since the restored baseline"))
    since = since_reset(counter, seen.raw)
    if state.reset_signs and since > 0:
        ways.append(Way(since, "was reset and ran since"))
    last, now = counter.shows(state.last_raw), counter.shows(seen.raw)
    message = f"the store was restored: {last} was the baseline, {now} is shown"
    return _doubt(counter, state, seen, Cause.RESTORED, ways=ways, message=message)


def decide(counter: Counter, unproven: Unproven, state: CounterState, seen: Observation) -> Decided:
    """The held value has settled (derivation.md, the second table)."""
    room = room_in(counter, seen.elapsed)
    if within(state.last_raw, seen.raw, room):
        return decide_in_band(counter, unproven, state, seen, room)
    delta = seen.raw - state.last_raw
    if delta > 0 and not signed(counter, state, seen.raw, room):
        ways = [_preset_way(state, "was preset or jumped"), Way(delta, "ran that fast")]
        message = f"{_step(counter, state, seen)} is more than {room} in {seen.elapsed:.1f} s"
        return _doubt(counter, state, seen, Cause.ROSE_TOO_FAST, ways=ways, message=message)
    if delta < 0 and is_disproved(counter, state):
        return _fallen_from_beyond(counter, state, seen, room)
    return _decide_fallen(counter, state, seen, room)


def _fallen_from_beyond(counter: Counter, state: CounterState, seen: Observation, room: Decimal | None) -> Decided:
    """What a wrap would come to is not known, for `wraps_at` is wrong."""
    ways = ways_down(counter, state, seen, room)
    signs = f" with a sign of a reset ({', '.join(state.reset_signs)})" if state.reset_signs else ""
    message = f"fell from {counter.shows(state.last_raw)} to {counter.shows(seen.raw)}{signs}, and `wraps_at` is wrong"
    found = doubt(counter, state, seen, Cause.BEYOND_WRAP, ways=ways, message=message)
    return _begun_at(surely(state), seen), (found, *unseen_beyond(state, seen, ways, room))


def decide_in_band(
    counter: Counter, unproven: Unproven, state: CounterState, seen: Observation, room: Decimal | None
) -> Decided:
    """The value is where it would be had nothing happened: a glitch, a retained value, or a reset that climbed back."""
    delta = seen.raw - state.last_raw
    flags = (Flag.GLITCH,) if state.hold is not None and state.hold.left else ()
    if late_for(counter, state) is not None:
        return progress(counter, explained(counter, state), seen, room, flags)
    if not signed(counter, state, seen.raw, room):
        return progress(counter, state, seen, room, flags)
    weak = set(state.reset_signs) == {SESSION}
    if weak and unproven is Unproven.BOOK:
        return progress(counter, state, seen, room, (*flags, Flag.UNPROVEN))
    ways = [*_turns(counter, delta, room, "ran on"), _reset_way(counter, state, seen, room)]
    if len(ways) == 2 and delta == ways[1].counts:
        return reset(counter, state, seen, room)
    cause = Cause.UNPROVEN if weak else Cause.RESET_OR_GLITCH
    message = f"{_step(counter, state, seen)} with a sign of a reset ({', '.join(state.reset_signs)})"
    message += may_be_of(state)
    return _doubt(counter, state, seen, cause, ways=ways, message=message)


def _decide_fallen(counter: Counter, state: CounterState, seen: Observation, room: Decimal | None) -> Decided:
    """Wrapped, reset, or neither; a signed counter comes up to zero by a reset while it shows negative values."""
    modulus = counter.modulus
    wrap = None if modulus is None else modulus + seen.raw - state.last_raw
    wrap_fits = wrap is not None and fits(wrap, room)
    is_signed = signed(counter, state, seen.raw, room) and (not counter.is_both_ways or seen.raw >= counter.resets_to)
    if wrap is not None and wrap_fits and not state.reset_signs:
        wrapped = replace(state, wraps=state.wraps + 1)
        return _unseen(counter, state, seen, wrap, room) or book(counter, wrapped, seen, wrap, (Flag.WRAPPED,))
    if is_signed and not wrap_fits:
        return reset(counter, state, seen, room)
    signs = f" with a sign of a reset ({', '.join(state.reset_signs)})" if state.reset_signs else ""
    message = f"fell from {counter.shows(state.last_raw)} to {counter.shows(seen.raw)}{signs}"
    way = _reset_way(counter, state, seen, room)
    if is_signed and wrap is not None:
        ways = [*_turns(counter, wrap, room, "wrapped"), way]
        return _doubt(counter, state, seen, Cause.RESET_OR_WRAP, ways=ways, message=message)
    ways = [_preset_way(state, "was restored or preset")]
    if way.counts == ways[0].counts > 0:
        ways = [way]
    elif way.counts > 0 or (way.counts < 0 and counter.is_both_ways):
        ways.append(way)
    if counter.is_both_ways:
        ways.append(Way(seen.raw - state.last_raw, "ran back that fast"))
    if wrap is not None:
        ways.append(Way(wrap, "wrapped"))
    return _doubt(counter, state, seen, Cause.FELL, ways=ways, message=message)


def _unseen(
    counter: Counter, state: CounterState, seen: Observation, first: int, room: Decimal | None
) -> Decided | None:
    """Review instead of booking what ran unseen: several wraps fit, or it exceeds `review_over`.

    Unseen is whatever no continuous reading vouches for: a counter may turn whole turns between two polls too.
    """
    unseen = (state.outage or state.skipped or not seen.continuous) and not seen.same
    ways = _turns(counter, first, room, "ran unseen") if unseen else []
    if len(ways) > 1:
        message = f"unseen for {seen.elapsed:.1f} s: whole turns of {counter.modulus} fit"
        return _doubt(counter, state, seen, Cause.SEVERAL_WRAPS, ways=ways, message=message)
    if state.outage and counter.review_over is not None and first > counter.review_over:
        ways = [Way(first, "ran during the outage"), Way(0, "did not")]
        message = f"{first} ran during the outage, more than review_over {counter.review_over}"
        return _doubt(counter, state, seen, Cause.REVIEW_OVER, ways=ways, message=message)
    return None


def _turns(counter: Counter, first: int, room: Decimal | None, why: str) -> list[Way]:
    """`first`, and with each number of whole turns more that fits, at most eight in all."""
    more = 0 if counter.modulus is None or room is None else int((room - first) // counter.modulus)
    turns = range(1, min(more, _MOST_WAYS - 1) + 1)
    return [Way(first, why), *(Way(first + n * (counter.modulus or 0), f"{why}, {n} whole turns more") for n in turns)]


def _reset_way(counter: Counter, state: CounterState, seen: Observation, room: Decimal | None) -> Way:
    """A reset as a candidate, with what the last total says of before, where it can be believed."""
    if counter.is_both_ways and seen.raw < counter.resets_to:
        return Way(-since_reset(counter, seen.raw), "was reset and ran the other way since", Kind.RESET)
    total = total_since(counter, state, seen, room)
    if total is not None:
        return Way(total, "was reset, by the last total", Kind.RESET)
    return Way(since_reset(counter, seen.raw), "was reset and ran since", Kind.RESET)


def _preset_way(state: CounterState, why: str) -> Way:
    """Another value was put there: only what ran in sight since then is known to have run."""
    ran = ran_in_sight(state)
    return Way(ran, f"{why}, and ran since" if ran else why, Kind.PRESET)


def _step(counter: Counter, state: CounterState, seen: Observation) -> str:
    return f"{counter.shows(state.last_raw)} → {counter.shows(seen.raw)}"


def _doubt(
    counter: Counter,
    state: CounterState,
    seen: Observation,
    cause: Cause,
    *,
    ways: list[Way],
    message: str,
) -> Decided:
    """The quantity is doubted: the epoch ends at the value it left, a new one begins at the settled value."""
    if cause not in _FOR_A_PERSON and (proven := _proven(counter, state, seen, ways)) is not None:
        return proven
    found = doubt(counter, state, seen, cause, ways=ways, message=message)
    begun = _begun_at(state, seen, EPOCH_LEAP if cause is Cause.RESTORED else 1)
    hole = None if cause is Cause.RESTORED else _before_it(counter, state, seen, found, ways)
    return begun, (found,) if hole is None else (found, hole)


def _before_it(counter: Counter, state: CounterState, seen: Observation, found: Doubt, ways: list[Way]) -> Hole | None:
    """What ran unseen before the value was set anew, if it was; one set higher lies within its candidates."""
    fell = found.cause is Cause.FELL
    anew = [way.counts for way in ways if fell or (state.reset_signs and way.kind is Kind.RESET)]
    most = left_over(room_in(counter, seen.elapsed), min(map(abs, anew), default=0))
    if not anew or most == 0:
        return None
    least = min((counts for counts in anew if counts >= 0), default=0)
    how = f"reset ({', '.join(state.reset_signs)})" if state.reset_signs else "reset or preset"
    why = f"if it was {how}: what ran before that was not seen"
    return Hole(Cause.RESET, 0, most, found.at.since, found.at.until, why, least)


def _begun_at(state: CounterState, seen: Observation, leap: int = 1) -> CounterState:
    """A new epoch at the settled value."""
    begun = replace(state, epoch=state.epoch + leap, first_raw=seen.raw, wraps=0, final=used(state))
    return settled_at(begun, replace(seen, time=max(seen.time, state.latest or seen.time)))


def _proven(counter: Counter, state: CounterState, seen: Observation, ways: list[Way]) -> Decided | None:
    """The one candidate that a second counter leaves, booked from the counter's own values; None where it leaves more.

    A reset or a preset leaves open what ran before, so it agrees with everything from what ran since; that a value was
    put there which lies just as far on as the second counter ran is not believed.
    """
    moved, room = seen.moved, room_in(counter, seen.elapsed)
    if moved is None or len(ways) >= _MOST_WAYS:
        return None
    left = [way for way in ways if _agrees(counter, way, seen, moved, room)]
    if len(left) > 1:
        left = [way for way in left if way.kind is not Kind.PRESET]
    if len(left) != 1:
        return None
    way = left[0]
    if way.kind is Kind.RESET:
        return reset(counter, state, seen, room)
    if way.kind is Kind.PRESET:
        return _preset(counter, state, seen, way, moved)
    turns = 0 if counter.modulus is None else (way.counts - (seen.raw - state.last_raw)) // counter.modulus
    flags = (Flag.WRAPPED, Flag.CROSS_CHECKED) if turns else (Flag.CROSS_CHECKED,)
    return book(counter, replace(state, wraps=state.wraps + turns), seen, way.counts, flags)


def _preset(counter: Counter, state: CounterState, seen: Observation, way: Way, moved: Moved) -> Decided:
    """A new epoch from the value that was put there: what ran since is booked, and the rest is a hole with bounds."""
    message = f"{_step(counter, state, seen)}: {way.why}, as the second counter says"
    since, until, most = min(state.last_time, seen.time), reached(state, seen), int(moved.most) - way.counts
    hole = Hole(Cause.PRESET, 0, max(most, 0), since, until, message, way.counts)
    put = seen.raw - way.counts
    begun = replace(state, epoch=state.epoch + 1, first_raw=put, last_raw=put, wraps=0, final=used(state))
    after, booked = book(counter, begun, seen, way.counts, (Flag.CROSS_CHECKED,))
    return after, (hole, *booked)


def _agrees(counter: Counter, way: Way, seen: Observation, moved: Moved, room: Decimal | None) -> bool:
    if way.kind is Kind.RAN:
        return moved.least <= way.counts <= moved.most
    since = since_reset(counter, seen.raw) if way.kind is Kind.RESET else way.counts
    return moved.most >= since and (room is None or moved.least <= room)
