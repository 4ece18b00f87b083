"""The other end of `service`: starts a simulator and asks it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

_LARGEST_ANSWER = 1 << 28
_SECONDS = 30.0


class Process:
    """One simulator in a process of its own; `ready` is its first line."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.ready: dict[str, Any] = {}
        self._process = process
        self._lock = asyncio.Lock()

    @classmethod
    async def start(cls, name: str, *arguments: object) -> Process:
        """Start `python -m edge_agent_simulators.<name>` and wait until it is ready. Raises RuntimeError."""
        folder = str(Path(__file__).parent.parent)
        path = os.pathsep.join(filter(None, (folder, os.environ.get("PYTHONPATH"))))
        command = (sys.executable, "-m", f"edge_agent_simulators.{name}", *map(str, arguments))
        environment = {**os.environ, "PYTHONPATH": path}
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, env=environment, limit=_LARGEST_ANSWER
        )
        started = cls(name, process)
        try:
            started.ready = await started._answer()
        except BaseException:
            await started.kill()
            raise
        return started

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def ask(self, cmd: str, **arguments: object) -> dict[str, Any]:
        """Send one request and return its answer. Raises RuntimeError where it is refused or the process is gone."""
        async with self._lock:
            assert self._process.stdin is not None  # noqa: S101 - opened with PIPE
            try:
                self._process.stdin.write(json.dumps({"cmd": cmd, **arguments}).encode() + b"\n")
                await self._process.stdin.drain()
            except ConnectionError:
                msg = f"{self.name} has ended"
                raise RuntimeError(msg) from None
            return await self._answer()

    async def stop(self) -> int:
        """Close its input and wait for its end; answers the exit code."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            return await asyncio.wait_for(self._process.wait(), _SECONDS)
        except TimeoutError:
            return await self.kill()

    async def kill(self) -> int:
        """kill -9."""
        if self._process.returncode is None:
            self._process.kill()
        return await self._process.wait()

    async def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None  # noqa: S101 - opened with PIPE
        line = await asyncio.wait_for(self._process.stdout.readline(), _SECONDS)
        if not line:
            msg = f"{self.name} has ended"
            raise RuntimeError(msg)
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            msg = f"{self.name}: {answer['error']}"
            raise RuntimeError(msg)
        return answer
