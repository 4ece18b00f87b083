"""What levels and flows remember between readings (derivation.md, Levels and weights, Flows)."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from edge_agent.model.movement import Cause, Flag
from edge_agent.model.reading import Instant
from edge_agent.model.value import value


@value
class Window:
    """The readings of a level that are smoothed together, in parts of a raw unit (`PER_RAW`).

    `recent` are the last three readings. `slots` are stretches of time, oldest first: (number, microseconds weighed,
    sum of value times microseconds). `advanced` is how far the last reading has been weighed.
    """

    recent: tuple[int, ...]
    slots: tuple[tuple[int, int, int], ...]
    advanced: datetime


class Refilling(StrEnum):
    """Why a level's window has to fill anew, and so what its first value then means."""

    BASELINE = "baseline"
    BOOK = "book"
    REBASE = "rebase"
    CLIPPED = "clipped"
    RESTORED = "restored"


@value
class Filling:
    """A level whose window fills anew; `since` is when it was last known.

    `cause` is what made it; for a baseline, what interrupted it (None: nothing has).
    """

    kind: Refilling
    since: datetime
    cause: Cause | None = None


@value
class Fall:
    """A level that fell faster than it can be used up: since when, how low, and where it is now.

    `above` is since when it stands above where it fell from: the container may be another.
    """

    since: datetime
    low: int
    last: int
    above: datetime | None = None


@value
class LevelState:
    """A level's ratchet, in positions; contents are negated where what rises counts (derivation.md, Levels).

    All above `mark` is booked. `level` is the smoothed level at `level_time`, above `mark` by a credit or below by what
    is not booked yet. `lifted` is by how much refills have raised the mark in this epoch: what ran through it is
    `lifted` - `mark` - `first_raw`, from levels alone. `anchor` is where the level stood before a rise, `top` its top
    while it lasts. `away` is in review as taken away: what comes back of it is no credit. `blind`: the last reading was
    none. `raw` is the last good reading, `raw_before` that at the mark.
    """

    epoch: int
    first_raw: int
    mark: int
    mark_time: datetime
    lifted: int
    level: int
    level_time: datetime
    window: Window
    last_at: Instant
    last_time: datetime
    raw: Decimal
    raw_before: Decimal
    conversion: str
    unit: str
    anchor: tuple[int, datetime]
    top: tuple[int, datetime] | None = None
    filling: Filling | None = None
    fall: Fall | None = None
    away: int = 0
    blind: bool = False
    clipped: datetime | None = None
    paused: datetime | None = None
    samples: int = 0
    flags: tuple[Flag, ...] = ()
    restored: bool = False

    @property
    def waits(self) -> bool:
        """Whether the passing of time may decide something."""
        if self.paused is not None or (self.blind and self.fall is None):
            return False
        stands = all(total == weight * self.window.recent[-1] for _, weight, total in self.window.slots)
        return not stands or self.fall is not None or self.filling is not None or self.top is not None

    @property
    def held(self) -> bool:
        """Whether a value is in doubt."""
        return self.fall is not None

    @property
    def shown(self) -> int:
        """The smoothed level, in positions."""
        return self.level

    @property
    def position(self) -> int:
        """What has run through the level up to the mark."""
        return self.lifted - self.mark


@value
class Run:
    """A flow being integrated: `rate` in millionths of a position a second, `integral` in half of those microseconds.

    `time` and `at` are those of the newest reading; `blind`: since then one was none, or the meter was out of sight.
    `skew` is by how much the source's clock was seen to be set back; `written` the source's own time of the reading.
    """

    rate: int
    raw: Decimal
    time: datetime
    at: Instant
    integral: int = 0
    blind: bool = False
    skew: timedelta = timedelta(0)
    written: datetime | None = None


@value
class Compared:
    """A second meter in series, and where both stood when the present comparison began."""

    run: Run
    since: datetime
    first: int
    second: int


@value
class FlowState:
    """A flow's integral: `last_raw` is the position up to which it is booked, at `booked_time`; it never falls.

    What flowed back, or was booked while a late reading was under way, is set against what flows on.
    """

    epoch: int
    first_raw: int
    last_raw: int
    booked_time: datetime
    run: Run
    raw_before: Decimal
    conversion: str
    unit: str
    samples: int = 0
    flags: tuple[Flag, ...] = ()
    compared: Compared | None = None
    paused: datetime | None = None
    restored: bool = False

    @property
    def waits(self) -> bool:
        """Whether the passing of time may decide something."""
        return self.run.rate != 0 and not self.run.blind

    @property
    def held(self) -> bool:
        """Whether a value is in doubt."""
        return False

    @property
    def shown(self) -> int:
        """What is booked, in positions."""
        return self.last_raw
