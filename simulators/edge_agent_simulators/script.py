"""Carries a plan out: drives the plant through its orders, and begins each planned fault when it is safe to.

A planned fault waits until what it must not mix with has settled; an order ends only when its last fault has. Nothing
here looks at the pallet handshake's other side, so the same seed moves the same plant whatever the client does.
"""

from __future__ import annotations

import random
from collections import deque
from datetime import datetime
from enum import StrEnum

from edge_agent_simulators.faults import (
    RESTARTS,
    SURE_RESET_DISTANCE,
    SURE_RESET_FROM,
    SURE_TO_WRAP,
    SURE_VALUE,
    Faults,
    Kind,
    Restart,
)
from edge_agent_simulators.machine import Machine
from edge_agent_simulators.physics import TICKS_PER_SECOND, ticks
from edge_agent_simulators.plan import Order, Pause, Plan, PlannedFault
from edge_agent_simulators.plc import CounterRegister

_CALM = ticks(4)
"""Between the end of one fault of a counter and the start of the next."""
_AFTER_CHANGE = ticks(3)
_BEFORE_CHANGE = ticks(3)
_AFTER_RESTART = ticks(6)
"""Before a change of order: the client has to come back and let its counters settle."""
_MOVING = ticks(3)
"""The line has run at least so long before a restart."""
_WRAP_GUARD = ticks(5)
"""No counter is about to wrap within this time of a glitch."""
_FASTEST_PER_TICK = 0.6
_FAR = 5_000
"""A value restored above the present one is this much above it at least: no outage explains it."""
_LATE = ticks(5)
"""A fault may begin so late that it prolongs its order by this much; else it is left out."""


class Phase(StrEnum):
    """Where the script stands."""

    RUNNING = "running"
    DRAINING = "draining"
    RESTING = "resting"
    CHANGED = "changed"
    DONE = "done"


