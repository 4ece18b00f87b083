"""A drum on a scale that is dosed from: a stable flag, a tare, and people who lift the drum off."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from random import Random

from edge_agent_simulators.plants.machine import Machine
from edge_agent_simulators.plants.recording import Value

_DRUM = Fraction(12)
"""What an empty drum weighs, kg."""
_LEAST = 20
"""A drum with less in it is exchanged for a full one."""
_LOW = 120
"""Only a drum with less in it may be exchanged before."""


class Scale(Machine):
    """Shows net weight: gross less tare. While anything is done to the drum, nothing is dosed, and it is not stable."""

    event = "consumed"
    material = "4"
    tolerance = Fraction(1)

    def __init__(self, movement: str, random: Random) -> None:
        super().__init__(movement, random)
        self.contents = Fraction(random.randrange(300, 2_000), 10)
        self.tare = _DRUM
        self._off = 0
        self._unrest = 0
        self._brings_another = False

    def _full(self) -> Fraction:
        return Fraction(self.random.randrange(1_500, 2_000), 10)

    @property
    def kind(self) -> str:
        """How it is seen."""
        return "scale"

    def tags(self) -> dict[str, str]:
        """Weight, tare, and the flag."""
        name = self.movement
        return {
            f"{name}_stable": f"{{node: 'nsu={{pv}};s={name}.stable', type: bool}}",
            f"{name}_tare": f"{{node: 'nsu={{pv}};s={name}.tare', type: float64, unit: kg}}",
            name: f"{{node: 'nsu={{pv}};s={name}', type: float64, unit: kg, range: [-50, 300]}}",
        }

    def rule(self) -> tuple[str, ...]:
        """It falls by no more than 0.3 kg/s; a drum may be off the scale for 20 s."""
        name = self.movement
        keys = "window: 3 s, hysteresis: 0.5 kg, refill_min: 5 kg, max_rate: 0.3 kg/s, settle: 4 s, hold: 20 s"
        return "from: B", f"level: {{tag: plc.{name}, {keys}, stable: plc.{name}_stable, tare: plc.{name}_tare}}"

    def work(self, order: str) -> None:
        """Something is dosed, unless the drum is being handled."""
        if self._off or self._unrest:
            self.rest(order)
            return
        if self.contents < _LEAST or self.random.random() < 0.01:
            self._lift()
            return
        dosed = Fraction(self.random.randrange(21), 100)
        self.contents -= dosed
        self.move(order, dosed)

    def rest(self, order: str) -> None:  # noqa: ARG002 - nothing moves
        """A drum that is off comes back, or another one does; then the scale settles."""
        self._unrest = max(self._unrest - 1, 0)
        if not self._off:
            return
        self._off -= 1
        if not self._off:
            self._unrest = 3
            if self._brings_another:
                self.contents = self._full()

    def _lift(self) -> None:
        """Off it goes; what stands there afterwards is the same, or a much fuller one."""
        self._brings_another = self.contents < _LEAST or (self.contents < _LOW and self.random.random() < 0.5)
        self.upset = self.upset or self._brings_another
        self._off = self.random.randrange(3, 12)

    def shown(self) -> dict[str, Value]:
        """The flag and the tare first. What trembles is below 0.05 kg, and more while the drum is handled."""
        name, handled = self.movement, self._off in {1, 2} or self._unrest > 1
        gross = Fraction(0) if self._off else self.contents + _DRUM
        most = 300 if handled else 5
        net = gross - self.tare + Fraction(self.random.randrange(-most, most + 1), 100)
        weight = Decimal(round(net * 100)) / 100
        return {f"{name}_stable": not handled, f"{name}_tare": self._tare(), name: weight}

    def _tare(self) -> Decimal:
        return Decimal(self.tare.numerator) / Decimal(self.tare.denominator)

    def naive(self, before: dict[str, Value], after: dict[str, Value]) -> Fraction:
        """Every fall is consumption."""
        old, new = before[self.movement], after[self.movement]
        if not isinstance(old, Decimal) or not isinstance(new, Decimal):
            return Fraction(0)
        return max(Fraction(old) - Fraction(new), Fraction(0))

    def misread(self) -> dict[str, Value] | None:
        """Nothing on it, for a moment."""
        return None if self._off else {**self.shown(), self.movement: Decimal(0)}

    def lot_changed(self) -> None:
        """Somebody tares it, in a moment at rest: what it shows is another number, and nothing was used."""
        if not self._off:
            self.tare = Fraction(self.random.randrange(0, 200), 10)
            self.upset = True

    def hidden(self) -> None:
        """What falls now may fall in another order's time."""
        self.upset = True

    def restarted(self, *, forgets: bool) -> None:
        """Without memory it knows no tare."""
        if forgets:
            self.tare = Fraction(0)
