"""The skid follows the line: every portion is for the order that the line shows, with rest around a change."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

from edge_agent_simulators.control import Process
from edge_agent_simulators.skid_follow import follow

Starter = Callable[..., Awaitable[Process]]
Until = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]


async def ledger(skid: Process) -> dict[str, Decimal]:
    """Kilograms by order."""
    kilograms: dict[str, Any] = (await skid.ask("ledger"))["ledger"]
    return {key.split("/")[2]: Decimal(kg) for key, kg in kilograms.items()}


async def test_it_rests_around_a_change_and_doses_for_the_new_order(start: Starter, until: Until) -> None:
    line, skid = await start("line", "--no-script"), await start("skid")
    first = (await line.ask("status"))["order"]
    ended = asyncio.Event()
    following = asyncio.create_task(follow(line, skid, ended))
    try:
        await asyncio.sleep(0.3)
        assert await ledger(skid) == {}
        await line.ask("start")

        async def dosed_for(order: str) -> bool:
            return (await ledger(skid)).get(order, Decimal(0)) > 1

        await until(lambda: dosed_for(first))
        await line.ask("next_order", number="4799")

        async def resting() -> bool:
            return bool((await skid.ask("status"))["at_rest"])

        await until(resting)
        assert (await line.ask("status"))["order"] == first
        settled = (await ledger(skid))[first]
        await until(lambda: dosed_for("4799"))
        assert (await line.ask("status"))["order"] == "4799"
        assert (await ledger(skid))[first] == settled
        await line.ask("stop")
        await until(resting)
    finally:
        ended.set()
        await following
    assert (await skid.ask("status"))["at_rest"]
