"""Who is restarted and who is fatal; a death and a recovery are said once each."""

from __future__ import annotations

import asyncio
import logging

import pytest

from edge_agent.supervisor import Supervisor
from edge_agent.telemetry.status import Health, Status


class Dying:
    """Work that dies the first `times`, then runs on."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.runs = 0

    async def run(self) -> None:
        self.runs += 1
        if self.runs <= self.times:
            raise ZeroDivisionError(f"death {self.runs}")
        await asyncio.Event().wait()


async def test_a_restarted_task_lives_again_and_both_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    status, dying = Status(), Dying(times=2)
    supervisor = Supervisor(status, settled=0.05)
    supervisor.restarted("filler", dying.run)
    with caplog.at_level(logging.INFO):
        running = asyncio.create_task(supervisor.run())
        async with asyncio.timeout(30):
            while status.health("task filler") is not Health.UP:
                await asyncio.sleep(0.01)
        supervisor.stop()
        await running
    assert dying.runs == 3
    said = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    assert [(one["event"], one["component"]) for one in said] == [("lost", "task filler"), ("up", "task filler")]
    assert "death 1" in said[0]["detail"]


async def test_a_fatal_death_ends_all_and_says_whose(caplog: pytest.LogCaptureFixture) -> None:
    ended = asyncio.Event()

    async def other() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    supervisor = Supervisor(Status())
    supervisor.fatal("pipeline", Dying(times=1).run)
    supervisor.restarted("filler", other)
    with pytest.raises(ZeroDivisionError, match="death 1"):
        await supervisor.run()
    assert ended.is_set()
    (said,) = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    assert (said["code"], said["component"]) == ("EA-2003", "pipeline")


async def test_a_stop_is_a_clean_end() -> None:
    supervisor = Supervisor(Status())
    supervisor.fatal("pipeline", Dying(times=0).run)
    running = asyncio.create_task(supervisor.run())
    await asyncio.sleep(0)
    supervisor.stop()
    await running


async def test_a_cancellation_that_nobody_asked_for_is_a_death_like_any_other() -> None:
    status, runs = Status(), []

    async def work() -> None:
        runs.append(1)
        if len(runs) == 1:
            raise asyncio.CancelledError
        await asyncio.Event().wait()

    supervisor = Supervisor(status, settled=0.05)
    supervisor.restarted("filler", work)
    running = asyncio.create_task(supervisor.run())
    async with asyncio.timeout(30):
        while status.health("task filler") is not Health.UP:
            await asyncio.sleep(0.01)
    supervisor.stop()
    await running
    assert len(runs) == 2
