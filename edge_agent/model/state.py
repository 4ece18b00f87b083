"""What the derivation remembers between inputs; all of it is stored in the same transaction as its output.

The state is one mapping per kind of thing, keyed by the thing's name: rules, order tags, sources, cadences. Each value
is frozen and replaced whole, so the store writes only what changed.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from edge_agent.model.movement import Key, Line
from edge_agent.model.reading import Instant, Link, Quality, Scalar, TagRef
from edge_agent.model.value import value

EPOCH_LEAP = 1_000
"""Epochs skipped after a restore: the lost store may have used the next ones."""

RESTORES = "@restores"
"""Under this name, which is no rule's, a `ConfirmationState` tells of restores to rules the store had not known."""

K = TypeVar("K")
V = TypeVar("V")


@value
class Hold:
    """A counter in doubt: the values seen since it left the last booked one (derivation.md, Counters).

    `since` began the present plateau; it is settled once `settle` has passed since then. `raw`, `at` and `time` are its
    newest reading, `elapsed` its seconds since the booked one. `left` tells that some value lay outside the band of the
    booked one. `began` is when the first plateau did (None: with the present one). `sure` is false where the counter
    was out of sight since that reading: then only another one decides.
    """

    since: Instant
    raw: int
    at: Instant
    time: datetime
    elapsed: Decimal
    samples: int
    left: bool
    began: Instant | None = None
    sure: bool = True


@value
class CounterState:
    """A totalizer's baseline in its present epoch. `first_raw`, `last_raw`, `wraps` alone prove what ran through it."""

    epoch: int
    first_raw: int
    last_raw: int
    wraps: int
    last_at: Instant
    last_time: datetime
    reset_signs: tuple[str, ...] = ()
    outage: bool = False
    skipped: int = 0
    restored: bool = False
    hold: Hold | None = None

    @property
    def waits(self) -> bool:
        """Whether the passing of time may decide something."""
        return self.hold is not None

    @property
    def shown(self) -> int:
        """The last value booked, as the device shows it."""
        return self.last_raw


@value
class HandshakeState:
    """A transaction counter's latest number.

    `content` is the SHA-256 of the block's values; `released` tells that our acknowledgement has been written.
    """

    epoch: int
    first_number: int
    latest: int
    wraps: int
    content: str
    result: int
    released: bool
    restarted: bool = False
    restored: bool = False

    @property
    def waits(self) -> bool:
        """Whether the passing of time may decide something."""
        return False

    @property
    def shown(self) -> int:
        """The latest number, as the device shows it."""
        return self.latest


@value
class ConfirmationState:
    """How many movements messages have confirmed in this epoch: each takes the next place.

    `doubted_until`: a store was restored then; what had happened by then may be booked by the lost one.
    """

    epoch: int
    first_number: int = 0
    latest: int = 0
    restored: bool = False
    doubted_until: datetime | None = None

    @property
    def waits(self) -> bool:
        """Whether the passing of time may decide something."""
        return False

    @property
    def shown(self) -> int:
        """How many there were."""
        return self.latest


@value
class Departure:
    """Goods on their way, in the material's unit. `late` once it was said that they have not arrived in time."""

    key: Key
    quantity: Decimal
    unit: str
    time: datetime
    late: bool = False


SignalState = CounterState | HandshakeState | ConfirmationState
"""What the signal of a rule remembers."""


@value
class RuleState:
    """All that one rule remembers. `pending` are its lines not yet cut, the last of them still open for growth.

    `transit` is what has departed and not arrived, by the rule of the departure.
    """

    signal: SignalState | None = None
    pending: tuple[Line, ...] = ()
    serial: int = 0
    transit: tuple[Departure, ...] = ()


@value
class SeenState:
    """Containers that passed, each with its time: a part of what `once_per` looks back on."""

    passed: tuple[tuple[str, datetime], ...]


@value
class OrderState:
    """The latest values of an order tag, oldest first: (order or None, since when)."""

    history: tuple[tuple[str | None, datetime], ...]


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
    """Everything remembered, by kind. `branch` is written to, `adopt` takes the branch over after COMMIT."""

    rules: MutableMapping[str, RuleState] = field(default_factory=dict)
    orders: MutableMapping[TagRef, OrderState] = field(default_factory=dict)
    sources: MutableMapping[str, SourceState] = field(default_factory=dict)
    cadences: MutableMapping[str, CadenceState] = field(default_factory=dict)
    tags: MutableMapping[TagRef, TagState] = field(default_factory=dict)
    seen: MutableMapping[str, SeenState] = field(default_factory=dict)
    """By `<rule>/<slot>`: a ring, so that it never grows beyond what `once_per` looks back on."""
    held: set[str] = field(default_factory=set, init=False, compare=False)
    """Rules that wait as of the last `adopt`: those that the passing of time may decide."""

    def __post_init__(self) -> None:
        if not isinstance(self.rules, Branch):
            self.held = {name for name, rule in self.rules.items() if _waits(rule)}

    def branch(self) -> State:
        """A state that reads through to this one and keeps its own writes apart."""
        return State(
            *(Branch(self.rules), Branch(self.orders), Branch(self.sources), Branch(self.cadences), Branch(self.tags)),
            seen=Branch(self.seen),
        )

    def own(self) -> State:
        """Of a branch: only what was written to it."""
        return State(
            *(_own(self.rules), _own(self.orders), _own(self.sources), _own(self.cadences), _own(self.tags)),
            seen=_own(self.seen),
        )

    def adopt(self, changed: State) -> None:
        """Take over what a branch has changed (see `own`)."""
        self.rules.update(changed.rules)
        self.held = self.held.difference(changed.rules) | changed.held
        self.orders.update(changed.orders)
        self.sources.update(changed.sources)
        self.cadences.update(changed.cadences)
        self.tags.update(changed.tags)
        self.seen.update(changed.seen)


def _waits(rule: RuleState) -> bool:
    return rule.signal is not None and rule.signal.waits


def _own(mapping: MutableMapping[K, V]) -> MutableMapping[K, V]:
    return mapping.own if isinstance(mapping, Branch) else mapping
