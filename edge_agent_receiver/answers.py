"""What `post` answers: accepted, rejected or busy (events.md, States)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

RETRYABLE_CODES = frozenset(
    {
        "insufficient_stock",
        "unknown_lot",
        "unknown_product",
        "unknown_location",
        "unknown_unit",
        "order_not_running",
        "lot_blocked",
        "date_in_future",
        "erp_busy",
    }
)
"""The same event may be accepted once something is put right in the receiving system."""
PERSON_CODES = frozenset(
    {
        "closed_period",
        "access_denied",
        "unit_mismatch",
        "quantity_precision",
        "lot_expired",
        "order_closed",
        "order_required",
        "id_conflict",
        "malformed",
    }
)
"""A person has to decide."""
CODES = RETRYABLE_CODES | PERSON_CODES
LONGEST_TEXT = 500
"""Most characters of a document number or a reason that the agent takes."""
_LONGEST_PAUSE = 86_400


@dataclass(frozen=True, slots=True)
class Accepted:
    """The event is posted, as `document` where the system has a number for it.

    `duplicate`: the system had it already. `posted_on`: the day it was posted to, where that is not its posting day.
    Raises ValueError for a document number of more than 500 characters.
    """

    document: str | None = None
    duplicate: bool = False
    posted_on: date | None = None

    def __post_init__(self) -> None:
        if self.document is not None and not 0 < len(self.document) <= LONGEST_TEXT:
            raise ValueError(f"a document number has 1 to {LONGEST_TEXT} characters")


@dataclass(frozen=True, slots=True)
class Rejected:
    """The event is not posted: `code` says why, `text` says it to people (what is over 500 characters is cut).

    Raises ValueError for a code that is not one of CODES.
    """

    code: str
    text: str = ""

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise ValueError(f"{self.code!r} is no code: {', '.join(sorted(CODES))}")


@dataclass(frozen=True, slots=True)
class Busy:
    """Nothing was posted, and nothing is wrong: the event is offered again, after `retry_after` seconds if given.

    Raises ValueError where that is not between 1 second and a day.
    """

    retry_after: int | None = None

    def __post_init__(self) -> None:
        if self.retry_after is not None and not 1 <= self.retry_after <= _LONGEST_PAUSE:
            raise ValueError(f"retry_after is 1 to {_LONGEST_PAUSE} seconds")


@dataclass(frozen=True, slots=True)
class Raised:
    """`post` raised: nobody knows whether the event was posted. It counts as busy and is offered again as such."""

    why: str
    trace: str = ""


Answer = Accepted | Rejected | Busy
Outcome = Accepted | Rejected | Busy | Raised | None
"""What came of an offer; None: `post` was not called."""
