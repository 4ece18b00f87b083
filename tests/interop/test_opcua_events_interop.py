"""Handshakes by events that node-opcua's server emits: heard, booked once, and what a killed server leaves open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from edge_agent.clock import SystemClock
from edge_agent.config.devices import OpcUaAddress, OpcUaField, OpcUaSource, Tag, TagType
from edge_agent.config.signals import Handshake, Kind
from edge_agent.derivation.engine import Engine
from edge_agent.errors import SourceError
from edge_agent.model.reading import TagRef
from edge_agent.model.state import State
from edge_agent.sources.opcua import OpcUa
from edge_agent.telemetry.status import Status
from tests.derivation.plant import CASES as ENGINE_CASES
from tests.derivation.plant import Journal, handshake, tag_map
from tests.interop.opcua_peers import URI, missing_node_opcua, node_opcua_server
from tests.sources.conftest import eventually, free_port

MISSING = missing_node_opcua()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(MISSING is not None, reason=f"NOT RUN: {MISSING}"),
]
PLC, RULE = "plc", "pallet_out"
EMITTER, CASES, SSCC = (TagRef(PLC, name) for name in ("pallets", "e_cases", "e_sscc"))
SPEC = Handshake(EMITTER, EMITTER, None, CASES, SSCC, 0, Kind.EVENT)
TAGS = [
    Tag(EMITTER, TagType.EVENT, OpcUaAddress(URI, "s=::Palletizer"), of_type=OpcUaAddress(URI, "i=5001")),
    Tag(CASES, TagType.INT16, OpcUaField(URI, "Cases")),
    Tag(SSCC, TagType.STRING, OpcUaField(URI, "SSCC")),
    Tag(TagRef(PLC, "total"), TagType.UINT32, OpcUaAddress(URI, "s=::Filler.Total")),
]
PALLETS = [f"P{number}" for number in range(20)]


class Agent:
    """Source and engine; what the engine says is stored at once, and acknowledged."""

    def __init__(self, url: str) -> None:
        made = tag_map(replace(handshake(), signal=SPEC))
        self.engine = Engine(replace(made, tags={**made.tags, CASES: replace(made.tags[ENGINE_CASES], ref=CASES)}))
        self.state, self.journal, self.status = State(), Journal(), Status()
        reference = OpcUaSource(PLC, url, {"pv": URI}, timedelta(milliseconds=50))
        self.source = OpcUa(reference, TAGS, {RULE: SPEC}, SystemClock(), self.status)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._run(), name="agent")
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.source.close()

    async def _run(self) -> None:
        async for delivery in self.source.deliveries():
            outcome = self.engine.fold(self.state, delivery)
            self.state.adopt(outcome.changed)
            self.journal.take(outcome)
            for answer in outcome.acknowledgements:
                with suppress(SourceError):
                    await self.source.acknowledge(answer)

    def listens(self) -> bool:
        known = self.status.snapshot().get(f"events of {PLC}")
        return known is not None and known["state"] == "up"

    def booked(self) -> list[str | None]:
        return [mark.line.key.container for mark in self.journal.lines.values()]


async def test_every_event_is_booked_once_and_a_killed_server_leaves_a_gap(tmp_path: Path) -> None:
    port = free_port()
    agent = Agent(f"opc.tcp://127.0.0.1:{port}/UA")
    async with agent.running():
        async with node_opcua_server(tmp_path, port) as peer:
            await eventually(agent.listens)
            for sscc in PALLETS:
                await peer.emit(40, sscc)
            await eventually(lambda: len(agent.booked()) == len(PALLETS))
            await peer.kill()
            await eventually(lambda: not agent.listens())
        async with node_opcua_server(tmp_path, port) as peer:
            await eventually(agent.listens)
            await peer.emit(12, "P99")
            await eventually(lambda: "P99" in agent.booked())

    assert agent.booked() == [*PALLETS, "P99"]
    assert agent.journal.reviews == {}
    assert [(str(gap.cause), gap.maximum) for gap in agent.journal.gaps] == [("in-doubt", None)]
