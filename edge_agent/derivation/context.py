"""What surrounded a quantity: order, lot, container, operator, conditions (derivation.md, Context).

Pure. A quantity ran in an interval; each part has a history: what was so at its beginning, what changed in it. Where
nothing changed there is one setting; else the quantity straddles, and `attribute` decides or leaves it open.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from edge_agent.config.signals import Counter
from edge_agent.config.tagmap import Rule, Split
from edge_agent.derivation.findings import Interval
from edge_agent.model.movement import Cause, Flag
from edge_agent.model.reading import Quality, Reading, TagRef
from edge_agent.model.state import ConditionState, ContextState, State
from edge_agent.model.value import value

HISTORY = 32
"""Changes kept: more than can fall between two readings of a counter that is seen at all, and into a lag."""

T = TypeVar("T")
History = tuple[tuple[T, datetime], ...]


Pair = tuple[str | None, str | None]
"""Order and lot."""


class Part(NamedTuple):
    """Units of which something else than the tags' times tells the order and lot; several `pairs` where they straddle.

    `brief` is whether no more straddles than what may go to what was before.
    """

    units: int
    pairs: tuple[Pair, ...]
    known: bool = True
    brief: bool = True


class Setting(NamedTuple):
    """What surrounds a quantity. `runs` False: a condition leaves it out; None: whether it does is not known."""

    order: str | None = None
    lot: str | None = None
    container: str | None = None
    operator: str | None = None
    into_lot: str | None = None
    runs: bool | None = True


_FLAGS = {
    "order": Flag.STRADDLED_ORDER,
    "lot": Flag.STRADDLED_LOT,
    "container": Flag.STRADDLED_CONTAINER,
    "operator": Flag.STRADDLED_OPERATOR,
    "into_lot": Flag.STRADDLED_INTO_LOT,
    "runs": Flag.STRADDLED_CONDITION,
}
_REMARKS = ("operator", "into_lot")
"""Said where they are known: no quantity waits for them or is doubted for them."""
STRADDLED = {
    "order": Cause.STRADDLED_ORDER,
    "lot": Cause.STRADDLED_LOT,
    "container": Cause.STRADDLED_CONTAINER,
    "runs": Cause.STRADDLED_CONDITION,
}
_UNKNOWN = {
    "order": Cause.ORDER_UNKNOWN,
    "lot": Cause.LOT_UNKNOWN,
    "container": Cause.CONTAINER_UNKNOWN,
    "runs": Cause.CONDITION_UNKNOWN,
}


@value
class Within:
    """The settings of an interval, in sequence; `unknown` names what its beginning is not covered of.

    `former` is whether a condition that was not known at the beginning let run, when it was last known.
    """

    settings: tuple[Setting, ...]
    unknown: str | None = None
    former: bool | None = None


@value
class Attribution:
    """Whose a quantity is: one setting, or all that it may belong to and why that is open."""

    settings: tuple[Setting, ...]
    flags: tuple[Flag, ...] = ()
    cause: Cause | None = None

    @property
    def first(self) -> Setting:
        """The setting it began in."""
        return self.settings[0]


def with_value(known: ContextState | None, reading: Reading, time: datetime) -> ContextState | None:
    """A context tag's history with one more reading; None if it says nothing new.

    An empty text is "none". The first value ever counts from when the device says it was written.
    """
    if reading.quality is not Quality.GOOD or reading.value is None:
        return None
    found = str(reading.value).strip() or None
    if known is None:
        return ContextState(((found, min(reading.source_time or time, time)),))
    history = with_change(known.history, found, time)
    return None if history is None else ContextState(history)


def with_change(history: History[T], found: T, time: datetime) -> History[T] | None:
    """The history with one more value; None where it is the one before. Histories never go back in time."""
    last, since = history[-1]
    return None if last == found else (*history, (found, max(time, since)))[-HISTORY:]


class _Track(NamedTuple):
    """One part of the setting with its history, and how much later it takes effect."""

    part: str
    history: Sequence[tuple[Any, datetime]]
    lag: timedelta


def _tracks(rule: Rule, state: State) -> Iterator[_Track]:
    lag, none = rule.time_lag, timedelta(0)
    parts = (("order", rule.order, lag), ("lot", rule.lot_tag, lag), ("container", rule.container, none))
    for part, tag, later in (*parts, ("operator", rule.operator, none), ("into_lot", rule.into_lot, lag)):
        if tag is not None and not (rule.pipe and part in {"order", "lot"}):
            yield _Track(part, _history(state.contexts.get(tag)), later)
    if rule.only_while is not None or leaves_out(rule):
        yield _Track("runs", _runs(rule, state), none)


def leaves_out(rule: Rule) -> bool:
    """Whether what runs in the rule's pauses is excluded here; what is no counter sees to its pauses by itself."""
    return rule.pause is not None and rule.pause.rebase and isinstance(rule.signal, Counter)


