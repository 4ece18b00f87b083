"""Levels and flows through the real store and renderer: committed one by one, restarted, and the books balance."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from edge_agent.derivation.engine import Engine
from edge_agent.model.outcome import Outcome
from edge_agent.model.reading import Cut, Instant, Link, Quality, Reading, SourceChange
from edge_agent.model.state import State
from edge_agent.publishing.encoding import Renderer
from edge_agent.store.checkpoint import Checkpoint
from edge_agent.store.database import Database
from edge_agent.store.ledger import Ledger
from edge_agent.store.unit_of_work import UnitOfWork
from tests.derivation.plant import BOOTED, NOON, tag_map
from tests.derivation.vessels import FLOW, LEVEL, flow, level

Opener = Callable[[], Awaitable[Database]]


def _instant(second: int) -> Instant:
    return Instant(NOON + timedelta(seconds=second), 10**12 + second * 10**9, "boot-1")


def _readings(second: int, litres: Decimal) -> tuple[Reading, Reading]:
    now = _instant(second)
    return (
        Reading(LEVEL, litres, Quality.GOOD, now, 0, now.wall),
        Reading(FLOW, Decimal(30), Quality.GOOD, now, 0, now.wall),
    )


async def test_levels_and_flows_balance_across_a_restart_and_are_carried_as_the_contract_says(opened: Opener) -> None:
    rules = replace(level(), from_="S1-TANK"), replace(flow(by_exception=False), from_="S1-FLAVOUR")
    the_map = replace(tag_map(*rules), units={"L": rules[0].source_unit})
    engine, render = Engine(the_map), Renderer(the_map, "1.0").render
    database = await opened()
    work, state = UnitOfWork(database), State()
    payloads: list[bytes] = []

    async def take(outcome: Outcome) -> None:
        payloads.extend(event.payload for event in await work.commit(outcome, render, NOON))
        state.adopt(outcome.changed)

    await take(engine.fold(state, [SourceChange("plc", Link.UP, _instant(0), BOOTED)]))
    for second in range(1, 260):
        used = Decimal(max(second - 20, 0)) / 2
        filled = Decimal(max(min(second - 150, 50), 0)) * 10
        await take(engine.fold(state, _readings(second, Decimal(1000) - used + filled)))
        if second == 175:
            await database.close()
            database = await opened()
            work, state = UnitOfWork(database), await Checkpoint(database).load()
    await take(engine.fold(state, [Cut(_instant(260))]))

    assert await Ledger(database).identity() == []
    events = [json.loads(payload) for payload in payloads]
    lines = [line for event in events for line in event["data"].get("materialActual", ())]
    told = {line["evidence"]["rule"]: line["evidence"]["conversion"] for line in lines}
    assert told["level"] == "1 = 1 L"
    total = sum(Decimal(one["quantity"]["quantityString"]) for one in lines if one["evidence"]["rule"] == "flow")
    assert total == 258 * Decimal("0.5")
    gaps = [event["data"]["cause"] for event in events if event["type"].endswith("exception.raised.v1")]
    assert gaps == ["refill"]
