"""The agent of the week: its real parts, composed as the running agent composes them, moved by a clock of its own.

Only what waits by the machine's clock is not there: the relay's session (the bus takes its place) and the loops that
sleep between two looks. What they do once is done here once a round.
"""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge_agent import __version__, composition
from edge_agent.broker import Message, Received
from edge_agent.clock import ManualClock
from edge_agent.config.loader import load
from edge_agent.config.tagmap import TagMap
from edge_agent.derivation.engine import Input
from edge_agent.errors import SourceError
from edge_agent.inbound.acks import Acknowledging
from edge_agent.inbound.intake import Handled, Intake, Limit
from edge_agent.inbound.positions import Stating
from edge_agent.inbound.replaying import Replaying
from edge_agent.model.ack import Taken
from edge_agent.model.confirmation import Acknowledge
from edge_agent.model.event import StoredEvent
from edge_agent.model.outcome import Outcome
from edge_agent.model.reading import Tick
from edge_agent.publishing.presence import Presence, Vitals
from edge_agent.publishing.topics import Topics
from edge_agent.sources.memory import Memory
from edge_agent.store.answers import AnswerBook
from edge_agent.store.audit import Audit
from edge_agent.store.outbox import Outbox
from edge_agent.store.prune import Pruner
from edge_agent.store.reader import DATABASE_NAME
from edge_agent.store.restore import open_store
from edge_agent.telemetry.metrics import Counts
from edge_agent.telemetry.progress import Progress
from edge_agent.telemetry.status import Status
from edge_agent.telemetry.tags import TagBoard
from tests.system_week.bus import Bus

MAP = Path(__file__).with_name("week.yaml")
SOURCE = "filler"
_ACKS = Limit(burst=2_000, per_second=200.0, waiting=1_000)
_SECONDS = 60.0
_BATCH = 200

Poison = Callable[[StoredEvent, bool], str | None]
"""Why the broker does not take an event; the second says whether it is sent for the first time."""


def week_map() -> TagMap:
    loaded = load([MAP])
    assert loaded.tag_map is not None, loaded.findings
    assert not loaded.unsupported, loaded.unsupported
    return loaded.tag_map


class Courier:
    """In the relay's place: in order per stream, up to the anchor; what cannot be published becomes a dead letter."""

    def __init__(self, bus: Bus, outbox: Outbox, poison: Poison) -> None:
        self._bus = bus
        self._outbox = outbox
        self.poison = poison

    async def deliver(self, void: Callable[[StoredEvent, str], Any]) -> None:
        """Everything that is stored, and then marked. Without a broker nothing."""
        if not self._bus.up:
            return
        for stream in self._outbox.streams:
            while self._outbox.head(stream) > self._outbox.delivered(stream):
                if self._outbox.anchored(stream) < self._outbox.head(stream):
                    await self._outbox.anchor()
                events = await self._outbox.unsent(stream, self._outbox.delivered(stream), _BATCH)
                for event in events:
                    why = self.poison(event, True)
                    if why is None:
                        self._bus.publish(event.topic, event.payload)
                    else:
                        await void(event, why)
                await self._outbox.mark({stream: events[-1].sequence})

    async def resend(self, events: Sequence[StoredEvent]) -> int:
        """Publish again; how many the broker took."""
        fit = [event for event in events if self.poison(event, False) is None] if self._bus.up else []
        for event in fit:
            self._bus.publish(event.topic, event.payload)
        return len(fit)


