"""A lag in units: what is counted now entered the pipe so many units ago (derivation.md, Context). Pure.

A change of order or lot takes effect once as many units as the pipe holds have run. It is noted with the very delta it
falls into, whether that is in the books already or waits. Where in it the change happened is not known, so neither is
the very unit: a range as wide as that delta straddles. What comes out before the range and after it is exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from itertools import pairwise

from edge_agent.config.tagmap import Rule
from edge_agent.derivation.context import Pair, Part, pair_at
from edge_agent.model.movement import Evidence
from edge_agent.model.state import Coming, Pipe, State

History = tuple[tuple[str | None, datetime], ...]


def noted(
    rule: Rule,
    state: State,
    pipe: Pipe | None,
    span: tuple[datetime, datetime],
    most: int,
    *,
    waiting: Evidence | None,
    brief: bool,
) -> Pipe | None:
    """The pipe with what entered it while `most` units ran in `span`, after those that wait to be booked.

    None while an order or lot tag has not been read yet. `brief` is whether `span` is.
    """
    since, until = span
    histories = _histories(rule, state)
    if not all(histories):
        return None
    front = rule.pipe + _length(waiting)
    if pipe is None:
        pipe = _begun(rule, state, histories, span, waiting=waiting, front=front, most=most)
    moments = sorted({moment for history in histories for _, moment in history if pipe.noted < moment <= until})
    if pair_at(rule, state, pipe.noted) != _latest(pipe):
        moments.insert(0, pipe.noted)  # one more at the same instant, told later
    coming = [
        Coming(
            *pair_at(rule, state, moment),
            low=front,
            high=front + (most if moment > since else 0),
            brief=brief or moment <= since,
        )
        for moment in moments
    ]
    return replace(pipe, noted=max([pipe.noted, *moments]), coming=(*pipe.coming, *coming))


def looked_into(rule: Rule, state: State, pipe: Pipe | None, waiting: Evidence) -> Pipe | None:
    """The pipe, also where its tags were read only after what waits had run."""
    last = waiting.last_time
    return pipe or noted(rule, state, None, (last, last), 0, waiting=waiting, brief=True)


def _begun(
    rule: Rule,
    state: State,
    histories: list[History],
    span: tuple[datetime, datetime],
    *,
    waiting: Evidence | None,
    front: int,
    most: int,
) -> Pipe:
    """The pipe as its tags are read first: what is in it is unknown, and what has run since, where they do not say."""
    since = span[0]
    first, last = (since, since) if waiting is None else (waiting.first_time, waiting.last_time)
    known = max(history[0][1] for history in histories)
    changed = any(first < moment <= last for history in histories for _, moment in history)
    if known > last:
        return Pipe(*pair_at(rule, state, known), known, unknown=front + (most if known > since else 0))
    began = max(moment for history in histories for _, moment in history if moment <= last)
    return Pipe(*pair_at(rule, state, began), began, unknown=front if known > first or changed else rule.pipe)


def came_out(pipe: Pipe, start: int, end: int) -> tuple[Pair, ...]:
    """The order and lot of the units from `start` to `end`, in sequence; several where they straddle a change."""
    pairs: list[Pair] = [(pipe.order, pipe.lot)]
    for one in pipe.coming:
        if one.high <= start:
            pairs = [(one.order, one.lot)]
        elif one.low < end:
            pairs.append((one.order, one.lot))
    return tuple(pairs)


def part_out(pipe: Pipe | None, start: int, end: int) -> Part:
    """The units from `start` to `end` as one part."""
    if pipe is None:
        return Part(end - start, ((None, None),), known=False)
    is_brief = all(one.brief for one in pipe.coming if one.low < end and one.high > start)
    return Part(end - start, came_out(pipe, start, end), known=start >= pipe.unknown, brief=is_brief)


def parts_out(pipe: Pipe | None, units: int) -> Iterator[Part]:
    """The next `units`, parted wherever another order or lot, or a doubt about it, begins or ends."""
    edges = [] if pipe is None else [pipe.unknown, *(edge for one in pipe.coming for edge in (one.low, one.high))]
    for start, end in pairwise(sorted({0, units, *(edge for edge in edges if 0 < edge < units)})):
        yield part_out(pipe, start, end)


def advanced(pipe: Pipe, least: int, most: int | None) -> Pipe:
    """The pipe after `least` to `most` units more have come out (None: nothing bounds it)."""
    order, lot, coming = pipe.order, pipe.lot, []
    for one in pipe.coming:
        low, high = min(one.low, 0) if most is None else one.low - most, one.high - least
        if high <= 0:
            order, lot = one.order, one.lot
        else:
            coming.append(replace(one, low=low, high=high, brief=one.brief and most == least))
    unknown = max(pipe.unknown - least, 0)
    return replace(pipe, order=order, lot=lot, coming=tuple(coming), unknown=unknown)


def is_open(pipe: Pipe, ran: int) -> bool:
    """Whether after `ran` units more it is open what comes out, by more than may go to what was before."""
    return ran < pipe.unknown or any(not one.brief and one.low < ran < one.high for one in pipe.coming)


def _latest(pipe: Pipe) -> Pair:
    one = pipe.coming[-1] if pipe.coming else pipe
    return one.order, one.lot


def _length(waiting: Evidence | None) -> int:
    return 0 if waiting is None else waiting.to_position - waiting.from_position


def _histories(rule: Rule, state: State) -> list[History]:
    known = [state.contexts.get(tag) for tag in (rule.order, rule.lot_tag) if tag is not None]
    return [one.history if one is not None else () for one in known]
