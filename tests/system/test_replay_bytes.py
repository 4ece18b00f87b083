"""What was stored is sent again byte for byte, whatever map and version the agent has by then."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from edge_agent.store.outbox import Outbox
from edge_agent.store.restore import open_store
from tests.system.virtual_plant import DATABASE, START, bottling_map, virtual_plant


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
    async with virtual_plant(tmp_path, seed=9, duration=timedelta(minutes=10)) as plant:
        source = plant.outbox.source("routine")
        assert (await plant.outbox.replay(source, 1, 5, 10)).events == []
    database = await open_store(tmp_path / DATABASE, agent="l3-edge", max_size=1 << 28, now=plant.clock.now())
    try:
        outbox = Outbox(database, ("routine",))
        await outbox.load()
        assert (await outbox.replay("urn:edgeagent:other:x:routine", 1, 5, 10)).events == []
    finally:
        await database.close()
    assert plant.clock.now().wall >= START
