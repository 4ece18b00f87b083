"""Whether the agent really gets on: an event loop that only turns is no progress (reliability.md, invariant 15)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

STORE = "store"
SCHEDULER = "scheduler"
PARTS = {STORE: "no round trip of its writer", SCHEDULER: "no step of the pipeline"}
"""What must get on, and what is said of it when it does not."""

STALLED_SECONDS = 30.0
"""How long a part may stand still where systemd does not say."""


class Progress:
    """When each part last did what it is there for. `parts` are by name, with what to say where one stands still."""

    def __init__(self, parts: Mapping[str, str] = PARTS) -> None:
        self._complaints = parts
        self._last = dict.fromkeys(parts, time.monotonic())
        self._awaited: set[str] = set()
        self._moved = asyncio.Event()

    def made(self, part: str) -> None:
        """The part has done a piece of its work, whatever came of it."""
        self._last[part] = time.monotonic()
        self._awaited.discard(part)
        if not self._awaited:
            self._moved.set()

    async def of_all(self) -> None:
        """Return when every part has made progress since this was called."""
        self._awaited = set(self._last)
        self._moved.clear()
        await self._moved.wait()

    def stalled(self, seconds: float) -> str | None:
        """The first part that has stood still for longer than `seconds`, as a sentence; None where all get on."""
        now = time.monotonic()
        for part, last in self._last.items():
            if now - last > seconds:
                return f"{part}: {self._complaints[part]} for {now - last:.0f} s"
        return None
