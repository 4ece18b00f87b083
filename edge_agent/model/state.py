"""What the derivation remembers between inputs; all of it is stored in the same transaction as its output.

The state is one mapping per kind of thing, keyed by the thing's name: rules, context tags, conditions, sources and so
on. Each value is frozen and replaced whole, so the store writes only what changed.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from edge_agent.model.movement import Evidence, Key, Line
from edge_agent.model.reading import Instant, Link, Quality, Scalar, TagRef
from edge_agent.model.signal_state import Latched, SignalState
from edge_agent.model.value import value

EPOCH_LEAP = 1_000
"""Epochs skipped after a restore: the lost store may have used the next ones."""

RESTORES = "@restores"
"""Under this name, which is no rule's, a `ConfirmationState` tells of restores to rules the store had not known."""

K = TypeVar("K")
V = TypeVar("V")


@value
class Departure:
    """Goods on their way, in the material's unit. `late` once it was said that they have not arrived in time."""

    key: Key
    quantity: Decimal
    unit: str
    time: datetime
    late: bool = False


@value
class Coming:
    """Another order or lot that has begun to enter the pipe: it comes out after `low` to `high` more units have run.

    `brief` tells that this range is no wider than what two sampling periods leave open.
    """

    order: str | None
    lot: str | None
    low: int
    high: int
    brief: bool = True


@value
class Pipe:
    """Material between where the context is known and where it is counted, for a rule whose `lag` is a quantity.

    `order` and `lot` are of what comes out now; changes of context up to `noted` are in `coming`. Of the next `unknown`
    units nobody can tell whose they are. Raw units, counted from the last one that is in the books.
    """

    order: str | None
    lot: str | None
    noted: datetime
    coming: tuple[Coming, ...] = ()
    unknown: int = 0


@value
class RuleState:
    """All that one rule remembers.

    `pending` are its lines not yet cut, the last of them still open for growth. `excluded` is the newest excluded line,
    as long as nothing else has run. `uncounted` is what has run for certain, and waits for its order or condition to be
    known.

    `transit` is what has departed and not arrived, by the rule of the departure. `lost_until`: a store was restored,
    and which containers passed until then is not known (`once_per`).
    """

    signal: SignalState | None = None
    pending: tuple[Line, ...] = ()
    serial: int = 0
    excluded: Line | None = None
    pipe: Pipe | None = None
    uncounted: Evidence | None = None
    transit: tuple[Departure, ...] = ()
    lost_until: datetime | None = None
    latched: Latched | None = None


@value
class SeenState:
    """Containers that passed, each with its time: a part of what `once_per` looks back on.

    `doubted` are those of which a person decides whether they did.
    """

    passed: tuple[tuple[str, datetime], ...]
    doubted: tuple[tuple[str, datetime], ...] = ()


@value
class ContextState:
    """The latest values of a context tag (order, lot, operator, container), oldest first: (value or None, since when).

    None is what an empty text says: no order, no lot.
    """

    history: tuple[tuple[str | None, datetime], ...]


@value
class ConditionState:
    """The latest truths of a condition, oldest first: (true, false or None for unknown, since when)."""

    history: tuple[tuple[bool | None, datetime], ...]


@value
class Sent:
    """A line that an event has carried, as far as a late change of its context has to know it."""

    key: Key
    quantity: Decimal
    since: datetime
    until: datetime
    epoch: int
    from_position: int
    to_position: int

    @classmethod
    def of(cls, line: Line, quantity: Decimal) -> Sent:
        """The line, of which `quantity` is in the material's unit."""
        proof = line.evidence
        where = (proof.epoch, proof.from_position, proof.to_position)
        return cls(line.key, quantity, line.start_time, line.time, *where)


@value
class SentLines:
    """The latest lines of a rule that events have carried, the newest last."""

    lines: tuple[Sent, ...]


@value
class StockLots:
    """The lots of a material at a location, the oldest first: (lot or None, quantity in the material's unit)."""

    lots: tuple[tuple[str | None, Decimal], ...]


@value
class ContainerLots:
    """The lots that containers of a material were last seen with, the latest last: (container, lot)."""

    lots: tuple[tuple[str, str], ...]


@value
class LotStatus:
    """What was said of a lot, and holds since some moment. `until` is when its shelf life ends; None: never.

    `again` is the latest moment for which the same was said once more.
    """

    status: str
    since: datetime
    until: datetime | None = None
    again: datetime | None = None

    @property
    def newest(self) -> datetime:
        """What was so before this moment is nothing new."""
        return self.again or self.since


@value
class LotStatuses:
    """Lots of a material with the latest that was said of each, oldest first; the lot that was told of last is last."""

    lots: tuple[tuple[str, tuple[LotStatus, ...]], ...]


