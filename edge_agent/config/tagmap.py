"""The checked tag map as frozen references (what), without any I/O (how).

The loader resolves everything here: names to objects, units to exact factors, defaults to values. What reads a tag map
never parses text again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import time, timedelta
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from zoneinfo import ZoneInfo

from edge_agent.config.conditions import Condition
from edge_agent.config.devices import CommandSource, Device, Source, Tag, Unit
from edge_agent.config.mqtt_reference import Mqtt
from edge_agent.config.signals import Flow, Level, Signal
from edge_agent.model.movement import EventType
from edge_agent.model.reading import TagRef


@dataclass(frozen=True, slots=True)
class Line:
    """The ISA-95 equipment path, outermost first; `area`, `line`, `cell` may be unnamed (None)."""

    enterprise: str
    site: str
    area: str | None = None
    line: str | None = None
    cell: str | None = None


@dataclass(frozen=True, slots=True)
class Calendar:
    """The plant's time: `day_starts` is when a posting day begins, in `time_zone`."""

    time_zone: ZoneInfo
    day_starts: time
    shifts: Mapping[str, time] = field(default_factory=dict)


class WhenFull(StrEnum):
    """What happens when the store reaches its cap; stopping is the only choice that loses nothing."""

    STOP_AND_ALARM = "stop-and-alarm"


@dataclass(frozen=True, slots=True)
class Buffer:
    """The store: `max_size` in bytes, `keep_sent` the replay window."""

    max_size: int
    keep_sent: timedelta
    when_full: WhenFull = WhenFull.STOP_AND_ALARM


class Posting(StrEnum):
    """Whether a receiver posts a line; only `actual` is posted (events.md, Data)."""

    ACTUAL = "actual"
    BACKFLUSH = "backflush"
    INFORMATION = "information"


class Unproven(StrEnum):
    """What happens to a delta whose continuity nothing proves (derivation.md, Counters)."""

    BOOK = "book"
    REVIEW = "review"


@dataclass(frozen=True, slots=True)
class LotPolicy:
    """Who tells the status of a material's lots, and what is done about consumption of one that may not be used.

    A lot may be used while its status is one of `usable`. `hold`: what is consumed of another one goes to review
    instead of being booked (derivation.md, Context).
    """

    source: str
    usable: frozenset[str]
    hold: bool = False


@dataclass(frozen=True, slots=True)
class Material:
    """A material as MES and ERP know it; `number` is text, zeros included."""

    number: str
    name: str
    klass: str
    unit: Unit
    posting: Posting = Posting.ACTUAL
    lot_tracked: bool = False
    precision: Decimal | None = None
    """Quantities are cut down to multiples of this, in `unit`."""
    gtin: str | None = None
    """14 digits, as barcodes name it."""
    lot_status: LotPolicy | None = None


class CutAt(StrEnum):
    """What else cuts pending lines, beside a cadence's own times."""

    ORDER_CHANGE = "order-change"
    LOT_CHANGE = "lot-change"
    SHIFT_END = "shift-end"


@dataclass(frozen=True, slots=True)
class Cadence:
    """When pending lines are cut into an event. `stream` carries the events.

    What the systems of `accepted_by` have not answered within `accepted_within` is overdue.

    `every` counts from the first pending line, or, `aligned`, from the plant's midnight; `cron` has five fields, in the
    plant's time. Neither of them means at once.
    """

    name: str
    every: timedelta | None
    stream: str
    accepted_by: tuple[str, ...] = ()
    cron: str | None = None
    aligned: bool = False
    or_at: frozenset[CutAt] = frozenset()
    accepted_within: timedelta = timedelta(hours=1)

    @property
    def at_once(self) -> bool:
        """Whether nothing is ever pending."""
        return self.every is None and self.cron is None


class Split(StrEnum):
    """Where a delta goes that straddles a change of order; None in a rule is the default of derivation.md."""

    OLD = "old"
    NEW = "new"
    REVIEW = "review"


class OnSpan(StrEnum):
    """Where a line goes that straddles the start of a posting day."""

    END = "end"
    REVIEW = "review"


class LotWay(StrEnum):
    """How a lot is known that no tag of the rule tells."""

    CONTAINER = "container"
    BLOCK = "block"
    FIFO = "fifo"
    BLEND = "blend"


@dataclass(frozen=True, slots=True)
class Pause:
    """While `when` holds nothing is booked; afterwards what ran is excluded (`rebase`), or booked in one line."""

    when: Condition
    rebase: bool


@dataclass(frozen=True, slots=True)
class OncePer:
    """A container that passes again within this time is not booked by itself: a person decides, or (`exclude`) not."""

    within: timedelta
    exclude: bool


@dataclass(frozen=True, slots=True)
class Arrival:
    """The second step of a transport: `departed` names the rule of the first, `within` how long the way may take."""

    departed: str
    within: timedelta


