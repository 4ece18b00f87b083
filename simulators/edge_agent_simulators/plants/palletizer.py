"""A machine whose pallets wait in its controller until the agent has answered for them."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from random import Random

from edge_agent_simulators.plants.machine import Machine
from edge_agent_simulators.plants.recording import Value

CASES_OF = 24
FULL = 40
"""Cases on a full pallet."""


@dataclass(frozen=True)
class Pallet:
    """What the controller says of one: its own number of it, the container's, and how many cases it carries."""

    number: int
    sscc: str
    cases: int
    lot: str | None = None


class Palletizer(Machine):
    """A pallet leaves now and then, often a full one, and waits in a queue that a restart alone does not empty.

    Which order it belonged to nobody can tell once it has waited, so its movement has none. `numbered`: the block says
    the controller's own number of it; that and the queue are gone where a controller loses its memory.
    """

    event = "moved"
    has_order = False

    def __init__(self, movement: str, random: Random, *, numbered: bool) -> None:
        super().__init__(movement, random)
        self.numbered = numbered
        self.queue: deque[Pallet] = deque()
        self.is_hidden = False
        self._number = self._made = 0

    @property
    def waits(self) -> bool:
        """Whether a pallet does."""
        return bool(self.queue)

    def work(self, order: str) -> None:
        """Perhaps one pallet leaves."""
        if self.random.random() < 0.2:
            self.leaves(order)
        self.second()

    def rest(self, order: str) -> None:  # noqa: ARG002 - nothing moves
        """What waits is confirmed all the same."""
        self.second()

    def leaves(self, order: str) -> int:
        """One pallet: however it is confirmed, it is gone. Answers how much was on it."""
        cases = FULL if self.random.random() < 0.6 else self.random.randrange(1, FULL)
        self.move(order, cases * CASES_OF)
        self._number += 1
        self._made += 1
        self.queued(Pallet(self._number, f"{self.movement}-{self._made}", cases, self.lot))
        return cases * CASES_OF

    def queued(self, pallet: Pallet) -> None:
        """It waits for its confirmation."""
        self.queue.append(pallet)

    @abstractmethod
    def second(self) -> None:
        """What the agent and the controller do about the queue in a second."""

    def forget(self) -> None:
        """The controller begins at its first number again, and knows nothing of what waited."""
        self._number, self.upset = 0, True
        self.queue.clear()

    def hidden(self) -> None:
        """The agent sees nothing of it."""
        self.is_hidden = True

    def seen_again(self) -> None:
        """It sees it again."""
        self.is_hidden = False

    @staticmethod
    def quantity(cases: Value) -> Fraction:
        """What that many cases are, in the material's unit."""
        return Fraction(cases * CASES_OF) if isinstance(cases, int) else Fraction(0)