@value
class SourceState:
    """A source's session as last seen. `start_time` is the server's own.

    `received` is the instant of its newest delivery, `before` that of the one before. `told`: it sends messages, and
    what it said cannot be read again.
    """

    link: Link
    start_time: datetime | None
    received: Instant | None = None
    before: Instant | None = None
    told: bool = False


@value
class CadenceState:
    """When a cadence's pending lines are next cut, by the wall clock; None while nothing is pending.

    `ended` is when those of orders that have ended are; None while there are none, or the cadence does not ask.
    """

    due: datetime | None
    ended: datetime | None = None


@value
class TagState:
    """The last value seen of a tag whose change means something (an epoch tag)."""

    value: Scalar | None
    quality: Quality


class Branch(MutableMapping[K, V]):
    """A mapping that reads through to `base` and keeps its own writes in `own`; nothing is ever deleted."""

    __slots__ = ("base", "own")

    def __init__(self, base: MutableMapping[K, V]) -> None:
        self.base = base
        self.own: dict[K, V] = {}

    def __getitem__(self, key: K) -> V:
        found = self.own.get(key)
        return self.base[key] if found is None else found

    def get(self, key: K, default: Any = None) -> Any:
        """The value, or `default`: the inherited way there is a detour over an exception."""
        found = self.own.get(key)
        return self.base.get(key, default) if found is None else found

    def __setitem__(self, key: K, value: V) -> None:
        self.own[key] = value

    def __delitem__(self, key: K) -> None:
        raise TypeError(f"{key!r}: what is remembered is replaced, never deleted")

    def __iter__(self) -> Iterator[K]:
        return iter({**self.base, **self.own})

    def __len__(self) -> int:
        return len({**self.base, **self.own})


@dataclass(slots=True)
class State:
    """Everything remembered, by kind. `branch` is written to, `adopt` takes the branch over after COMMIT.

    `conditions` are by their text; `operands` are the last values of the tags that conditions name. `lots` are by
    location and material, `containers` by material, `sent` by rule.
    """

    rules: MutableMapping[str, RuleState] = field(default_factory=dict)
    contexts: MutableMapping[TagRef, ContextState] = field(default_factory=dict)
    conditions: MutableMapping[str, ConditionState] = field(default_factory=dict)
    sources: MutableMapping[str, SourceState] = field(default_factory=dict)
    cadences: MutableMapping[str, CadenceState] = field(default_factory=dict)
    tags: MutableMapping[TagRef, TagState] = field(default_factory=dict)
    operands: MutableMapping[TagRef, TagState] = field(default_factory=dict)
    lots: MutableMapping[str, StockLots] = field(default_factory=dict)
    containers: MutableMapping[str, ContainerLots] = field(default_factory=dict)
    sent: MutableMapping[str, SentLines] = field(default_factory=dict)
    seen: MutableMapping[str, SeenState] = field(default_factory=dict)
    """By `<rule>/<slot>`: a ring, so that it never grows beyond what `once_per` looks back on."""
    statuses: MutableMapping[str, LotStatuses] = field(default_factory=dict)
    """By `<material>/<slot>`, for the same reason. What was consumed of its lots is in `sent`, by the same name."""
    held: set[str] = field(default_factory=set, init=False, compare=False)
    """Rules that wait as of the last `adopt`: those that the passing of time may decide."""

    def __post_init__(self) -> None:
        if not isinstance(self.rules, Branch):
            self.held = {name for name, rule in self.rules.items() if _waits(rule)}

    def kinds(self) -> dict[str, MutableMapping[Any, Any]]:
        """The mappings by the name of their kind."""
        return {
            "rules": self.rules,
            "contexts": self.contexts,
            "conditions": self.conditions,
            "sources": self.sources,
            "cadences": self.cadences,
            "tags": self.tags,
            "operands": self.operands,
            "lots": self.lots,
            "containers": self.containers,
            "sent": self.sent,
            "seen": self.seen,
            "statuses": self.statuses,
        }

    def branch(self) -> State:
        """A state that reads through to this one and keeps its own writes apart."""
        return State(**{kind: Branch(mapping) for kind, mapping in self.kinds().items()})

    def own(self) -> State:
        """Of a branch: only what was written to it."""
        return State(**{kind: _own(mapping) for kind, mapping in self.kinds().items()})

    def waiting(self) -> set[str]:
        """Of a branch: the rules written to it that the passing of time may decide."""
        return {name for name, rule in _own(self.rules).items() if _waits(rule)}

    def adopt(self, changed: State) -> None:
        """Take over what a branch has changed (see `own`)."""
        self.held = self.held.difference(changed.rules) | changed.held
        for mine, theirs in zip(self.kinds().values(), changed.kinds().values(), strict=True):
            mine.update(theirs)


def _waits(rule: RuleState) -> bool:
    return rule.uncounted is not None or (rule.signal is not None and rule.signal.waits)


def _own(mapping: MutableMapping[K, V]) -> MutableMapping[K, V]:
    return mapping.own if isinstance(mapping, Branch) else mapping
