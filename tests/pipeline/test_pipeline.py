"""The flow's promises: nothing is acknowledged or adopted before the commit, a failed commit loses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge_agent.clock import ManualClock
from edge_agent.derivation.engine import Engine
from edge_agent.errors import StoreCorrupt, StoreError
from edge_agent.model.confirmation import Acknowledge, Block
from edge_agent.model.event import Render, StoredEvent
from edge_agent.model.movement import Decision, EventType, Verdict
from edge_agent.model.outcome import Outcome
from edge_agent.model.reading import Cut, Link, Quality, Reading, SourceChange, TagRef, Tick
from edge_agent.pipeline import Pipeline, Swap
from edge_agent.publishing.encoding import Renderer
from edge_agent.sources.memory import Memory
from edge_agent.store.checkpoint import Checkpoint
from edge_agent.store.database import Database
from edge_agent.store.ledger import Ledger
from edge_agent.store.reader import open_reader
from edge_agent.store.restore import open_store
from edge_agent.store.unit_of_work import UnitOfWork
from edge_agent.telemetry.metrics import Counts
from edge_agent.telemetry.status import Health, Status
from tests.system.virtual_plant import bottling_map

START = datetime(2026, 3, 2, 8, tzinfo=UTC)
SOURCE = "filler"


class Failing(UnitOfWork):
    """A unit of work whose next commits fail before or after SQLite has committed."""

    failures: list[StoreError]
    after_commit = False

    async def commit(self, outcome: Outcome, render: Render, recorded: datetime) -> list[StoredEvent]:
        if self.failures and not self.after_commit:
            raise self.failures.pop()
        stored = await super().commit(outcome, render, recorded)
        if self.failures:
            self._heads.clear()
            raise self.failures.pop()
        return stored


class Bench:
    """A pipeline over the real store, with a source that is fed by hand."""

    def __init__(self, database: Database, clock: ManualClock, points: list[str]) -> None:
        self.clock = clock
        self.points = points
        self.database = database
        self.source = Memory(SOURCE, clock)
        self.status = Status(clock)
        self.unit_of_work = Failing(database, points.append)
        self.unit_of_work.failures = []
        tag_map = bottling_map()
        self.pipeline = Pipeline(
            Engine(tag_map),
            Checkpoint(database),
            self.unit_of_work,
            Renderer(tag_map, "test").render,
            clock=clock,
            status=self.status,
            counts=Counts(),
            probe=points.append,
        )

    def reading(self, tag: str, value: int | str, *, continuous: bool = True) -> Reading:
        now = self.clock.now()
        return Reading(TagRef(SOURCE, tag), value, Quality.GOOD, now, source_time=now.wall, continuous=continuous)

    def block(self, number: int, cases: int, acknowledged: int = 0) -> Block:
        readings = (self.reading("pal_cases", cases), self.reading("pal_sscc", f"00{number:016d}"))
        return Block("pallet_out", number, acknowledged, {r.tag: r for r in readings}, self.clock.now())

    def up(self) -> SourceChange:
        return SourceChange(SOURCE, Link.UP, self.clock.now(), START)

    async def connect(self) -> None:
        await self.pipeline.start({SOURCE: self.source})
        first = (self.reading("order_no", "A1", continuous=False), self.reading("bottles_out", 100, continuous=False))
        await self.pipeline.process((self.up(), *first))

    def pass_time(self, seconds: float = 1) -> None:
        self.clock.advance(timedelta(seconds=seconds))

    async def events(self) -> list[str]:
        connection = self.database._connection
        async with connection.execute("SELECT type FROM event ORDER BY recorded, stream, sequence") as cursor:
            return [row[0] for row in await cursor.fetchall()]


@asynccontextmanager
async def bench(directory: Path) -> AsyncIterator[Bench]:
    clock = ManualClock(START)
    database = await open_store(directory / "s.db", agent="l3-edge", max_size=1 << 26, now=clock.now())
    try:
        made = Bench(database, clock, [])
        await made.connect()
        yield made
    finally:
        await database.close()


@asynccontextmanager
async def running(*work: Coroutine[object, object, None]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_handshake_is_acknowledged_after_the_commit_and_never_before(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        made.points.clear()
        async with running(made.pipeline.run(), made.pipeline.acknowledge(SOURCE)):
            await made.pipeline.submit((made.block(1, 2),))
            await until(lambda: made.source.acknowledgements)
        assert made.points == [
            "after-step", "before-commit", "after-commit", "before-acknowledge", "after-acknowledge"
        ]  # fmt: skip
        assert await made.events() == ["io.edgeagent.material.moved.v1"]


async def test_what_a_group_is_while_the_store_is_busy(tmp_path: Path) -> None:
    """Everything that arrived meanwhile is one transaction."""
    async with bench(tmp_path) as made:
        for value in range(101, 131):
            made.pass_time(0.1)
            await made.pipeline.submit((made.reading("bottles_out", value),))
        made.points.clear()
        async with running(made.pipeline.run()):
            await until(lambda: "after-commit" in made.points)
        assert made.points.count("before-commit") == 1


@pytest.mark.parametrize("after_commit", [False, True])
async def test_a_failed_commit_is_tried_again_with_the_same_inputs(tmp_path: Path, after_commit: bool) -> None:
    """Also where SQLite had committed and the error came after: the reload shows it, nothing is booked twice."""
    async with bench(tmp_path) as made:
        made.unit_of_work.after_commit = after_commit
        made.unit_of_work.failures = [StoreError("database or disk is full")] * 2
        made.pass_time()
        group = (made.reading("bottles_out", 110), made.block(1, 2))
        async with running(made.pipeline.run(), made.pipeline.acknowledge(SOURCE)):
            await made.pipeline.submit(group)
            await until(lambda: made.source.acknowledgements)
            assert made.status.health("store") is Health.UP
            await made.pipeline.ask(Cut(made.clock.now()))
        assert made.source.acknowledgements[-1] == Acknowledge("pallet_out", 1, made.source.acknowledgements[0].result)
        assert sorted(await made.events()) == ["io.edgeagent.material.moved.v1", "io.edgeagent.material.produced.v1"]
        assert await Ledger(made.database).identity() == []


async def test_state_is_not_adopted_when_the_commit_fails(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        before = made.pipeline.state.rules["bottles_made"]
        made.unit_of_work.failures = [StoreError("full")]
        made.pass_time()
        with pytest.raises(StoreError):
            await made.pipeline.process((made.reading("bottles_out", 105),))
        assert made.pipeline.state.rules["bottles_made"] == before


async def test_a_corrupt_store_ends_the_pipeline(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        made.unit_of_work.failures = [StoreCorrupt("event 3 does not match its hash")]
        await made.pipeline.submit((made.block(1, 2),))
        with pytest.raises(StoreCorrupt):
            await made.pipeline.run()


async def test_a_natural_key_that_is_taken_sends_the_block_to_review(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        connection = made.database._connection
        await connection.execute(
            "INSERT INTO natural_key (key, rule, content, at) VALUES ('pallet_out/1/1', 'pallet_out', 'x', 'then')"
        )
        async with running(made.pipeline.run(), made.pipeline.acknowledge(SOURCE)):
            await made.pipeline.submit((made.block(1, 2),))
            await until(lambda: made.source.acknowledgements)
        assert [int(one.result) for one in made.source.acknowledgements] == [2]
        assert await made.events() == ["io.edgeagent.movement.inreview.v1"]


async def test_a_request_is_answered_with_its_own_outcome_or_error(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        made.pass_time()
        async with running(made.pipeline.run()):
            await made.pipeline.submit((made.reading("bottles_out", 107),))
            outcome = await made.pipeline.ask(Cut(made.clock.now()))
            assert [draft.type for draft in outcome.events] == [EventType.PRODUCED]
            made.unit_of_work.failures = [StoreError("full")]
            with pytest.raises(StoreError, match="full"):
                await made.pipeline.ask(Cut(made.clock.now()))
            made.pass_time()
            await made.pipeline.submit((made.reading("bottles_out", 109),))
            assert (await made.pipeline.ask(Cut(made.clock.now()))).events


async def test_a_review_is_decided_once(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        made.pass_time()
        outcome = await made.pipeline.process((made.block(1, -1),))
        (review,) = outcome.reviews
        decision = Decision(review, Verdict.REJECTED, None, "A. Kern", "scrapped", made.clock.now().wall)
        async with running(made.pipeline.run()):
            await made.pipeline.ask(decision)
            with pytest.raises(StoreError, match="not open any more"):
                await made.pipeline.ask(replace(decision, by="B. Lang"))


async def test_a_restart_continues_where_the_store_stands(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        made.pass_time()
        await made.pipeline.process((made.reading("bottles_out", 107),))
        clock = made.clock
    clock.advance(timedelta(seconds=3))
    database = await open_store(tmp_path / "s.db", agent="l3-edge", max_size=1 << 26, now=clock.now())
    try:
        again = Bench(database, clock, [])
        await again.pipeline.start({SOURCE: again.source})
        await again.pipeline.process((again.up(), again.reading("bottles_out", 130, continuous=False)))
        outcome = await again.pipeline.process((Cut(clock.now()),))
        (draft,) = outcome.events
        assert sum(line.quantity for line in draft.lines) == 30
        assert await Ledger(database).identity() == []
    finally:
        await database.close()


async def test_after_a_restore_what_was_pending_is_not_sent_but_reviewed(tmp_path: Path) -> None:
    """The lost store may have cut and sent it: nothing of it is booked by itself (reliability.md, invariant 13)."""
    async with bench(tmp_path) as made:
        made.pass_time()
        await made.pipeline.process((made.reading("bottles_out", 107),))
        clock = made.clock
    (tmp_path / "s.db.anchor").unlink()
    clock.advance(timedelta(seconds=30))
    database = await open_store(tmp_path / "s.db", agent="l3-edge", max_size=1 << 26, now=clock.now())
    try:
        again = Bench(database, clock, [])
        await again.pipeline.start({SOURCE: again.source})
        await again.pipeline.process((again.up(), again.reading("bottles_out", 130, continuous=False)))
        assert (await again.pipeline.process((Tick(clock.now()), Cut(clock.now())))).events == []
        assert await again.events() == ["io.edgeagent.movement.inreview.v1"] * 2
        with open_reader(tmp_path / "s.db") as reader:
            quantities = sorted([one["quantity"] for one in review["candidates"]] for review in reader.reviews())
        assert quantities == [["0", "23"], ["7", "0"]]
        assert await Ledger(database).identity() == []
    finally:
        await database.close()


def _swapped(made: Bench, old: str, new: str) -> Swap:
    """The bottling line's map with another text in it."""
    tag_map = bottling_map(old, new)
    return Swap(Engine(tag_map), Renderer(tag_map, "test").render, {SOURCE: made.source}, frozenset())


