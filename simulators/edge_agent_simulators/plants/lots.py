"""Counters of material that is tracked by lot: a tag tells it, or the hopper gives the oldest first."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from random import Random

from edge_agent_simulators.plants.bits import Bits
from edge_agent_simulators.plants.machine import Machine
from edge_agent_simulators.plants.recording import Value
from edge_agent_simulators.plants.totalizers import MOST, UINT32, Totalizer

_FULL = 4_000
"""Pieces in a hopper from which on nothing more is brought."""


class Batches(Totalizer):
    """Uses up one lot after the other; a tag tells which."""

    event = "consumed"
    material = "3"

    def __init__(self, movement: str, random: Random) -> None:
        super().__init__(movement, random, UINT32)
        self._lots = 0
        self.lot_changed()

    @property
    def kind(self) -> str:
        """How its lot is known."""
        return "counter, lot by tag"

    def tags(self) -> dict[str, str]:
        """The lot and the register."""
        lot = f"{{node: 'nsu={{pv}};s={self.movement}.lot', type: string}}"
        return {f"{self.movement}_lot": lot, **super().tags()}

    def ways(self) -> tuple[str, ...]:
        """Where the lot is told."""
        return "from: B", f"lot_from: {{tag: plc.{self.movement}_lot}}"

    def shown(self) -> dict[str, Value]:
        """The lot first."""
        return {f"{self.movement}_lot": self.lot, **super().shown()}

    def lot_changed(self) -> None:
        """The next one; unseen, nobody knows what of it was used when."""
        self._lots += 1
        self.lot = f"{self.movement}-L{self._lots}"
        self.upset = self.upset or self.is_hidden


class Supply(Bits):
    """Brings pallets of one lot after the other into a hopper; its controller keeps its memory."""

    material = "3"

    def __init__(self, hopper: Hopper) -> None:
        super().__init__(f"{hopper.movement}_in", hopper.random, numbered=True)
        self.hopper = hopper
        self.lot = f"{self.movement}-L1"

    @property
    def kind(self) -> str:
        """What its block says."""
        return "handshake, bits, with the lot"

    def tags(self) -> dict[str, str]:
        """The lot is in the block."""
        lot = f"{{node: 'nsu={{pv}};s={self.movement}.lot', type: string}}"
        return {f"{self.movement}_lot": lot, **super().tags()}

    def rule(self) -> tuple[str, ...]:
        """Into the hopper."""
        name = self.movement
        _, _, *rest = super().rule()
        return "from: A", f"to: {self.hopper.place}", *rest, "lot_from: block", f"lot: plc.{name}_lot"

    def work(self, order: str) -> None:
        """A pallet while there is room for it."""
        if self.hopper.contents < _FULL and self.random.random() < 0.3:
            if self.random.random() < 0.2:
                self.lot = f"{self.movement}-L{self._made}"
            self.hopper.fill(str(self.lot), self.leaves(order))
        self.second()

    def shown(self) -> dict[str, Value]:
        """The block's lot with it."""
        return {f"{self.movement}_lot": self._block.lot or "", **super().shown()}

    def restarted(self, *, forgets: bool) -> None:  # noqa: ARG002 - it never does
        """Nothing is lost."""
        super().restarted(forgets=False)


class Hopper(Totalizer):
    """Pieces fall out in the order in which they were brought."""

    event = "consumed"
    material = "3"

    def __init__(self, movement: str, random: Random) -> None:
        super().__init__(movement, random, UINT32)
        self.place = f"STORE-{movement}"
        self._lying: deque[tuple[str, int]] = deque()
        self._supply = Supply(self)
        self._runs = False

    @property
    def kind(self) -> str:
        """How its lot is known."""
        return "counter, lot fifo"

    @property
    def contents(self) -> int:
        """Pieces in it."""
        return sum(pieces for _, pieces in self._lying)

    def parts(self) -> Sequence[Machine]:
        """What fills it."""
        return (self._supply,)

    def ways(self) -> tuple[str, ...]:
        """The oldest first."""
        return f"from: {self.place}", "lot_from: fifo"

    def fill(self, lot: str, pieces: int) -> None:
        """A pallet is brought."""
        self._lying.append((lot, pieces))

    def work(self, order: str) -> None:
        """It begins with a well-filled hopper, and stops at an empty one."""
        self._runs = self._runs or self.contents > _FULL - 1_000
        if self._runs and self.contents > MOST:
            super().work(order)

    def run(self, order: str, pieces: int) -> None:
        """The oldest fall out."""
        self.count += pieces
        while pieces:
            lot, there = self._lying.popleft()
            fell = min(pieces, there)
            self.lot = lot
            self.move(order, fell)
            pieces -= fell
            if there > fell:
                self._lying.appendleft((lot, there - fell))
