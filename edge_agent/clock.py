"""The only place that reads a clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from edge_agent.model.reading import Instant

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Clock(Protocol):
    """Where instants come from; the shell passes them on as data."""

    def now(self) -> Instant:
        """The present instant."""
        ...


class SystemClock:
    """The machine's clocks: CLOCK_REALTIME, and CLOCK_BOOTTIME, which runs on through suspend and agent restarts."""

    def __init__(self) -> None:
        # Without the kernel's id each process counts as a boot of its own: elapsed time is then the wall clock's.
        self._boot_id = _BOOT_ID.read_text(encoding="ascii").strip() if _BOOT_ID.exists() else str(uuid4())

    def now(self) -> Instant:
        """The present instant."""
        return Instant(datetime.now(UTC), time.clock_gettime_ns(time.CLOCK_BOOTTIME), self._boot_id)


class ManualClock:
    """A clock that moves only when told to: for virtual time."""

    def __init__(self, start: datetime, boot_id: str = "virtual") -> None:
        self._now = Instant(start, 0, boot_id)

    def now(self) -> Instant:
        """The present instant."""
        return self._now

    def advance(self, by: timedelta) -> Instant:
        """Move on by `by` and return the new instant."""
        nanoseconds = self._now.monotonic_ns + int(by.total_seconds() * 1_000_000_000)
        self._now = Instant(self._now.wall + by, nanoseconds, self._now.boot_id)
        return self._now