async def test_a_swapped_map_keeps_every_baseline_and_pending_line(tmp_path: Path) -> None:
    async with bench(tmp_path) as made, running(made.pipeline.run()):
        made.pass_time()
        await made.pipeline.submit((made.reading("bottles_out", 107),))
        await made.pipeline.ask(_swapped(made, "max_rate: 25 pcs/s", "max_rate: 50 pcs/s"))
        made.pass_time()
        await made.pipeline.submit((made.reading("bottles_out", 147),))  # more than the old map's rate allows
        outcome = await made.pipeline.ask(Cut(made.clock.now()))
        (draft,) = outcome.events
        assert [int(line.quantity) for line in draft.lines] == [47]
        assert await Ledger(made.database).identity() == []


async def test_a_rule_that_goes_sends_what_it_has_and_one_renamed_takes_it_along(tmp_path: Path) -> None:
    async with bench(tmp_path) as made, running(made.pipeline.run()):
        made.pass_time()
        await made.pipeline.submit((made.reading("bottles_out", 107),))
        renamed = "  filled:\n    was: bottles_made\n    event: produced"
        await made.pipeline.ask(_swapped(made, "  bottles_made:\n    event: produced", renamed))
        assert await made.events() == []
        made.pass_time()
        await made.pipeline.submit((made.reading("bottles_out", 112),))
        gone = "  others:\n    event: produced"
        await made.pipeline.ask(_swapped(made, "  bottles_made:\n    event: produced", gone))
        assert await made.events() == ["io.edgeagent.material.produced.v1"]
        with open_reader(tmp_path / "s.db") as reader:
            assert [int(total) for total in reader.totals().values()] == [12]
        assert await Ledger(made.database).identity() == []


async def test_a_plain_restart_refuses_a_map_that_forgets_what_is_pending(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        made.pass_time()
        await made.pipeline.process((made.reading("bottles_out", 107),))
        assert made.pipeline.orphans() == []
        tag_map = bottling_map("  bottles_made:\n    event: produced", "  others:\n    event: produced")
        assert Engine(tag_map).orphans(made.pipeline.state) == ["bottles_made"]
