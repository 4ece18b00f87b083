"""What was stored is sent again byte for byte, whatever map and version the agent has by then."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from edge_agent.broker import Message, Received
from edge_agent.inbound.intake import Intake
from edge_agent.inbound.replaying import Replaying
from edge_agent.model.event import StoredEvent
from edge_agent.store.prune import Pruner
from tests.system.virtual_plant import VirtualPlant, bottling_map, virtual_plant


async def test_a_replay_after_map_and_version_changed_has_the_same_sha256(tmp_path: Path) -> None:
    async with virtual_plant(tmp_path, seed=9, duration=timedelta(minutes=10), version="0.1.0") as plant:
        plant.line.start()
        await plant.run(timedelta(minutes=5))
        await plant.finish()
        first = {(e["source"], e["sequence"]): e["sha256"] for e in plant.inbox.events()}
    assert len(first) > 50

    changed = bottling_map()
    material = replace(changed.materials["900001"], name="Soda 0.5 L, new label")
    changed = replace(changed, materials={**changed.materials, "900001": material}, config_hash="f" * 64)
    (tmp_path / "again").mkdir()
    async with virtual_plant(
        tmp_path, seed=10, duration=timedelta(minutes=10), tag_map=changed, version="9.9.9"
    ) as plant:
        plant.line.start()
        await plant.run(timedelta(minutes=1))
        again = {}
        for source in {source for source, _ in first}:
            for event in (await plant.outbox.replay(source, 1, 10**6, 10**6)).events:
                again[source, event.sequence] = hashlib.sha256(event.payload).hexdigest()
    assert {place: again[place] for place in first} == first


async def test_what_is_pruned_is_answered_as_unavailable(tmp_path: Path) -> None:
    """Past the replay window a replay says so instead of sending; what came later is still sent, byte for byte."""
    async with virtual_plant(tmp_path, seed=9, duration=timedelta(minutes=10)) as plant:
        pruner = Pruner(plant.database, timedelta(days=90), plant.clock)
        plant.line.start()
        await plant.run(timedelta(minutes=2))
        await plant.deliver()
        source, gone = plant.outbox.source("routine"), plant.outbox.head("routine")
        assert await pruner.prune() == 0, "delivered just now: the window has only begun"
        plant.clock.advance(timedelta(days=91))
        assert await pruner.prune() >= gone
        await plant.run(timedelta(minutes=2))
        await plant.deliver()
        last = plant.outbox.head("routine")
        assert last > gone > 0

        sent, summary = await _replayed(plant, source, 1, last)

        assert summary["unavailable"] == [[1, gone]]
        assert [event.sequence for event in sent] == list(range(gone + 1, last + 1))


async def _replayed(
    plant: VirtualPlant, source: str, first: int, last: int
) -> tuple[list[StoredEvent], dict[str, Any]]:
    """What `cmd/replay` sends again, and the summary it answers with."""
    sent: list[StoredEvent] = []
    replies: list[Message] = []

    async def resend(events: Sequence[StoredEvent]) -> int:
        sent.extend(events)
        return len(events)

    commands = Intake(
        "cmd/replay",
        Replaying("l3-edge", plant.outbox.streams, plant.outbox, resend),
        reply=replies.append,
        clock=plant.clock,
        audit=lambda _handled: None,
    )
    command = json.dumps({"source": source, "from": first, "to": last}).encode()
    commands.received(Received("cmd/replay", command, retained=False))
    running = asyncio.create_task(commands.run())
    async with asyncio.timeout(20):
        while not replies:
            await asyncio.sleep(0.01)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    summary: dict[str, Any] = json.loads(replies[0].payload)
    return sent, summary
