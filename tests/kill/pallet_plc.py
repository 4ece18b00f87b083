"""A program of docs/plc on a real OPC UA server: pallets leave, and are confirmed in bits or by a ring.

Its ledger is the truth; nothing here knows the agent.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from asyncua import ua

from tests.plc.structured_text import Block, parse
from tests.sources.opcua_device import Device

PROGRAMS = Path(__file__).parents[2] / "docs" / "plc" / "codesys"
SLOTS = 64
SCAN_MILLISECONDS = 20
SCANS_PER_PALLET = 15
_KINDS = {
    "bool": ua.VariantType.Boolean,
    "uint16": ua.VariantType.UInt16,
    "int16": ua.VariantType.Int16,
    "int16, unit: case": ua.VariantType.Int16,
    "string": ua.VariantType.String,
}
_LINKS = {
    "bits": {"Cases": "int16, unit: case", "Sscc": "string", "Result": "int16", "Answer": "bool", "Request": "bool"},
    "ring": {"Tail": "uint16", "Head": "uint16"},
}
"""What PLC and agent show each other, the trigger last."""
_ENTRY = {"Cases": "int16, unit: case", "Sscc": "string"}
_WRITTEN_BY_THE_AGENT = ("Answer", "Result", "Tail")


class PalletPlc:
    """One function block in its controller. `moved` is the ledger: how many cases left, by container."""

    def __init__(self, kind: str, port: int) -> None:
        self.kind = kind
        self.moved: dict[str, int] = {}
        self.runs = False
        self.device = Device(port)
        self._block: Block = parse((PROGRAMS / f"EaConfirm{kind.capitalize()}.st").read_text(encoding="utf-8"))
        self._shown: dict[str, object] = {}
        self._scans = 0

    @property
    def waiting(self) -> int:
        """Pallets that the agent has not committed yet, as the program counts them."""
        return int(self._says.Waiting)

    @property
    def refused(self) -> int:
        """Answers other than 0; a ring gives none."""
        return int(getattr(self._says, "Refused", 0))

    def tags(self) -> str:
        """Its tags, as the tag map has them."""
        lines = []
        for name, kind in _LINKS[self.kind].items():
            write = ", write: true" if name in _WRITTEN_BY_THE_AGENT else ""
            lines.append(f"    {name.lower()}: {{node: 'nsu={{pv}};s=::{name}', type: {kind}{write}}}")
        if self.kind == "ring":
            lines += [
                f"    {name.lower()}: {{node: 'nsu={{pv}};s=::{name}[{{slot}}]', type: {kind}, slots: {SLOTS}}}"
                for name, kind in _ENTRY.items()
            ]
        return "\n".join(lines)

    def handshake(self) -> str:
        """Its handshake, as the tag map has it; without the number, which would tell the most."""
        if self.kind == "ring":
            return "{kind: ring, head: filler.head, tail: filler.tail}"
        return "{kind: bits, trigger: filler.request, ack: filler.answer, result: filler.result}"

    async def start(self) -> None:
        """Start the server; the line rests."""
        await self.device.start()
        self._block.scan()
        for name, (kind, value) in self._image().items():
            writable = name in _WRITTEN_BY_THE_AGENT
            await self.device.add_variable(name, value, _KINDS[kind], writable=writable)
            self._shown[name] = value

    async def run(self) -> None:
        """Scan for ever."""
        while True:
            await self._scan()
            await asyncio.sleep(SCAN_MILLISECONDS / 1000)

    @property
    def _says(self) -> Any:
        return self._block.variables

    async def _scan(self) -> None:
        self._scans += 1
        link, says = self._says.Link, self._says
        for name in _WRITTEN_BY_THE_AGENT:
            if name in self._shown:
                self._shown[name] = await self.device.get(name)
                setattr(link, name, self._shown[name])
        if self.runs and self._scans % SCANS_PER_PALLET == 0 and self.waiting < SLOTS - 2:
            says.Cases, says.Sscc = 1 + len(self.moved) % 40, f"{len(self.moved):018}"
            self.moved[says.Sscc] = says.Cases
            says.Leaves = True
        self._block.milliseconds += SCAN_MILLISECONDS
        self._block.scan()
        says.Leaves = False
        for name, (kind, value) in self._image().items():
            if value != self._shown[name]:
                self._shown[name] = value
                await self.device.put(name, ua.Variant(value, _KINDS[kind]))

    def _image(self) -> dict[str, tuple[str, Any]]:
        """Every node's kind and value: what an entry says before the trigger that tells of it."""
        link = self._says.Link
        entries = {
            f"{name}[{number}]": (kind, getattr(slot, name))
            for number, slot in enumerate(getattr(link, "Slots", ()))
            for name, kind in _ENTRY.items()
        }
        return entries | {name: (kind, getattr(link, name)) for name, kind in _LINKS[self.kind].items()}
