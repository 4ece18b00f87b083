"""Machines that count pieces into a register, of every kind that a PLC has."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from random import Random

from edge_agent_simulators.plants.machine import Machine
from edge_agent_simulators.plants.recording import Value

MOST = 20
"""Pieces a second at the most; the tag map allows 25."""


@dataclass(frozen=True)
class Register:
    """How a register shows a count: `first` value of an empty one, `distinct` values before the same comes again.

    `way` is +1 for one that counts up, -1 for one that counts down; `lowest` is the least value it shows; `stops` that
    it stays at its last value.
    """

    name: str
    type: str
    keys: str
    distinct: int | None
    lowest: int = 0
    way: int = 1
    stops: bool = False
    forgets_orders: bool = False
    final: bool = False


UINT32 = Register("uint32", "uint32", "wraps_at: 4294967296", 1 << 32)
REGISTERS = (
    Register("uint16", "uint16", "wraps_at: 65536", 65536),
    UINT32,
    Register("int16", "int16", "wraps_at: 32768, wraps_to: -32768", 65536, lowest=-32768),
    Register("no wrap", "uint32", "", None),
    Register("down", "uint16", "direction: down, wraps_at: -1, wraps_to: 65535, resets_to: 65535", 65536, way=-1),
    Register("bcd16", "bcd16", "wraps_at: 10000", 10_000),
    Register("float32", "float32", "wraps_at: 10000000, resolution: 1 pcs", 10_000_000),
    Register("stops", "uint32", "saturates_at: 4000", 4_001, stops=True, forgets_orders=True),
    Register("by order", "uint32", "", None, forgets_orders=True),
    Register("by order, with the last total", "uint32", "", None, forgets_orders=True, final=True),
)


class Totalizer(Machine):
    """Counts pieces one by one."""

    def __init__(self, movement: str, random: Random, register: Register) -> None:
        super().__init__(movement, random)
        self.register = register
        self.count = random.randrange(2_000, 30_000) if register.distinct is None else self._begin(register.distinct)
        self.is_hidden = False
        self._final = 0

    def _begin(self, distinct: int) -> int:
        """Often near the end, so that it wraps soon."""
        if self.register.stops:
            return 0
        near = max(0, distinct - self.random.randrange(5, 400))
        return near if self.random.random() < 0.4 else self.random.randrange(min(distinct, 60_000))

    @property
    def kind(self) -> str:
        """The register's name."""
        return f"counter, {self.register.name}"

    def tags(self) -> dict[str, str]:
        """The register; the total of the order before, where it is kept."""
        entry = f"{{node: 'nsu={{pv}};s={self.movement}', type: {self.register.type}, unit: pcs}}"
        return {self.movement: entry} | ({f"{self.movement}_final": entry} if self.register.final else {})

    def rule(self) -> tuple[str, ...]:
        """A counter of at most 25 pcs/s."""
        keys = [f"tag: plc.{self.movement}", "max_rate: 25 pcs/s", "settle: 4 s", self.register.keys]
        if self.register.forgets_orders:
            keys.append("resets: [restart, order]")
        if self.register.final:
            keys.append(f"final_tag: plc.{self.movement}_final")
        return *self.ways(), f"counter: {{{', '.join(key for key in keys if key)}}}"

    def ways(self) -> tuple[str, ...]:
        """The lines that say where it moves, and when, and what else surrounds it."""
        return ("to: B",)

    def work(self, order: str) -> None:
        """Up to `MOST` pieces."""
        self.run(order, self.random.randrange(MOST + 1))

    def run(self, order: str, pieces: int) -> None:
        """So many pieces."""
        self.move(order, pieces)
        self.count += pieces
        if self.register.stops and self.register.distinct is not None and self.count >= self.register.distinct:
            self.count, self.upset = self.register.distinct - 1, True

    def shown(self) -> dict[str, Value]:
        """The register's value."""
        values: dict[str, Value] = {f"{self.movement}_final": self._final} if self.register.final else {}
        return {**values, self.movement: self._show(self.count)}

    def _show(self, count: int) -> int:
        register = self.register
        turned = count if register.distinct is None else count % register.distinct
        if register.way < 0:
            return register.lowest + (register.distinct or 0) - 1 - turned
        above = register.lowest + (register.distinct or 0)
        if register.lowest < 0 and turned >= above:
            return turned - (register.distinct or 0)
        return turned

    def naive(self, before: dict[str, Value], after: dict[str, Value]) -> Fraction:
        """The difference; a fall is taken for a reset, and the whole new value counted."""
        old, new = before[self.movement], after[self.movement]
        if not isinstance(old, int) or not isinstance(new, int):
            return Fraction(0)
        return Fraction(new - old if new >= old else new)

    def misread(self) -> dict[str, Value] | None:
        """Zero, or half the value: both far from where it is."""
        value = self._show(self.count)
        if abs(value) < 1_000:
            return None
        return {**self.shown(), self.movement: self.random.choice([0, value // 2])}

    def order_changed(self) -> None:
        """Some begin anew with each order, and keep the last one's total."""
        if self.register.forgets_orders:
            is_told = self.register.final and self._final != self.count
            self._final, self.count = self.count, 0
            self.upset = self.upset or self.is_hidden or not is_told

    def hidden(self) -> None:
        """Nobody sees whether it begins anew."""
        self.is_hidden = True

    def seen_again(self) -> None:
        """What it shows now is known."""
        self.is_hidden = False

    def restarted(self, *, forgets: bool) -> None:
        """Without memory it begins at zero; so near to zero with it, it may look as if."""
        self.upset = self.upset or forgets or abs(self._show(self.count) - self._show(0)) < 3_000
        if forgets:
            self.count = 0

    def ends(self) -> bool:
        """What ran while it stood at its end is told when it leaves it."""
        return self.register.stops and self.count == (self.register.distinct or 0) - 1

    def restored(self) -> bool:
        """An older value, far enough from this one to be seen."""
        if self.register.distinct is not None or self.count < 8_000:
            return False
        self.count -= self.random.randrange(2_000, 6_000)
        self.upset = True
        return True
