"""What proves a movement, as frozen references: counters and handshakes (derivation.md).

Figures of counters are counts (see `Counter`), those of handshakes raw units; times are seconds. The loader has
converted them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from enum import StrEnum
from fractions import Fraction

from edge_agent.model.reading import TagRef


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
class Counter:
    """A totalizer, in counts: whole grains of its tag's raw unit, negated where it counts down, so that all count up.

    `wraps_at` is the first count never shown, `wraps_to` the one shown instead; modulus = wraps_at - wraps_to.
    `max_rate` (counts a second) None means no bound is known. `sampling` is the source's sampling period.
    """

    tag: TagRef
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

    @property
    def is_plain(self) -> bool:
        """Whether it shows what it counts, upwards, and knows of resets by its source or epoch tag alone."""
        return (
            self.direction is Direction.UP
            and not self.rounded
            and self.saturates_at is None
            and self.final_tag is None
            and self.cross_check is None
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

    @property
    def measured(self) -> TagRef:
        """The tag whose value becomes the quantity."""
        return self.tag

    @property
    def watched(self) -> TagRef:
        """The tag whose change is the evidence."""
        return self.tag


@dataclass(frozen=True, slots=True)
class Handshake:
    """A transaction counter: the block is written, then `trigger` incremented; `ack` echoes it.

    `modulus` is that of the trigger's type. `quantity`, `container` and `lot` are read together with the trigger.
    """

    trigger: TagRef
    ack: TagRef
    result: TagRef | None
    quantity: TagRef
    container: TagRef | None
    modulus: int
    lot: TagRef | None = None

    @property
    def content(self) -> tuple[TagRef, ...]:
        """The tags of the block that say what moved."""
        return tuple(tag for tag in (self.quantity, self.container, self.lot) if tag is not None)

    @property
    def measured(self) -> TagRef:
        """The tag whose value becomes the quantity."""
        return self.quantity

    @property
    def watched(self) -> TagRef:
        """The tag whose change is the evidence."""
        return self.trigger

    @property
    def grain(self) -> Decimal:
        """A block states whole raw units, or fractions of them, by itself."""
        return Decimal(1)


Signal = Counter | Handshake
"""What proves a movement."""
