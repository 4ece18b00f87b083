"""A store in a directory of its own, closed when the test is over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edge_agent.store.database import Database
from edge_agent.store.outbox import Outbox
from edge_agent.store.unit_of_work import UnitOfWork
from tests.store_faults.outcomes import opened

STREAMS = ("critical", "routine", "bulk", "ops")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "edge-agent.db"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[Database]:
    store = await opened(path)
    yield store
    await store.close()


@pytest.fixture
def unit_of_work(database: Database) -> UnitOfWork:
    return UnitOfWork(database)


@pytest.fixture
async def outbox(database: Database) -> Outbox:
    made = Outbox(database, STREAMS)
    await made.load()
    return made
