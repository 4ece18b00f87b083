"""The simulated line without any protocol: advance it, read its registers, acknowledge its pallets, ask for the truth.

The OPC UA shell moves the very same object by the wall clock; tests move it by a clock of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from edge_agent_simulators.faults import RESTARTS, Fault, Faults, Kind, Restart
from edge_agent_simulators.ledger import Ledger
from edge_agent_simulators.machine import Machine
from edge_agent_simulators.physics import TICK_MS, TICKS_PER_SECOND, Palletiser, Plant
from edge_agent_simulators.plan import make_plan, plain_plan
from edge_agent_simulators.plc import BLOCK, PAL_ACK, PAL_RESULT, Pallet, Plc, Value
from edge_agent_simulators.script import Director, Phase

TICK = timedelta(milliseconds=TICK_MS)


@dataclass(frozen=True, slots=True)
class Change:
    """A register shows a new value since `timestamp`, its source timestamp."""

    name: str
    value: Value
    timestamp: datetime


@dataclass(frozen=True, slots=True)
class Lost:
    """The PLC is gone: its server closed every session, nothing can be read or written."""

    timestamp: datetime


@dataclass(frozen=True, slots=True)
class Up:
    """The PLC's server is there again, newly started: read `snapshot()`, every register is stamped `timestamp`."""

    timestamp: datetime
    start_time: datetime


Event = Change | Lost | Up


