"""Counters whose condition says when what they count belongs to the movement."""

from __future__ import annotations

from enum import Enum
from random import Random

from edge_agent_simulators.plants.recording import Value
from edge_agent_simulators.plants.totalizers import UINT32, Totalizer

_EXECUTE, _HELD = 6, 11
"""PackML states (ISA-TR88.00.02)."""
_BREAK = 14
"""Seconds at rest in which the state changes, in the middle of them."""


class Condition(Enum):
    """What the tag map says of the state."""

    ONLY_WHILE = "only_while"
    REBASE = "pause_while, rebase"
    BOOK = "pause_while, book"


class Gated(Totalizer):
    """A machine that also counts while it is flushed; before its state changes it stands still for a moment."""

    def __init__(self, movement: str, random: Random, condition: Condition) -> None:
        super().__init__(movement, random, UINT32)
        self.condition = condition
        self.produces = True
        self._break = 0
        self._ran_in_pause = False

    @property
    def kind(self) -> str:
        """Its condition."""
        return f"counter, {self.condition.value}"

    def tags(self) -> dict[str, str]:
        """The register and the state."""
        shown = "int16" if self.condition is Condition.ONLY_WHILE else "bool"
        return {
            f"{self.movement}_state": f"{{node: 'nsu={{pv}};s={self.movement}.state', type: {shown}}}",
            **super().tags(),
        }

    def ways(self) -> tuple[str, ...]:
        """The condition."""
        state = f"plc.{self.movement}_state"
        if self.condition is Condition.ONLY_WHILE:
            return *super().ways(), f"only_while: {state} == packml.Execute"
        resume = "rebase" if self.condition is Condition.REBASE else "book"
        return *super().ways(), f"pause_while: {{when: {state}, on_resume: {resume}}}"

    def work(self, order: str) -> None:
        """Up to `MOST` pieces, with a break now and then."""
        if not self._break and self.random.random() < 0.04:
            self._break = _BREAK
        if self._break:
            self.rest(order)
        else:
            super().work(order)

    def rest(self, order: str) -> None:  # noqa: ARG002 - nothing moves
        """The state changes in the middle of a break."""
        self._break = max(self._break - 1, 0)
        if self._break == _BREAK // 2:
            self.produces = not self.produces
            self._ran_in_pause = False

    def run(self, order: str, pieces: int) -> None:
        """What counts, and what is left out."""
        self.count += pieces
        self._ran_in_pause = self._ran_in_pause or not self.produces
        if self.produces or self.condition is Condition.BOOK:
            self.move(order, pieces)
        else:
            self.left_out += pieces

    def shown(self) -> dict[str, Value]:
        """The state, then the register."""
        state: Value = not self.produces
        if self.condition is Condition.ONLY_WHILE:
            state = _EXECUTE if self.produces else _HELD
        return {f"{self.movement}_state": state, **super().shown()}

    def order_changed(self) -> None:
        """A pause is booked as one line: nobody knows what of it ran for which order."""
        self.upset = self.upset or (self.condition is Condition.BOOK and not self.produces)

    def hidden(self) -> None:
        """Nobody knows what its state was meanwhile."""
        super().hidden()
        self.upset = True

    def ends(self) -> bool:
        """The last pause is over."""
        self.produces, self._break = True, 0
        return False
