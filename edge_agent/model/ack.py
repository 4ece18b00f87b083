"""What receiving systems answer to an event (events.md, States)."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum

from edge_agent.model.value import value


class AnswerStatus(StrEnum):
    """Where an event stands with one of the systems whose word is needed.

    The last two are final. `retried`: it was rejected, and a person has had the original bytes sent again.
    """

    AWAITING = "awaiting"
    BUSY = "busy"
    RETRIED = "retried"
    REJECTED = "rejected"
    ACCEPTED = "accepted"
    CORRECTED = "corrected"


OUTSTANDING = (AnswerStatus.AWAITING, AnswerStatus.BUSY, AnswerStatus.RETRIED)
"""No answer yet: a correction waits for these."""
FINAL = (AnswerStatus.ACCEPTED, AnswerStatus.CORRECTED)


class Code(StrEnum):
    """Why a system rejects an event."""

    INSUFFICIENT_STOCK = "insufficient_stock"
    UNKNOWN_LOT = "unknown_lot"
    UNKNOWN_PRODUCT = "unknown_product"
    UNKNOWN_LOCATION = "unknown_location"
    UNKNOWN_UNIT = "unknown_unit"
    ORDER_NOT_RUNNING = "order_not_running"
    LOT_BLOCKED = "lot_blocked"
    DATE_IN_FUTURE = "date_in_future"
    ERP_BUSY = "erp_busy"
    CLOSED_PERIOD = "closed_period"
    ACCESS_DENIED = "access_denied"
    UNIT_MISMATCH = "unit_mismatch"
    QUANTITY_PRECISION = "quantity_precision"
    LOT_EXPIRED = "lot_expired"
    ORDER_CLOSED = "order_closed"
    ORDER_REQUIRED = "order_required"
    ID_CONFLICT = "id_conflict"
    MALFORMED = "malformed"

    @property
    def retryable(self) -> bool:
        """Whether the same event may be accepted once the receiver's side is put right; else a person decides."""
        return self in _RETRYABLE


_RETRYABLE = frozenset(
    {
        Code.INSUFFICIENT_STOCK,
        Code.UNKNOWN_LOT,
        Code.UNKNOWN_PRODUCT,
        Code.UNKNOWN_LOCATION,
        Code.UNKNOWN_UNIT,
        Code.ORDER_NOT_RUNNING,
        Code.LOT_BLOCKED,
        Code.DATE_IN_FUTURE,
        Code.ERP_BUSY,
    }
)


@value
class Answer:
    """One system's answer to one event: accepted, rejected or busy. `retry_after` in seconds."""

    sequence: int
    id: str
    status: AnswerStatus
    document: str | None = None
    duplicate: bool = False
    posted_on: date | None = None
    code: Code | None = None
    text: str | None = None
    retry_after: int | None = None


@value
class Answers:
    """One message of answers to events of `source`: single ones, and up to where everything else is accepted.

    `content` tells the message when it is repeated from another one that has its `nonce`; it is forgotten at `expires`.
    """

    system: str
    source: str
    nonce: str
    content: bytes
    expires: datetime
    up_to: int | None = None
    answers: tuple[Answer, ...] = ()


@value
class Taken:
    """What became of a message of answers. `up_to` is how far the system has said it accepts everything.

    `refused` are (sequence or None, why); `reason` is why the whole message was.
    """

    taken: int = 0
    repeated: int = 0
    refused: tuple[tuple[int | None, str], ...] = ()
    up_to: int = 0
    reason: str | None = None


@value
class Overdue:
    """Events of a source that a system has not answered in time: `count` of them, from `sequence` to `last`."""

    system: str
    source: str
    sequence: int
    last: int
    count: int
    since: datetime
