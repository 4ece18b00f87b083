"""An agent's flow over its real store, spoken to by MES and SCADA; it can be ended and begun again, or killed."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from edge_agent.broker import Message, Received
from edge_agent.clock import ManualClock
from edge_agent.config.loader import load
from edge_agent.config.tagmap import TagMap
from edge_agent.derivation.engine import Engine
from edge_agent.inbound.confirm import Confirming
from edge_agent.inbound.context import TellingContext
from edge_agent.inbound.intake import Handled, Intake
from edge_agent.inbound.lot_status import TellingLots
from edge_agent.model.message import Answered, ConfirmationMessage, ContextMessage, LotMessage
from edge_agent.model.reading import Cut, Tick
from edge_agent.pipeline import Pipeline
from edge_agent.publishing.encoding import Renderer
from edge_agent.store.anchor import Vouched
from edge_agent.store.checkpoint import Checkpoint
from edge_agent.store.database import Database
from edge_agent.store.ledger import Ledger
from edge_agent.store.messages import MessageBook
from edge_agent.store.reader import open_reader
from edge_agent.store.restore import open_store
from edge_agent.store.unit_of_work import UnitOfWork
from edge_agent.telemetry.metrics import Counts
from edge_agent.telemetry.status import Status
from tests.publishing.brokers import until

CONFIG = Path(__file__).parents[2] / "config" / "bottling-line.yaml"
START = datetime(2026, 3, 2, 11, tzinfo=UTC)
_RULES = """
  agv_out:
    event: moved
    material: "900001"
    from: L3-OUT
    to: WH-01
    order: mes.order_no
    confirmation: {source: mes}
"""
_TAGS = """
  mes:
    order_no: {type: string}
    lot:      {type: string}
    crew:     {type: uint16}
    recipe:   {type: bcd16}
    running:  {type: bool}
    target:   {type: float32, range: [0, 1000]}
"""


def spoken_text(url: str = "mqtt://127.0.0.1:1883") -> str:
    """The bottling line's map, and beside it what MES says and SCADA confirms."""
    text = CONFIG.read_text(encoding="utf-8").replace("mqtt://127.0.0.1:1883", url)
    text = text.replace("\ntags:\n", "\n  mes: {mqtt: commands}\ntags:\n").replace("\nunits:\n", f"{_TAGS}units:\n")
    return text.replace("\nownership:", f"{_RULES}ownership:")


def spoken_map(folder: Path, text: str | None = None) -> TagMap:
    """The map of `spoken_text`, loaded."""
    file = folder / "spoken.yaml"
    file.write_text(text or spoken_text(), encoding="utf-8")
    loaded = load([file])
    assert loaded.tag_map is not None, loaded.findings
    assert not loaded.unsupported, loaded.unsupported
    return loaded.tag_map


