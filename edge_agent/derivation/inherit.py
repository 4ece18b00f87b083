"""What a rule under a new name takes over from its former one (derivation.md: renaming needs `was:`). Pure."""

from __future__ import annotations

from dataclasses import replace

from edge_agent.config.signals import Counter, Handshake
from edge_agent.config.tagmap import Rule, TagMap
from edge_agent.derivation.booking import Books
from edge_agent.derivation.counter_terms import at_position
from edge_agent.model.measured import FlowState, LevelState
from edge_agent.model.outcome import EpochMark, Outcome
from edge_agent.model.signal_state import ConfirmationState, CounterState, HandshakeState, SignalState
from edge_agent.model.state import RuleState, State


def inherit(tag_map: TagMap, state: State) -> Outcome:
    """Hand each rule's memory on to the rule that was named after it: baseline, doubts and pending lines.

    The epoch of the former name ends where it stands, the new name's begins there, so that the positions of each add up
    by themselves.
    """
    work = Books(tag_map, state)
    for rule in tag_map.rules.values():
        known = state.rules.get(rule.was) if rule.was is not None else None
        if rule.was is None or known is None or known == RuleState() or rule.name in state.rules:
            continue
        work.put(rule.name, _with_waiting(rule, replace(known, signal=_begun(work, rule, known)), known))
        work.put(rule.was, RuleState())
    work.outcome.changed = work.state.own()
    return work.outcome


def _with_waiting(rule: Rule, after: RuleState, before: RuleState) -> RuleState:
    """What a counter has waiting goes along: the new name's epoch begins before it."""
    held, begun, was = before.uncounted, after.signal, before.signal
    if held is None or not (isinstance(begun, CounterState) and isinstance(was, CounterState)):
        return after
    first, ran = _first(rule, was, before), held.to_position - held.from_position
    moved = replace(held, epoch=begun.epoch, from_position=first, to_position=first + ran)
    modulus = (rule.signal.modulus or 0) if isinstance(rule.signal, Counter) else 0
    wraps = (first + ran - begun.last_raw) // modulus if modulus else 0
    return replace(after, signal=replace(begun, wraps=wraps), uncounted=moved)


def _first(rule: Rule, state: CounterState, known: RuleState) -> int:
    """Where the counter stood at what is in the books."""
    if known.uncounted is None or not isinstance(rule.signal, Counter):
        return state.last_raw
    return at_position(rule.signal, state, known.uncounted.from_position).last_raw


def _begun(work: Books, rule: Rule, known: RuleState) -> SignalState | None:
    after: SignalState
    match known.signal:
        case CounterState() as before:
            first = _first(rule, before, known)
            after = replace(before, epoch=before.epoch + 1, first_raw=first, wraps=0)
        case HandshakeState() as done:
            first = done.latest
            after = replace(done, epoch=done.epoch + 1, first_number=first, wraps=0)
        case LevelState() as level:
            first = -level.mark
            after = replace(level, epoch=level.epoch + 1, first_raw=first, lifted=0)
        case FlowState() as flow:
            first = flow.last_raw
            after = replace(flow, epoch=flow.epoch + 1, first_raw=first)
        case ConfirmationState() as confirmed:
            after = replace(confirmed, epoch=confirmed.epoch + 1, first_number=confirmed.latest)
            first = confirmed.latest
        case None:
            return None
    modulus = (rule.signal.modulus or 0) if isinstance(rule.signal, Counter | Handshake) else 0
    work.outcome.epochs[rule.name, after.epoch] = EpochMark(rule.name, after.epoch, first, first, 0, modulus)
    return after