def _history(known: ContextState | ConditionState | None) -> Sequence[tuple[Any, datetime]]:
    return () if known is None else known.history


def _runs(rule: Rule, state: State) -> Sequence[tuple[bool | None, datetime]]:
    """When what ran counts: while `only_while` holds and, where pauses leave out, no pause does (Kleene's `and`)."""
    gates = []
    if rule.only_while is not None:
        gates.append(_history(state.conditions.get(rule.only_while.text)))
    if rule.pause is not None and leaves_out(rule):
        paused = _history(state.conditions.get(rule.pause.when.text))
        gates.append([(None if truth is None else not truth, since) for truth, since in paused])
    if len(gates) == 1 or not all(gates):
        return gates[0] if len(gates) == 1 else ()
    begins = max(gate[0][1] for gate in gates)
    moments = sorted({begins, *(since for gate in gates for _, since in gate if since > begins)})
    return [(_all([at(gate, moment) for gate in gates]), moment) for moment in moments]


def _all(truths: Sequence[bool | None]) -> bool | None:
    if False in truths:
        return False
    return None if None in truths else True


def at(history: Sequence[tuple[T, datetime]], moment: datetime) -> T | None:
    """What was so at a moment; None where the history does not go back so far."""
    return next((found for found, since in reversed(history) if since <= moment), None)


def pair_at(rule: Rule, state: State, moment: datetime) -> Pair:
    """What the rule's tags said of order and lot at a moment."""
    order, lot = (
        at(state.contexts[tag].history, moment) if tag is not None else None for tag in (rule.order, rule.lot_tag)
    )
    return order, lot


def settings_in(rule: Rule, state: State, since: datetime, until: datetime, ran: Interval | None = None) -> Within:
    """The settings that were so in (since, until]; a change exactly at `until` happened before the count was read.

    Conditions are asked of the interval `ran`, where that is another one. Operator and the lot that is made are
    remarked where they are known; nothing waits for them.
    """
    begin, unknown, former = Setting(), None, None
    changes: list[tuple[datetime, str, Any]] = []
    for part, history, lag in _tracks(rule, state):
        start, end = ran if ran is not None and part == "runs" else (since, until)
        before = [found for found, moment in history if moment + lag <= start]
        during = [(moment + lag, part, found) for found, moment in history if start < moment + lag <= end]
        if before:
            begin = begin._replace(**{part: before[-1]})
            former = next((truth for truth in reversed(before) if truth is not None), None) if part == "runs" else None
        elif part not in _REMARKS:
            unknown = unknown or part
            if part == "runs":
                begin = begin._replace(runs=None)
                changes += during
                continue
            begin = begin._replace(**{part: during[0][2] if during else history[0][0] if history else None})
            during = during[1:]
        changes += during
    found = [begin]
    moment: datetime | None = None
    for when, part, now in sorted(changes, key=lambda change: change[0]):
        after = found[-1]._replace(**{part: now})
        found[-1:] = [after] if when == moment else [found[-1], after]
        moment = when
    return Within(tuple(found), unknown, former)


