"""A shift at 48 times its speed, over real protocols, with everything going wrong once: exact, and flat.

`python -m tests.system.hard_shift --for 600` moves what a line moves in eight hours in ten minutes; the suite runs a
short one. Line, skid, broker and MES are processes of their own; what goes wrong is done to the wires between them, to
the processes, or asked of the simulators.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import socket
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from edge_agent.control import ask
from edge_agent.errors import ControlError
from edge_agent.store.reader import DATABASE_NAME, open_reader
from edge_agent_simulators.control import Process
from tests.sources.tcp_wire import Wire, wire

SPEEDUP = 48
CONFIG = Path(__file__).parents[2] / "config"
RULES = {"preforms_used": "::Infeed.Total", "bottles_made": "::Filler.Total", "pallet_out": "::Pal.Seq"}
ORDERS = 3
ONE_ANSWER = (
    "late",
    "drip",
    "wrong_count",
    "odd_count",
    "wrong_function",
    "wrong_transaction",
    "wrong_unit",
    "junk",
    "cut",
)
"""Faults of the skid that spoil one answer."""
FLAT = {"resident_memory_bytes": 1.15, "open_fds": 1.1, "tasks": 1.1}
"""How many times what it was after the first fifth each may be at the end."""


@dataclass
class Shift:
    """Everything that runs."""

    directory: Path
    line: Process
    skid: Process
    broker: Process
    mes: Process
    to_line: Wire
    to_broker: Wire
    metrics: int
    agent: asyncio.subprocess.Process | None = None
    did: list[str] = field(default_factory=list)
    samples: list[dict[str, float]] = field(default_factory=list)
    forgot: int = 0
    """How often the count of pallets began anew."""

    @property
    def data(self) -> Path:
        return self.directory / "data"

    async def start_agent(self) -> None:
        log = await asyncio.to_thread((self.directory / "agent.log").open, "ab")
        with log:
            self.agent = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "edge_agent", "run", "--config", str(self.directory / "maps.d")),
                *("--data", str(self.data), "--heartbeat", "1", "--metrics", f"127.0.0.1:{self.metrics}"),
                stdin=DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def kill_agent(self) -> None:
        assert self.agent is not None
        if self.agent.returncode is None:
            self.agent.kill()
        await self.agent.wait()

    async def status(self) -> dict[str, Any]:
        return await asyncio.to_thread(ask, self.data, "status")

    async def until(self, condition: Callable[[], Awaitable[object]], seconds: float = 90) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                if await condition():
                    return
            except ControlError:
                pass
            assert time.monotonic() < deadline, (getattr(condition, "__name__", condition), self.did, self.log())
            await asyncio.sleep(0.1)

    async def is_up(self) -> bool:
        status = await self.status()
        known = set(status["rules"]["last"]) == {*RULES, "syrup_used"}
        return known and all(part["state"] == "up" for part in status["components"].values())

    async def is_quiet(self) -> bool:
        line, skid, status = await self.line.ask("status"), await self.skid.ask("status"), await self.status()
        shown = {rule: line["registers"][register] for rule, register in RULES.items()} | {"syrup_used": skid["dosed"]}
        at_rest = line["at_rest"] and not line["outstanding"] and skid["at_rest"] and not status["rules"]["held"]
        return bool(at_rest and status["rules"]["last"] == shown)

    async def has_drained(self) -> bool:
        status, stats = await self.status(), await self.mes.ask("stats")
        got = {source: entry["contiguous"] for source, entry in stats["sources"].items()}
        return all(got.get(source, 0) >= stream["head"] for source, stream in status["streams"].items())

    async def run_order(self, number: str) -> None:
        """Both serve `number` from now on; nothing straddles, since both rest and are looked at before and after."""
        await self.rest()
        await self.line.ask("set", order=number)
        await self.skid.ask("order", number=number)
        await asyncio.sleep(1.5)
        await self.line.ask("start")
        await self.skid.ask("dose")

    async def forget(self) -> None:
        """The PLC's program is loaded anew, and counts its pallets from 0; the agent sees it at rest."""
        await self.rest()
        await self.line.ask("forget")
        self.forgot += 1
        await self.until(self.is_quiet)

    async def rest(self) -> None:
        await self.line.ask("stop")
        await self.skid.ask("rest")
        await self.until(self.is_up)
        await self.until(self.is_quiet)

    async def measure(self) -> None:
        """What the agent takes of the machine."""
        page = await asyncio.to_thread(_page, f"http://127.0.0.1:{self.metrics}/metrics")
        found = {name: re.search(rf"^edge_agent_process_{name} (\S+)$", page, re.MULTILINE) for name in FLAT}
        self.samples.append({name: float(match[1]) for name, match in found.items() if match is not None})

    def log(self) -> str:
        return (self.directory / "agent.log").read_text(encoding="utf-8", errors="replace")[-3000:]


