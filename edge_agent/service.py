"""The agent as a service: ready, alive, reloading, stopping, and one line on how it stands (systemd.service(5))."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from edge_agent.telemetry.progress import STALLED_SECONDS, Progress
from edge_agent.telemetry.sd_notify import Notifier
from edge_agent.telemetry.status import Health, Status

_COMPONENT = "progress"
_STATUS_SECONDS = 1.0
_SETTLED_SECONDS = 60.0
_LONGEST_WAIT = 60.0
_FAILURES = "failures"


class Service:
    """Tells the service manager what is true: ready and alive only by real progress of all parts."""

    def __init__(self, notifier: Notifier, progress: Progress, status: Status, line: Callable[[], str]) -> None:
        self._notifier = notifier
        self._progress = progress
        self._status = status
        self._line = line
        self._limit = notifier.watchdog_seconds or STALLED_SECONDS
        self._why_not_ready: str | None = "starting: the store is open, the first step is not done yet"

    async def watch(self) -> None:
        """Say READY after the first progress of all parts, and after each further one that the watchdog may rest."""
        await self._progress.of_all()
        self._why_not_ready = None
        self._notifier.ready()
        while True:
            self._notifier.watchdog()
            await asyncio.sleep(self._limit / 3)
            await self._progress.of_all()

    async def tell(self) -> None:
        """Keep STATUS fresh: on change, at most once a second; say when a part stands still, and when it goes on."""
        said = ""
        while True:
            stalled = self._progress.stalled(self._limit)
            if stalled is not None:
                self._status.lost(_COMPONENT, stalled)
            elif self._status.health(_COMPONENT) is Health.LOST:
                self._status.up(_COMPONENT, "all parts get on again")
            line = stalled or self._line()
            if line != said:
                self._notifier.status(line)
                said = line
            await asyncio.sleep(_STATUS_SECONDS)

    def stopping(self) -> None:
        """The end begins."""
        self._why_not_ready = "stopping"
        self._notifier.stopping()

    def reloading(self) -> None:
        """A new map is being taken over; `reloaded` ends it, whatever came of it."""
        self._notifier.reloading()

    def reloaded(self) -> None:
        """The agent runs on, with the new map or with the old one."""
        self._notifier.ready()

    def not_ready(self) -> str | None:
        """Why the agent is not ready, in one line; None where it is."""
        return self._why_not_ready

    def unhealthy(self) -> str | None:
        """What stands still, in one line; None where all parts get on."""
        return self._progress.stalled(self._limit)


class Restraint:
    """Waits longer before each start after a row of failed ones: systemd 252 restarts at one pace only.

    The number of starts is kept in systemd's RUNTIME_DIRECTORY (with RuntimeDirectoryPreserve=restart), which a stop or
    a boot clears; without it there is nothing to hold back.
    """

    def __init__(self, notifier: Notifier, environment: Mapping[str, str] = os.environ) -> None:
        directory = environment.get("RUNTIME_DIRECTORY", "")
        self._file = Path(directory) / _FAILURES if directory else None
        self._notifier = notifier

    async def hold_back(self) -> None:
        """Wait 0, 0, 2, 4, 8 … 60 s before the first, second, third … start in a row."""
        if self._file is None:
            return
        failures = self._failures()
        self._file.write_text(str(failures + 1), encoding="ascii")
        if failures > 1:
            seconds = min(2.0 ** (failures - 1), _LONGEST_WAIT)
            self._notifier.status(f"failed {failures} times in a row: starts in {seconds:.0f} s")
            await asyncio.sleep(seconds)

    async def settle(self) -> None:
        """After a minute that went well the row is broken; then there is nothing left to do, for ever."""
        await asyncio.sleep(_SETTLED_SECONDS)
        self.forget()
        await asyncio.Event().wait()

    def forget(self) -> None:
        """The next start is no failure's."""
        if self._file is not None:
            self._file.unlink(missing_ok=True)

    def _failures(self) -> int:
        try:
            text = self._file.read_text(encoding="ascii") if self._file is not None else ""
        except (OSError, ValueError):
            return 0
        return int(text) if text.isdecimal() and len(text) < 6 else 0