def attribute(rule: Rule, within: Within, lasted: timedelta, brief: timedelta) -> Attribution:
    """Whose is what ran for `lasted` in the settings `within`.

    A quantity that straddles a change goes to what was before, flagged, if it lasted no longer than `brief` (two
    sampling periods), else it is open; the rule's `split` overrides. A remark never keeps it open: then none is
    made. A condition that is not known counts as it did before, where that is as brief.
    """
    distinct = tuple(dict.fromkeys(within.settings))
    changed = [part for part in Setting._fields if len({getattr(one, part) for one in distinct}) > 1]
    if within.unknown is None:
        flags = tuple(_FLAGS[part] for part in changed)
        if not changed or rule.split is Split.NEW:
            return _known(within.settings[-1], flags)
        if rule.split is Split.OLD or (rule.split is None and lasted <= brief):
            first = within.settings[0]
            return _known(first._replace(runs=within.former) if first.runs is None else first, flags)
    unsaid = [part for part in _REMARKS if part in changed]
    flags = tuple(_FLAGS[part] for part in unsaid)
    if unsaid:
        distinct = tuple(dict.fromkeys(one._replace(**dict.fromkeys(unsaid)) for one in distinct))
        changed = [part for part in changed if part not in unsaid]
    if within.unknown is not None:
        return Attribution(distinct, flags, _UNKNOWN[within.unknown])
    return Attribution(distinct, flags, STRADDLED[changed[0]]) if changed else _known(distinct[0], flags)


def attribute_part(rule: Rule, within: Within, part: Part, lasted: timedelta, brief: timedelta) -> Attribution:
    """Whose is a part of what ran for `lasted`: its own order and lot, and for the rest the settings `within`."""
    pairs, flags = part.pairs, tuple[Flag, ...]()
    if rule.split is None and part.brief and part.known:
        told = zip(("order", "lot"), zip(*pairs, strict=True), strict=True)
        pairs, flags = pairs[:1], tuple(_FLAGS[name] for name, found in told if len({*found}) > 1)
    settings = tuple(
        one._replace(order=order, lot=lot if rule.lot_tag is not None else one.lot)
        for order, lot in pairs
        for one in within.settings
    )
    unknown = within.unknown if part.known else "order" if rule.order is not None else "lot"
    lasted = lasted if part.brief else max(lasted, 2 * brief)
    found = attribute(rule, replace(within, settings=settings, unknown=unknown), lasted, brief)
    return replace(found, flags=(*flags, *found.flags))


def _known(setting: Setting, flags: tuple[Flag, ...] = ()) -> Attribution:
    cause = Cause.CONDITION_UNKNOWN if setting.runs is None else None
    return Attribution((setting,), flags, cause)


def waits_for(rule: Rule, state: State, moment: datetime) -> str | None:
    """What a counter waits for before what it counts can be anybody's: a word to count it under; None for nothing."""
    for part, history, lag in _tracks(rule, state):
        if part in _REMARKS:
            continue
        if not history or history[0][1] + lag > moment:
            return f"{part}_unknown" if part != "runs" else "condition_unknown"
        if part == "runs" and at(history, moment) is None:
            return "condition_unknown"
    if rule.pipe:
        for tag in (rule.order, rule.lot_tag):
            if tag is not None and tag not in state.contexts:
                return "order_unknown" if tag == rule.order else "lot_unknown"
    if rule.pause is not None and not rule.pause.rebase and isinstance(rule.signal, Counter):
        known = state.conditions.get(rule.pause.when.text)
        if known is None or at(known.history, moment) is not False:
            return "paused"
    return None


def is_paused(rule: Rule, state: State) -> bool:
    """Whether the rule's `pause_while` holds, or is not known any more."""
    known = None if rule.pause is None else state.conditions.get(rule.pause.when.text)
    return known is not None and known.history[-1][0] is not False


def parts_of(rule: Rule) -> tuple[tuple[str, TagRef], ...]:
    """The parts of the setting that tags of the rule tell and that matter to the books, each with its tag."""
    parts = (("order", rule.order), ("lot", rule.lot_tag), ("container", rule.container))
    return tuple((part, tag) for part, tag in parts if tag is not None)


def context_tags(rule: Rule) -> tuple[TagRef, ...]:
    """The tags whose histories a rule looks at."""
    named = (rule.order, rule.lot_tag, rule.container, rule.operator, rule.into_lot)
    return tuple(tag for tag in named if tag is not None)
