"""A lag in units: what is counted now entered the pipe so many units ago (derivation.md, Context). Pure.

A change of order or lot takes effect once as many units as the pipe holds have run. Where between two readings it
happened is not known, so neither is the very unit: a range of the readings' own width straddles, as any change does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from edge_agent.config.tagmap import Rule
from edge_agent.derivation.context import Within, at
from edge_agent.model.state import Coming, Pipe, State

Pair = tuple[str | None, str | None]
"""Order and lot."""


def entered(
    rule: Rule, state: State, pipe: Pipe | None, span: tuple[datetime, datetime], most: int, *, brief: bool
) -> Pipe | None:
    """The pipe with what entered it until the end of `most` units that ran in `span`, counted from their start.

    None while an order or lot tag has not been read yet. `brief` is whether `span` is.
    """
    since, until = span
    histories = _histories(rule, state)
    if not all(histories):
        return None
    moments = sorted({moment for history in histories for _, moment in history})
    if pipe is None:
        began = max([moment for moment in moments if moment <= since], default=moments[0])
        pipe = Pipe(*_pair(rule, state, began), began)
    fresh = [moment for moment in moments if pipe.noted < moment <= until]
    coming = [
        Coming(
            *_pair(rule, state, moment),
            low=rule.pipe,
            high=rule.pipe + (most if moment > since else 0),
            brief=brief or moment <= since,
        )
        for moment in fresh
    ]
    return replace(pipe, noted=max([pipe.noted, *fresh]), coming=(*pipe.coming, *coming))


def came_out(pipe: Pipe, most: int) -> tuple[Pair, ...]:
    """The order and lot of the next `most` units, in sequence; several where they straddle a change."""
    pairs: list[Pair] = [(pipe.order, pipe.lot)]
    for one in pipe.coming:
        if one.high <= 0:
            pairs = [(one.order, one.lot)]
        elif one.low < most:
            pairs.append((one.order, one.lot))
    return tuple(pairs)


def advanced(pipe: Pipe, least: int, most: int | None) -> Pipe:
    """The pipe after `least` to `most` units more have run (None: nothing bounds it)."""
    order, lot, coming = pipe.order, pipe.lot, []
    for one in pipe.coming:
        low, high = min(one.low, 0) if most is None else one.low - most, one.high - least
        if high <= 0:
            order, lot = one.order, one.lot
        else:
            coming.append(replace(one, low=low, high=high, brief=one.brief and most == least))
    return replace(pipe, order=order, lot=lot, coming=tuple(coming))


def is_open(pipe: Pipe, ran: int) -> bool:
    """Whether after `ran` units more it is open what comes out, by more than may go to what was before."""
    return any(not one.brief and one.low < ran < one.high for one in pipe.coming)


def straddles_long(pipe: Pipe, most: int) -> bool:
    """Whether the next `most` units straddle a change whose place nobody can tell so closely."""
    return any(not one.brief and one.low < most and one.high > 0 for one in pipe.coming)


def within_pipe(rule: Rule, within: Within, pairs: Sequence[Pair], *, known: bool) -> Within:
    """The settings with the order and lot of what came out; each with each where both changed."""
    settings = tuple(
        one._replace(order=order, lot=lot if rule.lot_tag is not None else one.lot)
        for order, lot in pairs
        for one in within.settings
    )
    unknown = within.unknown if known else "order" if rule.order is not None else "lot"
    return replace(within, settings=settings, unknown=unknown)


def _histories(rule: Rule, state: State) -> list[tuple[tuple[str | None, datetime], ...]]:
    known = [state.contexts.get(tag) for tag in (rule.order, rule.lot_tag) if tag is not None]
    return [one.history if one is not None else () for one in known]


def _pair(rule: Rule, state: State, moment: datetime) -> Pair:
    order, lot = (
        at(state.contexts[tag].history, moment) if tag is not None else None for tag in (rule.order, rule.lot_tag)
    )
    return order, lot
