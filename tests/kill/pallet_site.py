"""A PLC that confirms pallets in bits or by a ring, broker, MES, and an agent that is forked anew after every kill."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from edge_agent.store.reader import open_reader
from edge_agent_simulators.control import Process
from edge_agent_simulators.service import free_port
from tests.kill.harness import Site, Template, containers, delivery_violations
from tests.kill.pallet_plc import PalletPlc
from tests.sources.opcua_device import URI

PIECES_OF_A_CASE = 24
_MAP = f"""\
schema: 1
agent: l3-edge
line: {{enterprise: acme, site: berlin, area: filling, line: L3}}
calendar: {{time_zone: Europe/Berlin, day_starts: "06:00"}}
mqtt: {{url: "mqtt://127.0.0.1:BROKER", root: mat}}
buffer: {{max_size: 256 MiB, keep_sent: 90 d}}
sources:
  filler: {{opcua: "URL", security: None, namespaces: {{pv: "{URI}"}}, sample: 20 ms}}
tags:
  filler:
TAGS
units: {{pcs: {{code: H87}}, case: {{code: XCS, of: {PIECES_OF_A_CASE} pcs}}}}
materials: {{"900001": {{name: Soda 0.5 L, class: finished, unit: pcs}}}}
cadence: {{finished: {{send: at-once, stream: critical}}}}
movements:
  pallet_out:
    event: moved
    material: "900001"
    from: L3-OUT
    to: WH-01
    handshake: HANDSHAKE
    quantity: filler.cases
    container: filler.sscc
"""


@dataclass
class PalletSite(Site):
    """Pallets leave one after the other."""

    plc: PalletPlc = field(kw_only=True)
    rules = frozenset({"pallet_out"})

    async def _stop(self) -> None:
        self.plc.runs = False

    async def _is_quiet(self) -> bool:
        return self.plc.waiting == 0


@asynccontextmanager
async def pallet_site(directory: Path, kind: str) -> AsyncIterator[PalletSite]:
    """Everything runs, and pallets leave."""
    async with AsyncExitStack() as stack:
        plc = PalletPlc(kind, free_port())
        await plc.start()
        stack.push_async_callback(plc.device.stop)
        scanning = asyncio.create_task(plc.run(), name="PLC")
        stack.push_async_callback(_ended, scanning)
        broker = await Process.start("broker", "--port", "0")
        mes = await Process.start("mes", "--host", "127.0.0.1", "--port", str(broker.ready["port"]), "--root", "mat")
        stack.push_async_callback(mes.stop)
        text = _MAP.replace("BROKER", str(broker.ready["port"])).replace("URL", plc.device.url)
        tag_map = directory / "pallets.yaml"
        tag_map.write_text(text.replace("TAGS", plc.tags()).replace("HANDSHAKE", plc.handshake()), encoding="utf-8")
        agent = await Template.fork_server(tag_map, directory / "data", directory / "agent.log")
        stack.push_async_callback(agent.stop)
        made = PalletSite(directory, broker, mes, agent, plc=plc)
        stack.push_async_callback(made.end)
        await made.run()
        plc.runs = True
        await agent.ask("kill")
        yield made


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def pallet_violations(made: PalletSite) -> list[str]:
    """Everything that was lost, doubled or changed, by the PLC's ledger; what a PLC that never restarts leaves open."""
    wrong = await delivery_violations(made, replays_allowed=True)
    left, moved = containers(made), made.plc.moved
    times = Counter(container for container, _ in left)
    wrong += [f"pallet {one}: in {times[one]} events" for one in sorted({*times, *moved}) if times[one] != 1]
    wrong += [
        f"pallet {one}: {quantity} pieces, and {moved.get(one, 0)} cases left"
        for one, quantity in left
        if quantity != moved.get(one, 0) * PIECES_OF_A_CASE
    ]
    received = sum((Decimal(one) for one in (await made.mes.ask("totals"))["totals"].values()), Decimal(0))
    if received != sum(moved.values()) * PIECES_OF_A_CASE:
        wrong.append(f"{sum(moved.values())} cases left, the MES has {received} pieces")
    if made.plc.refused:
        wrong.append(f"{made.plc.refused} pallets were refused")
    with open_reader(made.data / "edge-agent.db") as reader:
        return wrong + [f"gap: {gap['message']}" for gap in reader.gaps()]
