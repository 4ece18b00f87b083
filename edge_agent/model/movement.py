"""What the derivation decides: lines, reviews, gaps, and the drafts of events."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from edge_agent.model.value import value


class EventType(StrEnum):
    """Short event names; the CloudEvents type is `io.edgeagent.<name>.v1` (events.md, Types)."""

    CONSUMED = "material.consumed"
    PRODUCED = "material.produced"
    MOVED = "material.moved"
    RETURNED = "material.returned"
    SCRAPPED = "material.scrapped"
    SAMPLED = "material.sampled"
    REVERSED = "event.reversed"
    VOIDED = "sequence.voided"
    IN_REVIEW = "movement.inreview"
    DECIDED = "movement.decided"
    EXCEPTION = "exception.raised"
    SNAPSHOT = "stock.snapshot"


class Flag(StrEnum):
    """Why a booked line deserves a second look; carried in its evidence (derivation.md)."""

    SPANNED_OUTAGE = "spannedOutage"
    SPANS_POSTING_DAY = "spansPostingDay"
    STRADDLED_ORDER = "straddledOrder"
    STRADDLED_LOT = "straddledLot"
    STRADDLED_CONTAINER = "straddledContainer"
    STRADDLED_OPERATOR = "straddledOperator"
    STRADDLED_INTO_LOT = "straddledIntoLot"
    STRADDLED_CONDITION = "straddledCondition"
    UNPROVEN = "unproven"
    WRAPPED = "wrapped"
    GLITCH = "glitch"
    RESET = "reset"
    FINAL_TOTAL = "finalTotal"
    CROSS_CHECKED = "crossChecked"
    SKIPPED_READINGS = "skippedReadings"
    SOURCE_TIME_REFUSED = "sourceTimeRefused"
    WALL_CLOCK_ELAPSED = "wallClockElapsed"
    SKIPPED_NUMBERS = "skippedNumbers"
    CUT_TO_PRECISION = "cutToPrecision"
    MANUAL_ENTRY = "manualEntry"
    LOT_UNKNOWN = "lotUnknown"
    NET = "net"


@value
class Key:
    """What pending lines are accumulated by (derivation.md, Cadence).

    `order` is None where no order runs. `from_`/`to` are storage locations, None where the event has no such side.
    `into_lot` is the lot that was being made of it, where known.
    """

    rule: str
    event: EventType
    material: str
    order: str | None
    from_: str | None
    to: str | None
    posting_day: date
    container: str | None = None
    lot: str | None = None
    operator: str | None = None
    into_lot: str | None = None


@value
class Evidence:
    """From a booked quantity back to raw readings. Positions are raw units, unrolled within the epoch.

    `conversion` says what they were multiplied with, exactly: quantities of different conversions are never added up.
    """

    epoch: int
    from_position: int
    to_position: int
    first_time: datetime
    last_time: datetime
    samples: int
    raw_before: str
    raw_after: str
    status_codes: tuple[int, ...] = ()
    flags: tuple[Flag, ...] = ()
    conversion: str = ""


@value
class Line:
    """A quantity of one key over one contiguous range of positions: `quantity` in `unit`, the material's unit."""

    key: Key
    quantity: Decimal
    unit: str
    source_quantity: Decimal
    source_unit: str
    start_time: datetime
    time: datetime
    evidence: Evidence


class LineState(StrEnum):
    """Where a line of the ledger stands; the accounting identity sums over all of them."""

    PENDING = "pending"
    CUT = "cut"
    IN_REVIEW = "in_review"
    BOOKED_BY_REVIEW = "booked_by_review"
    REJECTED = "rejected"
    EXCLUDED = "excluded"
    CORRECTED = "corrected"
    REVERSED = "reversed"


