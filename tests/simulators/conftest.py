"""Shared by the tests of the simulators: processes that always end, a virtual line, events as an agent makes them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import pytest

from edge_agent_simulators.control import Process
from edge_agent_simulators.plc import PAL_ACK, PAL_SEQ
from edge_agent_simulators.virtual import Event, VirtualLine

START = datetime(2026, 3, 1, 6, 0, tzinfo=UTC)
STEP = timedelta(milliseconds=100)


class Starter(Protocol):
    async def __call__(self, name: str, *arguments: object) -> Process: ...


@pytest.fixture
async def start() -> AsyncIterator[Starter]:
    """Starts simulators; they are ended whatever happens."""
    processes: list[Process] = []

    async def begin(name: str, *arguments: object) -> Process:
        process = await Process.start(name, *arguments)
        processes.append(process)
        return process

    yield begin
    await asyncio.gather(*(process.kill() for process in processes))


async def wait_until(condition: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.05)


@pytest.fixture
def until() -> Callable[..., Awaitable[None]]:
    """Waits for a condition, with a generous deadline."""
    return wait_until


def run_through(seed: int, seconds: float, *, ack_after: int = 1) -> tuple[VirtualLine, list[Event]]:
    """A whole script; every pallet is acknowledged `ack_after` steps of 100 ms after it is seen."""
    line = VirtualLine(seed, timedelta(seconds=seconds), START)
    line.start()
    events: list[Event] = []
    waited = 0
    for _ in range(round(seconds * 10)):
        events += line.advance(STEP)
        if not line.online:
            continue
        block = line.read_block()
        number, acknowledged = block[PAL_SEQ].value, block[PAL_ACK].value
        waited = waited + 1 if number != acknowledged else 0
        if waited >= ack_after:
            line.write_ack(int(number), 0)
            waited = 0
    return line, events


@pytest.fixture(scope="session")
def whole_run() -> Callable[..., tuple[VirtualLine, list[Event]]]:
    """Runs a whole script in virtual time."""
    return run_through


class EventMaker:
    """Material events of one source, chained as the envelope wants it, without a line of the agent's code."""

    def __init__(self, stream: str = "routine") -> None:
        self.source = f"urn:edgeagent:l3-edge:0000-1111:{stream}"
        self.sent: list[bytes] = []

    def make(
        self, name: str = "consumed", quantity: str = "12", order: str | None = "4711", posting: str = "actual"
    ) -> bytes:
        sequence = len(self.sent) + 1
        previous = hashlib.sha256(self.sent[-1]).hexdigest() if self.sent else "0" * 64
        data: dict[str, Any] = {"materialActual": self._lines(name, quantity, posting)}
        if order is not None:
            data["jobOrderID"] = order
        event = {
            "specversion": "1.0",
            "type": f"io.edgeagent.material.{name}.v1",
            "source": self.source,
            "id": f"{self.source}/{sequence}",
            "time": "2026-03-01T06:00:00.000Z",
            "sequence": f"{sequence:020d}",
            "prevhash": previous,
            "datacontenttype": "application/json",
            "data": data,
        }
        payload = json.dumps(event).encode()
        self.sent.append(payload)
        return payload

    def topic(self, name: str = "consumed", root: str = "mat") -> str:
        return f"{root}/v1/acme/berlin/filling/L3/_/_material/{name}"

    def _lines(self, name: str, quantity: str, posting: str) -> list[dict[str, Any]]:
        material = "300017" if name == "consumed" else "900001"
        places = {
            "consumed": [("Consumed", "L3-HOPPER")],
            "produced": [("Produced", "L3-OUT")],
            "moved": [("Consumed", "L3-OUT"), ("Produced", "WH-01")],
        }[name]
        return [
            {
                "id": str(number),
                "materialUse": use,
                "materialDefinitionID": material,
                "quantity": {"quantityString": quantity, "unitOfMeasure": "H87"},
                "storageLocation": {"location": place},
                "posting": posting,
            }
            for number, (use, place) in enumerate(places, 1)
        ]


@pytest.fixture(scope="session")
def maker() -> type[EventMaker]:
    """Makes events."""
    return EventMaker
