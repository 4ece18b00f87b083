"""Plant, agent, bus, receivers and people on one virtual clock; a round is a minute, or more where nothing moves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

from edge_agent.clock import ManualClock
from edge_agent.derivation.engine import Input
from edge_agent.model.confirmation import Block
from edge_agent.model.event import StoredEvent
from edge_agent.model.reading import Link, Quality, Reading, SourceChange, TagRef
from tests.system_week.agent import SOURCE, Agent
from tests.system_week.bus import Bus
from tests.system_week.plant import TICK, Pallet, Plant
from tests.system_week.receivers import Receiver

HOUR = timedelta(hours=1)
_ROUND = timedelta(minutes=2)
_QUIET_ROUND = timedelta(minutes=10)
_SETTLE = timedelta(minutes=6)
_TALK = 4
"""How often a round lets messages go to and fro."""
Action = Callable[[], Awaitable[None] | None]


class Feed:
    """What the device delivers to the agent: changes, as an OPC UA subscription does, and the open handshake."""

    def __init__(self, plant: Plant, clock: ManualClock) -> None:
        self.connected = False
        self._plant = plant
        self._clock = clock
        self._told: dict[str, tuple[int | str, datetime]] = {}

    def poll(self) -> list[Input]:
        """What there is to be seen now; a lost or new session included."""
        if not self._plant.online:
            was, self.connected = self.connected, False
            return [SourceChange(SOURCE, Link.LOST, self._clock.now())] if was else []
        found: list[Input] = []
        if not self.connected:
            self._told.clear()
            found.append(SourceChange(SOURCE, Link.UP, self._clock.now(), self._plant.start_time))
        found += [*self._readings(), *self._block()]
        self.connected = True
        return found

    def _readings(self) -> Iterator[Input]:
        plant = self._plant
        shown: dict[str, tuple[int | str, datetime]] = {"order_no": (plant.order, plant.order_since)}
        shown |= {name: (register.value, register.stamp) for name, register in plant.registers.items()}
        for name, (value, stamp) in shown.items():
            if self._told.get(name) != (value, stamp):
                yield self._reading(name, value, stamp)
        self._told = shown

    def _block(self) -> Iterator[Input]:
        shown = self._plant.shown
        if shown.number == self._plant.acknowledged and self.connected:
            return
        label = Quality.GOOD if self._plant.label_readable else Quality.BAD
        values = [
            self._reading("pal_cases", shown.cases, shown.raised),
            self._reading("pal_sscc", shown.sscc, shown.raised, label),
        ]
        now = self._clock.now()
        yield Block("pallet_out", shown.number, self._plant.acknowledged, {one.tag: one for one in values}, now)

    def _reading(self, tag: str, value: int | str, stamp: datetime, quality: Quality = Quality.GOOD) -> Reading:
        return Reading(
            TagRef(SOURCE, tag),
            *(value, quality, self._clock.now()),
            source_time=stamp,
            server_time=stamp,
            continuous=self.connected,
        )


class World:
    """Moves everything. `at` has something happen, `hourly` is what people do once an hour."""

    def __init__(self, folder: Path, plant: Plant, seed: int) -> None:
        self.clock = ManualClock(plant.start)
        self.plant = plant
        self.bus = Bus(seed, lambda: self.clock.now().wall)
        self.agent = Agent(folder / "agent", self.clock, self.bus, plant.write_ack)
        self.feed = Feed(plant, self.clock)
        self.receivers: dict[str, Receiver] = {}
        self.hourly: list[Action] = []
        self.folder = folder
        self.poison: list[tuple[str, Callable[[StoredEvent], bool]]] = []
        """What becomes of the next event that fits: people `retry` or `correct` it, or `leave` it."""
        self.poisoned: dict[str, str] = {}
        """By event id, as long as the broker does not take it."""
        self.agent.poison = self._poison
        self.fell_into_a_gap: list[Pallet] = []
        """Acknowledged by an agent whose store was lost before they were sent."""
        self._agenda: list[tuple[datetime, int, Action]] = []
        self._next_hour = plant.start + HOUR
        self._settled = plant.start

    def add(self, receiver: Receiver) -> Receiver:
        self.bus.subscribe(receiver.name)
        self.receivers[receiver.name] = receiver
        return receiver

    async def start(self) -> None:
        self.bus.subscribe("agent")
        for receiver in self.receivers.values():
            receiver.open(self.now)
        await self.start_agent()

    async def stop(self) -> None:
        for receiver in self.receivers.values():
            receiver.close()
        if self.agent.is_open:
            await self.agent.close()

    async def start_agent(self) -> None:
        self.feed.connected = False
        self.bus.forget("agent")
        await self.agent.open()
        await self.talk()  # its birth is heard, and answered, long before a device has said anything new

    @property
    def now(self) -> float:
        """Seconds since 1970."""
        return self.clock.now().wall.timestamp()

    @property
    def wall(self) -> datetime:
        return self.clock.now().wall

    def _poison(self, event: StoredEvent, fresh: bool) -> str | None:
        if fresh and event.id not in self.poisoned:
            for one in self.poison:
                if one[1](event):
                    self.poison.remove(one)
                    self.poisoned[event.id] = one[0]
                    break
        return "the connection ends whenever it is sent" if event.id in self.poisoned else None

    def at(self, moment: datetime, *actions: Action) -> None:
        """Have actions carried out as soon as the clock reads `moment`."""
        for action in actions:
            self._agenda.append((moment, len(self._agenda), action))

    async def run(self, until: datetime) -> None:
        """Let time pass."""
        self._agenda.sort(key=lambda one: one[:2])
        while self.wall < until:
            await self._round()

    async def _round(self) -> None:
        while self._agenda and self._agenda[0][0] <= self.wall:
            await _done(self._agenda.pop(0)[2])
        await self._pass(_ROUND if self.plant.busy else _QUIET_ROUND)
        if self.agent.is_open:
            await self.agent.take(())
            if self.wall - self._settled >= _SETTLE:
                self._settled = self.wall
                await self.agent.settle()
                await self.agent.heartbeat()
        await self.talk()
        if self.wall >= self._next_hour:
            self._next_hour += HOUR
            for action in self.hourly:
                await _done(action)

    async def _pass(self, duration: timedelta) -> None:
        """Time passes for the plant, and what it shows goes to the agent; not beyond what is on the agenda."""
        until = self.wall + duration
        if self._agenda:
            until = max(min(until, self._agenda[0][0]), self.wall + TICK)
        while self.wall < until:
            self.plant.tick(self.clock.advance(TICK).wall)
            if self.agent.is_open and (inputs := self.feed.poll()):
                await self.agent.pipeline.submit(inputs)

    async def talk(self) -> None:
        """Let messages go to and fro until nobody has anything to say, or for a while."""
        if self.agent.is_open:
            await self.agent.deliver()
        for _ in range(_TALK):
            busy = [receiver.work(self.now) for receiver in self.receivers.values()]
            commands = self.bus.take("agent") if self.agent.is_open else []
            await self.agent.hear(commands) if commands else None
            if not any(busy) and not commands:
                return


async def _done(action: Action) -> None:
    result = action()
    if result is not None:
        await result
