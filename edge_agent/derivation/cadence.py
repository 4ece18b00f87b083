"""When pending lines are cut into events, and into which (derivation.md, Cadence)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from itertools import groupby

from edge_agent.config.tagmap import Rule
from edge_agent.derivation.booking import Books
from edge_agent.model.movement import Line
from edge_agent.model.state import CadenceState

LINES_PER_EVENT = 40
"""Keeps a bulk event under 64 KiB (events.md, Data): a line with its evidence takes about 1 KiB."""


def schedule(work: Books, rules: Sequence[Rule], now: datetime) -> None:
    """Cut what is pending at once, or make sure that it has a due time (kept in the store, so a restart skips none)."""
    cadence = rules[0].cadence
    if not any(work.rule(rule.name).pending for rule in rules):
        return
    if cadence.every is None:
        cut(work, rules)
    elif _due(work, cadence.name) is None:
        work.state.cadences[cadence.name] = CadenceState(now + cadence.every)


def cut_if_due(work: Books, rules: Sequence[Rule], now: datetime) -> None:
    """Cut the rules of one cadence if their time has come; a cut missed while the agent was down happens once.

    A due time further off than the cadence's period is one that the wall clock has left: cut now. Lines that a new tag
    map has moved to this cadence have none yet.
    """
    cadence, due = rules[0].cadence, _due(work, rules[0].cadence.name)
    if due is None:
        schedule(work, rules, now)
    elif due <= now or (cadence.every is not None and due - now > cadence.every):
        cut(work, rules)


def cut(work: Books, rules: Sequence[Rule]) -> None:
    """Cut all pending lines of the rules of one cadence: one event per type, order and posting day."""
    cadence = rules[0].cadence
    if _due(work, cadence.name) is not None:
        work.state.cadences[cadence.name] = CadenceState(None)
    lines: list[Line] = []
    for rule in rules:
        state = work.rule(rule.name)
        if state.pending:
            lines += state.pending
            work.put(rule.name, replace(state, pending=()))
    for together in _groups(lines):
        work.emit(cadence, together)


def _due(work: Books, cadence: str) -> datetime | None:
    known = work.state.cadences.get(cadence)
    return None if known is None else known.due


def _place(line: Line) -> tuple[str, str, date]:
    return line.key.event, line.key.order or "", line.key.posting_day


def _groups(lines: list[Line]) -> list[tuple[Line, ...]]:
    """Lines that may share an event, at most `LINES_PER_EVENT` together; groups in the order of their last times."""
    groups: list[tuple[Line, ...]] = []
    for _, members in groupby(sorted(lines, key=lambda line: (_place(line), line.time)), key=_place):
        together = tuple(members)
        groups += [together[i : i + LINES_PER_EVENT] for i in range(0, len(together), LINES_PER_EVENT)]
    return sorted(groups, key=lambda group: group[-1].time)