def _page(url: str) -> str:
    with urlopen(url, timeout=30) as answer:
        return str(answer.read().decode())


async def _hole(shift: Shift, through: Wire) -> None:
    through.is_hole = True
    await asyncio.sleep(4)
    through.is_hole = False
    through.cut()


async def line_black_hole(shift: Shift) -> None:
    await _hole(shift, shift.to_line)


async def broker_black_hole(shift: Shift) -> None:
    await _hole(shift, shift.to_broker)


async def line_cut(shift: Shift) -> None:
    shift.to_line.cut()


async def broker_restart(shift: Shift) -> None:
    port = str(shift.broker.ready["port"])
    await shift.broker.kill()
    await asyncio.sleep(1)
    shift.broker = await Process.start("broker", "--port", port)


async def agent_killed(shift: Shift) -> None:
    await shift.kill_agent()
    await shift.start_agent()


async def agent_stopped(shift: Shift) -> None:
    """SIGTERM, and a start."""
    assert shift.agent is not None
    shift.agent.terminate()
    assert await shift.agent.wait() == 0, shift.log()
    await shift.start_agent()


async def agent_frozen(shift: Shift) -> None:
    assert shift.agent is not None
    os.kill(shift.agent.pid, signal.SIGSTOP)
    await asyncio.sleep(3)
    os.kill(shift.agent.pid, signal.SIGCONT)


async def map_swapped(shift: Shift) -> None:
    path = shift.directory / "maps.d" / "bottling-line.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("send: every 5 s", "send: every 4 s"), encoding="utf-8")
    assert shift.agent is not None
    shift.agent.send_signal(signal.SIGHUP)


async def skid_silent(shift: Shift) -> None:
    await shift.skid.ask("inject", fault="black_hole", seconds=3)
    await asyncio.sleep(3.2)


async def skid_reset(shift: Shift) -> None:
    await shift.skid.ask("inject", fault="reset")


async def skid_restart(shift: Shift) -> None:
    await shift.skid.ask("inject", fault="restart", totalizer="kept")
    await asyncio.sleep(2)


async def skid_spoilt(shift: Shift) -> None:
    """Each fault of one answer, one after the other."""
    for fault in ONE_ANSWER:
        await shift.skid.ask("inject", fault=fault)
        await asyncio.sleep(1.2)


WRONG = (
    agent_killed,
    agent_stopped,
    line_black_hole,
    skid_silent,
    broker_restart,
    map_swapped,
    line_cut,
    skid_reset,
    broker_black_hole,
    agent_frozen,
    skid_restart,
    skid_spoilt,
)
"""What goes wrong, each once. The agent is killed first, so that all the rest is one process's."""
SETTLE = 6.0
"""Seconds between two of them: whoever looked away has made up its mind."""


@asynccontextmanager
async def plant(directory: Path, seed: int) -> AsyncIterator[Shift]:
    async with AsyncExitStack() as stack:

        async def started(name: str, *arguments: object) -> Process:
            process = await Process.start(name, *arguments)
            stack.push_async_callback(process.stop)
            return process

        broker = await started("broker", "--port", "0")
        line = await started("line", "--no-script", "--cases-per-pallet", 40, "--seed", seed, "--speedup", SPEEDUP)
        skid = await started("skid", "--seed", seed, "--rate", "57.6", "--dosed", 1_000_000)
        mes = await started("mes", "--port", broker.ready["port"], "--db", directory / "mes.db")
        to_line = await stack.enter_async_context(wire(int(line.ready["port"])))
        to_broker = await stack.enter_async_context(wire(int(broker.ready["port"])))
        _write_maps(directory, to_line.port, int(skid.ready["port"]), to_broker.port)
        (directory / "data").mkdir()
        shift = Shift(directory, line, skid, broker, mes, to_line, to_broker, _free_port())
        await shift.start_agent()
        try:
            yield shift
        finally:
            await shift.kill_agent()
            if shift.broker is not broker:
                await shift.broker.stop()


