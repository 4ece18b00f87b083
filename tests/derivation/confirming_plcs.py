"""PLCs that confirm pallets in each way, and their ledgers: what they do when they restart is told to them."""

from __future__ import annotations

from copy import deepcopy
from datetime import timedelta

from edge_agent.model.reading import Scalar, TagRef
from edge_agent.sources.handshake_ring import slot
from tests.derivation.plant import ACK, BOOTED, CASES, SEQ, SSCC

SLOTS = 4
NUMBER = TagRef("plc", "number")


class Plc:
    """What every kind of PLC does: pallets move, wait in a queue, and are confirmed one after the other."""

    def __init__(self) -> None:
        self.memory: dict[TagRef, Scalar] = {SEQ: 0, ACK: 0, CASES: 0, SSCC: "", NUMBER: 0}
        self.moved: list[str] = []
        self.queue: list[str] = []
        self.confirmed: list[str] = []
        self.forgotten: list[str] = []
        self.booted = BOOTED
        self.image: tuple[dict[TagRef, Scalar], list[str]] = ({}, [])
        self.save()

    def move(self) -> None:
        """A pallet leaves: whatever becomes of its message, it is gone."""
        self.moved.append(f"P{len(self.moved)}")
        self.queue.append(self.moved[-1])

    def save(self) -> None:
        """Keep an image of everything but the ledger, as a controller does that saves now and then."""
        self.image = (dict(self.memory), list(self.queue))

    def restart(self, how: str) -> None:
        """Power off and on; `how` says what the memory holds then. Only one that forgets loses its queue."""
        self.booted += timedelta(seconds=1)
        if how == "forget":
            self.forgotten += self.queue
            self.queue = []
        if how in ("clear", "forget"):
            self.clear()
            if how == "forget":
                self.save()  # nor is there an image of what it forgot
        elif how == "stale":
            memory, queue = deepcopy(self.image)
            self.memory = memory
            self.queue = [*queue, *(one for one in self.queue if one not in queue)]

    def clear(self) -> None:
        """Nothing but the queue is kept."""
        self.memory |= {SEQ: 0, ACK: 0, CASES: 0, SSCC: "", NUMBER: 0}

    def shows(self, pallet: str) -> dict[TagRef, Scalar]:
        """What is shown of it; its number is one that no restart forgets."""
        return {CASES: 40, SSCC: pallet, NUMBER: self.moved.index(pallet) + 1}

    def scan(self) -> None:
        raise NotImplementedError

    def withdraw(self) -> None:
        """The time is out: a PLC in bits takes its request back."""


class CounterPlc(Plc):
    """Writes the block, increments its number, and waits until ours is the same."""

    waits = False
    begins = 7
    """Where it stands when nobody has looked yet."""

    def __init__(self) -> None:
        super().__init__()
        self.memory |= {SEQ: self.begins, ACK: self.begins}
        self.save()

    def scan(self) -> None:
        memory = self.memory
        if self.waits and memory[ACK] == memory[SEQ]:
            self.confirmed.append(self.queue.pop(0))
            self.waits = False
        elif not self.waits and self.queue:
            memory |= self.shows(self.queue[0])
            self.waits, memory[SEQ] = True, int(memory[SEQ]) + 1

    def save(self) -> None:
        super().save()
        self._waited = self.waits

    def restart(self, how: str) -> None:
        self.waits = {"keep": self.waits, "stale": self._waited}.get(how, False)
        super().restart(how)


class BitsPlc(Plc):
    """Raises its request while our bit is low, and takes it back when it is high."""

    withdrawn = False

    def scan(self) -> None:
        memory = self.memory
        if memory[ACK]:
            if (memory[SEQ] or self.withdrawn) and self.queue:
                self.confirmed.append(self.queue.pop(0))
            self.withdrawn, memory[SEQ] = False, 0
        elif not memory[SEQ] and self.queue:
            memory |= self.shows(self.queue[0])
            self.withdrawn, memory[SEQ] = False, 1

    def withdraw(self) -> None:
        if self.memory[SEQ] and not self.memory[ACK]:
            self.withdrawn, self.memory[SEQ] = True, 0

    def restart(self, how: str) -> None:
        self.withdrawn = False
        super().restart(how)


class RingPlc(Plc):
    """The queue's first entries stand in the ring until the tail has passed them."""

    _in_ring = 0
    _tail = 0

    def scan(self) -> None:
        memory = self.memory
        for _ in range((int(memory[ACK]) - self._tail) % SLOTS):
            if self._in_ring:
                self.confirmed.append(self.queue.pop(0))
                self._in_ring -= 1
        self._tail = int(memory[ACK])
        head = int(memory[SEQ])
        if self._in_ring < len(self.queue) and (head + 1) % SLOTS != memory[ACK]:
            memory |= {slot(tag, head): value for tag, value in self.shows(self.queue[self._in_ring]).items()}
            memory[SEQ] = (head + 1) % SLOTS
            self._in_ring += 1

    def clear(self) -> None:
        super().clear()
        self._in_ring = self._tail = 0

    def save(self) -> None:
        super().save()
        self._ends = self._in_ring, self._tail

    def restart(self, how: str) -> None:
        super().restart(how)
        if how == "stale":
            self._in_ring, self._tail = self._ends
