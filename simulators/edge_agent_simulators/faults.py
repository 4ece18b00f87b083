"""Faults of the PLC: doing them, and a record of each that says what may legitimately come of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from edge_agent_simulators.ledger import PALLETS, key_of
from edge_agent_simulators.machine import Machine
from edge_agent_simulators.physics import ticks

BOOT_LEAD = ticks(0.4)
"""The PLC runs this long before its OPC UA server is reachable again."""
SURE_RESET_DISTANCE = 2_000
"""A reset further than this from the wrap cannot be a wrap (80 s at 25 pcs/s)."""
SURE_VALUE = 1_000
"""A retained value above this cannot have been counted since a restart (40 s at 25 pcs/s)."""
SURE_TO_WRAP = 80
"""A retained counter this far from its wrap is read again before it gets there (7 s at 12 pcs/s)."""
SURE_RESET_FROM = 120
"""A counter reset from above this has not climbed back before it is read again."""
LONGEST_GLITCH_SECONDS = 1.5
"""A glitch that lasted longer (the host stalled) may have settled: `settle` is 2 s."""
_LONG_AGO = ticks(3600)


class Kind(StrEnum):
    """What can happen."""

    WRAP16 = "wrap16"
    WRAP32 = "wrap32"
    GLITCH = "glitch"
    SIGNED_RESET = "signed_reset"
    RESTORED_RETAIN = "restored_retain"
    PLC_RESTART = "plc_restart"


WRAPS = {"preforms": Kind.WRAP16, "bottles": Kind.WRAP32}
RESTARTS = frozenset({Kind.SIGNED_RESET, Kind.RESTORED_RETAIN, Kind.PLC_RESTART})


@dataclass(slots=True)
class Fault:
    """One fault as it happened. `started` and `ended` are source times; `before` and `after` register values.

    `may_review` are the ledger keys whose quantity the evidence cannot settle, `gaps` those of which units were never
    shown (`unseen` of them). `planned` is seconds of script time, None for a fault that was not planned.
    """

    kind: Kind
    started: datetime
    order: str
    planned: float | None = None
    counter: str | None = None
    key: str | None = None
    ended: datetime | None = None
    before: int | None = None
    after: int | None = None
    may_review: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    unseen: int = 0
    handshake_open: bool = False
    reraised: bool = False

    @property
    def ambiguous(self) -> bool:
        """Whether a review may come of it."""
        return bool(self.may_review)

    def as_json(self) -> dict[str, Any]:
        """For the control channel; times in ISO 8601."""
        record = asdict(self)
        record["started"] = self.started.isoformat()
        record["ended"] = self.ended.isoformat() if self.ended else None
        return {**record, "ambiguous": self.ambiguous}


@dataclass(frozen=True, slots=True)
class Restart:
    """How the PLC comes back: `down` in ticks; `counter` shows `value` after it, any other what it retained.

    One that `forgets` has lost the count and the queue of its pallets.
    """

    kind: Kind
    down: int
    counter: str | None = None
    value: int = 0
    reraise: bool = False
    forgets: bool = False


@dataclass(slots=True)
class _Outage:
    fault: Fault
    how: Restart
    values: dict[str, int]
    ticks: int = 0


class Faults:
    """Begins, carries and ends faults on a machine, one tick at a time."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._tick = 0
        self._glitches: dict[str, tuple[Fault, int]] = {}
        self._outage: _Outage | None = None
        self._calm_since = dict.fromkeys(machine.plc.counters, -_LONG_AGO)
        self.online = True
        self.happened: list[Fault] = []

    @property
    def active(self) -> bool:
        """Whether a glitch or an outage is going on."""
        return self._outage is not None or bool(self._glitches)

    def calm_ticks(self, counter: str) -> int:
        """Ticks since the last disturbance of `counter` ended, a wrap included; 0 during one."""
        if self._outage is not None or counter in self._glitches:
            return 0
        return self._tick - self._calm_since[counter]

    def glitch(self, counter: str, length: int, shows: int, at: datetime, planned: float | None = None) -> Fault:
        """The register shows `shows` for `length` ticks while it counts on unseen."""
        register = self._machine.plc.counters[counter]
        fault = self._begin(Kind.GLITCH, at, planned, counter)
        register.masked = shows
        fault.after = shows
        self._glitches[counter] = (fault, self._tick + length)
        return fault

    def restart(self, how: Restart, at: datetime, planned: float | None = None) -> Fault:
        """The PLC loses power now: the infeed stops, what is on the belt coasts out.

        Raises:
            ValueError: it is down already, or would be down for less than its boot takes.
        """
        if self._outage is not None:
            msg = "the PLC is down already"
            raise ValueError(msg)
        if how.down <= BOOT_LEAD:
            msg = f"a restart takes more than {BOOT_LEAD} ticks, not {how.down}"
            raise ValueError(msg)
        fault = self._begin(how.kind, at, planned, how.counter)
        plc = self._machine.plc
        fault.handshake_open = plc.handshake.open is not None
        self._outage = _Outage(fault, how, {name: register.value for name, register in plc.counters.items()})
        plc.alive = False
        self.online = False
        return fault

    def wrapped(self, counter: str, at: datetime) -> None:
        """A counter went through zero by itself."""
        fault = self._begin(WRAPS[counter], at, None, counter)
        fault.ended = at
        fault.before, fault.after = self._machine.plc.counters[counter].modulus - 1, 0
        self._calm_since[counter] = self._tick

    def step(self, at: datetime) -> None:
        """Pass one tick: what has lasted long enough ends."""
        self._tick += 1
        for counter in [c for c, (_, end) in self._glitches.items() if self._tick >= end]:
            self._end_glitch(counter, at)
        outage = self._outage
        if outage is None:
            return
        outage.ticks += 1
        if outage.ticks == outage.how.down - BOOT_LEAD:
            self._boot(outage, at)
        if outage.ticks >= outage.how.down:
            self._end_outage(outage, at)

    def _begin(self, kind: Kind, at: datetime, planned: float | None, counter: str | None) -> Fault:
        fault = Fault(kind, at, self._machine.plc.order, planned, counter)
        if counter is not None:
            fault.key = self._machine.key(counter)
            fault.before = self._machine.plc.counters[counter].value
        self.happened.append(fault)
        return fault

    def _end_glitch(self, counter: str, at: datetime) -> None:
        fault, _ = self._glitches.pop(counter)
        self._machine.plc.counters[counter].masked = None
        self._calm_since[counter] = self._tick
        fault.ended = at
        stalled = (at - fault.started).total_seconds() > LONGEST_GLITCH_SECONDS
        if stalled and fault.key is not None:
            fault.may_review.append(fault.key)

    def _boot(self, outage: _Outage, at: datetime) -> None:
        """The PLC's program starts: retained values are there, or not."""
        plc, how, fault = self._machine.plc, outage.how, outage.fault
        for name, register in plc.counters.items():
            sure = register.value > SURE_VALUE and register.to_wrap > SURE_TO_WRAP
            if name != how.counter and not sure:
                fault.may_review.append(self._machine.key(name))
        if how.counter is not None:
            self._forget(how.counter, outage)
        if how.reraise:
            fault.reraised = plc.handshake.reraise()
        if how.forgets:
            fault.unseen += self._machine.forget(at)
            fault.gaps.append(key_of(PALLETS, ""))
        plc.alive = True

    def _forget(self, counter: str, outage: _Outage) -> None:
        """The register comes back with another value; what it had counted unseen is lost by a reset."""
        register, how, fault = self._machine.plc.counters[counter], outage.how, outage.fault
        key, sure = self._machine.key(counter), False
        if how.kind is Kind.SIGNED_RESET:
            sure = register.to_wrap > SURE_RESET_DISTANCE and register.value > SURE_RESET_FROM
            fault.gaps.append(key)
            fault.unseen = register.value - outage.values[counter]
        if not sure:
            fault.may_review.append(key)
        register.value = fault.after = how.value

    def _end_outage(self, outage: _Outage, at: datetime) -> None:
        outage.fault.ended = at
        self._outage = None
        self.online = True
        for counter in self._calm_since:
            self._calm_since[counter] = self._tick
