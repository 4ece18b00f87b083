"""What happens in the week, and when: local time of the plant."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from edge_agent.model.event import StoredEvent
from edge_agent_simulators.erp_faults import Fault
from edge_agent_simulators.erp_system import Erp
from tests.system_week.agent import copy_directory, restore_database
from tests.system_week.bus import Noise
from tests.system_week.people import Miscount, People
from tests.system_week.plant import ZONE, Plant
from tests.system_week.receivers import Receiver
from tests.system_week.world import World

MONDAY = datetime(2026, 3, 23, 6, tzinfo=ZONE)
"""The week's Sunday is the one on which the clocks are put forward."""
NOISE = Noise(lose=0.004, double=0.005, delay=0.003, reorder=0.005, alter=0.002)
_COMMANDS = Noise(lose=0.01, double=0.01, delay=0.005, reorder=0.01)


def local(day: int, clock: str) -> datetime:
    """`clock` on day 1 (Monday) to 8, by the plant's clock, as an instant."""
    hour, minute = map(int, clock.split(":"))
    at = (MONDAY + timedelta(days=day - 1)).replace(hour=hour, minute=minute)
    return at.astimezone(UTC)


class Scenario:
    """A world with its people, and the words in which the week is written."""

    def __init__(self, folder: Path, seed: int, orders: list[tuple[datetime, str]], *, erp: type[Erp] = Erp) -> None:
        self.plant = Plant(seed, MONDAY.astimezone(UTC), orders, _working)
        self.world = World(folder, self.plant, seed)
        self.bus = self.world.bus
        self.people = People(self.world)
        self.world.hourly += [self.people.look, self._prune]
        self.mes = self.world.add(Receiver("mes", folder / "mes", self.bus, documents=False, make=erp))
        self.erp = self.world.add(Receiver("erp", folder / "erp", self.bus, make=erp))
        self.wms = self.world.add(Receiver("wms", folder / "wms", self.bus, prove=False))
        self.pruned = 0
        self.backups: list[Path] = []
        self.restored = 0
        self._unsent: set[str] = set()

    # the wire

    def noise(self, noise: Noise = NOISE) -> None:
        for name in ("mes", "erp", "wms"):
            self.bus.noise[name] = noise
        self.bus.noise["agent"] = _COMMANDS

    def quiet(self) -> None:
        self.bus.quieten()

    def broker(self, *, up: bool) -> Callable[[], None]:
        def switch() -> None:
            self.bus.up = up

        return switch

    def poison(self, then: str, rule: str) -> Callable[[], None]:
        """The broker does not take the next event with a line of `rule`."""

        def fits(event: StoredEvent) -> bool:
            return b"material" in event.type.encode() and f'"rule":"{rule}"'.encode() in event.payload

        return lambda: self.world.poison.append((then, fits))

    # the receivers

    def fault(self, receiver: Receiver, name: str, fault: Fault) -> Callable[[], None]:
        def put() -> None:
            receiver.erp.faults.put(fault, f"{name} {self.world.wall:%a %H:%M}")

        return put

    def voice(self, receiver: Receiver, manner: str, seconds: float = 0) -> Callable[[], None]:
        return lambda: receiver.erp.voice.set(manner, seconds)

    def restart(self, receiver: Receiver) -> Callable[[], None]:
        return lambda: receiver.restart(self.world.now)

    def restore(self, receiver: Receiver, *, inbox: bool, books: bool) -> Callable[[], None]:
        return lambda: receiver.restore(self.world.now, inbox=inbox, books=books)

    def back_up_receivers(self) -> None:
        for receiver in self.world.receivers.values():
            receiver.backup()

    # the agent

    async def back_up_agent(self) -> None:
        """Stop it, copy its directory, start it."""
        await self.world.agent.close()
        into = self.world.folder / f"backup-{len(self.backups)}"
        copy_directory(self.world.agent.folder, into)
        self.backups.append(into)
        await self.world.start_agent()

    async def lose_agent(self) -> None:
        """Its disk is gone, and with it what it had not yet sent."""
        agent = self.world.agent
        for stream in agent.outbox.streams:
            for event in await agent.outbox.unsent(stream, agent.outbox.delivered(stream), 1000):
                lines = json.loads(event.payload)["data"].get("materialActual", ())
                self._unsent |= {line["containerID"] for line in lines if "containerID" in line}
        await agent.close()

    def restore_agent(self, generation: int) -> Callable[[], Awaitable[None]]:
        """Start it on the database of an earlier backup; -1 is the last."""

        async def restore() -> None:
            former = json.loads((self.world.agent.folder / "edge-agent.db.anchor").read_text())["store"]
            restore_database(self.world.agent.folder, self.backups[generation])
            await self.world.start_agent()
            assert self.world.agent.store.store_uuid != former
            self.restored += 1
            # the number that is shown goes to review; those before it fell into the restore, which is a stated gap
            self.world.fell_into_a_gap += [
                one for one in self.plant.pallets if one.sscc in self._unsent and one.number < self.plant.shown.number
            ]
            self._unsent.clear()

        return restore

    async def _prune(self) -> None:
        if self.world.agent.is_open:
            self.pruned += await self.world.agent.prune()

    # the plant

    def miscount(self, rule: str, register: str, units: int) -> Callable[[], None]:
        def noticed(at: datetime) -> None:
            self.people.miscounts.append(Miscount(rule, units, at))

        return lambda: self.plant.miscount(register, units, noticed)

    def link(self, *, up: bool) -> Callable[[], None]:
        def switch() -> None:
            self.plant.online = up

        return switch

    def restart_plc(self, *zero: str) -> Callable[[], None]:
        """Counters in `zero` begin anew, the others are retained."""
        return lambda: self.plant.restart(zero=zero)

    def hold(self, *, held: bool) -> Callable[[], None]:
        def switch() -> None:
            self.plant.held = held

        return switch

    def unreadable_label(self) -> None:
        """The next pallet's label cannot be read."""
        self.plant.unreadable += 1

    def relabelled_pallet(self) -> None:
        """The PLC does not take the acknowledgement of the next pallet, and then shows it with another label."""
        self.plant.relabel += 1


def _working(at: datetime) -> bool:
    """Three shifts, from Monday morning to Saturday evening."""
    week = timedelta(days=at.weekday(), hours=at.hour)
    return timedelta(hours=6) <= week < timedelta(days=5, hours=22)
