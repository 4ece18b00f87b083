"""Pallets that are confirmed by a ring buffer: the controller advances the head, the agent the tail."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from random import Random

from edge_agent_simulators.plants.palletizer import Pallet, Palletizer
from edge_agent_simulators.plants.recording import Confirmed, Value


class Ring(Palletizer):
    """The queue is what stands between tail and head. One with numbers is short: what finds it full is dropped."""

    def __init__(self, movement: str, random: Random, *, numbered: bool) -> None:
        super().__init__(movement, random, numbered=numbered)
        self.slots = 8 if numbered else 64
        self.tail = 0
        self._unwritten = False

    @property
    def kind(self) -> str:
        """What an entry says."""
        return f"handshake, ring{', numbered' if self.numbered else ''}"

    @property
    def _says(self) -> str:
        return "number" if self.numbered else "sscc"

    def tags(self) -> dict[str, str]:
        """Head and tail, and the slots."""
        name, says = self.movement, self._says
        slot = f"nsu={{pv}};s={name}[{{slot}}]"
        kind = "uint32" if self.numbered else "string"
        return {
            f"{name}_cases": f"{{node: '{slot}.cases', type: int16, unit: case, slots: {self.slots}}}",
            f"{name}_{says}": f"{{node: '{slot}.{says}', type: {kind}, slots: {self.slots}}}",
            f"{name}_tail": f"{{node: 'nsu={{pv}};s={name}.tail', type: int16, write: true}}",
            f"{name}_head": f"{{node: 'nsu={{pv}};s={name}.head', type: int16}}",
        }

    def rule(self) -> tuple[str, ...]:
        """The handshake."""
        name = self.movement
        number = f", number: plc.{name}_number" if self.numbered else ""
        shake = f"handshake: {{kind: ring, head: plc.{name}_head, tail: plc.{name}_tail{number}}}"
        container = () if self.numbered else (f"container: plc.{name}_sscc",)
        return "from: A", "to: B", shake, f"quantity: plc.{name}_cases", *container

    def queued(self, pallet: Pallet) -> None:
        """The next slot, unless the tail stands there."""
        if len(self.queue) == self.slots - 1:
            self.upset = True
            return
        super().queued(pallet)

    def second(self) -> None:
        """An answer that was given when the session ended may still have been written."""
        if self._unwritten and self.random.random() < 0.5:
            self._advance()
        self._unwritten = False

    def heard(self, *, begins: bool) -> Sequence[Confirmed]:
        """The agent takes one entry after the other; the last answer may come too late to be known as written."""
        if self.is_hidden:
            return ()
        if not self.queue:
            return (Confirmed(self.movement, self.tail, self.tail),) if begins else ()
        taken = []
        while self.queue and not self._unwritten:
            self._unwritten = self.random.random() < 0.1
            taken.append(self._taken(answered=not self._unwritten))
            if not self._unwritten:
                self._advance()
        return taken

    def _taken(self, *, answered: bool) -> Confirmed:
        pallet, name = self.queue[0], self.movement
        values: dict[str, Value] = {f"{name}_cases": pallet.cases}
        values[f"{name}_{self._says}"] = pallet.number if self.numbered else pallet.sscc
        after = (self.tail + 1) % self.slots
        return Confirmed(name, after, self.tail, values, {"waiting": len(self.queue)}, answered)

    def _advance(self) -> None:
        self.queue.popleft()
        self.tail = (self.tail + 1) % self.slots

    def shown(self) -> dict[str, Value]:
        """Both ends."""
        head = (self.tail + len(self.queue)) % self.slots
        return {f"{self.movement}_tail": self.tail, f"{self.movement}_head": head}

    def naive(self, before: dict[str, Value], after: dict[str, Value]) -> Fraction:
        """The newest entry, whenever the head is another."""
        head = f"{self.movement}_head"
        return self.quantity(self.queue[-1].cases) if self.queue and before[head] != after[head] else Fraction(0)

    def restarted(self, *, forgets: bool) -> None:
        """Without memory both ends are at the first slot; without numbers what waits is entered there again."""
        self._unwritten = False
        if forgets:
            self.tail, self.upset = 0, True
            if self.numbered:
                self.forget()