def _write_maps(directory: Path, opcua: int, modbus: int, mqtt: int) -> None:
    maps = directory / "maps.d"
    maps.mkdir()
    scaled = {
        ":4840": f":{opcua}",
        ":1883": f":{mqtt}",
        "127.0.0.1:502": f"127.0.0.1:{modbus}",
        "max_rate: 25 pcs/s": f"max_rate: {25 * SPEEDUP} pcs/s",
        "max_rate: 5 kg/s": f"max_rate: {5 * SPEEDUP} kg/s",
    }
    for name in ("bottling-line.yaml", "dosing-skid.yaml"):
        text = (CONFIG / name).read_text(encoding="utf-8")
        for old, new in scaled.items():
            text = text.replace(old, new)
        (maps / name).write_text(text, encoding="utf-8")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


async def run(shift: Shift, seconds: float) -> None:
    """Run the orders; what goes wrong is spread over the time that they take."""
    await shift.until(shift.is_up)
    began = time.monotonic()
    waiting = list(WRONG)
    for number in range(ORDERS):
        if number:
            await shift.forget()
        await shift.run_order(f"48{number:04d}")
        until = began + seconds * (number + 1) / ORDERS
        share = -(-len(waiting) // (ORDERS - number))
        for wrong in waiting[:share]:
            await asyncio.sleep(max(SETTLE, (until - time.monotonic()) / (share + 1)))
            await wrong(shift)
            shift.did.append(wrong.__name__)
            await shift.until(shift.is_up)
            if wrong is agent_stopped:
                await asyncio.sleep(SETTLE)
                await shift.measure()
        waiting = waiting[share:]
        await asyncio.sleep(max(SETTLE, until - time.monotonic()))
    await shift.rest()
    await shift.measure()
    await asyncio.to_thread(ask, shift.data, "cut")
    await shift.until(shift.has_drained)


async def verdict(shift: Shift) -> tuple[list[str], dict[str, Any]]:
    """What does not add up, and the figures."""
    made = {**(await shift.line.ask("ledger"))["ledger"], **(await shift.skid.ask("ledger"))["ledger"]}
    got = (await shift.mes.ask("totals"))["totals"]
    stats = await shift.mes.ask("stats")
    wrong = [
        f"{key}: made {made.get(key, 0)}, received {got.get(key, 0)}"
        for key in sorted({*made, *got})
        if Decimal(made.get(key, 0)) != Decimal(got.get(key, 0))
    ]
    wrong += [f"conflict {one}" for one in stats["conflicts"]] + [f"malformed {one}" for one in stats["malformed"]]
    for source, entry in stats["sources"].items():
        if entry["gaps"] or entry["chain_breaks"]:
            wrong.append(f"{source}: gaps {entry['gaps']}, chain breaks {entry['chain_breaks']}")
    with open_reader(shift.data / DATABASE_NAME) as reader:
        wrong += [f"the books do not balance: {one}" for one in reader.imbalances()]
        wrong += [f"in review: {one['id']} {one['message']}" for one in reader.reviews()]
        gaps = [gap["message"] for gap in reader.gaps()]
    if len(gaps) != shift.forgot:
        wrong.append(f"the count of pallets began anew {shift.forgot} times, and the gaps are: {gaps}")
    first, last = shift.samples[0], shift.samples[-1]
    wrong += [
        f"{name} grew from {first[name]} to {last[name]}"
        for name, most in FLAT.items()
        if last[name] > most * first[name]
    ]
    figures = {"made": made, "gaps": len(gaps), "did": shift.did, "first": first, "last": last}
    figures["duplicates"] = sum(entry["duplicates"] for entry in stats["sources"].values())
    figures["events"] = sum(entry["contiguous"] for entry in stats["sources"].values())
    return wrong, figures


async def main(seconds: float, seed: int) -> int:
    """One shift; prints what was made and what is wrong, as JSON."""
    with tempfile.TemporaryDirectory(prefix="hard-shift-") as directory:
        async with plant(Path(directory), seed) as shift:
            await run(shift, seconds)
            wrong, figures = await verdict(shift)
    print(json.dumps({"wrong": wrong, **figures}, indent=2))  # noqa: T201 - a command's answer
    return 1 if wrong else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--for", dest="seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    sys.exit(asyncio.run(main(arguments.seconds, arguments.seed)))
