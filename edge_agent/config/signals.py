"""What proves a movement, as frozen references: counters, levels, flows, handshakes, confirmations (derivation.md).

Figures of counters are counts (see `Counter`), those of levels and flows positions: `PER_UNIT` of them are one unit of
the material; those of handshakes are grains of the quantity. Times are seconds. The loader has converted them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise

from edge_agent.model.reading import TagRef

PER_UNIT = 10**6
"""Positions of a level or flow in one unit of its material: a measured quantity is stated to the millionth.

A reading is rounded to that once; what ran is the difference of two positions, so that nothing ever adds up.
"""
PER_RAW = 10**9
"""Parts of a raw unit that a level is smoothed in."""


class Resets(StrEnum):
    """Events that may reset a counter; each that happens is a sign of a reset."""

    NEVER = "never"
    RESTART = "restart"
    ORDER = "order"
    SHIFT = "shift"
    DAY = "day"


class Direction(StrEnum):
    """Which way a counter runs; what an up-down-counter runs back is the movement back."""

    UP = "up"
    DOWN = "down"
    UP_DOWN = "up-down"


@dataclass(frozen=True, slots=True)
class CrossCheck:
    """A second counter of the same flow. `factor` times its raw unit is a count of the first, exactly.

    They may part by `share` of what ran or by `amount` counts, whichever is more, in any period of `every`.
    """

    tag: TagRef
    factor: Fraction
    sampling: timedelta
    every: timedelta
    share: Fraction = Fraction(0)
    amount: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class AtChange:
    """Tags that the PLC writes in the scan in which the order or lot changes: its count then, and how many `changes`.

    The latter begin anew after `modulus`.
    """

    count: TagRef
    changes: TagRef
    modulus: int


@dataclass(frozen=True, slots=True)
class Measured:
    """What one tag shows is both the quantity and its evidence."""

    tag: TagRef

    @property
    def measured(self) -> TagRef:
        """The tag whose value becomes the quantity."""
        return self.tag

    @property
    def watched(self) -> TagRef:
        """The tag whose change is the evidence."""
        return self.tag


@dataclass(frozen=True, slots=True)
class Counter(Measured):
    """A totalizer, in counts: whole grains of its tag's raw unit, negated where it counts down, so that all count up.

    `wraps_at` is the first count never shown, `wraps_to` the one shown instead; modulus = wraps_at - wraps_to.
    `max_rate` (counts a second) None means no bound is known. `sampling` is the source's sampling period.
    """

    sampling: timedelta
    settle: timedelta
    max_rate: Decimal | None = None
    burst: Decimal = Decimal(0)
    wraps_at: int | None = None
    wraps_to: int = 0
    resets: frozenset[Resets] = frozenset({Resets.RESTART})
    review_over: Decimal | None = None
    epoch_tag: TagRef | None = None
    grain: Decimal = Decimal(1)
    """Raw units of the tag that one count stands for: below 1 where the device shows fractions."""
    rounded: bool = False
    """Whether the device shows a float: what it shows is rounded to the nearest count, half to even."""
    direction: Direction = Direction.UP
    resets_to: int = 0
    """What it shows after a reset."""
    saturates_at: int | None = None
    """The count it stops at; None where it never does."""
    runs_back: bool = False
    """Of an up-down-counter: as it is while it runs back, its counts negated."""
    final_tag: TagRef | None = None
    """Keeps the total that the last reset ended."""
    cross_check: CrossCheck | None = None
    at_change: AtChange | None = None

    @property
    def is_plain(self) -> bool:
        """Whether it shows what it counts, upwards, and knows of resets by its source or epoch tag alone."""
        return (
            self.direction is Direction.UP
            and not self.rounded
            and self.saturates_at is None
            and self.final_tag is None
            and self.cross_check is None
            and self.at_change is None
            and self.resets.isdisjoint({Resets.ORDER, Resets.SHIFT, Resets.DAY})
        )

    @property
    def is_both_ways(self) -> bool:
        """Whether it counts up and down."""
        return self.direction is Direction.UP_DOWN

    def counts(self, shown: int | Decimal) -> int:
        """What the device shows, in counts."""
        units = int((shown / self.grain).to_integral_value(ROUND_HALF_EVEN)) if self.rounded else int(shown)
        return -units if self._is_negated else units

    def shows(self, counts: int) -> str:
        """Counts as the device shows them."""
        units = -counts if self._is_negated else counts
        return f"{units * self.grain:f}" if self.rounded else str(units)

    @property
    def _is_negated(self) -> bool:
        return self.runs_back or self.direction is Direction.DOWN

    @property
    def modulus(self) -> int | None:
        """Distinct values before the counter shows the same one again; None where it never wraps."""
        return None if self.wraps_at is None else self.wraps_at - self.wraps_to


class Kind(StrEnum):
    """How the PLC and the agent agree that a movement is confirmed (derivation.md, Handshakes)."""

    TRANSACTION_COUNTER = "transaction-counter"
    BITS = "bits"
    RING = "ring"
    EVENT = "event"


@dataclass(frozen=True, slots=True)
class Handshake:
    """A confirmation: the PLC shows a block by `trigger`, the agent answers in `ack` once it is committed.

    Transaction counter: `trigger` is incremented, `ack` echoes it. Bits: both are 0 or 1. Ring: `trigger` is the head,
    the slot written next, and `ack` the tail, the slot read next. Event: `trigger` is the node that emits it, `ack` the
    same, since what is answered is the notification. `modulus` is how many values the trigger takes.
    `quantity`, `container`, `lot`, `number` (the PLC's own number of the block), `order` and `operator` are read
    together with the trigger. What waits longer than `within`, on either side, is shown.
    """

    trigger: TagRef
    ack: TagRef
    result: TagRef | None
    quantity: TagRef
    container: TagRef | None
    modulus: int
    kind: Kind = Kind.TRANSACTION_COUNTER
    number: TagRef | None = None
    within: timedelta = timedelta(seconds=30)
    lot: TagRef | None = None
    order: TagRef | None = None
    operator: TagRef | None = None
    grain: Decimal = Decimal(1)
    """Raw units of the quantity that are booked as one: below 1 where the device states fractions."""
    rounded: bool = False
    """Whether the device states a float: it is rounded to the nearest grain, half to even."""

    @property
    def contents(self) -> tuple[TagRef, ...]:
        """The tags of the block."""
        parts = (self.quantity, self.container, self.lot, self.number, self.order, self.operator)
        return tuple(tag for tag in parts if tag is not None)

    @property
    def surroundings(self) -> dict[str, TagRef]:
        """The tags of the block that say whose the movement is, by the part of the setting that each tells."""
        parts = {"order": self.order, "lot": self.lot, "operator": self.operator}
        return {part: tag for part, tag in parts.items() if tag is not None}

    @property
    def is_named(self) -> bool:
        """Whether a block's content tells one movement from another."""
        return self.container is not None or self.number is not None

    @property
    def measured(self) -> TagRef:
        """The tag whose value becomes the quantity."""
        return self.quantity

    @property
    def watched(self) -> TagRef:
        """The tag whose change is the evidence."""
        return self.trigger

    def counts(self, shown: int | Decimal) -> int | Decimal:
        """The quantity that the device states, in grains."""
        return int((shown / self.grain).to_integral_value(ROUND_HALF_EVEN)) if self.rounded else shown


@dataclass(frozen=True, slots=True)
class Level(Measured):
    """A level or weight, in positions of the material's contents (see `PER_UNIT`); `max_rate` is positions a second.

    `table` are raw readings and the contents they mean, both rising: two points at least, straight lines between them.
    Readings that it does not cover, and those at an end where the sensor is `blind_below` or `blind_above`, are none.
    `rises`: production into a tank, what rises counts; else what falls does.
    """

    sampling: timedelta
    window: timedelta
    settle: timedelta
    hold: timedelta
    hysteresis: int
    refill_min: int
    table: tuple[tuple[Fraction, Fraction], ...]
    unit: str
    conversion: str
    grain: Decimal
    bounded: bool = False
    max_rate: Fraction | None = None
    blind_below: Fraction | None = None
    blind_above: Fraction | None = None
    after_flow: timedelta = timedelta(0)
    rises: bool = False
    net: bool = False
    stable: TagRef | None = None
    tare: TagRef | None = None
    printed: TagRef | None = None

    def covers(self, raw: int | Decimal) -> bool:
        """Whether the table says what a raw reading means."""
        return not self.bounded or self.table[0][0] <= raw <= self.table[-1][0]

    def contents(self, raw: Fraction) -> int:
        """The contents at a raw reading, in positions; beyond a table's ends they go on as they did."""
        for (one, low), (two, high) in pairwise(self.table):
            if raw <= two or two == self.table[-1][0]:
                return round(low + (high - low) * (raw - one) / (two - one))
        raise AssertionError("a table has two points at least")


@dataclass(frozen=True, slots=True)
class FlowCheck:
    """A second meter in series: over each stretch of `over` the two may differ by `share` of the larger, or `amount`.

    `rate` is as in `Flow`; `amount` is in positions.
    """

    tag: TagRef
    rate: Fraction
    over: timedelta
    share: Fraction = Fraction(0)
    amount: int = 0


@dataclass(frozen=True, slots=True)
class Flow(Measured):
    """A rate of flow. `rate` times a raw reading is millionths of a position (see `PER_UNIT`) a second.

    `max_rate` and `low_cut` are in those; less than `low_cut` is none. `by_exception`: the source reports what changes,
    so while it is silent the value stands.
    """

    sampling: timedelta
    max_gap: timedelta
    rate: Fraction
    unit: str
    conversion: str
    grain: Decimal
    by_exception: bool = False
    max_rate: int | None = None
    low_cut: int = 0
    check: FlowCheck | None = None


@dataclass(frozen=True, slots=True)
class Confirmation:
    """Messages of `source` confirm each movement and state its quantity themselves; no tag is read."""

    source: str

    @property
    def modulus(self) -> int:
        """The count of what was confirmed is the agent's own, and never wraps."""
        return 0


Signal = Counter | Handshake | Level | Flow | Confirmation
"""What proves a movement."""
