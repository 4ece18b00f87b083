"""A store on disk, and outcomes to put into it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from edge_agent.clock import ManualClock
from edge_agent.store.database import Database
from edge_agent.store.restore import open_store

START = datetime(2026, 3, 2, 8, tzinfo=UTC)
Opener = Callable[[], Awaitable[Database]]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "edge-agent.db"


@pytest_asyncio.fixture
async def opened(path: Path, clock: ManualClock) -> AsyncIterator[Opener]:
    """Opens the store; whatever is still open at the end of the test is closed."""
    made: list[Database] = []

    async def opener() -> Database:
        clock.advance(timedelta(seconds=1))
        database = await open_store(path, agent="l3-edge", max_size=64 << 20, now=clock.now())
        made.append(database)
        return database

    yield opener
    for database in made:
        if not database.closed:
            await database.close()
