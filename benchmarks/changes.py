"""OPC UA data changes through rules into durable state, beside asyncua's publish callback alone on the same server."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from benchmarks.plant import Plant
from benchmarks.processes import DEADLINE, BenchmarkError, Child, running
from benchmarks.report import Goal, Result, figures, ratio
from benchmarks.scale import Scale
from edge_agent.control import ask
from edge_agent.errors import EdgeAgentError
from edge_agent.store.reader import DATABASE_NAME

NAME = "changes"
TITLE = "OPC UA data changes, subscribed, through counter rules into committed state"

_RAW = "asyncua's publish callback, counting only"
_OURS = "agent: decoded, folded, committed"
_CPU = "agent's processor time per 10,000 changes"
_TARGET = 0.6
_CREDIT = 8_000
"""Changes under way at once: fewer than the agent's buffer, so that the server never runs ahead of what is stored."""

_LEAST = 500
"""Changes in a notification at the least: 10,000 a second at a publishing interval of 50 ms."""


def run(scale: Scale) -> Result:
    """The same server floods both in turn; a change counts when the consumer has dealt with it."""
    tags = scale.of(1000, 20)
    rounds, lost = [], 0
    for _ in range(scale.repeats):
        with scale.scratch() as folder, running(Child.module("benchmarks.device", "--tags", str(tags))) as device:
            ports = device.answer()
            port, grants = ports["port"], ports["grants"]
            many, few = scale.of(200_000, 200), scale.of(40_000, 200)
            with running(Child.module("benchmarks.opcua_alone", str(port), str(grants), str(tags))) as alone:
                alone.answer()
                raw = many / device.ask("flood", changes=many, credit=_CREDIT, least=_LEAST)["seconds"]
            ours, cpu, booked = _agent(folder, device, Plant(tags, opcua=port), grants, few)
            lost += few - booked
            rounds.append({_RAW: raw, _OURS: ours, _CPU: cpu})
    found = figures({_RAW: "changes/s", _OURS: "changes/s", _CPU: "s"}, rounds)
    over = ratio("ours / asyncua alone", found[_OURS], found[_RAW])
    notes = (
        f"{tags} tags, each with a rule and an order; notifications of up to 1,000 changes; server in its own process",
        f"changes that the ledger's epochs do not account for: {lost}",
    )
    return Result(NAME, TITLE, (*found.values(), over), (Goal(over, _TARGET, at_least=True),), notes)


def _agent(folder: Path, device: Child, plant: Plant, grants: int, changes: int) -> tuple[float, float, int]:
    """Changes a second, processor seconds per 10,000, and what the store says has run through the counters."""
    data = folder / "data"
    with running(Child.module("benchmarks.agent", str(plant.write(folder)), str(data), str(grants), "commit")) as agent:
        await_flow(data)
        cpu = agent.cpu()
        seconds = device.ask("flood", changes=changes, credit=_CREDIT, least=_LEAST)["seconds"]
        cpu = agent.cpu() - cpu
    with closing(sqlite3.connect(data / DATABASE_NAME)) as store:
        (booked,) = store.execute("SELECT sum(last_raw - first_raw) FROM epoch").fetchone()
    return changes / seconds, cpu / changes * 10_000, int(booked)


def await_flow(data: Path, source: str = "plc") -> float:
    """When every tag of the source was seen to flow (`time.monotonic`). Raises BenchmarkError."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        try:
            if ask(data, "status")["components"].get(source, {}).get("state") == "up":
                return time.monotonic()
        except (EdgeAgentError, OSError):
            pass
        time.sleep(0.01)
    raise BenchmarkError(f"the agent does not see {source} after {DEADLINE:.0f} s")
