"""Counters that show what `wraps_at` says they never do: it is wrong, and no wrap is certain any more. Pure.

Such a value is no reading that could be counted with, but a good one: where the counter can have run there, the next
fall is for a person to decide (derivation.md, "Never guess"; a value "out of range: not a reading").
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from edge_agent.config.signals import Counter
from edge_agent.derivation.counter_terms import (
    Observation,
    Way,
    fits,
    left_over,
    ran_in_sight,
    reached,
    room_in,
    since_reset,
)
from edge_agent.derivation.findings import Hole
from edge_agent.model.movement import Cause
from edge_agent.model.signal_state import Beyond, CounterState


def is_beyond(counter: Counter, counts: int) -> bool:
    """Whether `wraps_at` and `wraps_to` say that it never shows these counts."""
    return counter.wraps_at is not None and not min(counter.wraps_to, 0) <= counts < counter.wraps_at


def with_beyond(counter: Counter, state: CounterState, counts: int, elapsed: Decimal) -> CounterState:
    """Remember counts beyond, `elapsed` seconds after the last booked reading, where it can have run there.

    Below the lowest it has wrapped to them. What lies further away is a false value, like any outside the band.
    """
    ran, known = counts - state.last_raw, state.beyond
    if counts < (counter.wraps_at or 0):
        ran += counter.modulus or 0
    if ran < 0 or not fits(ran, room_in(counter, elapsed)):
        return state
    if known is None:
        return replace(state, beyond=Beyond(counts, counts, counts))
    ran_to = counts if known.ran_to is None else max(known.ran_to, counts)
    lowest, highest = min(known.lowest, counts), max(known.highest, counts)
    return replace(state, beyond=replace(known, lowest=lowest, highest=highest, ran_to=ran_to))


def is_disproved(counter: Counter, state: CounterState) -> bool:
    """Whether it has been seen beyond what the map says now, which may have been mended since."""
    known = state.beyond
    return known is not None and (is_beyond(counter, known.lowest) or is_beyond(counter, known.highest))


def surely(state: CounterState) -> CounterState:
    """It fell from beyond: that was no false value."""
    return replace(state, beyond=state.beyond and replace(state.beyond, sure=True))


def ways_down(counter: Counter, state: CounterState, seen: Observation, room: Decimal | None) -> list[Way]:
    """How a fall may have come about: a wrap as the map says, one just beyond what was shown, a reset from there.

    Where no wrap fits it may have been put there as well.
    """
    delta, ran_on = seen.raw - state.last_raw, _ran_on(state)
    lowest = counter.resets_to if state.beyond is None else state.beyond.lowest
    highest = state.last_raw if state.beyond is None else state.beyond.highest
    end = max(counter.wraps_at or 0, highest + 1)
    start = lowest if is_beyond(counter, lowest) and lowest < counter.wraps_to else counter.wraps_to
    whys = {counter.modulus or 0: "wrapped where wraps_at says", end - start: "wrapped right after what it showed"}
    ways = [Way(delta + turn, why) for turn, why in whys.items() if fits(delta + turn, room)]
    if not ways:
        ways.append(Way(ran_on + ran_in_sight(state), "was restored or preset"))
    after = f"ran on to {counter.shows(state.last_raw + ran_on)}, " if ran_on else ""
    ways.append(Way(ran_on + since_reset(counter, seen.raw), f"{after}was reset and ran since"))
    return [way for n, way in enumerate(ways) if way.counts not in {one.counts for one in ways[:n]}]


def unseen_beyond(state: CounterState, seen: Observation, ways: list[Way], room: Decimal | None) -> tuple[Hole, ...]:
    """What may have run further on, past all that was shown, until it began anew."""
    counted = max((way.counts for way in ways if fits(way.counts, room)), default=0)
    most = left_over(room, counted)
    if most == 0:
        return ()
    message = "what ran further on than it showed, before it began anew, was not seen"
    since, until = min(state.last_time, seen.time), reached(state, seen)
    return (Hole(Cause.BEYOND_WRAP, 0, most, since, until, message, counted),)


def _ran_on(state: CounterState) -> int:
    """What was seen running beyond since the last booked reading."""
    ran_to = None if state.beyond is None else state.beyond.ran_to
    return 0 if ran_to is None else max(ran_to - state.last_raw, 0)
