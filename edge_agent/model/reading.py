"""What a source delivers: readings of tags, and the state of the source itself."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from edge_agent.model.value import value

TICK_SECONDS = 0.2
"""How often the engine is told at least that time passes, while something waits for it."""

Scalar = int | Decimal | bool | str
"""A decoded tag value. Binary floats become `Decimal` at the source's door and never pass it."""


class TagRef(NamedTuple):
    """The name of a tag: `source.tag`, as in the tag map."""

    source: str
    tag: str

    def __str__(self) -> str:
        return f"{self.source}.{self.tag}"


class Quality(StrEnum):
    """OPC UA severity of a value (OPC 10000-4, 7.39): only `GOOD` may be booked."""

    GOOD = "good"
    UNCERTAIN = "uncertain"
    BAD = "bad"


@value
class Instant:
    """One moment as this machine saw it: wall clock for people, monotonic clock for arithmetic.

    `wall` is timezone-aware UTC. `monotonic_ns` counts nanoseconds since the boot named by `boot_id` and compares
    across processes of one boot (CLOCK_BOOTTIME), so elapsed time survives a restart of the agent.
    """

    wall: datetime
    monotonic_ns: int
    boot_id: str

    def seconds_since(self, earlier: Instant) -> Decimal:
        """Seconds from `earlier` to this instant, never negative; by the wall clock only across a reboot."""
        if self.boot_id == earlier.boot_id:
            elapsed = Decimal(self.monotonic_ns - earlier.monotonic_ns).scaleb(-9)
        else:
            elapsed = Decimal(str((self.wall - earlier.wall).total_seconds()))
        return max(elapsed, Decimal(0))


@value
class Reading:
    """One value of one tag.

    `status` is the protocol's own code (OPC UA StatusCode; 0 for Modbus). `source_time` and `server_time` are what the
    device said, timezone-aware UTC, or None. `continuous` states that no change of this tag between the previous
    reading and this one can have been missed: same session, queued subscription, no overflow. The first reading after
    a connect, and every reading got by polling or reading again, is not continuous.
    """

    tag: TagRef
    value: Scalar | None
    quality: Quality
    received: Instant
    status: int = 0
    source_time: datetime | None = None
    server_time: datetime | None = None
    continuous: bool = False


class Link(StrEnum):
    """Whether a source's session is up."""

    UP = "up"
    LOST = "lost"


@value
class SourceChange:
    """A source's session began or ended.

    `start_time` is the server's own StartTime (OPC UA ServerStatus.StartTime) where it can be read: a changed one is a
    sign that the device restarted; None with `Link.UP` means it could not be read.
    """

    source: str
    link: Link
    received: Instant
    start_time: datetime | None = None


@value
class Tick:
    """The passing of time, as an input: the engine has no clock of its own."""

    received: Instant


@value
class Cut:
    """A request to cut pending lines into events now, whatever the cadence.

    All of them; or only those of `rules` that are about to go: then to the last fraction.
    """

    received: Instant
    rules: frozenset[str] | None = None
