"""What the signals of rules remember; levels and flows are in `measured`."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from edge_agent.model.measured import FlowState, LevelState
from edge_agent.model.reading import Instant
from edge_agent.model.value import value


@value
class Hold:
    """A counter in doubt: the values seen since it left the last booked one (derivation.md, Counters).

    `since` began the present plateau, at the count `first`; it is settled once `settle` has passed since then. `raw`,
    `at` and `time` are its newest reading, `reached` is the time of the first that showed `raw`, `elapsed` the newest's
    seconds since the booked one. `left` tells that some value lay outside the band of the booked one. `began` is when
    the first plateau did (None: with the present one). `sure` is false where the counter was out of sight since that
    reading: then only another one decides. `continuous` tells that no change since the booked one can have been missed.
    """

    since: Instant
    first: int
    raw: int
    at: Instant
    time: datetime
    reached: datetime
    elapsed: Decimal
    samples: int
    left: bool
    began: Instant | None = None
    sure: bool = True
    continuous: bool = False


@value
class Stop:
    """A counter that has reached the count it stops at: the reading that showed so."""

    at: Instant
    time: datetime


@value
class FinalTotal:
    """The total that the last reset ended, as its tag shows it, in counts.

    `written` is the device's time of it; `at` is when it was seen to be new, None once a reset has used it.
    `changed` is false where it was only written again; `twice` says that there was another one since the counter was
    last booked: it was reset twice, and this is the total of the second time alone.
    """

    counts: int
    written: datetime | None = None
    at: Instant | None = None
    changed: bool = True
    twice: bool = False


@value
class Latched:
    """What a PLC latched in the scan in which the order or lot changed, as last read good.

    `count` is in the counter's counts, shown since `time`; `changes` is the PLC's own number of changes. The other two
    are what they were when the counter was last read: one change since then is proven by both.
    """

    count: int | None = None
    time: datetime | None = None
    changes: int | None = None
    count_before: int | None = None
    changes_before: int | None = None


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
class Beyond:
    """A counter that has shown what `wraps_at` says it never does: `lowest` and `highest` of such counts.

    `ran_to` is the highest since the last booked reading, None where there was none. `sure` tells that it fell from
    there: a value that only comes and goes may be a false one.
    """

    lowest: int
    highest: int
    ran_to: int | None
    sure: bool = False


@value
class Fall:
    """A value that a reset may have brought, and what was made of it: the counter was last seen `since` when it came.

    `until` is when it was decided. `signs` of a reset are those it was decided with, and those that came for it later.
    It is in `review`, or `wrap` counts were booked for it; `ran` have run if it was a reset. `followed` tells that the
    counter has been in sight since.
    """

    since: datetime
    until: datetime
    ran: int
    signs: tuple[str, ...] = ()
    review: str | None = None
    wrap: int = 0
    followed: bool = True


@value
class CounterState:
    """A totalizer's baseline in its present epoch, in counts (signals.Counter).

    `first_raw`, `last_raw`, `wraps` alone prove what ran through it. `due` is when the order, shift or day changed that
    `reset_signs` tell of, the first time, and `latest` the last time; `told` is when the newest sign came. `falls` are
    the latest, for a sign that comes late. `back` tells that the epoch is one in which an
    up-down-counter runs back, its counts negated.
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
    latest: datetime | None = None
    stop: Stop | None = None
    final: FinalTotal | None = None
    second: Second | None = None
    back: bool = False
    beyond: Beyond | None = None
    told: datetime | None = None
    falls: tuple[Fall, ...] = ()

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


class Confirmed:
    """Movements that are told one by one: the passing of time decides nothing, and no value is in doubt."""

    __slots__ = ()
    latest: int

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
        """The latest number, as the device shows it, or how many there were."""
        return self.latest


@value
class HandshakeState(Confirmed):
    """The latest transaction of a handshake.

    `content` is the SHA-256 of the block's values; `released` tells that our acknowledgement has been written.
    `restarted` tells that the PLC may have restarted since: what it shows may be an older block. Where the handshake
    carries no number, the transactions are counted here, `phase` says how far bits have come, and `recent` holds the
    beginnings of the latest contents (of events, their EventIds). `repeated`: the refused block, or one whose number
    may be of a new count, has come again, and that was said. `waiting` are a ring's entries after the latest,
    `doubtful` how many may be earlier ones.
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


@value
class ConfirmationState(Confirmed):
    """How many movements messages have confirmed in this epoch: each takes the next place.

    `doubted_until`: a store was restored then; what had happened by then may be booked by the lost one.
    """

    epoch: int
    first_number: int = 0
    latest: int = 0
    restored: bool = False
    doubted_until: datetime | None = None


SignalState = CounterState | HandshakeState | LevelState | FlowState | ConfirmationState
"""What the signal of a rule remembers."""
