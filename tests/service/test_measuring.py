"""The figures of the store, the one line made of them, and what a step and its commit leave behind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiosqlite
import pytest
import pytest_asyncio

from edge_agent.clock import SystemClock
from edge_agent.measuring import Measuring, measured
from edge_agent.model.reading import TagRef
from edge_agent.publishing.relay import RelayReport
from edge_agent.store.database import Database
from edge_agent.store.figures import read_figures
from edge_agent.store.outbox import Outbox
from edge_agent.store.restore import open_store
from edge_agent.telemetry.metrics import Counts
from edge_agent.telemetry.progress import SCHEDULER, STORE, Progress
from edge_agent.telemetry.status import Status
from edge_agent.telemetry.tags import TagBoard

_CAP = 1 << 26
_REVIEW = """
    INSERT INTO review (id, rule, cause, total_key, body, event_id, opened, status, hash)
    VALUES (?, 'r', 'c', 'k', '{}', 'e', '2026-03-01T00:00:00Z', ?, x'00')
"""


@pytest_asyncio.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    made = await open_store(tmp_path / "s.db", agent="a", max_size=_CAP, now=SystemClock().now())
    yield made
    await made.close()


@pytest.fixture
def counts() -> Counts:
    return Counts()


async def _reviews(database: Database, *statuses: str) -> None:
    async def work(connection: aiosqlite.Connection) -> None:
        await connection.executemany(_REVIEW, [(f"r/{number}", status) for number, status in enumerate(statuses)])

    await database.transaction(work)


async def test_open_reviews_and_bytes_are_read(database: Database) -> None:
    before = await read_figures(database)
    assert (before.open_reviews, before.cap_bytes) == (0, _CAP)
    assert 0 < before.used_bytes < _CAP
    await _reviews(database, "open", "accepted", "open", "rejected", *["open"] * 200)
    after = await read_figures(database)
    assert after.open_reviews == 202
    assert after.used_bytes > before.used_bytes


async def test_the_line_and_the_page_say_what_was_measured(database: Database, counts: Counts) -> None:
    outbox = Outbox(database, ("routine",))
    await outbox.load()
    measuring = Measuring(
        database,
        outbox,
        TagBoard([TagRef("filler", "a"), TagRef("filler", "b")]),
        relay=lambda: RelayReport(connected=True, streams={}, counts={"published": 5, "own dropped": 1, "held": 2}),
        clock=SystemClock(),
        status=Status(),
        counts=counts,
        progress=Progress(),
    )
    await _reviews(database, "open", "open")
    await measuring.measure()
    assert measuring.line() == "0/2 tags good · 0 waiting · 2 to review"
    lines = measuring.exposition().splitlines()
    for line in (
        "edge_agent_broker_up 1",
        "edge_agent_dropped_total 1",
        "edge_agent_progress 1",
        "edge_agent_published_total 5",
        "edge_agent_rejected_total 2",
        "edge_agent_review_open 2",
        f"edge_agent_store_cap_bytes {_CAP}",
        'edge_agent_outbox_oldest_seconds{stream="routine"} 0.0',
        'edge_agent_outbox_pending{stream="routine"} 0',
        'edge_agent_readings_total{source="filler"} 0',
        'edge_agent_tags_bad{source="filler"} 2',
    ):
        assert line in lines


async def test_a_step_is_progress_and_only_a_commit_takes_time(counts: Counts) -> None:
    progress, passed = Progress(), list[str]()
    probe = measured(passed.append, progress, counts)
    for point in ("after-step", "after-step", "before-commit", "after-commit"):
        probe(point)
    assert passed == ["after-step", "after-step", "before-commit", "after-commit"]
    assert "edge_agent_commit_seconds_count 1" in counts.exposition()
    progress.made(STORE)
    assert SCHEDULER not in (progress.stalled(60) or "")
