"""What the tests of sources share: a device, a consumer that keeps what it was delivered, conditions to wait for."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from random import SystemRandom
from typing import Any, TypeVar

import pytest

from edge_agent.clock import SystemClock
from edge_agent.config.devices import OpcUaAddress, OpcUaSource, Tag, TagType
from edge_agent.config.signals import Handshake
from edge_agent.model.reading import Reading, TagRef
from edge_agent.sources.base import Input, Source
from edge_agent.sources.opcua import OpcUa
from edge_agent.sources.opcua_pki import Pki
from edge_agent.telemetry.metrics import Counts
from edge_agent.telemetry.status import Status
from tests.sources.opcua_device import URI, Device

NAME = "filler"
DEADLINE_SECONDS = 40.0
TYPES = {
    "order_no": ("Order.No", TagType.STRING),
    "preforms_in": ("Infeed.Total", TagType.UINT16),
    "bottles_out": ("Filler.Total", TagType.UINT32),
    "temperature": ("Temperature", TagType.FLOAT32),
    "pal_seq": ("Pal.Seq", TagType.UINT32),
    "pal_ack": ("Pal.Ack", TagType.UINT32),
    "pal_result": ("Pal.Result", TagType.INT16),
    "pal_sscc": ("Pal.SSCC", TagType.STRING),
    "pal_cases": ("Pal.Cases", TagType.INT16),
}
RULE = "pallet_out"
T = TypeVar("T")


def ref(name: str) -> TagRef:
    return TagRef(NAME, name)


def tag(name: str, node: str, kind: TagType, uri: str = URI) -> Tag:
    return Tag(ref(name), kind, OpcUaAddress(uri, f"s=::{node}"))


TAGS = [tag(name, node, kind) for name, (node, kind) in TYPES.items()]
HANDSHAKE = Handshake(
    trigger=ref("pal_seq"),
    ack=ref("pal_ack"),
    result=ref("pal_result"),
    quantity=ref("pal_cases"),
    container=ref("pal_sscc"),
    modulus=1 << 32,
)


class Consumer:
    """Consumes a source's deliveries and keeps them; ends with the test."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.deliveries: list[Sequence[Input]] = []
        self._grew = asyncio.Event()
        self.task = asyncio.create_task(self._consume(), name="consumer")

    @property
    def inputs(self) -> list[Input]:
        return [one for delivery in self.deliveries for one in delivery]

    def of(self, kind: type[T]) -> list[T]:
        return [one for one in self.inputs if isinstance(one, kind)]

    def readings(self, name: str) -> list[Reading]:
        return [one for one in self.of(Reading) if one.tag.tag == name]

    def values(self, name: str) -> list[object]:
        return [one.value for one in self.readings(name)]

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until something delivered makes `condition` true."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not condition():
                if self.task.done():
                    self.task.result()
                self._grew.clear()
                await self._grew.wait()

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def _consume(self) -> None:
        try:
            async for delivery in self.source.deliveries():
                self.deliveries.append(delivery)
                self._grew.set()
        finally:
            self._grew.set()


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until `condition` is true, whatever makes it so."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():
            await asyncio.sleep(0.005)


class Bench:
    """An OPC UA source at a device's address, with its status board and counts."""

    def __init__(
        self,
        url: str,
        tags: Sequence[Tag] = TAGS,
        sample: timedelta = timedelta(milliseconds=50),
        *,
        pki: Pki | None = None,
        **secured: Any,
    ) -> None:
        self.status = Status()
        self.counts = Counts()
        reference = OpcUaSource(NAME, url, {"pv": URI}, sample, **secured)
        clock = SystemClock()
        self.source = OpcUa(reference, tags, {RULE: HANDSHAKE}, clock, self.status, counts=self.counts, pki=pki)

    @asynccontextmanager
    async def consumed(self) -> AsyncIterator[Consumer]:
        consumer = Consumer(self.source)
        try:
            yield consumer
        finally:
            await consumer.end()
            await self.source.close()

    def detail(self) -> str:
        """What the board says of the source, if it is lost."""
        known = self.status.snapshot().get(NAME)
        return known["detail"] if known and known["state"] == "lost" else ""

    def state(self, component: str) -> str | None:
        known = self.status.snapshot().get(component)
        return None if known is None else known["state"]


def free_port() -> int:
    """A port below the ephemeral range: while nobody listens there, no connection attempt can meet itself."""
    while True:
        port = SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
async def device(port: int) -> AsyncIterator[Device]:
    device = Device(port)
    await device.start()
    yield device
    await device.stop()
