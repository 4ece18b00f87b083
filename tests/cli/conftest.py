"""A store in a data directory, open as the agent has it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from edge_agent.model.reading import Instant
from edge_agent.store.reader import DATABASE_NAME
from edge_agent.store.restore import open_store
from tests.cli.shop import Shop
from tests.store.outcomes import AT


@pytest_asyncio.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    now = Instant(AT, 0, "boot")
    database = await open_store(tmp_path / DATABASE_NAME, agent="l3-edge", max_size=64 << 20, now=now)
    made = Shop(tmp_path, database)
    await made.outbox.load()
    yield made
    if not database.closed:
        await database.close()
