"""The bottling line as physics: preforms in, bottles or rejects out, cases of 24, pallets of cases.

Integers only, no clock and no I/O: the plant moves by ticks of 50 ms, and the same seed makes the same plant. At most
one preform enters and at most one bottle leaves in a tick, so the line never runs faster than 20 bottles a second.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass

TICK_MS = 50
TICKS_PER_SECOND = 1000 // TICK_MS
TRANSIT_TICKS = 24
"""From infeed to discharge: 1.2 s of running."""
BOTTLES_PER_CASE = 24
TOP_SPEED = 12_000
"""Millibottles per second."""
_ONE_BOTTLE = 1_000_000
"""Millibottles per second times milliseconds that make one bottle."""


def ticks(seconds: float) -> int:
    """Seconds of plant time as whole ticks."""
    return round(seconds * TICKS_PER_SECOND)


@dataclass(frozen=True, slots=True)
class Made:
    """What one tick did, in units: every preform becomes a bottle or a reject, one transit later."""

    preforms: int
    bottles: int
    rejects: int


NOTHING = Made(0, 0, 0)


class Plant:
    """Infeed, filler and discharge. `speed` is in millibottles per second, `reject_rate` a probability."""

    def __init__(self, seed: int, speed: int, reject_rate: float = 0.012) -> None:
        self.feeding = False
        self.halted = False
        self.preforms = 0
        self.bottles = 0
        self.rejects = 0
        self._speed = 0
        self.speed = speed
        self._reject_rate = reject_rate
        self._chance = random.Random(seed)
        self._phase = 0
        self._machine_ticks = 0
        self._belt: deque[tuple[int, bool]] = deque()

    @property
    def speed(self) -> int:
        """Millibottles per second, at most `TOP_SPEED`."""
        return self._speed

    @speed.setter
    def speed(self, millibottles: int) -> None:
        if not 0 < millibottles <= TOP_SPEED:
            msg = f"speed {millibottles}: must be 1 to {TOP_SPEED} millibottles per second"
            raise ValueError(msg)
        self._speed = millibottles

    @property
    def in_transit(self) -> int:
        """Preforms that have entered and not yet left as a bottle or a reject."""
        return len(self._belt)

    @property
    def at_rest(self) -> bool:
        """Nothing enters and nothing is left to come out."""
        return not self.feeding and not self._belt

    def tick(self) -> Made:
        """Run for one tick: a halted machine stands still with everything in it."""
        if self.halted or self.at_rest:
            return NOTHING
        self._machine_ticks += 1
        preforms = self._feed()
        bottles, rejects = self._discharge()
        if not (preforms or bottles or rejects):
            return NOTHING
        self.preforms += preforms
        self.bottles += bottles
        self.rejects += rejects
        return Made(preforms, bottles, rejects)

    def _feed(self) -> int:
        if not self.feeding:
            return 0
        self._phase += self._speed * TICK_MS
        if self._phase < _ONE_BOTTLE:
            return 0
        self._phase -= _ONE_BOTTLE
        good = self._chance.random() >= self._reject_rate
        self._belt.append((self._machine_ticks + TRANSIT_TICKS, good))
        return 1

    def _discharge(self) -> tuple[int, int]:
        if not self._belt or self._belt[0][0] > self._machine_ticks:
            return 0, 0
        _, good = self._belt.popleft()
        return (1, 0) if good else (0, 1)


class Palletiser:
    """Packs bottles into cases of 24 and cases onto pallets of `capacity`; loose bottles wait for their case."""

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            msg = f"{capacity} cases per pallet: at least one is needed"
            raise ValueError(msg)
        self.capacity = capacity
        self.loose = 0
        self.stacked = 0

    def add(self, bottles: int) -> int:
        """Take bottles in; answers the cases of a pallet that is full now, else 0."""
        self.loose += bottles
        if self.loose < BOTTLES_PER_CASE:
            return 0
        self.loose -= BOTTLES_PER_CASE
        self.stacked += 1
        return self.discharge() if self.stacked == self.capacity else 0

    def discharge(self) -> int:
        """Send the pallet away as it is, full or partial; answers its cases, 0 where there are none."""
        cases, self.stacked = self.stacked, 0
        return cases
