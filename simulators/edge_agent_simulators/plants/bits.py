"""Pallets that are confirmed in bits: request, answer, and both taken back."""

from __future__ import annotations

from fractions import Fraction
from random import Random

from edge_agent_simulators.plants.palletizer import Pallet, Palletizer
from edge_agent_simulators.plants.recording import Value

_PROMPT = 0.8
"""How likely each side acts within a second."""


class Bits(Palletizer):
    """The agent's answer is what an agent would have written: it is part of the recording."""

    def __init__(self, movement: str, random: Random, *, numbered: bool) -> None:
        super().__init__(movement, random, numbered=numbered)
        self.request = self.answer = False
        self._block = Pallet(0, "", 0)
        self._read: bool | None = None

    @property
    def kind(self) -> str:
        """What its block says."""
        return f"handshake, bits{', numbered' if self.numbered else ''}"

    def tags(self) -> dict[str, str]:
        """Two bits and the block."""
        name = self.movement
        tags = {
            f"{name}_cases": f"{{node: 'nsu={{pv}};s={name}.cases', type: int16, unit: case}}",
            f"{name}_ack": f"{{node: 'nsu={{pv}};s={name}.ack', type: bool, write: true}}",
            f"{name}_req": f"{{node: 'nsu={{pv}};s={name}.req', type: bool}}",
        }
        if self.numbered:
            tags[f"{name}_number"] = f"{{node: 'nsu={{pv}};s={name}.number', type: uint32}}"
        return tags

    def rule(self) -> tuple[str, ...]:
        """The handshake."""
        name = self.movement
        number = f", number: plc.{name}_number" if self.numbered else ""
        shake = f"handshake: {{kind: bits, trigger: plc.{name}_req, ack: plc.{name}_ack{number}}}"
        return "from: A", "to: B", shake, f"quantity: plc.{name}_cases"

    def second(self) -> None:
        """The agent acts on what it has read, the controller on what the agent wrote."""
        if self._read is not None and self._read is not self.answer and self.random.random() < _PROMPT:
            self.answer = self._read
        self._read = None
        if self.answer and self.request and self.random.random() < _PROMPT:
            self.request = False
            self.queue.popleft()
        elif not self.answer and not self.request and self.queue:
            self.request, self._block = True, self.queue[0]

    def shown(self) -> dict[str, Value]:
        """The block first; without a request it says anything."""
        name, block = self.movement, self._block
        if not self.is_hidden:
            self._read = self.request
        values: dict[str, Value] = {f"{name}_cases": block.cases if self.request else self.random.randrange(100)}
        if self.numbered:
            values[f"{name}_number"] = block.number
        return {**values, f"{name}_ack": self.answer, f"{name}_req": self.request}

    def naive(self, before: dict[str, Value], after: dict[str, Value]) -> Fraction:
        """The block, whenever the request rises."""
        name = self.movement
        rises = after[f"{name}_req"] and not before[f"{name}_req"]
        return self.quantity(after[f"{name}_cases"]) if rises else Fraction(0)

    def restarted(self, *, forgets: bool) -> None:
        """Both bits are low where it loses them; without a number, whatever is shown again looks like a new one."""
        self.upset = self.upset or not self.numbered
        if forgets:
            self.request = self.answer = False
            if self.numbered:
                self.forget()
