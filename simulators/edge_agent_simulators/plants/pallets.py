"""A packer that hands over pallets, each confirmed by a transaction counter with its block."""

from __future__ import annotations

from fractions import Fraction

from edge_agent_simulators.plants.machine import Machine
from edge_agent_simulators.plants.palletizer import CASES_OF
from edge_agent_simulators.plants.recording import Value


class Pallets(Machine):
    """A pallet now and then, often a partial one."""

    event = "moved"
    _number = 0
    _cases = 0
    _seen = 0

    @property
    def kind(self) -> str:
        """How it confirms."""
        return "handshake, transaction counter"

    def tags(self) -> dict[str, str]:
        """The block and both numbers."""
        name = self.movement
        return {
            f"{name}_cases": f"{{node: 'nsu={{pv}};s={name}.cases', type: int16, unit: case}}",
            f"{name}_sscc": f"{{node: 'nsu={{pv}};s={name}.sscc', type: string}}",
            f"{name}_ack": f"{{node: 'nsu={{pv}};s={name}.ack', type: uint32, write: true}}",
            f"{name}_seq": f"{{node: 'nsu={{pv}};s={name}.seq', type: uint32}}",
        }

    def rule(self) -> tuple[str, ...]:
        """The handshake."""
        name = self.movement
        shake = f"handshake: {{trigger: plc.{name}_seq, ack: plc.{name}_ack}}"
        return "from: A", "to: B", shake, f"quantity: plc.{name}_cases", f"container: plc.{name}_sscc"

    def work(self, order: str) -> None:
        """Perhaps one pallet."""
        if self.random.random() < 0.8:
            return
        self._number += 1
        self._cases = self.random.randrange(1, 41)
        self.move(order, self._cases * CASES_OF)

    def shown(self) -> dict[str, Value]:
        """The block; its number last, as the PLC writes it. The agent has answered what was there before."""
        name = self.movement
        return {
            f"{name}_cases": self._cases,
            f"{name}_sscc": f"{name}-{self._number}",
            f"{name}_ack": max(self._number - 1, 0),
            f"{name}_seq": self._number,
        }

    def naive(self, before: dict[str, Value], after: dict[str, Value]) -> Fraction:
        """The block, whenever the number is another."""
        name = self.movement
        cases = after[f"{name}_cases"]
        changed = before[f"{name}_seq"] != after[f"{name}_seq"]
        return Fraction(cases * CASES_OF) if changed and isinstance(cases, int) else Fraction(0)

    def restarted(self, *, forgets: bool) -> None:
        """Without memory it counts from zero."""
        if forgets:
            self._number, self.upset = 0, True

    def hidden(self) -> None:
        """The last one that was seen."""
        self._seen = self._number

    def seen_again(self) -> None:
        """Only the last block is still there."""
        self.upset = self.upset or self._number > self._seen + 1
