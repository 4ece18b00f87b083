"""How long the agent takes to be back at work once the other side is: OPC UA server, Modbus device, broker."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from benchmarks.changes import await_flow
from benchmarks.footprint import start_agent
from benchmarks.plant import Plant
from benchmarks.processes import (
    DEADLINE,
    BenchmarkError,
    Child,
    Missing,
    Mosquitto,
    await_listening,
    free_port,
    mosquitto,
    running,
)
from benchmarks.report import Goal, Result, figures
from benchmarks.scale import Scale
from edge_agent.control import ask

NAME = "returns"
TITLE = "time back to data after the other side was killed and listens again"

_SERVER = "OPC UA server: to the first values read"
_DEVICE = "Modbus device: to the first values read"
_BROKER = "broker: to the next event acknowledged"
_TARGET = 1.5
_OUTAGES = (0.5, 3.0, 1.0, 6.0, 2.0)
"""Seconds: short and long ones, since the pause between two attempts grows."""


def run(scale: Scale) -> Result:
    """Each of the three killed in turn; from the moment its port takes a connection."""
    tags = scale.of(100, 5)
    rounds = []
    try:
        with ExitStack() as stack:
            plant = _Return(stack, scale, tags)
            for number in range(scale.repeats):
                outage = _OUTAGES[number % len(_OUTAGES)]
                rounds.append(
                    {_SERVER: plant.server(outage), _DEVICE: plant.modbus(outage), _BROKER: plant.hub(outage)}
                )
    except Missing as missing:
        return Result(NAME, TITLE, notes=(str(missing),))
    found = figures(dict.fromkeys((_SERVER, _DEVICE, _BROKER), "s"), rounds)
    goals = tuple(Goal(figure, _TARGET, at_least=False) for figure in found.values())
    outages = ", ".join(f"{seconds:g}" for seconds in _OUTAGES[: scale.repeats])
    note = f"outages of {outages} s and a process's start, by SIGKILL; {tags} tags"
    return Result(NAME, TITLE, tuple(found.values()), goals, (note,))


class _Return:
    """An agent with everything around it, each of which can be taken away."""

    def __init__(self, stack: ExitStack, scale: Scale, tags: int) -> None:
        folder = stack.enter_context(scale.scratch())
        self._tags = tags
        self._broker: Mosquitto = stack.enter_context(mosquitto(folder))
        self._server_port, self._modbus_port = free_port(), free_port()
        self._server = self._start_server()
        self._modbus = self._start_modbus()
        stack.callback(self._end)
        self._data: Path = folder / "data"
        plant = Plant(tags, "at-once", opcua=self._server_port, modbus=self._modbus_port, broker=self._broker.port)
        config = plant.write(folder)
        stack.enter_context(running(start_agent(config, self._data)))
        for component in ("plc", "tanks", "broker"):
            await_flow(self._data, component)

    def _end(self) -> None:
        self._server.kill()
        self._modbus.kill()

    def server(self, outage: float) -> float:
        """Seconds until values of the OPC UA server are delivered again."""
        before = self._lost("plc", self._server.kill, lambda: self._count("readings", "plc"))
        time.sleep(outage)
        self._server = self._start_server()
        listening = await_listening(self._server_port)
        back = self._moved(lambda: self._count("readings", "plc"), before)
        await_flow(self._data, "plc")
        return back - listening

    def modbus(self, outage: float) -> float:
        """Seconds until values of the Modbus device are delivered again."""
        before = self._lost("tanks", self._modbus.kill, lambda: self._count("readings", "tanks"))
        time.sleep(outage)
        self._modbus = self._start_modbus()
        listening = await_listening(self._modbus_port)
        return self._moved(lambda: self._count("readings", "tanks"), before) - listening

    def hub(self, outage: float) -> float:
        """Seconds until the broker has acknowledged an event again; the Modbus counter runs on, so there are some."""
        before = self._lost("broker", self._broker.kill, self._delivered)
        time.sleep(outage)
        listening = self._broker.start()
        return self._moved(self._delivered, before) - listening

    def _lost(self, component: str, kill: Callable[[], None], figure: Callable[[], float]) -> float:
        """Take it away and wait until the agent knows; what `figure` says then."""
        kill()
        deadline = time.monotonic() + DEADLINE
        while ask(self._data, "status")["components"][component]["state"] != "lost":
            if time.monotonic() > deadline:
                raise BenchmarkError(f"the agent does not miss {component} after {DEADLINE:.0f} s")
            time.sleep(0.01)
        return figure()

    def _moved(self, figure: Callable[[], float], before: float) -> float:
        """When `figure` was first above `before` (`time.monotonic`)."""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            if figure() > before:
                return time.monotonic()
            time.sleep(0.01)
        raise BenchmarkError(f"nothing comes back after {DEADLINE:.0f} s")

    def _count(self, name: str, source: str) -> float:
        return float(ask(self._data, "status")["counts"].get(f'{name}{{source="{source}"}}', 0))

    def _delivered(self) -> float:
        return float(sum(stream["delivered"] for stream in ask(self._data, "status")["streams"].values()))

    def _start_server(self) -> Child:
        return Child.module("benchmarks.device", "--tags", str(self._tags), "--port", str(self._server_port))

    def _start_modbus(self) -> Child:
        return Child([sys.executable, "-m", "benchmarks.modbus_device", str(self._modbus_port)])
