"""What proves a movement, as frozen references: counters and handshakes (derivation.md).

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
    `quantity`, `container` and `number` (the PLC's own number of the block) are read together with the trigger.
    What waits longer than `within`, on either side, is shown.
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

    @property
    def contents(self) -> tuple[TagRef, ...]:
        """The tags of the block."""
        return tuple(tag for tag in (self.quantity, self.container, self.number) if tag is not None)

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

    @property
    def grain(self) -> Decimal:
        """A block states whole raw units, or fractions of them, by itself."""
        return Decimal(1)


Signal = Counter | Handshake
"""What proves a movement."""
