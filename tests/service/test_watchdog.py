"""Ready and alive only by real progress: a hung writer stops the pings, though the event loop turns happily on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiosqlite
import pytest

from edge_agent.clock import SystemClock
from edge_agent.measuring import Measuring
from edge_agent.publishing.relay import RelayReport
from edge_agent.service import Service
from edge_agent.store.database import Database
from edge_agent.store.outbox import Outbox
from edge_agent.store.restore import open_store
from edge_agent.telemetry.metrics import Counts
from edge_agent.telemetry.progress import PARTS, SCHEDULER, STORE, Progress
from edge_agent.telemetry.sd_notify import Notifier
from edge_agent.telemetry.status import Health, Status
from edge_agent.telemetry.tags import TagBoard
from tests.service.manager import Manager, manager

_WATCHDOG_SECONDS = 0.3


class LoopIsProgress(Progress):
    """Planted bug: that the event loop turns is taken for progress."""

    async def of_all(self) -> None:
        await asyncio.sleep(0)


class Bench:
    """A service over a real store, its scheduler driven by the test."""

    def __init__(self, database: Database, systemd: Manager, progress: Progress) -> None:
        self.database = database
        self.systemd = systemd
        self.progress = progress
        self.status = Status()
        self.counts = Counts()
        self.steps = True
        self.hung = asyncio.Event()
        self.freed = asyncio.Event()
        measuring = Measuring(
            database,
            Outbox(database, ()),
            TagBoard(()),
            relay=lambda: RelayReport(connected=False, streams={}, counts={}),
            clock=SystemClock(),
            status=self.status,
            counts=self.counts,
            progress=progress,
            seconds=0.02,
        )
        self.service = Service(Notifier(systemd.environment), progress, self.status, measuring.line)
        self.work: list[Callable[[], Awaitable[None]]] = [
            self.service.watch,
            self.service.tell,
            measuring.run,
            self._scheduler,
        ]

    async def _scheduler(self) -> None:
        while True:
            if self.steps:
                self.progress.made(SCHEDULER)
            await asyncio.sleep(0.02)

    async def hang_the_writer(self) -> None:
        """A transaction that does not end, as on a disk that does not answer."""

        async def never_ends(_connection: aiosqlite.Connection) -> None:
            self.hung.set()
            await self.freed.wait()

        self.stuck = asyncio.create_task(self.database.transaction(never_ends))
        await self.hung.wait()

    async def pings_in(self, watchdogs: int) -> int:
        """How many pings come in so many watchdog times."""
        before = self.systemd.pings()
        await asyncio.sleep(_WATCHDOG_SECONDS * watchdogs)
        return self.systemd.pings() - before


@asynccontextmanager
async def bench(directory: Path, progress: type[Progress] = Progress) -> AsyncIterator[Bench]:
    database = await open_store(directory / "s.db", agent="a", max_size=1 << 26, now=SystemClock().now())
    with manager(directory / "notify", _WATCHDOG_SECONDS) as systemd:
        made = Bench(database, systemd, progress())
        tasks = [asyncio.create_task(_as_coroutine(work)) for work in made.work]
        try:
            yield made
        finally:
            made.freed.set()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await database.close()


async def _as_coroutine(work: Callable[[], Awaitable[None]]) -> None:
    await work()


async def test_ready_waits_for_the_first_step_and_the_first_round_trip(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        made.steps = False
        made.progress.made(STORE)
        assert "READY=1" not in made.systemd.hear()
        assert made.service.not_ready() == "starting: the store is open, the first step is not done yet"
        await made.systemd.until(lambda said: any(line.startswith("STATUS=") for line in said))
        assert "READY=1" not in made.systemd.hear()
        made.steps = True
        await made.systemd.until(lambda said: said.count("WATCHDOG=1") > 3)
        assert made.systemd.hear().count("READY=1") == 1
        assert made.service.not_ready() is None
        made.service.stopping()
        assert made.systemd.hear()[-1] == "STOPPING=1"
        assert made.service.not_ready() == "stopping"


async def test_a_hung_writer_stops_the_pings_until_it_gets_on(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.systemd.until(lambda said: said.count("WATCHDOG=1") > 1)
        await made.hang_the_writer()
        assert await made.pings_in(6) <= 1  # the progress of the moment before
        assert (made.service.unhealthy() or "").startswith("store: no round trip of its writer for ")
        assert made.status.health("progress") in {Health.LOST, None}  # said within a second
        made.freed.set()
        before = made.systemd.pings()
        await made.systemd.until(lambda said: said.count("WATCHDOG=1") > before + 2)
        assert made.service.unhealthy() is None


async def test_a_hung_scheduler_stops_the_pings(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.systemd.until(lambda said: said.count("WATCHDOG=1") > 1)
        made.steps = False
        assert await made.pings_in(6) <= 1
        assert (made.service.unhealthy() or "").startswith("scheduler: no step of the pipeline for ")


async def test_the_planted_bug_is_caught(tmp_path: Path) -> None:
    async with bench(tmp_path, LoopIsProgress) as made:
        await made.systemd.until(lambda said: said.count("WATCHDOG=1") > 1)
        await made.hang_the_writer()
        assert await made.pings_in(6) > 1


async def test_what_stands_still_is_said_once_and_on_the_status_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        async with bench(tmp_path) as made:
            await made.systemd.until(lambda said: "STATUS=0/0 tags good · 0 waiting · 0 to review" in said)
            await made.hang_the_writer()
            await made.systemd.until(lambda said: any("no round trip" in line for line in said))
            made.freed.set()
            await made.systemd.until(lambda said: said[-1].startswith("STATUS=0/0") or "STATUS=0/0" in said[-2])
    said = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    assert [one["event"] for one in said if one.get("component") == "progress"] == ["lost", "up"]


async def test_a_store_that_answers_with_errors_does_not_hang(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await made.systemd.until(lambda said: said.count("WATCHDOG=1") > 1)
        await made.database.transaction(_drop_reviews)
        before = made.systemd.pings()
        await made.systemd.until(lambda said: said.count("WATCHDOG=1") > before + 3)
        assert made.status.health("store figures") is Health.LOST


async def _drop_reviews(connection: aiosqlite.Connection) -> None:
    await connection.execute("DROP TABLE review")


async def test_progress_of_all_needs_each_of_them() -> None:
    progress = Progress()
    waiting = asyncio.create_task(progress.of_all())
    await asyncio.sleep(0)
    for _ in range(3):
        progress.made(STORE)
    with suppress(TimeoutError):
        async with asyncio.timeout(0.05):
            await asyncio.shield(waiting)
    assert not waiting.done()
    progress.made(SCHEDULER)
    await waiting
    assert progress.stalled(60) is None
    assert progress.stalled(-1) is not None
    assert set(PARTS) == {STORE, SCHEDULER}
