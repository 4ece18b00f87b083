"""The line as one piece: the plant, its palletiser, the PLC that counts it and the ledger that knows the truth."""

from __future__ import annotations

from datetime import datetime

from edge_agent_simulators.ledger import BOTTLES, PALLETS, PREFORMS, Ledger, key_of
from edge_agent_simulators.physics import BOTTLES_PER_CASE, NOTHING, Palletiser, Plant
from edge_agent_simulators.plc import Plc

KEYS = {"preforms": PREFORMS, "bottles": BOTTLES}
"""What each counter counts, as the ledger names it."""


class Machine:
    """Moves tick by tick; every unit enters ledger and PLC at the same instant."""

    def __init__(self, plant: Plant, palletiser: Palletiser, plc: Plc) -> None:
        self.plant = plant
        self.palletiser = palletiser
        self.plc = plc
        self.ledger = Ledger()
        self.partial_pallets = 0

    def tick(self, at: datetime) -> list[str]:
        """One tick; answers the counters that wrapped in it."""
        wrapped = []
        made = self.plant.tick()
        if made is not NOTHING:
            counts = (("preforms", made.preforms), ("bottles", made.bottles))
            wrapped = [counter for counter, units in counts if units and self._count(counter, units, at)]
            cases = self.palletiser.add(made.bottles)
            if cases:
                self.plc.handshake.add(cases, at)
        if self.plc.alive:
            self._cycle(at)
        return wrapped

    def send_partial(self, at: datetime) -> bool:
        """Send the pallet away as it stands; answers whether there was one."""
        cases = self.palletiser.discharge()
        if cases:
            self.partial_pallets += 1
            self.plc.handshake.add(cases, at)
        return bool(cases)

    def forget(self, at: datetime) -> int:
        """The PLC forgets its pallets, which have left all the same. Answers the bottles on those never shown."""
        lost = sum(pallet.cases for pallet in self.plc.handshake.forget()) * BOTTLES_PER_CASE
        if lost:
            self.ledger.count(key_of(PALLETS, ""), lost, at)
        return lost

    def key(self, counter: str) -> str:
        """The ledger's key of what `counter` counts now."""
        return key_of(KEYS[counter], self.plc.order)

    def _count(self, counter: str, units: int, at: datetime) -> bool:
        self.ledger.count(self.key(counter), units, at)
        return self.plc.counters[counter].count(units)

    def _cycle(self, at: datetime) -> None:
        raised = self.plc.handshake.cycle(at)
        if raised is not None:
            self.ledger.count(key_of(PALLETS, ""), raised.cases * BOTTLES_PER_CASE, at)
