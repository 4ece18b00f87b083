"""Named tasks: who is restarted, who is fatal (architecture.md, habit 8).

The store's pipeline and the control socket are fatal: the process ends with a non-zero code and systemd starts it
anew. A source or the relay that dies is started again after a pause, and its death is said once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import tenacity

from edge_agent.telemetry.status import Status

Work = Callable[[], Awaitable[None]]

_LONGEST_PAUSE_SECONDS = 10


class Supervisor:
    """Runs named tasks until one that is fatal dies or `stop` is called."""

    def __init__(self, status: Status) -> None:
        self._status = status
        self._fatal: list[tuple[str, Work]] = []
        self._restarted: list[tuple[str, Work]] = []
        self._stopping = asyncio.Event()

    def fatal(self, name: str, work: Work) -> None:
        """A task whose death ends the process."""
        self._fatal.append((name, work))

    def restarted(self, name: str, work: Work) -> None:
        """A task that is started again after it died."""
        self._restarted.append((name, work))

    def stop(self) -> None:
        """Ask for a clean end."""
        self._stopping.set()

    async def run(self) -> None:
        """Run all tasks; returns after `stop`, raises what a fatal task died of."""
        tasks = [asyncio.create_task(_as_coroutine(work), name=name) for name, work in self._fatal]
        tasks += [asyncio.create_task(self._keep(name, work), name=name) for name, work in self._restarted]
        stopping = asyncio.create_task(self._stopping.wait(), name="stop")
        try:
            done, _ = await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (*tasks, stopping):
                task.cancel()
            await asyncio.gather(*tasks, stopping, return_exceptions=True)
        for task in done - {stopping}:
            task.result()

    async def _keep(self, name: str, work: Work) -> None:
        async for attempt in tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(Exception),
            wait=tenacity.wait_random_exponential(multiplier=0.2, max=_LONGEST_PAUSE_SECONDS),
            before_sleep=lambda retry: self._status.lost(name, repr(retry.outcome and retry.outcome.exception())),
        ):
            with attempt:
                await work()


async def _as_coroutine(work: Work) -> None:
    await work()