@dataclass(frozen=True, slots=True)
class Rule:
    """One movement rule. `was` is its former name.

    `factor` times a position of the signal is a quantity in the material's unit, exactly.

    `into_lot` is the tag of the lot that is being made of it.

    What is pending is cut as soon as it reaches `max_qty`, in the material's unit. `container` is the tag of what a
    meter fills or empties (a handshake reads its own in the block); `lot_from` the lot's tag, or how else it is known.
    What comes out belongs to the order and lot of `lag` before: a time, or so many raw units. What runs while
    `only_while` does not hold is excluded.
    """

    name: str
    event: EventType
    material: Material
    signal: Signal
    factor: Fraction
    source_unit: Unit
    cadence: Cadence
    from_: str | None = None
    to: str | None = None
    order: TagRef | None = None
    split: Split | None = None
    on_span: OnSpan = OnSpan.END
    unproven: Unproven = Unproven.REVIEW
    was: str | None = None
    max_qty: Decimal | None = None
    operator: TagRef | None = None
    into_lot: TagRef | None = None
    container: TagRef | None = None
    lot_from: TagRef | LotWay | None = None
    lag: timedelta | int = timedelta(0)
    only_while: Condition | None = None
    pause: Pause | None = None

    once_per: OncePer | None = None
    departs: bool = False
    """The first step of a transport: it books nothing by itself, the second does."""
    arrival: Arrival | None = None

    @property
    def lot_tag(self) -> TagRef | None:
        """The tag of the lot, where one tells it."""
        return None if isinstance(self.lot_from, LotWay) else self.lot_from

    @property
    def time_lag(self) -> timedelta:
        """The lag as a time; none where it is a quantity."""
        return self.lag if isinstance(self.lag, timedelta) else timedelta(0)

    @property
    def pipe(self) -> int:
        """Raw units that are in the pipe; none where the lag is a time."""
        return 0 if isinstance(self.lag, timedelta) else self.lag

    @property
    def conversion(self) -> str:
        """What positions of the signal were multiplied with, exactly: lines of different ones are never added up."""
        if isinstance(self.signal, Level | Flow):
            return self.signal.conversion
        return f"1 = {self.factor} {self.material.unit.name}"


@dataclass(frozen=True, slots=True)
class Ownership:
    """Who is the system of record of storage locations; no `states` means all stock types. `*` matches anything."""

    locations: str
    owner: str
    states: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TagMap:
    """Everything a line's agent is told. `config_hash` is the SHA-256 of the files' bytes, in hexadecimal."""

    agent: str
    line: Line
    calendar: Calendar
    mqtt: Mqtt
    buffer: Buffer
    sources: Mapping[str, Source]
    tags: Mapping[TagRef, Tag]
    units: Mapping[str, Unit]
    materials: Mapping[str, Material]
    cadences: Mapping[str, Cadence]
    rules: Mapping[str, Rule]
    config_hash: str
    max_skew: timedelta = timedelta(seconds=5)
    ownership: tuple[Ownership, ...] = ()
    snapshots: timedelta = timedelta(hours=1)
    """How often a snapshot of all stocks is sent."""
    lot_places: Mapping[tuple[str, str], LotWay] = field(init=False)
    """The (location, material) whose lots are followed, because a rule takes them from there."""
    lots_by_container: frozenset[str] = field(init=False)
    """The materials whose lots some rule knows by the container."""

    def __post_init__(self) -> None:
        rules = self.rules.values()
        places = {
            (rule.from_, rule.material.number): rule.lot_from
            for rule in rules
            if rule.from_ is not None and rule.lot_from in {LotWay.FIFO, LotWay.BLEND}
        }
        by_container = frozenset(rule.material.number for rule in rules if rule.lot_from is LotWay.CONTAINER)
        object.__setattr__(self, "lot_places", places)
        object.__setattr__(self, "lots_by_container", by_container)

    def follows_lots(self, rule: Rule) -> bool:
        """Whether what the rule moves takes from, or adds to, lots that are followed."""
        places = {(location, rule.material.number) for location in (rule.from_, rule.to)}
        return not places.isdisjoint(self.lot_places)

    @property
    def devices(self) -> Mapping[str, Device]:
        """The sources that the agent has a session with."""
        return {name: source for name, source in self.sources.items() if not isinstance(source, CommandSource)}

    @property
    def read_tags(self) -> tuple[TagRef, ...]:
        """The tags that devices show."""
        return tuple(ref for ref in self.tags if ref.source in self.devices)

    @property
    def systems(self) -> frozenset[str]:
        """Every system whose word some event needs."""
        return frozenset(system for cadence in self.cadences.values() for system in cadence.accepted_by)

    @property
    def streams(self) -> tuple[str, ...]:
        """Stream names by priority, highest first; `ops` carries reviews and exceptions."""
        known = ("critical", "routine", "bulk")
        extra = sorted({c.stream for c in self.cadences.values()} - {*known, "ops"})
        return (*known, *extra, "ops")