class Cause(StrEnum):
    """Why something is in review or is a gap; stable words that people and machines read."""

    RESET_OR_WRAP = "reset-or-wrap"
    RESET_OR_GLITCH = "reset-or-glitch"
    FELL = "fell"
    ROSE_TOO_FAST = "rose-too-fast"
    SEVERAL_WRAPS = "several-wraps"
    BEYOND_WRAP = "beyond-wraps-at"
    REVIEW_OVER = "review-over"
    UNPROVEN = "unproven"
    STRADDLED_ORDER = "straddled-order"
    STRADDLED_LOT = "straddled-lot"
    STRADDLED_CONTAINER = "straddled-container"
    STRADDLED_CONDITION = "straddled-condition"
    ORDER_UNKNOWN = "order-unknown"
    LOT_UNKNOWN = "lot-unknown"
    LOT_BLOCKED = "lot-blocked"
    LOT_EXPIRED = "lot-expired"
    LOT_NOT_TOLD = "lot-not-told"
    CONTAINER_UNKNOWN = "container-unknown"
    CONDITION_UNKNOWN = "condition-unknown"
    BACKDATED = "backdated"
    STRADDLED_DAY = "straddled-day"
    RESTORED = "restored"
    RESET = "reset"
    FINAL_TOTAL = "final-total"
    SATURATED = "saturated"
    PRESET = "preset"
    SKIPPED_NUMBERS = "skipped-numbers"
    NUMBER_FELL = "number-fell"
    CONFLICT = "conflict"
    IN_DOUBT = "in-doubt"
    FAILED_CHECK = "failed-check"
    REFILL = "refill"
    PAUSED = "paused"
    TARE = "tare"
    CLIPPED = "clipped"
    FELL_TOO_FAST = "fell-too-fast"
    CONVERSION = "conversion"
    NOT_SEEN = "not-seen"
    CROSS_CHECK = "cross-check"
    PASSED_AGAIN = "passed-again"
    NOT_DEPARTED = "not-departed"
    DEPARTED_TWICE = "departed-twice"
    OTHER_QUANTITY = "other-quantity"
    NOT_ARRIVED = "not-arrived"


@value
class Candidate:
    """One way a doubtful movement may have gone; a person picks one. `quantity` in the material's unit."""

    quantity: Decimal
    why: str
    key: Key


@value
class Review:
    """A doubtful movement: nothing is booked until a person (or a rule of the tag map) decides.

    `id` is unique in the store: `<rule>/<epoch>/<serial>`. `quantity_doubted` tells whether the epoch ended (True) or
    only the order is open and the positions of `line` stay in the identity (False).
    """

    id: str
    cause: Cause
    key: Key
    candidates: tuple[Candidate, ...]
    line: Line
    quantity_doubted: bool
    opened: datetime
    message: str


@value
class Gap:
    """What could not be seen, with bounds in the material's unit; `maximum` None where nothing bounds it.

    `seen` is what was counted in the same interval all the same: it is booked, and no part of the gap.
    """

    id: str
    cause: Cause
    key: Key
    minimum: Decimal
    maximum: Decimal | None
    since: datetime
    until: datetime
    message: str
    seen: Decimal = Decimal(0)


@value
class Carried:
    """A line of a notice's rule that an event has carried, by its place in the ledger; `event` is that event's id.

    The derivation knows the place, the store the event: None until the notice is stored, and where the line was taken
    back already.
    """

    epoch: int
    from_position: int
    quantity: Decimal
    event: str | None = None


@value
class Notice:
    """What a person should know of a quantity that is booked: it happened, so it is not held back.

    `quantity` in the material's unit, as far as it had run in (`since`, `until`]; `carried` what was sent of it, where
    that is to be looked at again.
    """

    id: str
    cause: Cause
    key: Key
    quantity: Decimal
    since: datetime
    until: datetime
    message: str
    carried: tuple[Carried, ...] = ()


class Verdict(StrEnum):
    """What a person decided on a review."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"


@value
class Decision:
    """A person's word on a review. `candidate` counts from 1, None when rejected.

    `quantity`, in the unit of the review's line, takes the place of the candidate's: what a person found, or what is
    left where a part is booked already.
    """

    review: Review
    verdict: Verdict
    candidate: int | None
    by: str
    reason: str
    at: datetime
    quantity: Decimal | None = None

    @property
    def chosen(self) -> Candidate | None:
        """The candidate that was accepted."""
        return None if self.candidate is None else self.review.candidates[self.candidate - 1]

    @property
    def booked(self) -> Decimal | None:
        """How much, in the unit of the review's line; None when rejected."""
        if self.chosen is None:
            return None
        return self.chosen.quantity if self.quantity is None else self.quantity
