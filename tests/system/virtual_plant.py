"""Simulated line and agent on one virtual clock, joined by in-memory ports; the store is the real one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from edge_agent import __version__
from edge_agent.clock import ManualClock
from edge_agent.config.loader import load
from edge_agent.config.tagmap import TagMap
from edge_agent.derivation.engine import Engine, Input
from edge_agent.model.confirmation import Block
from edge_agent.model.event import StoredEvent
from edge_agent.model.reading import Cut, Link, Quality, Reading, SourceChange, TagRef, Tick
from edge_agent.pipeline import Pipeline
from edge_agent.publishing.encoding import Renderer
from edge_agent.sources.memory import Memory
from edge_agent.store.checkpoint import Checkpoint
from edge_agent.store.database import Database
from edge_agent.store.outbox import Outbox
from edge_agent.store.restore import open_store
from edge_agent.store.unit_of_work import UnitOfWork
from edge_agent.telemetry.metrics import Counts
from edge_agent.telemetry.status import Status
from edge_agent_simulators.inbox import Inbox
from edge_agent_simulators.plc import FILLER, INFEED, ORDER, PAL_ACK, PAL_CASES, PAL_SEQ, PAL_SSCC
from edge_agent_simulators.virtual import Change, Event, Lost, Up, VirtualLine

MAP = Path(__file__).parents[2] / "config" / "bottling-line.yaml"
START = datetime(2026, 3, 2, 8, tzinfo=UTC)
STEP = timedelta(milliseconds=100)
SOURCE = "filler"
DATABASE = "edge-agent.db"
_TAGS = {ORDER: "order_no", INFEED: "preforms_in", FILLER: "bottles_out"}
_BLOCK_TAGS = {PAL_CASES: "pal_cases", PAL_SSCC: "pal_sscc"}
_BATCH = 200


def bottling_map(old: str = "", new: str = "") -> TagMap:
    """The shipped map, or another with `new` in it for `old`."""
    with TemporaryDirectory() as directory:
        path = Path(directory) / MAP.name
        path.write_text(MAP.read_text(encoding="utf-8").replace(old, new) if old else MAP.read_text(encoding="utf-8"))
        loaded = load([path])
    assert loaded.tag_map is not None, loaded.findings
    return loaded.tag_map


@dataclass
class VirtualPlant:
    """Line, pipeline and MES inbox; `run` moves them all."""

    clock: ManualClock
    line: VirtualLine
    pipeline: Pipeline
    database: Database
    outbox: Outbox
    inbox: Inbox
    _waiting: list[Input] = field(default_factory=list)

    async def connect(self) -> None:
        """The first session: everything is read once."""
        await self.pipeline.start({SOURCE: Memory(SOURCE, self.clock)})
        await self.pipeline.process(list(self._connected()))

    async def run(self, duration: timedelta) -> None:
        """Let `duration` pass, in steps of 100 ms."""
        for _ in range(duration // STEP):
            await self._step()
        await self._flush()

    async def finish(self) -> None:
        """Stop the line, let it settle, cut, deliver."""
        self.line.stop()
        await self.run(timedelta(seconds=20))
        await self.pipeline.process([Cut(self.clock.now())])
        await self.deliver()

    async def deliver(self) -> None:
        """Hand what was stored to the MES, as the relay would: up to the anchor, in order, then mark it."""
        await self.outbox.anchor()
        for stream in bottling_map().streams:
            while events := await self.outbox.unsent(stream, self.outbox.delivered(stream), 500):
                for event in events:
                    receive(self.inbox, event)
                await self.outbox.mark({stream: events[-1].sequence})

    async def _step(self) -> None:
        events = self.line.advance(STEP)
        self.clock.advance(STEP)
        raised = False
        for event in events:
            self._waiting += self._inputs(event)
            raised = raised or (isinstance(event, Change) and event.name == PAL_SEQ)
        if raised and self.line.online:
            self._waiting.append(self._block())
        if raised or len(self._waiting) > _BATCH:
            await self._flush()

    async def _flush(self) -> None:
        outcome = await self.pipeline.process([*self._waiting, Tick(self.clock.now())])
        self._waiting.clear()
        for acknowledgement in outcome.acknowledgements:
            if self.line.online:
                self.line.write_ack(acknowledgement.number, int(acknowledgement.result))

    def _inputs(self, event: Event) -> Iterator[Input]:
        if isinstance(event, Lost):
            yield SourceChange(SOURCE, Link.LOST, self.clock.now())
        elif isinstance(event, Up):
            yield from self._connected()
        elif event.name in _TAGS:
            yield self._reading(event, _TAGS[event.name], continuous=True)

    def _connected(self) -> Iterator[Input]:
        shown = self.line.snapshot()
        yield SourceChange(SOURCE, Link.UP, self.clock.now(), self.line.start_time)
        changes = sorted((shown[name] for name in _TAGS), key=lambda change: change.timestamp)
        yield from (self._reading(change, _TAGS[change.name], continuous=False) for change in changes)
        yield self._block()

    def _block(self) -> Block:
        shown = self.line.read_block()
        readings = [self._reading(shown[name], tag, continuous=False) for name, tag in _BLOCK_TAGS.items()]
        number, acknowledged = shown[PAL_SEQ].value, shown[PAL_ACK].value
        assert isinstance(number, int)
        assert isinstance(acknowledged, int)
        values = {reading.tag: reading for reading in readings}
        return Block("pallet_out", number, acknowledged, values, self.clock.now())

    def _reading(self, change: Change, tag: str, *, continuous: bool) -> Reading:
        return Reading(
            TagRef(SOURCE, tag),
            change.value,
            Quality.GOOD,
            self.clock.now(),
            source_time=change.timestamp,
            server_time=change.timestamp,
            continuous=continuous,
        )


def receive(inbox: Inbox, event: StoredEvent) -> None:
    """One delivery to the MES."""
    inbox.receive(event.topic, event.payload)


@asynccontextmanager
async def virtual_plant(
    directory: Path, seed: int, duration: timedelta, tag_map: TagMap | None = None, version: str = __version__
) -> AsyncIterator[VirtualPlant]:
    """Everything from the line to the MES's inbox, at rest and connected."""
    tag_map = tag_map or bottling_map()
    clock = ManualClock(START)
    database = await open_store(
        directory / DATABASE, agent=tag_map.agent, max_size=tag_map.buffer.max_size, now=clock.now()
    )
    inbox = Inbox()
    try:
        outbox = Outbox(database, tag_map.streams)
        await outbox.load()
        pipeline = Pipeline(
            Engine(tag_map),
            Checkpoint(database),
            UnitOfWork(database),
            Renderer(tag_map, version).render,
            clock=clock,
            status=Status(clock),
            counts=Counts(),
        )
        plant = VirtualPlant(clock, VirtualLine(seed, duration, START), pipeline, database, outbox, inbox)
        await plant.connect()
        yield plant
    finally:
        inbox.close()
        await database.close()
