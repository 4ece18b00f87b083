"""A backup that does not know some rules yet is put back: the lost store had booked for them (invariant 13).

The real store, pipeline and encoding; a receiver with the kit, which sees positions that come twice. The truth is what
the line made: nothing of it is posted twice, and what nobody knows is in review or in a gap.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge_agent.clock import ManualClock
from edge_agent.config.tagmap import TagMap
from edge_agent.derivation import confirming
from edge_agent.derivation.booking import Books
from edge_agent.derivation.engine import Engine, Input
from edge_agent.model.confirmation import Block
from edge_agent.model.movement import Cause, Gap, Review
from edge_agent.model.outcome import Outcome
from edge_agent.model.reading import Cut, Link, Quality, Reading, SourceChange, TagRef, Tick
from edge_agent.pipeline import Pipeline
from edge_agent.publishing.encoding import Renderer
from edge_agent.sources.memory import Memory
from edge_agent.store.checkpoint import Checkpoint
from edge_agent.store.database import Database
from edge_agent.store.ledger import Ledger
from edge_agent.store.outbox import Outbox
from edge_agent.store.restore import open_store
from edge_agent.store.unit_of_work import UnitOfWork
from edge_agent.telemetry.metrics import Counts
from edge_agent.telemetry.status import Status
from edge_agent_receiver import store as receiver
from tests.receiver.plant import Plant
from tests.system.virtual_plant import SOURCE, bottling_map

START = datetime(2026, 3, 2, 8, tzinfo=UTC)
FULL = bottling_map()
BEFORE = replace(FULL, rules={"preforms_used": FULL.rules["preforms_used"]})
PALLETS = 4


class Agent:
    """One life of the agent over the store, its inputs made by hand."""

    def __init__(self, clock: ManualClock, database: Database, outbox: Outbox, tag_map: TagMap, plant: Plant) -> None:
        self.clock, self.database, self.outbox, self.plant = clock, database, outbox, plant
        self.streams = tag_map.streams
        self.outcomes: list[Outcome] = []
        self.pipeline = Pipeline(
            Engine(tag_map),
            Checkpoint(database),
            UnitOfWork(database),
            Renderer(tag_map, "test").render,
            clock=clock,
            status=Status(clock),
            counts=Counts(),
        )

    async def connect(self, bottles: int) -> None:
        await self.pipeline.start({SOURCE: Memory(SOURCE, self.clock)})
        up = SourceChange(SOURCE, Link.UP, self.clock.now(), START)
        await self.feed(up, self._reading("order_no", "A1"), self.bottles(bottles))

    async def feed(self, *inputs: Input) -> None:
        self.clock.advance(timedelta(seconds=4))
        self.outcomes.append(await self.pipeline.process((*inputs, Tick(self.clock.now()))))

    def bottles(self, shown: int) -> Reading:
        return self._reading("bottles_out", shown)

    def pallet(self, number: int, acknowledged: int) -> Block:
        readings = (self._reading("pal_cases", 40), self._reading("pal_sscc", f"00{number:016d}"))
        return Block("pallet_out", number, acknowledged, {one.tag: one for one in readings}, self.clock.now())

    def _reading(self, tag: str, value: int | str) -> Reading:
        now = self.clock.now()
        return Reading(TagRef(SOURCE, tag), value, Quality.GOOD, now, source_time=now.wall, continuous=True)

    async def deliver(self) -> None:
        """Cut, then everything goes to the receiver, and the anchor knows it."""
        await self.feed(Cut(self.clock.now()))
        await self.outbox.anchor()
        for stream in self.streams:
            events = await self.outbox.unsent(stream, self.outbox.delivered(stream), 500)
            self.plant.deliver_all((one.topic, one.payload) for one in events)
            if events:
                await self.outbox.mark({stream: events[-1].sequence})

    @property
    def reviews(self) -> list[Review]:
        return [one for outcome in self.outcomes for one in outcome.reviews]

    @property
    def gaps(self) -> list[Gap]:
        return [one for outcome in self.outcomes for one in outcome.gaps]


class Site:
    """The machine with its database, and the receiver."""

    def __init__(self, directory: Path, store: receiver.Store) -> None:
        self.path, self.clock, self.plant = directory / "edge-agent.db", ManualClock(START), Plant(store)

    @asynccontextmanager
    async def agent(self, tag_map: TagMap) -> AsyncIterator[Agent]:
        now = self.clock.now()
        database = await open_store(self.path, agent=tag_map.agent, max_size=1 << 26, now=now)
        try:
            outbox = Outbox(database, tag_map.streams)
            await outbox.load()
            yield Agent(self.clock, database, outbox, tag_map, self.plant)
            assert await Ledger(database).identity() == []
        finally:
            await database.close()

    async def lose_what_a_new_map_booked(self) -> None:
        """A backup; two rules are added, book and are published; the backup is put back. Pallet 2 still waits."""
        async with self.agent(BEFORE) as first:
            await first.connect(0)
            await first.deliver()
        shutil.copy(self.path, self.path.with_suffix(".backup"))
        async with self.agent(FULL) as lost:
            await lost.connect(0)
            await lost.feed(lost.pallet(0, 0))
            await lost.feed(lost.bottles(40), lost.pallet(1, 0))
            await lost.feed(lost.bottles(80), lost.pallet(2, 1))
            await lost.deliver()
        shutil.copy(self.path.with_suffix(".backup"), self.path)

    async def go_on(self) -> Agent:
        """The count began anew and stands at 30 when the agent is back; 80 more and two pallets follow."""
        async with self.agent(FULL) as agent:
            await agent.connect(30)
            await agent.feed(agent.pallet(2, 1))
            await agent.feed(agent.bottles(70), agent.pallet(3, 2))
            await agent.deliver()
            await agent.feed(agent.bottles(110), agent.pallet(4, 3))
            await agent.deliver()
            return agent


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    store = receiver.open_store(str(tmp_path / "inbox.db"))
    yield Site(tmp_path, store)
    store.close()


async def test_rules_that_the_backup_did_not_know_book_nothing_twice(site: Site) -> None:
    await site.lose_what_a_new_map_booked()

    agent = await site.go_on()

    site.plant.settle(5)
    assert "overlap" not in site.plant.open_discrepancies()
    assert site.plant.ledger.sums == {
        "L3-OUT/900001/Produced": 80 + 80,  # what ran while the agent was away is in a gap
        "L3-OUT/900001/Consumed": PALLETS * 960,
        "WH-01/900001/Produced": PALLETS * 960,
    }
    (review,) = agent.reviews
    assert (review.cause, review.key.rule, review.line.evidence.raw_after) == (Cause.RESTORED, "pallet_out", "2")
    assert [(one.key.rule, one.cause, one.maximum) for one in agent.gaps] == [
        ("bottles_made", Cause.RESTORED, None),
        ("pallet_out", Cause.RESTORED, None),
    ]


def begins_where_the_lost_store_did(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Books, "next_epoch", lambda *_: 1)


def books_what_waits(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(confirming, "unknown_handshake", lambda *_: None)


@pytest.mark.parametrize("plant", [begins_where_the_lost_store_did, books_what_waits])
async def test_a_planted_bug_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    await site.lose_what_a_new_map_booked()
    plant(monkeypatch)

    await site.go_on()

    site.plant.settle(5)
    moved = site.plant.ledger.sums["WH-01/900001/Produced"]
    assert "overlap" in site.plant.open_discrepancies() or moved > PALLETS * 960
