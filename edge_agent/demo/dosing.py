"""The skid doses while the line runs, for its order: what is a wire from PLC to PLC in a plant."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from edge_agent.demo.processes import Child

_SECONDS = 0.1
_RUNNING = "running"
"""The phase of the line's script; around a change of order it drains for seconds, so that nothing straddles."""


@asynccontextmanager
async def dosing(line: Child, skid: Child) -> AsyncIterator[None]:
    """Lead the skid meanwhile; then it rests. Raises DemoError where one of them does not answer."""
    ended = asyncio.Event()
    following = asyncio.create_task(_follow(line, skid, ended), name="dosing")
    try:
        yield
    finally:
        ended.set()
        await following


async def _follow(line: Child, skid: Child, ended: asyncio.Event) -> None:
    """Until `ended` the skid rests only while the line does not run, is down or changes its order."""
    order: str | None = None
    doses = True
    while not ended.is_set():
        status = await line.ask("status")
        runs = status["running"] and status["online"] and status["script"]["phase"] == _RUNNING
        if doses and (not runs or status["order"] != order):
            await skid.ask("rest")
            doses = False
        if runs and not doses:
            order = status["order"]
            await skid.ask("order", number=order)
            await skid.ask("dose")
            doses = True
        await asyncio.sleep(_SECONDS)
    await skid.ask("rest")