class Agent:
    """Open and close it as often as you like; `folder` is its data directory."""

    def __init__(self, folder: Path, clock: ManualClock, bus: Bus, write_ack: Callable[[int, int], None]) -> None:
        self.folder = folder
        self.tag_map = week_map()
        self.clock = clock
        self.poison: Poison = lambda _event, _fresh: None
        self.opened = 0
        self.replayed: Counter[str] = Counter()
        """Replays asked for, and the events sent for them."""
        self.answered: Counter[str] = Counter()
        """Answers taken, repeated and refused."""
        self.is_open = False
        self._bus = bus
        self._write_ack = write_ack
        self._topics = Topics(self.tag_map)

    @property
    def database(self) -> Path:
        return self.folder / DATABASE_NAME

    async def open(self) -> None:
        """Start it; its sources have yet to connect."""
        clock, tag_map = self.clock, self.tag_map
        self.folder.mkdir(parents=True, exist_ok=True)
        self.store = await open_store(
            self.database, agent=tag_map.agent, max_size=tag_map.buffer.max_size, now=clock.now()
        )
        self.outbox = Outbox(self.store, tag_map.streams)
        await self.outbox.load()
        self.counts, status = Counts(), Status(clock)
        shell = composition.Shell(
            composition.Settings((MAP,), self.folder),
            composition.Parts(clock=clock),
            *(tag_map, status, self.counts, self.store, self.outbox, Audit(self.store, clock)),
            *(TagBoard(tag.ref for tag in tag_map.tags.values()), Progress()),
        )
        self.pipeline = composition.new_pipeline(shell)
        self.settling = composition.new_settling(shell, self.pipeline)
        self.courier = Courier(self._bus, self.outbox, self.poison)
        courier: Any = self.courier  # it resends as a relay does
        self.verbs = composition.handlers(shell, self.pipeline, self.settling, courier)
        self.answers = AnswerBook(self.store)
        self._audit = shell.audit
        self._presence = Presence(tag_map, __version__)
        self._pruner = Pruner(self.store, tag_map.buffer.keep_sent, clock)
        source = Memory(SOURCE, clock, self._acknowledged)
        await self.pipeline.start({SOURCE: source})
        self._start()
        self.opened += 1
        self.is_open = True
        await self._say(birth=True)

    async def close(self) -> None:
        """Stop it, as a clean stop does or a kill: the store makes no difference."""
        self.is_open = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.store.close()

    async def take(self, inputs: Sequence[Input]) -> None:
        """Have what the device delivered folded and committed."""
        async with asyncio.timeout(_SECONDS):
            if inputs:
                await self.pipeline.submit(inputs)
            await self.pipeline.submit((Tick(self.clock.now()),))
            await self.pipeline.ask(Outcome())  # what was submitted before it is committed
            await asyncio.sleep(0)  # acknowledgements are written

    async def settle(self) -> None:
        """What time settles, and what busy systems want to have sent again."""
        await self.settling.settle()
        now = self.clock.now().wall
        if self._bus.up:
            for source, sequence in await self.answers.due_again(now):
                await self.courier.resend((await self.outbox.replay(source, sequence, sequence, 1)).events)
                await self.answers.sent_again(source, sequence, now, taken=True)

    async def deliver(self) -> None:
        """Hand what is stored to the bus."""
        await self.courier.deliver(self.settling.void)

    async def heartbeat(self) -> None:
        await self._say(birth=False)

    async def prune(self) -> int:
        return await self._pruner.prune()

    async def ask(self, do: str, **request: Any) -> Mapping[str, Any]:
        """What a person asks over the control socket."""
        async with asyncio.timeout(_SECONDS):
            return await self.verbs[do](request, "person")

    async def hear(self, messages: Iterable[tuple[str, bytes]]) -> None:
        """Take commands in and carry them out."""
        for topic, payload in messages:
            intake = self._intakes.get(topic)
            if intake is None:
                continue
            before = intake._waiting.qsize()
            intake.received(Received(topic, payload, retained=False))
            self._expected += intake._waiting.qsize() - before
        async with asyncio.timeout(_SECONDS):
            while sum(intake.counts["done"] for intake in self._intakes.values()) < self._expected:
                self._replied.clear()
                await self._replied.wait()

    @property
    def refused(self) -> int:
        """Commands that were not taken at all."""
        return sum(intake.counts["refused"] + intake.counts["limited"] for intake in self._intakes.values())

    def _start(self) -> None:
        agent, streams, systems = self.tag_map.agent, self.outbox.streams, set(self.tag_map.systems)
        self._expected = 0
        self._replied = asyncio.Event()
        self._intakes: dict[str, Intake[Any]] = {}
        self._add("replay", Replaying(agent, streams, self.outbox, self._replay))
        self._add("ack", Acknowledging(agent, systems, self.answers, self.clock, self._taken), _ACKS)
        self._add("positions", Stating(agent, systems, self.settling.stated))
        running = [
            self.pipeline.run(),
            self.pipeline.pump(SOURCE),
            self.pipeline.acknowledge(SOURCE),
            self._audit.run(),
        ]
        running += [intake.run() for intake in self._intakes.values()]
        self._tasks = [asyncio.create_task(one) for one in running]

    def _add(self, name: str, verb: Any, limit: Limit | None = None) -> None:
        topic = self._topics.command(name)
        self._intakes[topic] = Intake(
            topic, verb, reply=self._reply, clock=self.clock, audit=self._audited, limit=limit or Limit()
        )

    async def _replay(self, events: Sequence[StoredEvent]) -> int:
        sent = await self.courier.resend(events)
        self.replayed.update(asked=1, sent=sent)
        return sent

    def _taken(self, taken: Taken) -> None:
        self.answered.update(taken=taken.taken, repeated=taken.repeated, refused=len(taken.refused))

    def _reply(self, message: Message) -> None:
        if self._bus.up:
            self._bus.publish(message.topic, message.payload)
        self._replied.set()

    def _audited(self, handled: Handled) -> None:
        self._audit.note("mqtt", handled.command, asdict(handled))

    def _acknowledged(self, ack: Acknowledge) -> None:
        try:
            self._write_ack(ack.number, int(ack.result))
        except ConnectionError as error:
            raise SourceError(str(error)) from error

    async def _say(self, *, birth: bool) -> None:
        if not self._bus.up:
            return
        streams = self.outbox.streams
        vitals = Vitals(
            self.clock.now(),
            {self.outbox.source(one): self.outbox.head(one) for one in streams},
            {one: self.outbox.head(one) - self.outbox.delivered(one) for one in streams},
            None,
            hashes={self.outbox.source(one): self.outbox.head_hash(one) for one in streams},
        )
        message = self._presence.birth(vitals) if birth else self._presence.heartbeat(vitals)
        self._bus.publish(message.topic, message.payload, retain=message.retain)


def copy_directory(folder: Path, into: Path) -> None:
    """A backup of a stopped agent: its whole data directory."""
    shutil.rmtree(into, ignore_errors=True)
    shutil.copytree(folder, into)


def restore_database(folder: Path, backup: Path) -> None:
    """Put the backup's database in the place of the present one; the anchor beside it stays as it is."""
    for suffix in ("", "-wal", "-shm"):
        (folder / f"{DATABASE_NAME}{suffix}").unlink(missing_ok=True)
        if (backup / f"{DATABASE_NAME}{suffix}").exists():
            shutil.copy2(backup / f"{DATABASE_NAME}{suffix}", folder)
