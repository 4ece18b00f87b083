"""An event for every change: OPC UA → rules → durable → acknowledged by the broker, one agent process reading on."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import statistics
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.changes import await_flow
from benchmarks.paho_alone import publish_all
from benchmarks.plant import Plant
from benchmarks.processes import Child, Missing, Mosquitto, mosquitto, running
from benchmarks.publishes import WINDOW
from benchmarks.report import Goal, Result, figures, ratio
from benchmarks.scale import Scale
from edge_agent.broker import Message
from edge_agent.store.reader import DATABASE_NAME

NAME = "events"
TITLE = "an event per change (`at-once`): OPC UA → durable → acknowledged by mosquitto, with the agent in one process"
LATENCY = "latency"
LATENCY_TITLE = "from the change to its PUBACK at 1,000 changes a second, an event for each"

_PAHO = "paho alone, the same messages"
_OURS = "agent: changes to acknowledged events"
_CPU = "agent's processor time per 10,000 events"
_TARGET = 5_000
_CREDIT = 2_000
_LEAST = 500
"""Changes in a notification at the least: 5,000 a second at a publishing interval of 100 ms."""

_P50, _P99 = "from the notification, p50", "from the notification, p99"
_AGED_P50, _AGED_P99 = "from the change, p50", "from the change, p99"


@dataclass(frozen=True, slots=True)
class _Line:
    """An agent between its device and its broker."""

    device: Child
    agent: Child
    broker: Mosquitto
    data: Path


@contextmanager
def _line(scale: Scale, tags: int) -> Iterator[_Line]:
    with (
        scale.scratch() as folder,
        mosquitto(folder, WINDOW) as broker,
        running(Child.module("benchmarks.device", "--tags", str(tags))) as device,
    ):
        ports, data = device.answer(), folder / "data"
        plant = Plant(tags, send="at-once", opcua=ports["port"], broker=broker.port)
        arguments = (str(plant.write(folder)), str(data), str(ports["grants"]), "puback")
        with running(Child.module("benchmarks.agent", *arguments)) as agent:
            await_flow(data)
            await_flow(data, "broker")
            yield _Line(device, agent, broker, data)


def run(scale: Scale) -> Result:
    """The device is held back by what is acknowledged, so the rate is that of the slowest part: the agent."""
    tags, changes = scale.of(1000, 20), scale.of(20_000, 200)
    rounds = []
    try:
        for _ in range(scale.repeats):
            with _line(scale, tags) as line:
                cpu = line.agent.cpu()
                seconds = line.device.ask("flood", changes=changes, credit=_CREDIT, least=_LEAST)["seconds"]
                cpu = line.agent.cpu() - cpu
                line.agent.end()
                paho = asyncio.run(publish_all("127.0.0.1", line.broker.port, _messages(line.data), WINDOW))
            rounds.append({_PAHO: changes / paho, _OURS: changes / seconds, _CPU: cpu / changes * 10_000})
    except Missing as missing:
        return Result(NAME, TITLE, notes=(str(missing),))
    found = figures({_PAHO: "acks/s", _OURS: "events/s", _CPU: "s"}, rounds)
    over = ratio("agent / paho alone", found[_OURS], found[_PAHO])
    note = f"{tags} tags; at most {_CREDIT} changes under way; device, agent and broker share {_cores()} cores"
    return Result(NAME, TITLE, (*found.values(), over), (Goal(found[_OURS], _TARGET, at_least=True),), (note,))


def run_latency(scale: Scale) -> Result:
    """Two runs: changes stamped as they leave the device, and as they arise between two publishing intervals."""
    tags, rate = scale.of(1000, 20), scale.of(1000, 200)
    rounds = []
    try:
        for _ in range(scale.repeats):
            sent = _latencies(scale, tags, rate, spread=False)
            arisen = _latencies(scale, tags, rate, spread=True)
            rounds.append({_P50: sent[49], _P99: sent[98], _AGED_P50: arisen[49], _AGED_P99: arisen[98]})
    except Missing as missing:
        return Result(LATENCY, LATENCY_TITLE, notes=(str(missing),))
    found = figures(dict.fromkeys((_P50, _P99, _AGED_P50, _AGED_P99), "ms"), rounds)
    note = "publishing interval 100 ms: a change waits 50 ms in the server on average; times have a resolution of 1 ms"
    return Result(LATENCY, LATENCY_TITLE, tuple(found.values()), notes=(note,))


def _latencies(scale: Scale, tags: int, rate: int, *, spread: bool) -> list[float]:
    """Milliseconds at each percentile (1 to 99), the first second left out."""
    seconds = scale.of(10, 2)
    with _line(scale, tags) as line:
        line.device.ask("pace", rate=rate, changes=rate * seconds, spread=spread)
        time.sleep(seconds + 1)
        milliseconds = json.loads(line.agent.end())["milliseconds"]
    return statistics.quantiles(milliseconds[rate:], n=100)


def _messages(data: Path) -> list[Message]:
    """The events of the store, as the relay sends them."""
    with closing(sqlite3.connect(data / DATABASE_NAME)) as store:
        rows = store.execute(
            "SELECT topic, payload, type, source, event.id, sequence FROM event JOIN stream ON stream = stream.id"
        ).fetchall()
    return [
        Message(
            topic,
            payload,
            content_type="application/cloudevents+json",
            properties=(("type", kind), ("source", source), ("id", identity), ("sequence", f"{sequence:020d}")),
        )
        for topic, payload, kind, source, identity, sequence in rows
    ]


def _cores() -> int:
    return os.cpu_count() or 1