class Desk:
    """What is said is answered; `replies` are the answers not yet taken."""

    def __init__(self, folder: Path, tag_map: TagMap, clock: ManualClock, database: Database) -> None:
        self.folder = folder
        self.clock = clock
        self.database = database
        self.replies: list[Message] = []
        self.audit: list[Handled] = []
        self.counted: list[str] = []
        self.counts = Counts()
        self.unit_of_work = UnitOfWork(database)
        self.pipeline = Pipeline(
            Engine(tag_map),
            Checkpoint(database),
            self.unit_of_work,
            Renderer(tag_map, "test").render,
            clock=clock,
            status=Status(clock),
            counts=self.counts,
        )
        book = MessageBook(database)
        self.telling = TellingContext(tag_map, book, self._tell, clock)
        self.of_lots = TellingLots(tag_map, book, self._tell, clock)
        self.confirming = Confirming(tag_map, book, self._confirm, clock)
        self.intakes: dict[str, Intake[Any]] = {
            name: Intake(
                f"x/cmd/{name}",
                verb,
                reply=self.replies.append,
                clock=clock,
                audit=self.audit.append,
                counted=self.counted.append,
            )
            for name, verb in (("context", self.telling), ("confirm", self.confirming), ("lot-status", self.of_lots))
        }

    async def _tell(self, message: ContextMessage | LotMessage) -> str | None:
        return (await self.pipeline.ask(message)).refused

    async def _confirm(self, message: ConfirmationMessage) -> Answered | None:
        return (await self.pipeline.ask(message)).answered

    def send(self, name: str, body: object, *, retained: bool = False) -> None:
        """It arrives."""
        self.clock.advance(timedelta(seconds=1))
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.intakes[name].received(Received(f"x/cmd/{name}", payload, retained))

    async def say(self, name: str, body: object) -> dict[str, Any]:
        """It arrives and is answered; the answer."""
        self.send(name, body)
        await until(lambda: bool(self.replies), "it is answered")
        reply = self.replies.pop(0)
        assert (reply.topic, reply.retain) == (f"x/cmd/{name}/reply", False)
        found: dict[str, Any] = json.loads(reply.payload)
        return found

    def context(self, nonce: str = "nonce-0001", /, **values: object) -> dict[str, Any]:
        """What MES says."""
        return {"source": "mes", "nonce": nonce, "expires": self.soon(), "values": values}

    def movement(self, id_: str = "AGV-1", **changes: object) -> dict[str, Any]:
        """What SCADA confirms."""
        body = {
            "rule": "agv_out",
            "id": id_,
            "nonce": f"nonce-{id_}-{self.clock.now().wall.timestamp()}",
            "expires": self.soon(),
            "time": self.clock.now().wall.isoformat(),
            "quantity": "2",
            "unit": "case",
            "container": "P1",
            **changes,
        }
        return {key: value for key, value in body.items() if value is not None}

    def soon(self) -> str:
        return (self.clock.now().wall + timedelta(minutes=5)).isoformat()

    async def booked(self) -> dict[str, Decimal]:
        """The books, once everything pending is cut; they balance."""
        await self.pipeline.ask(Cut(self.clock.now()))
        assert await Ledger(self.database).identity() == []
        with open_reader(self.database.path) as reader:
            return reader.totals()

    async def moves(self) -> int:
        """Events of movements that are stored."""
        with open_reader(self.database.path) as reader:
            sql = "SELECT count(*) FROM event WHERE type = 'io.edgeagent.material.moved.v1'"
            return int(reader._connection.execute(sql).fetchone()[0])

    def lines(self) -> list[tuple[str, int, int]]:
        """The places of the ledger's lines: rule, epoch, position."""
        with open_reader(self.database.path) as reader:
            return list(reader._connection.execute("SELECT rule, epoch, from_position FROM line"))

    def reviews(self) -> list[dict[str, Any]]:
        with open_reader(self.database.path) as reader:
            return reader.reviews()


def back_up(folder: Path) -> None:
    """Keep the database as it is."""
    (folder / "backup").mkdir()
    for file in folder.glob("edge-agent.db*"):
        if not file.name.endswith((".anchor", ".lock")):
            shutil.copy2(file, folder / "backup")


def vouch(agent: Desk) -> None:
    """The anchor learns how far the store has got, as from the relay before it publishes."""
    heads = {name: agent.database.newest(name) for name in ("critical", "ops")}
    agent.database.anchor.write(Vouched(agent.database.store_uuid, {name: at for name, at in heads.items() if at[0]}))


def put_back(folder: Path) -> None:
    """The database is as it was; the anchor beside it is not."""
    for file in (*folder.glob("edge-agent.db"), *folder.glob("edge-agent.db-*")):
        file.unlink()
    for file in (folder / "backup").iterdir():
        shutil.copy2(file, folder)


@asynccontextmanager
async def desk(
    folder: Path, clock: ManualClock | None = None, *, tag_map: TagMap | None = None, made: Callable[..., Desk] = Desk
) -> AsyncIterator[Desk]:
    """A desk on the store in `folder`, new or as it was left; its end is a kill: nothing is said good-bye to."""
    clock = clock or ManualClock(START)
    database = await open_store(folder / "edge-agent.db", agent="l3-edge", max_size=1 << 26, now=clock.now())
    tasks: list[asyncio.Task[Any]] = []
    try:
        found = made(folder, tag_map or spoken_map(folder), clock, database)
        await found.pipeline.start({})
        await found.pipeline.process((Tick(clock.now()),))
        running = [found.pipeline.run(), *(intake.run() for intake in found.intakes.values())]
        tasks += [asyncio.create_task(one) for one in running]
        yield found
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
        await database.close()
