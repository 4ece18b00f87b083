"""When pending lines are cut into events, and into which (derivation.md, Cadence)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import groupby

from edge_agent.config.signals import Counter, Flow, Handshake, Level
from edge_agent.config.tagmap import CutAt, LotWay, Rule
from edge_agent.derivation import lots
from edge_agent.derivation.booking import Books
from edge_agent.derivation.context import at
from edge_agent.derivation.precision import cut_down
from edge_agent.derivation.timetable import next_cut
from edge_agent.model.movement import Line
from edge_agent.model.state import CadenceState

_CUT_AT = {CutAt.ORDER_CHANGE: "order", CutAt.LOT_CHANGE: "lot"}
LINES_PER_EVENT = 40
"""Keeps a bulk event under 64 KiB (events.md, Data): a line with its evidence takes about 1 KiB."""


def schedule(work: Books, rules: Sequence[Rule], now: datetime) -> None:
    """Cut what is pending at once, or make sure that it has a due time (kept in the store, so a restart skips none)."""
    cadence = rules[0].cadence
    if cadence.at_once:
        cut(work, rules, now)
        return
    full = [rule for rule in rules if _is_full(work, rule)]
    if full:
        cut(work, full, now)
    if _state(work, cadence.name).due is None and any(work.rule(rule.name).pending for rule in rules):
        _remember(
            work, cadence.name, replace(_state(work, cadence.name), due=next_cut(cadence, work.map.calendar, now))
        )


def cut_if_due(work: Books, rules: Sequence[Rule], now: datetime) -> None:
    """Cut the rules of one cadence if their time has come; a cut missed while the agent was down happens once.

    A due time that lies beyond the next one from now is one that the wall clock has left: cut now. Lines that a new tag
    map has moved to this cadence have none yet.
    """
    cadence = rules[0].cadence
    due = _state(work, cadence.name).due
    if due is None:
        schedule(work, rules, now)
    elif due <= now or due > next_cut(cadence, work.map.calendar, now):
        _remember(work, cadence.name, replace(_state(work, cadence.name), due=None))
        cut(work, rules, now)
    parts = [part for cut_at, part in _CUT_AT.items() if cut_at in cadence.or_at]
    if parts:
        _cut_ended(work, rules, now, parts)


def cut(
    work: Books,
    rules: Sequence[Rule],
    now: datetime,
    wanted: Callable[[Rule, Line], bool] | None = None,
    *,
    final: bool = False,
) -> None:
    """Cut the pending lines of rules of one cadence (`wanted`: these only): one event per type, order and posting day.

    A material's precision may leave a rest pending, unless the cut is `final`.
    """
    lines: list[Line] = []
    for rule in rules:
        state = work.rule(rule.name)
        if not state.pending:
            continue
        kept: list[Line] = []
        for line in state.pending:
            if wanted is not None and not wanted(rule, line):
                kept.append(line)
                continue
            for part in work.ready(rule, line):
                posted, rest = cut_down(rule, part, ended=final or _has_ended(work, rule, line, now))
                lines += work.blend(rule, posted) if posted is not None else ()
                kept += [rest] if rest is not None else []
                if rest is not None and rest is not line:
                    work.keep_pending(rest)
        if len(kept) != len(state.pending) or any(
            one is not other for one, other in zip(kept, state.pending, strict=True)
        ):
            work.put(rule.name, replace(work.rule(rule.name), pending=tuple(kept)))
    for together in _groups(lines):
        work.emit(rules[0].cadence, together)


def _cut_ended(work: Books, rules: Sequence[Rule], now: datetime, parts: Sequence[str]) -> None:
    """Cut the lines of orders or lots (`parts`) that have ended, once nothing more of them can come."""
    cadence, known = rules[0].cadence, _state(work, rules[0].cadence.name)

    def has_ended(rule: Rule, line: Line) -> bool:
        return any(_is_over(work, rule, line, now, part) for part in parts)

    if not any(has_ended(rule, line) for rule in rules for line in work.rule(rule.name).pending):
        if known.ended is not None:
            _remember(work, cadence.name, replace(known, ended=None))
        return
    wait = max(map(_last_count, rules))
    if known.ended is None:
        _remember(work, cadence.name, replace(known, ended=now + wait))
    elif known.ended <= now or known.ended > now + wait:
        _remember(work, cadence.name, replace(known, ended=None))
        cut(work, rules, now, has_ended)


def _last_count(rule: Rule) -> timedelta:
    """How long after its order has ended a rule may still book for it: the reading that straddles, held if doubtful."""
    match rule.signal:
        case Counter() as spec:
            return 2 * spec.sampling + spec.settle
        case Level() as level:
            return 2 * level.sampling + level.window + level.after_flow
        case Flow() as flow:
            return 2 * flow.max_gap
    return timedelta(0)


def _has_ended(work: Books, rule: Rule, line: Line, now: datetime) -> bool:
    """Whether nothing more is added to the line: its order, lot, container or posting day is over."""
    parts = ("order", "lot", "container")
    return line.key.posting_day != work.day(now).date or any(_is_over(work, rule, line, now, part) for part in parts)


def _is_over(work: Books, rule: Rule, line: Line, now: datetime, part: str) -> bool:
    """Whether another order, lot or container than the line's is counted now, as far as blocks or tags tell."""
    if isinstance(rule.signal, Handshake) and part in rule.signal.surroundings:
        newest = work.rule(rule.name).pending[-1]
        return bool(getattr(line.key, part) != getattr(newest.key, part))
    return _is_told_over(work, rule, line, now, part)


def _is_told_over(work: Books, rule: Rule, line: Line, now: datetime, part: str) -> bool:
    ours: str | None = getattr(line.key, part)
    if rule.pipe and part != "container":
        pipe = work.rule(rule.name).pipe
        return pipe is not None and ours != getattr(pipe, part)
    if part == "lot" and rule.lot_from is LotWay.FIFO:
        return ours != lots.current(work.state, rule)
    if part == "lot" and rule.lot_from is LotWay.BLEND:
        return ours is not None
    tag = {"order": rule.order, "lot": rule.lot_tag, "container": rule.container}[part]
    known = None if tag is None else work.state.contexts.get(tag)
    if known is None:
        return False
    if part == "container" or not rule.time_lag:
        return ours != known.history[-1][0]
    return known.history[0][1] <= now - rule.time_lag and ours != at(known.history, now - rule.time_lag)


def _is_full(work: Books, rule: Rule) -> bool:
    return rule.max_qty is not None and sum(line.quantity for line in work.rule(rule.name).pending) >= rule.max_qty


def _state(work: Books, cadence: str) -> CadenceState:
    return work.state.cadences.get(cadence, CadenceState(None))


def _remember(work: Books, cadence: str, state: CadenceState) -> None:
    work.state.cadences[cadence] = state


def _place(line: Line) -> tuple[str, str, date]:
    return line.key.event, line.key.order or "", line.key.posting_day


def _groups(lines: list[Line]) -> list[tuple[Line, ...]]:
    """Lines that may share an event, at most `LINES_PER_EVENT` together; groups in the order of their last times."""
    if len(lines) <= 1:
        return [tuple(lines)] if lines else []
    groups: list[tuple[Line, ...]] = []
    for _, members in groupby(sorted(lines, key=lambda line: (_place(line), line.time)), key=_place):
        together = tuple(members)
        groups += [together[i : i + LINES_PER_EVENT] for i in range(0, len(together), LINES_PER_EVENT)]
    return sorted(groups, key=lambda group: group[-1].time)
