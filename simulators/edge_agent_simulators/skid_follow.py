"""The skid serves the line: it doses while the line runs, for the line's order, and rests around a change of order.

On a real line this is a wire from PLC to PLC; here it goes over both control channels.
"""

from __future__ import annotations

import asyncio

from edge_agent_simulators.control import Process
from edge_agent_simulators.script import Phase

_SECONDS = 0.1


async def follow(line: Process, skid: Process, ended: asyncio.Event) -> None:
    """Lead the skid until `ended`; then, and whenever the line does not run, is down or has another order, it rests.

    The line rests for 3 s before a change of order and after it, so a client that asks the skid at least every two
    seconds has seen all that was dosed for the old order before the line shows the new one. Never cancel this: an
    answer left unread would be taken for that of the next request.
    """
    order: str | None = None
    dosing = True
    while not ended.is_set():
        status = await line.ask("status")
        runs = status["running"] and status["online"] and status["script"]["phase"] == Phase.RUNNING
        if dosing and (not runs or status["order"] != order):
            await skid.ask("rest")
            dosing = False
        if runs and not dosing:
            order = status["order"]
            await skid.ask("order", number=order)
            await skid.ask("dose")
            dosing = True
        await asyncio.sleep(_SECONDS)
    await skid.ask("rest")
