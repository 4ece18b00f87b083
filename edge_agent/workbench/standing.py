"""What still stands open at the end of a recording and is in no review or gap yet. Pure.

The engine states a gap once it is over: when a counter has left the count it stops at, a level is seen again, a flow is
read again. A recording may end before that.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from edge_agent.config.signals import Counter, Flow
from edge_agent.config.tagmap import Rule
from edge_agent.model.measured import FlowState, LevelState
from edge_agent.model.signal_state import CounterState, SignalState
from edge_agent.workbench.values import written


def still_open(rule: Rule, state: SignalState | None, end: datetime) -> Iterator[str]:
    """Each thing that stands open of `rule` at `end`, the recording's last moment, as a sentence's end."""
    match rule.signal, state:
        case Counter() as counter, CounterState():
            yield from _of_counter(counter, state)
        case _, LevelState():
            yield from _of_level(state)
        case Flow() as flow, FlowState():
            yield from _of_flow(flow, state, end)


def _of_counter(counter: Counter, state: CounterState) -> Iterator[str]:
    if state.stop is not None:
        shown = counter.shows(state.last_raw)
        yield f"has stood at {shown}, where it stops, since {written(state.stop.time)}: what ran since is not counted"
    if state.beyond is not None and state.beyond.ran_to is not None:
        shown = counter.shows(state.beyond.ran_to)
        yield f"has shown {shown}, beyond `wraps_at`: what ran since {written(state.last_time)} is not counted"
    if state.hold is not None:
        shown = counter.shows(state.hold.raw)
        yield f"has shown {shown}, which is held: what ran since {written(state.last_time)} is not decided"


def _of_level(state: LevelState) -> Iterator[str]:
    if state.clipped is not None:
        yield f"has been beyond what can be measured since {written(state.clipped)}: what is used there is not seen"
    elif state.blind:
        yield f"has not been seen since {written(state.level_time)}: what is used there is not known"
    if state.fall is not None:
        yield f"fell at {written(state.fall.since)}, faster than it can be used up: that is not decided"


def _of_flow(flow: Flow, state: FlowState, end: datetime) -> Iterator[str]:
    is_old = not flow.by_exception and end - state.run.time > flow.max_gap
    if state.run.blind or is_old:
        yield f"has not been measured since {written(state.run.time)}: what flowed since is not known"
