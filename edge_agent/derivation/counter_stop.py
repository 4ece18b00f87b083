"""Counters that stop at their highest count: what runs from there on is a gap (derivation.md, Counters). Pure."""

from __future__ import annotations

from dataclasses import replace

from edge_agent.config.signals import Counter
from edge_agent.derivation.counter_terms import Decided, Observation, left_over, room_in
from edge_agent.derivation.findings import Delta, Finding, Hole
from edge_agent.model.movement import Cause
from edge_agent.model.signal_state import CounterState, Stop


def baseline_at_stop(counter: Counter, state: CounterState) -> CounterState:
    """The first reading ever, which may show the highest count already."""
    return (
        replace(state, stop=Stop(state.last_at, state.last_time)) if state.last_raw == counter.saturates_at else state
    )


def with_stop(
    counter: Counter, before: CounterState, seen: Observation, after: CounterState, found: tuple[Finding, ...]
) -> Decided:
    """Add what the highest count hides: once it is reached, and when it is left, each a hole with bounds.

    Reached: what ran beyond it since the reading before. Left: what ran until it was last seen there.
    """
    if counter.saturates_at is None:
        return after, found
    at_stop, shown = after.last_raw == counter.saturates_at, counter.shows(counter.saturates_at)
    if at_stop and before.stop is None:
        ran = sum(one.to_position - one.from_position for one in found if isinstance(one, Delta))
        most = left_over(room_in(counter, seen.elapsed), ran)
        message = f"it has reached {shown} and stopped: what runs from here on is not counted"
        until = max(after.last_time, seen.at.wall)
        hole = Hole(Cause.SATURATED, 0, most, min(before.last_time, until), until, message, ran)
        return replace(after, stop=Stop(seen.at, until), last_time=until), (*found, hole)
    if not at_stop and before.stop is not None:
        most = left_over(room_in(counter, seen.at.seconds_since(before.stop.at)), 0)
        message = f"it had stopped at {shown}: what ran until it went on was not counted"
        hole = Hole(Cause.SATURATED, 0, most, before.stop.time, max(before.last_time, before.stop.time), message)
        return replace(after, stop=None), (hole, *found)
    return after, found
