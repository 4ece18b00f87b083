"""What is measured of the running agent beyond what its parts count themselves, and the one line made of it."""

from __future__ import annotations

import asyncio
import platform
import resource
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from edge_agent import __version__
from edge_agent.clock import Clock
from edge_agent.errors import StoreError
from edge_agent.pipeline import Probe
from edge_agent.publishing.relay import RelayReport
from edge_agent.store.database import Database
from edge_agent.store.figures import read_figures
from edge_agent.store.outbox import Outbox
from edge_agent.telemetry.metrics import Counts
from edge_agent.telemetry.progress import SCHEDULER, STALLED_SECONDS, STORE, Progress
from edge_agent.telemetry.status import Health, Status
from edge_agent.telemetry.tags import TagBoard

_COMPONENT = "store figures"
_OF_THE_RELAY: dict[str, str] = {
    "published": "published",
    "acknowledged": "acknowledged",
    "rejected": "held",
    "resent_after_loss": "lost in flight",
    "replayed": "replayed",
    "dropped": "own dropped",
    "unpublishable": "unpublishable",
}
"""The relay's own counts by metric."""


class Measuring:
    """Reads figures every so many `seconds`; each time it proves that the store's writer works."""

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        tags: TagBoard,
        *,
        relay: Callable[[], RelayReport],
        clock: Clock,
        status: Status,
        counts: Counts,
        progress: Progress,
        seconds: float = 1.0,
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._tags = tags
        self._relay = relay
        self._clock = clock
        self._status = status
        self._counts = counts
        self._progress = progress
        self._seconds = seconds
        counts.set("build_info", 1, version=__version__, python=platform.python_version())
        counts.set("process_start_time_seconds", time.time())
        for source in tags.by_source():  # an alert on a rate needs the zero before the first one
            counts.add("readings", 0, source=source)
            counts.add("overflows", 0, source=source)

    async def run(self) -> None:
        """Measure for ever. An answer of the store counts as progress even where it is an error: it does not hang."""
        while True:
            try:
                await self.measure()
            except StoreError as error:
                self._status.lost(_COMPONENT, str(error))
            else:
                if self._status.health(_COMPONENT) is Health.LOST:
                    self._status.up(_COMPONENT, "they can be read again")
            self._progress.made(STORE)
            await asyncio.sleep(self._seconds)

    async def measure(self) -> None:
        """Take the store's figures. Raises StoreError where it cannot be read."""
        figures = await read_figures(self._database)
        self._counts.set("review_open", figures.open_reviews)
        self._counts.set("dead_letters", figures.rejected, kind="rejected")
        self._counts.set("dead_letters", figures.unpublishable, kind="unpublishable")
        self._counts.set("store_bytes", figures.used_bytes)
        self._counts.set("store_cap_bytes", figures.cap_bytes)
        for stream in self._outbox.streams:
            waits = self._outbox.head(stream) > self._outbox.delivered(stream)
            oldest = await self._outbox.oldest_undelivered(stream) if waits else None
            self._counts.set("outbox_oldest_seconds", self._age(oldest), stream=stream)

    def line(self) -> str:
        """How the agent stands: `12/12 tags good · 3 waiting · 2 to review`."""
        tags = self._tags.by_source().values()
        good, bad = sum(one[0] for one in tags), sum(one[1] for one in tags)
        waiting = sum(self._outbox.head(one) - self._outbox.delivered(one) for one in self._outbox.streams)
        return f"{good}/{good + bad} tags good · {waiting} waiting · {self._counts.get('review_open'):.0f} to review"

    def exposition(self) -> str:
        """All metrics as of now, in Prometheus' text format."""
        for source, (good, bad) in self._tags.by_source().items():
            self._counts.set("tags_good", good, source=source)
            self._counts.set("tags_bad", bad, source=source)
        for stream in self._outbox.streams:
            waiting = self._outbox.head(stream) - self._outbox.delivered(stream)
            self._counts.set("outbox_pending", waiting, stream=stream)
        report = self._relay()
        self._counts.set("broker_up", int(report.connected))
        for metric, count in _OF_THE_RELAY.items():
            self._counts.total(metric, report.counts.get(count, 0))
        self._counts.set("progress", int(self._progress.stalled(STALLED_SECONDS) is None))
        self._measure_process()
        return self._counts.exposition()

    def _measure_process(self) -> None:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        self._counts.total("process_cpu_seconds", usage.ru_utime + usage.ru_stime)
        self._counts.set("process_resident_memory_bytes", pages * resource.getpagesize())
        self._counts.set("process_open_fds", sum(1 for _ in Path("/proc/self/fd").iterdir()))
        self._counts.set("process_tasks", len(asyncio.all_tasks()))

    def _age(self, moment: datetime | None) -> float:
        return 0.0 if moment is None else max(0.0, (self._clock.now().wall - moment).total_seconds())


def measured(probe: Probe, progress: Progress, counts: Counts) -> Probe:
    """`probe`, and with it: each step is progress, and how long it takes from there to its durable COMMIT."""
    stepped = time.monotonic()

    def passed(point: str) -> None:
        nonlocal stepped
        if point == "after-step":
            progress.made(SCHEDULER)
            stepped = time.monotonic()
        elif point == "after-commit":
            counts.observe("commit_seconds", time.monotonic() - stepped)
        probe(point)

    return passed
