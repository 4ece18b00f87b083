"""The dosing skid as physics: syrup leaves a day tank in portions of 0.1 kg, a pump refills the tank now and then.

Integers only, no clock and no I/O: the skid moves by ticks of 50 ms, and the same seed makes the same skid. A portion
is one pulse of the flow meter, so what is dosed is always a whole number of them.
"""

from __future__ import annotations

import random

from edge_agent_simulators.physics import TICK_MS, TICKS_PER_SECOND

PORTION_GRAMS = 100
"""One pulse of the flow meter and one count of the totalizer."""
_ONE_PORTION = PORTION_GRAMS * 1000
"""Grams per second times milliseconds that make one portion."""
_PORTION_MICROLITRES = 77_519
"""0.1 kg of base syrup at 1.29 kg/L."""
_LOW, _HIGH = 2_980_000_000, 3_020_000_000
"""The pump starts below the one and stops above the other, in µL."""
_LEAST_REFILL = 25_000_000 // TICKS_PER_SECOND
"""µL in a tick; a fast dosing is refilled three times as fast."""
_TREMBLE = 400_000
"""The level's noise in µL, up or down."""
_SURGE_TICKS = TICKS_PER_SECOND
"""So long the flow keeps the deviation it has drawn."""


class Dosing:
    """Valve, flow meter and day tank. `rate` is the mean flow in grams per second; the flow is within 20 % of it."""

    def __init__(self, seed: int, rate: int) -> None:
        if rate < 1:
            msg = f"rate {rate}: must be at least 1 g/s"
            raise ValueError(msg)
        self.rate = rate
        self.open = False
        self.refilling = False
        self.portions = 0
        self.level = _LOW + 6_000_000
        self.decidegrees = -42
        self._chance = random.Random(seed)
        self._noise = 0
        self._flow = rate
        self._phase = 0
        self._ticks = 0

    @property
    def litres(self) -> float:
        """What the level's transmitter shows: it trembles."""
        return (self.level + self._noise) / 1_000_000

    def tick(self) -> int:
        """Move on by one tick; answers the portions dosed."""
        if self._ticks % _SURGE_TICKS == 0:
            self._flow = self.rate * self._chance.randint(80, 120) // 100
            self.decidegrees = -42 + self._chance.randint(-3, 3)
        self._ticks += 1
        self._noise = self._chance.randint(-_TREMBLE, _TREMBLE)
        portions = 0
        if self.open:
            portions, self._phase = divmod(self._phase + self._flow * TICK_MS, _ONE_PORTION)
        self.portions += portions
        self._pump(portions * _PORTION_MICROLITRES)
        return portions

    def _pump(self, dosed: int) -> None:
        self.level -= dosed
        if self.refilling:
            self.level += max(_LEAST_REFILL, 3 * self.rate * _PORTION_MICROLITRES // PORTION_GRAMS // TICKS_PER_SECOND)
        self.refilling = self.level < (_HIGH if self.refilling else _LOW)
