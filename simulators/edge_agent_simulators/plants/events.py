"""Pallets that a server tells of by OPC UA events: nobody hears of what leaves while nobody listens."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from random import Random

from edge_agent_simulators.plants.machine import Machine
from edge_agent_simulators.plants.palletizer import CASES_OF, FULL
from edge_agent_simulators.plants.recording import Confirmed, Value


class Events(Machine):
    """One event for each pallet."""

    event = "moved"
    _made = 0

    def __init__(self, movement: str, random: Random) -> None:
        super().__init__(movement, random)
        self._emitted: list[Confirmed] = []
        self._told = 0

    @property
    def kind(self) -> str:
        """How it confirms."""
        return "OPC UA events"

    def tags(self) -> dict[str, str]:
        """The emitter and two fields of its events."""
        name = self.movement
        return {
            f"{name}_out": f"{{node: 'nsu={{pv}};s={name}', type: event, of_type: 'nsu={{pv}};i=5001'}}",
            f"{name}_cases": "{field: 'nsu={pv};Cases', type: int16, unit: case}",
            f"{name}_sscc": "{field: 'nsu={pv};SSCC', type: string}",
        }

    def rule(self) -> tuple[str, ...]:
        """The handshake."""
        name = self.movement
        shake = f"handshake: {{kind: event, trigger: plc.{name}_out}}"
        return "from: A", "to: B", shake, f"quantity: plc.{name}_cases", f"container: plc.{name}_sscc"

    def work(self, order: str) -> None:
        """Perhaps one pallet, often a full one."""
        if self.random.random() < 0.8:
            return
        self._made += 1
        cases = FULL if self.random.random() < 0.6 else self.random.randrange(1, FULL)
        self.move(order, cases * CASES_OF)
        name = self.movement
        values: dict[str, Value] = {f"{name}_cases": cases, f"{name}_sscc": f"{name}-{self._made}"}
        self._emitted.append(Confirmed(name, self._made, 0, values, {"event": f"{self._made:08x}"}))

    def heard(self, *, begins: bool) -> Sequence[Confirmed]:
        """What was emitted; where listening begins, that, and nothing of what came before. Some is sent twice."""
        if begins:
            self.upset = self.upset or self._made > 0
            self._emitted = []
            return (Confirmed(self.movement, 0, 0),)
        found, self._emitted = self._emitted, []
        self._told = len(found)
        return [one for one in found for _ in range(1 + (self.random.random() < 0.1))]

    def shown(self) -> dict[str, Value]:
        """Nothing that could be read."""
        return {}

    def naive(self, before: dict[str, Value], after: dict[str, Value]) -> Fraction:  # noqa: ARG002 - it shows nothing
        """A full pallet for each."""
        told, self._told = self._told, 0
        return Fraction(told * FULL * CASES_OF)
