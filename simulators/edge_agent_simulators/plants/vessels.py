"""Machines that take from a vessel: its level, its weight, or the flow out of it is all that can be seen."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from random import Random

from edge_agent_simulators.plants.machine import Machine
from edge_agent_simulators.plants.recording import Value


class Tank(Machine):
    """A tank that is drawn from and refilled; the level trembles, and more so while anything moves."""

    event = "consumed"
    material = "2"
    tolerance = Fraction(20)

    def __init__(self, movement: str, random: Random) -> None:
        super().__init__(movement, random)
        self.contents = Fraction(random.randrange(4_000, 9_000))
        self.step = random.choice([Fraction(1, 10), Fraction(1), Fraction(2)])
        self._refilling = 0
        self._moving = False

    @property
    def kind(self) -> str:
        """How it is seen."""
        return "level"

    def tags(self) -> dict[str, str]:
        """The level in litres."""
        return {self.movement: f"{{node: 'nsu={{pv}};s={self.movement}', type: float64, unit: L, range: [0, 12000]}}"}

    def rule(self) -> tuple[str, ...]:
        """It falls by no more than 3 L/s."""
        keys = "window: 5 s, hysteresis: 10 L, refill_min: 200 L, max_rate: 3 L/s, settle: 4 s"
        return "from: B", f"level: {{tag: plc.{self.movement}, {keys}}}"

    def work(self, order: str) -> None:
        """Something is drawn, or it is refilled, never both."""
        self._moving = True
        if self._refilling:
            self._refilling -= 1
            self.contents += 100
            return
        if self.contents < 2_500:
            self._refilling = 40
            return
        drawn = Fraction(self.random.randrange(21), 10)
        self.contents -= drawn
        self.move(order, drawn)

    def shown(self) -> dict[str, Value]:
        """The level with its tremble, in steps of the sensor."""
        most = 30 if self._moving else 10
        tremble = Fraction(self.random.randrange(-most, most + 1), 10)
        self._moving = False
        steps = round((self.contents + tremble) / self.step)
        shown = steps * self.step
        return {self.movement: Decimal(shown.numerator) / Decimal(shown.denominator)}

    def hidden(self) -> None:
        """What falls now may fall in another order's time."""
        self.upset = True

    def naive(self, before: dict[str, Value], after: dict[str, Value]) -> Fraction:
        """Every fall is consumption."""
        old, new = before[self.movement], after[self.movement]
        if not isinstance(old, Decimal) or not isinstance(new, Decimal):
            return Fraction(0)
        return max(Fraction(old) - Fraction(new), Fraction(0))


class Flow(Machine):
    """A pipe with a flow meter, in litres a minute; the flow changes steadily within each second."""

    event = "consumed"
    material = "2"
    tolerance = Fraction(3)

    def __init__(self, movement: str, random: Random) -> None:
        super().__init__(movement, random)
        self.rate = 0

    @property
    def kind(self) -> str:
        """How it is seen."""
        return "flow"

    def tags(self) -> dict[str, str]:
        """The rate in litres a minute."""
        return {self.movement: f"{{node: 'nsu={{pv}};s={self.movement}', type: float64, unit: L}}"}

    def rule(self) -> tuple[str, ...]:
        """Never more than 80 L/min."""
        return "from: B", f"flow: {{tag: plc.{self.movement}, per: min, max_gap: 3 s, max_rate: 80 L/min}}"

    def work(self, order: str) -> None:
        """The rate moves to another one."""
        self._second(order, self.random.randrange(61))

    def rest(self, order: str) -> None:
        """The valve closes within a second."""
        self._second(order, 0)

    def _second(self, order: str, rate: int) -> None:
        self.move(order, Fraction(self.rate + rate, 2 * 60))
        self.rate = rate

    def shown(self) -> dict[str, Value]:
        """The rate."""
        return {self.movement: Decimal(self.rate)}

    def misread(self) -> dict[str, Value] | None:
        """A spike far above what the pipe can carry; a straight line over that second is off by its flow."""
        self.tolerance += 1
        return {self.movement: Decimal(9_999)}

    def hidden(self) -> None:
        """What flows now is unseen; for up to 3 s a straight line stands for it."""
        self.tolerance += 3
        self.upset = True

    def naive(self, before: dict[str, Value], after: dict[str, Value]) -> Fraction:
        """The last rate, for a second."""
        old = before[self.movement]
        return Fraction(old) / 60 if isinstance(old, Decimal) and self.movement in after else Fraction(0)
