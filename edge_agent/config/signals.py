"""What proves a movement, as frozen references: counters, handshakes, confirmations by message (derivation.md).

All figures are raw units of a tag and seconds; the loader has converted them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum

from edge_agent.model.reading import TagRef


class Resets(StrEnum):
    """Events that may reset a counter; each that happens is a sign of a reset."""

    NEVER = "never"
    RESTART = "restart"
    ORDER = "order"
    SHIFT = "shift"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class Counter:
    """A totalizer. All figures in raw units of `tag` and seconds; `step` is the largest normal jump.

    `wraps_at` is the first value never shown, `wraps_to` the one shown instead; modulus = wraps_at - wraps_to.
    `max_rate` None means no bound is known. `sampling` is the source's sampling period.
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
    """Raw units of the tag that one unit of position stands for: below 1 where the device shows fractions."""

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

    `modulus` is that of the trigger's type. `quantity` and `container` are read together with the trigger.
    """

    trigger: TagRef
    ack: TagRef
    result: TagRef | None
    quantity: TagRef
    container: TagRef | None
    modulus: int

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


@dataclass(frozen=True, slots=True)
class Confirmation:
    """Messages of `source` confirm each movement and state its quantity themselves; no tag is read."""

    source: str

    @property
    def modulus(self) -> int:
        """The count of what was confirmed is the agent's own, and never wraps."""
        return 0


Signal = Counter | Handshake | Confirmation
"""What proves a movement."""
