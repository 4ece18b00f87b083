"""Child processes that answer JSON lines on their standard output, one for each request line on their input.

The other ends of the demo (line, broker, MES, proxy) are programs of their own: nothing of them is imported here.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from typing import Any

from edge_agent.errors import EdgeAgentError

_LARGEST_ANSWER = 64 << 20
_READY_SECONDS = 30
_ANSWER_SECONDS = 30
_END_SECONDS = 5


class DemoError(EdgeAgentError):
    """A process of the demo did not start or does not answer."""


class Child:
    """One child process; its first line says that it is ready, and with what (`ready`)."""

    def __init__(self, name: str, process: Process) -> None:
        self.name = name
        self._process = process
        self._one_at_a_time = asyncio.Lock()
        self.ready: dict[str, Any] = {}

    @classmethod
    async def start(cls, module: str, *arguments: str) -> Child:
        """Run `python -m module arguments` and wait until it is ready.

        Raises:
            DemoError: it ended or said nothing in time.
        """
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, *arguments), stdin=PIPE, stdout=PIPE, stderr=DEVNULL, limit=_LARGEST_ANSWER
        )
        child = cls(module.rpartition(".")[2], process)
        try:
            child.ready = await child._answer(_READY_SECONDS)
        except DemoError:
            await child.stop()
            raise
        return child

    async def ask(self, cmd: str, **arguments: object) -> dict[str, Any]:
        """Send one request and return its answer."""
        async with self._one_at_a_time:
            assert self._process.stdin is not None  # noqa: S101 - opened with PIPE above
            try:
                self._process.stdin.write(json.dumps({"cmd": cmd, **arguments}).encode() + b"\n")
                await self._process.stdin.drain()
            except ConnectionError as error:
                msg = f"the {self.name} has ended"
                raise DemoError(msg) from error
            return await self._answer(_ANSWER_SECONDS)

    async def stop(self) -> None:
        """End it: it leaves by itself when its input closes."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(_END_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def _answer(self, seconds: float) -> dict[str, Any]:
        assert self._process.stdout is not None  # noqa: S101 - opened with PIPE above
        try:
            async with asyncio.timeout(seconds):
                line = await self._process.stdout.readline()
            answer = json.loads(line)
        except (TimeoutError, ValueError) as error:
            msg = f"the {self.name} does not answer"
            raise DemoError(msg) from error
        if not isinstance(answer, dict) or "error" in answer:
            msg = f"the {self.name} answers: {line.decode(errors='replace').strip()[:200]}"
            raise DemoError(msg)
        return answer
