"""The stores that every suite runs over: SQLite, and a PostgreSQL cluster of our own."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from edge_agent_receiver.store import Store, open_store
from tests.receiver.agent_log import AgentLog
from tests.receiver.cluster import Cluster, cannot_run
from tests.receiver.plant import Plant

_schemas = count(1)


@pytest.fixture(scope="session")
def prepared() -> Iterator[Cluster]:
    """A cluster that does not run yet: making one takes longer than starting it."""
    if why := cannot_run():
        pytest.skip(f"NOT RUN: {why}")
    made = Cluster()
    yield made
    made.remove()


@pytest.fixture(scope="module")
def cluster(prepared: Cluster) -> Iterator[Cluster]:
    prepared.start()
    yield prepared
    prepared.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an inbox of this test's own is kept."""
    if request.param == "sqlite":
        return str(tmp_path / "inbox.db")
    return str(request.getfixturevalue("cluster").new_schema(f"inbox_{next(_schemas)}"))


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = open_store(url)
    yield opened
    opened.close()


@pytest.fixture
def log() -> AgentLog:
    return AgentLog()


@pytest.fixture
def plant(store: Store, log: AgentLog) -> Plant:
    return Plant(store, log)
