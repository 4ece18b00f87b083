"""What the derivation remembers between inputs; all of it is stored in the same transaction as its output.

The state is one mapping per kind of thing, keyed by the thing's name: rules, context tags, conditions, sources and so
on. Each value is frozen and replaced whole, so the store writes only what changed.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar

from edge_agent.model.measured import FlowState, LevelState
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
class Stop:
    """A counter that has reached the count it stops at: the reading that showed so."""

    at: Instant
    time: datetime


@value
class FinalTotal:
    """The total that the last reset ended, as its tag shows it, in counts.

    `written` is the device's time of it; `at` is when it was seen to be new, None once a reset has used it.
    """

    counts: int
    written: datetime | None
    at: Instant | None = None


@value
class Second:
    """A second counter of the same flow: its last raw value.

    `base` is what it showed when the counter was last booked, `begun` when the period of comparing began, at `since`;
    None where it could not be followed since. `counted` is what the counter has booked in that period. `seen` tells
    that it has been read in the present session.
    """

    value: Decimal
    at: Instant
    base: Decimal | None
    begun: Decimal | None
    since: datetime
    counted: int = 0
    seen: bool = True


@value
class CounterState:
    """A totalizer's baseline in its present epoch, in counts (signals.Counter).

    `first_raw`, `last_raw`, `wraps` alone prove what ran through it. `due` is when the order, shift or day changed that
    `reset_signs` tell of. `back` tells that the epoch is one in which an up-down-counter runs back, its counts negated.
    """

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
    due: datetime | None = None
    stop: Stop | None = None
    final: FinalTotal | None = None
    second: Second | None = None
    back: bool = False

    @property
    def waits(self) -> bool:
        """Whether the passing of time may decide something."""
        return self.hold is not None

    @property
    def held(self) -> bool:
        """Whether a value is in doubt."""
        return self.hold is not None

    @property
    def shown(self) -> int:
        """The last value booked, in counts."""
        return self.last_raw


class Phase(StrEnum):
    """How far a handshake of bits has come."""

    OPEN = "open"
    """Committed; our acknowledgement may not have been written."""
    WITHDRAWN = "withdrawn"
    """Committed; the request was taken back before an acknowledgement stood."""
    ANSWERED = "answered"
    """Our acknowledgement stands, and so did the request when last seen."""
    CLOSED = "closed"
    """The request has been taken back after our acknowledgement, which is to be reset."""
    IDLE = "idle"
    """Both are low."""


@value
class HandshakeState:
    """The latest transaction of a handshake.

    `content` is the SHA-256 of the block's values; `released` tells that our acknowledgement has been written.
    `restarted` tells that the PLC may have restarted since: what it shows may be an older block. Where the handshake
    carries no number, the transactions are counted here, `phase` says how far bits have come, and `recent` holds the
    beginnings of the latest contents (of events, their EventIds). `repeated`: the refused block has come again, and
    that was said. `waiting` are a ring's entries after the latest, `doubtful` how many may be earlier ones.
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
    phase: Phase | None = None
    recent: tuple[str, ...] = ()
    repeated: bool = False
    waiting: int = 0
    doubtful: int = 0
    sequence: int | None = None
    """The PLC's own number of the latest block, where it has one."""

    @property
    def waits(self) -> bool:
        """Whether the passing of time may decide something."""
        return False

    @property
    def held(self) -> bool:
        """Whether a value is in doubt."""
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
    def held(self) -> bool:
        """Whether a doubtful value is being watched."""
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


SignalState = CounterState | HandshakeState | LevelState | FlowState | ConfirmationState
"""What the signal of a rule remembers."""


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

    `order` and `lot` are of what comes out now; changes of context up to `noted` are in `coming`. Raw units.
    """

    order: str | None
    lot: str | None
    noted: datetime
    coming: tuple[Coming, ...] = ()


@value
class RuleState:
    """All that one rule remembers.

    `pending` are its lines not yet cut, the last of them still open for growth. `excluded` is the newest excluded line,
    as long as nothing else has run. `unread` is the newest raw value that waits for its order or condition to be known.

    `transit` is what has departed and not arrived, by the rule of the departure.
    """

    signal: SignalState | None = None
    pending: tuple[Line, ...] = ()
    serial: int = 0
    excluded: Line | None = None
    pipe: Pipe | None = None
    unread: int | Decimal | None = None
    transit: tuple[Departure, ...] = ()


@value
class SeenState:
    """Containers that passed, each with its time: a part of what `once_per` looks back on."""

    passed: tuple[tuple[str, datetime], ...]


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
    return rule.unread is not None or (rule.signal is not None and rule.signal.waits)


def _own(mapping: MutableMapping[K, V]) -> MutableMapping[K, V]:
    return mapping.own if isinstance(mapping, Branch) else mapping