class VirtualLine:
    """The line by `seed`, with the script for `duration`, or without one where it is None. At rest until `start()`."""

    def __init__(self, seed: int, duration: timedelta | None, start: datetime, *, cases_per_pallet: int = 4) -> None:
        plan = (
            plain_plan(seed, cases_per_pallet=cases_per_pallet)
            if duration is None
            else make_plan(seed, duration.total_seconds())
        )
        plant = Plant(seed, plan.orders[0].speed)
        plc = Plc(plan.orders[0].number, plan.preforms, plan.bottles, plan.transaction)
        self.plan = plan
        self.now = start
        self.start_time = start
        self._machine = Machine(plant, Palletiser(plan.cases_per_pallet), plc)
        self._faults = Faults(self._machine)
        self._director = Director(plan, self._machine, self._faults)
        self._shown = {name: Change(name, value, start) for name, value in plc.image().items()}
        self._reachable = True

    @property
    def ledger(self) -> Ledger:
        """The truth by key."""
        return self._machine.ledger

    @property
    def faults(self) -> list[Fault]:
        """Every fault so far, in order of their start."""
        return self._faults.happened

    @property
    def pallets(self) -> list[Pallet]:
        """Every pallet whose number was raised, in order."""
        return self._machine.plc.handshake.pallets

    @property
    def online(self) -> bool:
        """Whether the PLC's server can be reached."""
        return self._reachable and self._faults.online

    @property
    def done(self) -> bool:
        """The script is over and the line at rest."""
        return self._director.phase is Phase.DONE

    @property
    def at_rest(self) -> bool:
        """Nothing moves, nothing is left on the belt and no fault is going on: no register changes any more."""
        still = not self._director.going or self.done
        return still and self._machine.plant.at_rest and not self._faults.active

    def start(self) -> None:
        """Run, or run on after `stop()`."""
        self._director.going = True

    def stop(self) -> None:
        """Come to rest: the infeed stops, the belt runs empty, the script's clock stands still."""
        self._director.going = False

    def advance(self, by: timedelta) -> list[Event]:
        """Move on by whole ticks of 50 ms of virtual time; answers what a client would have been told meanwhile."""
        count, rest = divmod(by, TICK)
        if rest:
            msg = f"{by} is no whole number of ticks of {TICK_MS} ms"
            raise ValueError(msg)
        events: list[Event] = []
        for _ in range(count):
            self.tick(self.now + TICK, events)
        return events

    def tick(self, at: datetime, events: list[Event]) -> None:
        """Move the plant by one tick that ends at `at`, which must be later than the last; adds to `events`."""
        if at <= self.now:
            msg = f"time went back from {self.now.isoformat()} to {at.isoformat()}"
            raise ValueError(msg)
        self.now = at
        self._faults.step(at)
        self._director.step(at)
        for counter in self._machine.tick(at):
            self._faults.wrapped(counter, at)
        if self._faults.online:
            self._show(at, events)
        elif self._reachable:
            self._reachable = False
            events.append(Lost(at))

    def snapshot(self) -> dict[str, Change]:
        """What every register shows. Raises ConnectionError while the PLC is down."""
        self._reach()
        return dict(self._shown)

    def read_block(self) -> dict[str, Change]:
        """The handshake's registers, read together. Raises ConnectionError while the PLC is down."""
        self._reach()
        return {name: self._shown[name] for name in BLOCK}

    def write_ack(self, number: int, result: int) -> None:
        """Write Result and Ack, as a client does. Raises ConnectionError while the PLC is down."""
        self.write(PAL_RESULT, result)
        self.write(PAL_ACK, number)

    def write(self, name: str, value: int) -> None:
        """Write one of the two registers a client may write. Raises ConnectionError while the PLC is down."""
        self._reach()
        handshake = self._machine.plc.handshake
        if name == PAL_ACK:
            handshake.acknowledge(value)
        elif name == PAL_RESULT:
            handshake.result = value
        else:
            msg = f"{name} is not for clients to write"
            raise PermissionError(msg)
        self._shown[name] = Change(name, value, self.now)

    def truth(self, key: str, since: datetime, until: datetime) -> int:
        """Units of `key` made after `since` and not after `until`, source timestamps both."""
        return self.ledger.truth(key, since, until)

    def totals(self) -> dict[str, Decimal]:
        """Units made, by key."""
        return self.ledger.totals()

    def next_order(self, number: str) -> None:
        """End the present order as soon as its pallet can leave, and run `number` next."""
        self._director.next_order(number)

    def inject_glitch(self, counter: str, shows: int, ticks: int) -> Fault:
        """Let a counter (`preforms` or `bottles`) show a wrong value for a while, from now on."""
        return self._faults.glitch(counter, ticks, shows, self.now)

    def inject_restart(
        self,
        kind: Kind,
        ticks: int,
        counter: str | None = None,
        value: int = 0,
        *,
        reraise: bool = False,
        forgets: bool = False,
    ) -> Fault:
        """Restart the PLC now; `counter` comes back with `value`, any other as it was. Raises ValueError.

        One that `forgets` begins its count of pallets anew, and those not yet shown are lost.
        """
        if kind not in RESTARTS:
            msg = f"{kind} is no restart"
            raise ValueError(msg)
        return self._faults.restart(Restart(kind, ticks, counter, value, reraise, forgets), self.now)

    def forget(self) -> None:
        """Begin the count of pallets anew, as a program loaded again does. Raises ValueError while one waits."""
        handshake = self._machine.plc.handshake
        if handshake.outstanding:
            msg = "the count begins anew while no pallet waits only"
            raise ValueError(msg)
        handshake.forget()

    def send_partial(self) -> bool:
        """Send the pallet away as it stands; answers whether there was one."""
        return self._machine.send_partial(self.now)

    def set_register(self, counter: str, value: int) -> None:
        """Preset a counter. Raises ValueError unless the line is at rest."""
        if not self.at_rest:
            msg = "a counter is preset at rest only"
            raise ValueError(msg)
        register = self._machine.plc.counters[counter]
        register.value = value % register.modulus

    def set_order(self, number: str) -> None:
        """Set the order register. Raises ValueError unless the line is at rest."""
        if not self.at_rest:
            msg = "the order changes at rest only"
            raise ValueError(msg)
        self._machine.plc.order = number

    def status(self) -> dict[str, Any]:
        """For people and tests: where everything stands."""
        machine, plant, director = self._machine, self._machine.plant, self._director
        return {
            "running": director.going,
            "at_rest": self.at_rest,
            "online": self.online,
            "order": machine.plc.order,
            "orders": [order.number for order in self.plan.orders],
            "registers": machine.plc.image(),
            "made": {
                "preforms": plant.preforms,
                "bottles": plant.bottles,
                "rejects": plant.rejects,
                "in_transit": plant.in_transit,
            },
            "loose_bottles": machine.palletiser.loose,
            "cases_on_pallet": machine.palletiser.stacked,
            "partial_pallets": machine.partial_pallets,
            "outstanding": machine.plc.handshake.outstanding,
            "stray_acks": machine.plc.handshake.stray_acks,
            "script": {
                "phase": director.phase,
                "elapsed": director.elapsed / TICKS_PER_SECOND,
                "duration": self.plan.seconds,
                "done": self.done,
                "left_out": director.left_out,
            },
        }

    def _reach(self) -> None:
        if not self.online:
            msg = "the PLC is down"
            raise ConnectionError(msg)

    def _show(self, at: datetime, events: list[Event]) -> None:
        image = self._machine.plc.image()
        if not self._reachable:
            self._reachable = True
            self.start_time = at
            self._shown = {name: Change(name, value, at) for name, value in image.items()}
            events.append(Up(at, at))
            return
        shown = self._shown
        for name, value in image.items():
            if shown[name].value != value:
                shown[name] = change = Change(name, value, at)
                events.append(change)
