"""An event: a draft of it, and what it becomes in a stream: bytes that never change again (events.md, Envelope)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from edge_agent.model.ack import Overdue
from edge_agent.model.movement import Decision, EventType, Gap, Line, Notice, Review
from edge_agent.model.reading import Instant
from edge_agent.model.value import value

FIRST_PREVHASH = "0" * 64
OPS_STREAM = "ops"


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event read back from the store, its row hash already checked."""

    source: str
    stream: str
    sequence: int
    id: str
    type: str
    topic: str
    payload: bytes
    recorded: datetime


@value
class Entry:
    """What a person enters by hand. `form` is the token of the form it was written in: sent twice, it is booked once.

    `barcode` is what was scanned, as read; None where nothing was.
    """

    form: str
    by: str
    reason: str
    at: datetime
    barcode: str | None = None
    process: bool = False
    """Scrapped out of the process, whose input was consumed already, not from stock (events.md, Types)."""


@value
class Entered:
    """A person's entry as an input of the derivation; checked against the tag map before.

    `quantity` is in `unit`, a unit of the map that is convertible to the material's. `from_` and `to` are storage
    locations, as the event's type needs them.
    """

    entry: Entry
    event: EventType
    material: str
    quantity: Decimal
    unit: str
    received: Instant
    order: str | None = None
    lot: str | None = None
    container: str | None = None
    from_: str | None = None
    to: str | None = None

    @property
    def digest(self) -> str:
        """What the entry says, whenever it was sent: the same form with another content is another entry."""
        said = (
            *(self.event.value, self.material, f"{self.quantity.normalize():f}", self.unit, self.order, self.lot),
            *(self.container, self.from_, self.to, self.entry.process, self.entry.by),
        )
        return hashlib.sha256(ascii(said).encode("ascii")).hexdigest()


@value
class Voided:
    """An event that cannot be published: its number is accounted for, its bytes are kept (events.md, Types).

    `sha256` is of its bytes, `prevhash` of those of the event before: the chain goes on through its number.
    """

    source: str
    sequence: int
    id: str
    type: str
    sha256: str
    reason: str
    prevhash: str


@value
class Reversal:
    """A person takes an event back: its lines again, quantities positive."""

    original: StoredEvent
    by: str
    reason: str
    at: datetime


@value
class Change:
    """What a correction puts in the place of one line's figures; None leaves as it is.

    `quantity` is in the line's own unit.
    """

    quantity: Decimal | None = None
    lot: str | None = None


@value
class Correction:
    """The event that takes the place of a reversed one: the same but for `order` and `lines`, by the lines' ids.

    `order` None leaves it as it is.
    """

    original: StoredEvent
    lines: Mapping[str, Change]
    order: str | None
    by: str
    reason: str
    at: datetime


class Figure(StrEnum):
    """The gross figures of a stock (events.md, Reconciliation); none of them ever falls."""

    CONSUMED = "consumed"
    RETURNED = "returned"
    PRODUCED = "produced"
    RECEIVED = "received"
    MOVED_IN = "movedIn"
    MOVED_OUT = "movedOut"
    ADJUSTED_UP = "adjustedUp"
    ADJUSTED_DOWN = "adjustedDown"
    SCRAPPED = "scrapped"
    SAMPLED = "sampled"


class StockKey(NamedTuple):
    """What stock is told apart by. `location` None is the process; `unit` is the code of UN/ECE."""

    location: str | None
    material: str
    lot: str | None
    stock_type: str
    unit: str


class StockMove(NamedTuple):
    """What one line of an event adds to a stock's gross figures."""

    key: StockKey
    figure: Figure
    quantity: Decimal
    reversed: bool = False


@value
class Stock:
    """One stock's gross figures, and what of them was reversed."""

    key: StockKey
    cumulative: Mapping[Figure, Decimal]
    reversed: Mapping[Figure, Decimal]


@value
class Watermark:
    """Up to where a source had got: its highest sequence and the SHA-256 of that event's bytes."""

    source: str
    sequence: int
    hash: str


@value
class Snapshot:
    """Some of the stocks as of the watermarks; `part` of `parts`, from 1. `audit` is the audit log's last entry."""

    id: str
    part: int
    parts: int
    watermarks: tuple[Watermark, ...]
    event_count: int
    audit: tuple[int, str]
    stock: tuple[Stock, ...]


About = Review | Decision | Gap | Notice | Overdue | Entry | Voided | Reversal | Correction | Snapshot


@value
class EventDraft:
    """An event before the store gives it its place: the renderer turns it into bytes inside the commit.

    All `lines` share event type, order and posting day. `about` is what an event without lines says, or why those
    lines are there: a decision on a review, a person's entry. `accepted_by` are the systems whose word is needed,
    within `accepted_within`.
    """

    type: EventType
    stream: str
    time: datetime
    lines: tuple[Line, ...] = ()
    about: About | None = None
    accepted_by: tuple[str, ...] = ()
    accepted_within: timedelta = timedelta(hours=1)
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the commit puts an event. `prevhash` is the SHA-256 (hex) of the previous event's bytes of `source`.

    `causation` is the id of the event that led to this one: a review's `movement.inreview`, or the reversal that a
    correction follows.
    """

    source: str
    sequence: int
    prevhash: str
    recorded: datetime
    causation: str | None = None


@dataclass(frozen=True, slots=True)
class Rendered:
    """An event as it will be sent, byte for byte, for ever; and what it adds to the stocks' gross figures."""

    id: str
    type: str
    topic: str
    payload: bytes
    stock: tuple[StockMove, ...] = ()


Render = Callable[[EventDraft, Place], Rendered]
"""The pure renderer the store is given: it knows no CloudEvents, the renderer no SQL."""


def source_urn(agent: str, store_uuid: str, stream: str) -> str:
    """The CloudEvents `source` of one stream of one store: `urn:edgeagent:<agent>:<store uuid>:<stream>`."""
    return f"urn:edgeagent:{agent}:{store_uuid}:{stream}"