class Director:
    """Drives one machine by one plan; `going` is the operator's start and stop."""

    def __init__(self, plan: Plan, machine: Machine, faults: Faults) -> None:
        self.going = False
        self.phase = Phase.RUNNING
        self.elapsed = 0
        self.left_out = 0
        self._machine = machine
        self._faults = faults
        self._chance = random.Random(f"script {plan.seed}")
        self._orders = deque(plan.orders)
        self._clock = 0
        self._moving = 0
        self._since_fault = 0
        self._tail = 0
        self._pause_left = 0
        self._pending_restart: tuple[Restart, float] | None = None
        self._begin(self._orders.popleft())

    @property
    def order(self) -> Order:
        """The order that is set."""
        return self._order

    def next_order(self, number: str) -> None:
        """End the present order now and run `number` next, until told otherwise."""
        self._orders.appendleft(Order(number, 1 << 62, self._order.speed))
        self._end = self._clock

    def step(self, at: datetime) -> None:
        """Decide what the plant does in the coming tick."""
        if self.going and self.phase is not Phase.DONE:
            self.elapsed += 1
            self._clock += 1
            self._advance(at)
        plant = self._machine.plant
        drain = self._pause_left > 0 and not self._halted
        run = self.going and self.phase is Phase.RUNNING
        plant.feeding = run and self._machine.plc.alive and not drain
        plant.halted = run and self._pause_left > 0 and self._halted
        self._moving = self._moving + 1 if plant.feeding and not plant.halted else 0

    def _begin(self, order: Order) -> None:
        self._order = order
        self._end = order.length
        self._clock = 0
        self._waiting = deque(sorted(order.faults, key=lambda fault: fault.at))
        self._pauses = deque(order.pauses)
        self._paces = deque(order.paces)
        self._halted = False
        self._machine.plant.speed = order.speed

    def _advance(self, at: datetime) -> None:
        if self.phase is Phase.RUNNING:
            self._run(at)
        elif self.phase is Phase.DRAINING:
            if self._machine.plant.at_rest:
                self._rest()
        elif self._clock >= self._order.rest // 2:
            self._change()

    def _rest(self) -> None:
        self.phase = Phase.RESTING if self._orders else Phase.DONE
        self._clock = 0

    def _change(self) -> None:
        """Half the rest is over: set the next order; the whole of it: run it."""
        self._clock = 0
        if self.phase is Phase.RESTING:
            self.phase = Phase.CHANGED
            self._machine.plc.order = self._orders[0].number
        else:
            self.phase = Phase.RUNNING
            self._begin(self._orders.popleft())

    def _run(self, at: datetime) -> None:
        self._since_fault = 0 if self._faults.active else self._since_fault + 1
        self._pause_left = max(0, self._pause_left - 1)
        while self._paces and self._paces[0].at <= self._clock:
            self._machine.plant.speed = self._paces.popleft().speed
        if self._pending_restart is not None:
            self._restart_now(at)
        elif self._pause_left == 0:
            self._run_on(at)

    def _run_on(self, at: datetime) -> None:
        self._drop_late()
        due = next((f for f in self._waiting if f.at <= self._clock and self._may_start(f)), None)
        if due is not None:
            self._waiting.remove(due)
            self._start(due, at)
        elif self._may_end(at):
            self.phase = Phase.DRAINING
        elif self._pauses and self._pauses[0].at <= self._clock and self._settled():
            self._pause(self._pauses.popleft())

    def _pause(self, pause: Pause) -> None:
        self._pause_left, self._halted = pause.length, pause.halt

    def _settled(self) -> bool:
        return not self._faults.active and self._since_fault >= self._tail

    def _drop_late(self) -> None:
        """Leave out what can no longer be done in this order."""
        for fault in [f for f in self._waiting if self._clock + _tail(f) + f.length > self._end + _LATE]:
            self._waiting.remove(fault)
            self.left_out += 1

    def _may_end(self, at: datetime) -> bool:
        """Time is up, all has settled, no wrap is near, and the pallet that leaves now is a partial one."""
        if self._clock < self._end or not self._settled():
            return False
        counters = self._machine.plc.counters
        calm = all(self._faults.calm_ticks(name) >= _BEFORE_CHANGE for name in counters)
        if not calm or any(_about_to_wrap(register, _AFTER_CHANGE) for register in counters.values()):
            return False
        return self._machine.send_partial(at)

    def _may_start(self, fault: PlannedFault) -> bool:
        faults, counters = self._faults, self._machine.plc.counters
        if self._clock < _AFTER_CHANGE:
            return False
        if fault.kind is Kind.GLITCH:
            assert fault.counter is not None  # noqa: S101 - every glitch has one
            calm = faults.online and faults.calm_ticks(fault.counter) >= _CALM
            guard = fault.length + _WRAP_GUARD
            return calm and self._moving >= TICKS_PER_SECOND and not _about_to_wrap(counters[fault.counter], guard)
        calm = all(faults.calm_ticks(name) >= _CALM for name in counters)
        return calm and self._moving >= _MOVING and self._may_restart(fault)

    def _may_restart(self, fault: PlannedFault) -> bool:
        for name, register in self._machine.plc.counters.items():
            sure = _surely_retained(register)
            if name == fault.counter:
                sure = _surely_reset(register) if fault.kind is Kind.SIGNED_RESET else _surely_restored(register, fault)
            if not sure:
                return False
        return fault.kind is not Kind.PLC_RESTART or not fault.handover or self._machine.palletiser.stacked > 0

    def _start(self, fault: PlannedFault, at: datetime) -> None:
        planned = self._planned(fault)
        self._tail = _tail(fault)
        self._since_fault = 0
        if fault.kind is Kind.GLITCH:
            assert fault.counter is not None  # noqa: S101 - every glitch has one
            shows = self._wild(self._machine.plc.counters[fault.counter])
            self._faults.glitch(fault.counter, fault.length, shows, at, planned)
            return
        self._pending_restart = (
            Restart(fault.kind, fault.length, fault.counter, self._value_after(fault), fault.reraise),
            planned,
        )
        if not (fault.handover and self._machine.send_partial(at)):
            self._restart_now(at)

    def _restart_now(self, at: datetime) -> None:
        """One tick after the pallet was sent away: its number is raised, nobody can have acknowledged it yet."""
        assert self._pending_restart is not None  # noqa: S101 - only then it is called
        how, planned = self._pending_restart
        self._pending_restart = None
        self._faults.restart(how, at, planned)

    def _planned(self, fault: PlannedFault) -> float:
        return (self.elapsed - self._clock + fault.at) / TICKS_PER_SECOND

    def _value_after(self, fault: PlannedFault) -> int:
        if fault.counter is None or fault.kind is Kind.SIGNED_RESET:
            return 0
        register = self._machine.plc.counters[fault.counter]
        return register.modulus - fault.near if fault.near else register.value - fault.drop

    def _wild(self, register: CounterRegister) -> int:
        """Zero, or a value that is far from the true one both ways round."""
        if self._chance.random() < 0.5:
            return 0
        quarter = register.modulus // 4
        return (register.value + self._chance.randrange(quarter, 3 * quarter)) % register.modulus


def _tail(fault: PlannedFault) -> int:
    """How long after its end a fault is left to settle before the order may change."""
    return _AFTER_RESTART if fault.kind in RESTARTS else _BEFORE_CHANGE


def _about_to_wrap(register: CounterRegister, within: int) -> bool:
    return register.to_wrap <= within * _FASTEST_PER_TICK


def _surely_retained(register: CounterRegister) -> bool:
    return register.value > SURE_VALUE + 50 and register.to_wrap > SURE_TO_WRAP + 20


def _surely_reset(register: CounterRegister) -> bool:
    return register.value > SURE_RESET_FROM and register.to_wrap > SURE_RESET_DISTANCE + 50


def _surely_restored(register: CounterRegister, fault: PlannedFault) -> bool:
    if fault.near:
        return register.to_wrap - fault.near > _FAR
    return register.value - fault.drop > SURE_VALUE and register.to_wrap > SURE_TO_WRAP
