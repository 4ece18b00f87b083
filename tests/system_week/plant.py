"""The line of the week, half a minute at a time: every physical unit goes to a ledger that never reads a register."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from edge_agent_simulators.ledger import Ledger, key_of

TICK = timedelta(seconds=30)
ZONE = ZoneInfo("Europe/Berlin")
CASES, BOTTLES_PER_CASE = 48, 24
PREFORMS, BOTTLES, CAPS, CO2, PALLETS = "preforms_in", "bottles_out", "caps_in", "co2_used", "pallets"
WHAT = {
    PREFORMS: ("consumed", "300017", "L3-HOPPER"),
    BOTTLES: ("produced", "900001", "L3-OUT"),
    CAPS: ("consumed", "300021", "L3-CAPS"),
    CO2: ("consumed", "300030", "L3-CO2"),
}
"""What each counter counts: event, material, location. CO2 is counted in grams."""
PALLET = ("moved", "900001", "L3-OUT")
_PACE = 1.5
_BREAKS = tuple((time(hour, 0), time(hour, 20)) for hour in (2, 10, 18))


@dataclass
class Register:
    """A counter of the PLC: `value` below `modulus`, as of `stamp`."""

    value: int
    modulus: int
    stamp: datetime

    def add(self, units: int, at: datetime) -> None:
        if units:
            self.value, self.stamp = (self.value + units) % self.modulus, at

    def set(self, value: int, at: datetime) -> None:
        self.value, self.stamp = value % self.modulus, at


@dataclass(frozen=True)
class Pallet:
    number: int
    sscc: str
    cases: int
    raised: datetime


@dataclass
class Plant:
    """`ledger` is the truth. `working`: at which local times the line may run; `orders`: when the next one begins."""

    seed: int
    start: datetime
    orders: list[tuple[datetime, str]]
    working: Callable[[datetime], bool]
    ledger: Ledger = field(default_factory=Ledger)
    online: bool = True
    order: str = ""
    order_since: datetime = field(init=False)
    held: bool = False
    """Stopped by the script, whatever the plan says."""
    pallets: list[Pallet] = field(default_factory=list)
    acknowledged: int = 0
    result: int = 0
    relabel: int = 0
    """How many of the next pallets get another label before the PLC takes their acknowledgement."""
    unreadable: int = 0
    """How many of the next pallets' labels cannot be read at first."""

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.now = self.start_time = self.order_since = self.start
        sizes = {PREFORMS: 1 << 16, BOTTLES: 1 << 32, CAPS: 1 << 16, CO2: 1 << 32}
        self.registers = {name: Register(self.rng.randrange(1 << 15), size, self.start) for name, size in sizes.items()}
        self._queue: deque[int] = deque()
        self._loose = 0
        self._stopped = 0
        self._relabelled: datetime | None = None
        self._phantoms: list[tuple[str, int, Callable[[datetime], None]]] = []
        self.shown = Pallet(100, "", 0, self.start)
        self.acknowledged = 100
        self.label_readable = True
        while self.orders and self.orders[0][0] <= self.start:
            self._next_order()

    def tick(self, at: datetime) -> None:
        """Half a minute that ends at `at`."""
        self.now = at
        while self.orders and self.orders[0][0] <= at:
            self._next_order()
        if self._runs(at):
            self._make(at)
        if self._queue and self.acknowledged == self.shown.number:
            self._raise(at)

    @property
    def busy(self) -> bool:
        """Whether the line is worked on."""
        return self.working(self.now.astimezone(ZONE))

    def count(self, what: tuple[str, str, str], order: str, units: int, at: datetime) -> None:
        """A person moves material by hand."""
        self.ledger.count(key_of(what, order), units, at)

    def miscount(self, name: str, units: int, happened: Callable[[datetime], None]) -> None:
        """A photo eye counts what is not there, as soon as the line runs; `happened` is told when that began."""
        self._phantoms.append((name, units, happened))

    def preset(self, name: str, value: int) -> None:
        """Somebody, or a retained value, sets a counter."""
        self.registers[name].set(value, self.now)

    def restart(self, *, zero: tuple[str, ...] = ()) -> None:
        """The PLC restarts; some counters begin at zero, the others are retained."""
        self.start_time = self.now
        for name, register in self.registers.items():
            register.set(0 if name in zero else register.value, self.now)

    def write_ack(self, number: int, result: int) -> None:
        """What the agent writes. Raises ConnectionError while it cannot."""
        if self.online and self.relabel:
            self.relabel, self._relabelled = self.relabel - 1, self.now
            self.shown = replace(self.shown, sscc=f"0034012399{number:010d}")
        if not self.online or self._relabelled == self.now:
            msg = "the PLC does not take it"
            raise ConnectionError(msg)
        self.acknowledged, self.result = number, result

    def made_between(self, name: str, order: str, since: datetime, until: datetime) -> int:
        """Units of a counter that ran for `order` in (since, until]."""
        return self.ledger.truth(key_of(WHAT[name], order), since, until)

    def _runs(self, at: datetime) -> bool:
        """Not in breaks, not ten minutes before and after an order begins, and not in short stops of its own."""
        local = at.astimezone(ZONE)
        if self.held or not self.working(local) or any(a <= local.time() < b for a, b in _BREAKS):
            return False
        coming = self.orders[0][0] - at if self.orders else timedelta(days=1)
        if coming < timedelta(minutes=10) or at - self.order_since < timedelta(minutes=10):
            return False
        if self._stopped:
            self._stopped -= 1
            return False
        if self.rng.random() < 0.01:
            self._stopped = self.rng.randrange(2, 20)
        return True

    def _make(self, at: datetime) -> None:
        preforms = self.rng.randrange(int(_PACE * 22), int(_PACE * 38))
        bottles = preforms - (self.rng.random() < 0.3)
        made = {PREFORMS: preforms, BOTTLES: bottles, CAPS: bottles, CO2: 4 * bottles + self.rng.randrange(6)}
        for name, phantoms, happened in self._phantoms:
            self.registers[name].add(phantoms, at)
            happened(at - TICK)
        self._phantoms.clear()
        for name, units in made.items():
            self.registers[name].add(units, at)
            self.ledger.count(key_of(WHAT[name], self.order), units, at)
        self._loose += bottles
        while self._loose >= CASES * BOTTLES_PER_CASE:
            self._loose -= CASES * BOTTLES_PER_CASE
            self._queue.append(CASES)

    def _raise(self, at: datetime) -> None:
        """Show the next pallet: it has left the line."""
        cases, number = self._queue.popleft(), self.shown.number + 1
        self.shown = Pallet(number, f"0034012345{number:010d}", cases, at)
        self.pallets.append(self.shown)
        self.ledger.count(key_of(PALLET, ""), cases * BOTTLES_PER_CASE, at)
        self.label_readable = self.unreadable == 0
        self.unreadable = max(0, self.unreadable - 1)

    def _next_order(self) -> None:
        self.order_since, self.order = self.orders.pop(0)
