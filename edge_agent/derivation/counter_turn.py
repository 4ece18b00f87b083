"""Up-down-counters: each stretch in which they run one way is an epoch of its own (docs/decisions/0012). Pure.

While it runs back an up-down-counter is the same counter with its counts negated, so that everything counts up.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from edge_agent.config.signals import Counter
from edge_agent.derivation.counter_terms import room_in, within
from edge_agent.model.signal_state import CounterState
from edge_agent.model.state import EPOCH_LEAP


def facing(counter: Counter, state: CounterState) -> Counter:
    """The counter the way it runs now."""
    if not state.back or not counter.is_both_ways:
        return counter
    return replace(counter, runs_back=True, resets_to=-counter.resets_to)


def turned(counter: Counter, state: CounterState, counts: int, elapsed: Decimal) -> CounterState:
    """The state for a reading of `counts` (the way the state faces): turned round where it has run the other way.

    A reading that neither way explains turns nothing: it is held, as for any counter.
    """
    room = room_in(counter, elapsed)
    if counts >= state.last_raw or not within(-state.last_raw, -counts, room):
        return state
    return replace(
        state,
        epoch=state.epoch + (EPOCH_LEAP if state.restored else 1),
        first_raw=-state.last_raw,
        last_raw=-state.last_raw,
        wraps=0,
        back=not state.back,
        hold=state.hold and replace(state.hold, first=-state.hold.first, raw=-state.hold.raw),
        final=None,
    )
