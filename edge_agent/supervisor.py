"""Named tasks: who is restarted, who is fatal (architecture.md, habit 8).

The store's pipeline and the control socket are fatal: the process ends with a non-zero code and systemd starts it
anew. A source or the relay that dies is started again after a pause; its death is said once, and its recovery.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from random import SystemRandom

from edge_agent.telemetry.log import Code, get_logger
from edge_agent.telemetry.status import Health, Status

Work = Callable[[], Awaitable[None]]

_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 10.0
_SETTLED_SECONDS = 30.0
"""A task that has run for so long since its death works again."""
_JITTER = SystemRandom().uniform

_log = get_logger(__name__)


class Supervisor:
    """Runs named tasks until one that is fatal dies or `stop` is called. Tasks may come and go meanwhile."""

    def __init__(self, status: Status, settled: float = _SETTLED_SECONDS) -> None:
        self._status = status
        self._settled = settled
        self._waiting: list[tuple[str, Work]] = []
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ended: asyncio.Future[asyncio.Task[None] | None] | None = None
        self._stopping = False

    def fatal(self, name: str, work: Work) -> None:
        """A task whose death ends the process."""
        self._add(name, work)

    def restarted(self, name: str, work: Work) -> None:
        """A task that is started again after it died; on the status board it is `task NAME`."""
        self._add(name, partial(self._keep, name, work))

    async def remove(self, *names: str) -> None:
        """End these tasks, and wait for their end; the process goes on."""
        tasks = [self._tasks.pop(name) for name in names]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def stop(self) -> None:
        """Ask for a clean end."""
        self._stopping = True
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    async def run(self) -> None:
        """Run all tasks; returns after `stop`, raises what a fatal task died of."""
        self._ended = asyncio.get_running_loop().create_future()
        waiting, self._waiting = self._waiting, []
        for name, work in waiting:
            self._start(name, work)
        if self._stopping:
            self.stop()
        try:
            task = await self._ended
        finally:
            await self.remove(*self._tasks)
        if task is None:
            return
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.critical("the agent ends", code=Code.FATAL, component=task.get_name(), detail=repr(error))
        task.result()

    def _add(self, name: str, work: Work) -> None:
        if self._ended is None:
            self._waiting.append((name, work))
        else:
            self._start(name, work)

    def _start(self, name: str, work: Work) -> None:
        task = asyncio.create_task(_as_coroutine(work), name=name)
        self._tasks[name] = task
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        """A task has ended by itself: `_keep` never does, so it was a fatal one."""
        known = self._tasks.get(task.get_name()) is task
        if known and self._ended is not None and not self._ended.done():
            self._ended.set_result(task)

    async def _keep(self, name: str, work: Work) -> None:
        """Run `work` to its end, again and again after it died; pauses double, and begin anew once it has settled."""
        loop, component, pause = asyncio.get_running_loop(), f"task {name}", _FIRST_PAUSE
        while True:
            began = loop.time()
            settled = loop.call_later(self._settled, self._recovered, component)
            try:
                return await work()
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                self._status.lost(component, repr(error))  # nobody asked for it: a library's own
            except Exception as error:  # noqa: BLE001 - whatever it died of, the others go on
                self._status.lost(component, repr(error))
            finally:
                settled.cancel()
            pause = _FIRST_PAUSE if loop.time() - began > self._settled else min(pause * 2, _LONGEST_PAUSE)
            await asyncio.sleep(_JITTER(pause / 2, pause))

    def _recovered(self, component: str) -> None:
        if self._status.health(component) is Health.LOST:
            self._status.up(component, f"runs again for {self._settled:.0f} s")


async def _as_coroutine(work: Work) -> None:
    await work()
