"""What a running agent takes: memory, processor time at a plant's pace, and how long it takes to start."""

from __future__ import annotations

import socket
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.changes import await_flow
from benchmarks.plant import Plant
from benchmarks.processes import DEADLINE, BenchmarkError, Child, Missing, mosquitto, running
from benchmarks.report import Goal, Result, figures
from benchmarks.scale import Scale
from edge_agent.control import ask
from edge_agent.errors import EdgeAgentError

NAME = "footprint"
TITLE = "the agent's process: memory, processor time at 1 Hz a tag, start-up"

_BIG = "memory with 5,000 tags, each with a rule, after a while"
_SMALL = "memory with 1,000 tags at 1 Hz"
_IMPORTS = "memory of the imports alone"
_CPU = "processor time per 10,000 values, 1,000 tags at 1 Hz"
_START = "process start to first values delivered, 1,000 tags"
_CLI = "of which: imports and the command line"


def run(scale: Scale) -> Result:
    """The installed command, a server and a broker of their own."""
    few, many = scale.of(1000, 20), scale.of(5000, 50)
    rounds = []
    try:
        _help()  # compiles what an installed agent has compiled
        for _ in range(scale.repeats):
            paced = _watch(scale, few, scale.of(20, 1))
            big = _watch(scale, many, scale.of(10, 1))
            rounds.append(
                {
                    _IMPORTS: _imports(),
                    _SMALL: paced["memory"],
                    _BIG: big["memory"],
                    _CPU: paced["cpu"],
                    _START: paced["start"],
                    _CLI: _help(),
                }
            )
    except Missing as missing:
        return Result(NAME, TITLE, notes=(str(missing),))
    units = {_IMPORTS: "MB", _SMALL: "MB", _BIG: "MB", _CPU: "s", _START: "s", _CLI: "s"}
    found = figures(units, rounds)
    goals = (Goal(found[_BIG], 100, at_least=False), Goal(found[_CPU], 0.8, at_least=False))
    notes = (
        "resident memory, all of it the process's own account; each tag a counter with a rule; events each minute",
    )
    return Result(NAME, TITLE, tuple(found.values()), goals, notes)


def _watch(scale: Scale, tags: int, seconds: int) -> dict[str, float]:
    """One agent for `seconds` at one change a second and tag."""
    with ExitStack() as stack:
        folder = stack.enter_context(scale.scratch())
        broker = stack.enter_context(mosquitto(folder))
        device = stack.enter_context(running(Child.module("benchmarks.device", "--tags", str(tags))))
        plant, data = Plant(tags, opcua=device.answer()["port"], broker=broker.port), folder / "data"
        config = plant.write(folder)
        began = time.monotonic()
        agent = stack.enter_context(running(start_agent(config, data)))
        start = _first_values(data) - began
        await_flow(data)
        device.ask("pace", rate=tags, changes=tags * (seconds + 60), spread=False)
        time.sleep(1)
        cpu, read = agent.cpu(), _read(data)
        time.sleep(seconds)
        cpu, read = agent.cpu() - cpu, _read(data) - read
        return {"memory": agent.memory(), "cpu": cpu / read * 10_000, "start": start}


def start_agent(config: Path, data: Path) -> Child:
    """The installed command on `config`, its data in `data`."""
    command = [sys.executable, "-m", "edge_agent", "run", "--config", str(config), "--data", str(data)]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        metrics = f"127.0.0.1:{probe.getsockname()[1]}"
    return Child([*command, "--metrics", metrics])


def _read(data: Path) -> float:
    """Readings delivered so far."""
    counts = ask(data, "status")["counts"]
    return float(sum(value for name, value in counts.items() if name.startswith("readings{")))


def _first_values(data: Path) -> float:
    """When the first values were delivered (`time.monotonic`)."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        try:
            if _read(data):
                return time.monotonic()
        except (EdgeAgentError, OSError):
            pass
        time.sleep(0.01)
    raise BenchmarkError(f"the agent delivers nothing after {DEADLINE:.0f} s")


def _imports() -> float:
    """What importing the agent takes, with nothing run."""
    code = "import edge_agent.cli.main, sys; print('{}', flush=True); sys.stdin.read()"
    with running(Child([sys.executable, "-c", code], talks=True)) as child:
        child.answer()
        return child.memory()


def _help() -> float:
    """Seconds of a command that does nothing."""
    began = time.monotonic()
    with running(Child([sys.executable, "-m", "edge_agent", "run", "--help"])) as child:
        child.wait()
    return time.monotonic() - began
