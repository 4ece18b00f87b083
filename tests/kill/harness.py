"""One plant to be killed in: line, broker, MES, and an agent that is forked anew after every kill."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import sys
import time
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

from edge_agent.control import ask
from edge_agent.errors import ControlError
from edge_agent.store.reader import open_reader
from edge_agent_simulators.control import Process

MAP = Path(__file__).parents[2] / "config" / "bottling-line.yaml"
REGISTERS = {"preforms_used": "::Infeed.Total", "bottles_made": "::Filler.Total", "pallet_out": "::Pal.Seq"}
POINTS = (
    "after-step",
    "before-commit",
    "after-commit",
    "before-acknowledge",
    "after-acknowledge",
    "after-publish",
    "after-puback",
    "after-mark",
)


class Template(Process):
    """The agent's template process."""

    @classmethod
    async def fork_server(cls, tag_map: Path, data: Path, log: Path) -> Template:
        """Start it and wait until everything is imported."""
        script = Path(__file__).with_name("agent_template.py")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(script), str(tag_map), str(data), str(log)), stdin=PIPE, stdout=PIPE
        )
        started = cls("agent template", process)
        started.ready = await started._answer()
        return started


@dataclass
class Site:
    """Everything that runs but the line, and what was hit so far."""

    directory: Path
    broker: Process
    mes: Process
    agent: Template
    hits: Counter[str] = field(default_factory=Counter)
    rules: ClassVar[frozenset[str]]

    @property
    def data(self) -> Path:
        """The agent's data directory."""
        return self.directory / "data"

    async def kill_at(self, point: str, hit: int, *, bug: str | None = None, seconds: float = 20) -> bool:
        """Run the agent until it kills itself at the `hit`th pass of `point`; False if it never got there."""
        await self.agent.ask("run", kill_at=point, hit=hit, bug=bug)
        ended = await self.agent.ask("wait", seconds=seconds)
        if not ended["ended"]:
            await self.agent.ask("kill")
            return False
        assert ended["code"] == -9, (ended, self.log())
        self.hits[point] += 1
        return True

    async def kill_after(self, seconds: float) -> None:
        """Run the agent for a while and kill it wherever it is."""
        await self.agent.ask("run")
        ended = await self.agent.ask("wait", seconds=seconds)
        assert not ended["ended"], (ended, self.log())
        await self.agent.ask("kill")
        self.hits["random"] += 1

    async def run(self, bug: str | None = None) -> None:
        """Run the agent until it is ready and stays."""
        await self.agent.ask("run", bug=bug)
        await self.until(self._is_ready)

    async def broker_away(self, away: bool) -> None:
        """Kill the broker, or start it again on the same port."""
        if away:
            await self.broker.kill()
        else:
            self.broker = await Process.start("broker", "--port", str(self.broker.ready["port"]))

    async def settle(self, bug: str | None = None) -> None:
        """Run the agent undisturbed until line, agent and MES have nothing left to do."""
        await self.run(bug)
        await self._stop()
        await self.until(self._is_quiet)
        await asyncio.to_thread(ask, self.data, "cut")
        await self.until(self._has_drained, required=False)

    async def end(self) -> None:
        """Kill the agent; end the broker that was started in place of the first."""
        await self.agent.ask("kill")
        await self.broker.stop()

    async def until(self, condition: Any, seconds: float = 40, *, required: bool = True) -> None:
        """Wait for `condition`; where it is required, fail after `seconds`."""
        deadline = time.monotonic() + seconds
        while not await condition():
            if time.monotonic() > deadline:
                assert not required, (condition.__name__, self.log())
                return
            await asyncio.sleep(0.1)

    def log(self) -> str:
        """The end of the agent's log."""
        path = self.directory / "agent.log"
        return path.read_text(encoding="utf-8", errors="replace")[-3000:] if path.exists() else ""

    async def _status(self) -> dict[str, Any]:
        return await asyncio.to_thread(ask, self.data, "status")

    async def _is_ready(self) -> bool:
        try:
            status = await self._status()
        except ControlError:
            return False
        up = all(part["state"] == "up" for part in status["components"].values())
        return up and set(status["rules"]["last"]) == self.rules

    async def _stop(self) -> None:
        """Nothing moves any more."""
        raise NotImplementedError

    async def _is_quiet(self) -> bool:
        """Nothing waits any more."""
        raise NotImplementedError

    async def _has_drained(self) -> bool:
        status, stats = await self._status(), await self.mes.ask("stats")
        got = {source: entry["contiguous"] for source, entry in stats["sources"].items()}
        return all(got.get(source, 0) >= stream["head"] for source, stream in status["streams"].items())


@dataclass
class Plant(Site):
    """The bottling line."""

    line: Process = field(kw_only=True)
    rules = frozenset(REGISTERS)

    async def _stop(self) -> None:
        await self.line.ask("stop")

    async def _is_quiet(self) -> bool:
        line = await self.line.ask("status")
        status = await self._status()
        shown = {rule: line["registers"][register] for rule, register in REGISTERS.items()}
        return bool(line["at_rest"] and not line["outstanding"] and status["rules"]["last"] == shown)


@asynccontextmanager
async def plant(directory: Path, seed: int) -> AsyncIterator[Plant]:
    """Line (one order, small pallets, no scripted faults), broker, MES and the agent's template; the line runs."""
    async with AsyncExitStack() as stack:

        async def started(name: str, *arguments: object) -> Process:
            process = await Process.start(name, *arguments)
            stack.push_async_callback(process.stop)
            return process

        broker = await started("broker", "--port", "0")
        line = await started("line", "--no-script", "--cases-per-pallet", "1", "--seed", str(seed))
        mes = await started("mes", "--host", "127.0.0.1", "--port", str(broker.ready["port"]), "--root", "mat")
        text = MAP.read_text(encoding="utf-8").replace(":4840", f":{line.ready['port']}")
        text = text.replace(":1883", f":{broker.ready['port']}").replace("every 5 s", "every 1 s")
        tag_map = directory / "line.yaml"
        tag_map.write_text(text.replace("every 2 s", "every 1 s"), encoding="utf-8")
        agent = await Template.fork_server(tag_map, directory / "data", directory / "agent.log")
        stack.push_async_callback(agent.stop)
        made = Plant(directory, broker, mes, agent, line=line)
        stack.push_async_callback(made.end)
        await made.run()
        await line.ask("start")
        await agent.ask("kill")
        yield made


async def violations(made: Plant, *, replays_allowed: bool) -> list[str]:
    """Everything that was lost, doubled or changed; empty where all is well. Knows quantities, not formulas."""
    wrong = []
    truth = {key: Decimal(value) for key, value in (await made.line.ask("ledger"))["ledger"].items()}
    received = {key: Decimal(value) for key, value in (await made.mes.ask("totals"))["totals"].items()}
    wrong += [
        f"{key}: the line made {truth.get(key)}, the MES has {received.get(key)}"
        for key in sorted({*truth, *received})
        if truth.get(key, 0) != received.get(key, 0)
    ]
    wrong += await delivery_violations(made, replays_allowed=replays_allowed)
    wrong += await _handshake_violations(made)
    return wrong


async def delivery_violations(made: Site, *, replays_allowed: bool) -> list[str]:
    """What was lost or changed on the way to the MES, what is not explained, and what is left to a person."""
    wrong = []
    stats = await made.mes.ask("stats")
    wrong += [f"conflict {entry}" for entry in stats["conflicts"]]
    wrong += [f"malformed {entry}" for entry in stats["malformed"]]
    for source, entry in stats["sources"].items():
        if entry["gaps"] or entry["chain_breaks"]:
            wrong.append(f"{source}: gaps {entry['gaps']}, chain breaks {entry['chain_breaks']}")
        if entry["replays"] and not replays_allowed:
            wrong.append(f"{source}: {entry['replays']} replays had to be asked for")
    with open_reader(made.data / "edge-agent.db") as reader:
        wrong += [f"the books do not balance: {one}" for one in reader.imbalances()]
        wrong += [f"in review: {one['id']} {one['message']}" for one in reader.reviews()]
    return wrong


async def _handshake_violations(made: Plant) -> list[str]:
    """Every pallet acknowledged exactly as committed: answered 0, and its container in exactly one event."""
    moved = Counter(container for container, _ in containers(made))
    pallets = (await made.line.ask("handshakes"))["handshakes"]
    wrong = [
        f"pallet {pallet['number']}: result {pallet['result']}, in {moved[pallet['sscc']]} events"
        for pallet in pallets
        if pallet["result"] != 0 or pallet["acknowledged"] is None or moved[pallet["sscc"]] != 1
    ]
    unknown = set(moved) - {pallet["sscc"] for pallet in pallets}
    return wrong + [f"container {sscc} never left" for sscc in unknown]


def containers(made: Site) -> list[tuple[str, Decimal]]:
    """Each container of each line that left, with its quantity, as the events say."""
    with sqlite3.connect(f"file:{made.data / 'edge-agent.db'}?mode=ro", uri=True) as database:
        payloads = database.execute(
            "SELECT payload FROM event WHERE type = 'io.edgeagent.material.moved.v1'"
        ).fetchall()
    database.close()
    return [
        (line["containerID"], Decimal(line["quantity"]["quantityString"]))
        for (payload,) in payloads
        for line in json.loads(payload)["data"]["materialActual"]
        if line["materialUse"] == "Consumed"
    ]


async def duplicates(made: Site) -> int:
    """Byte-identical copies that arrived beyond the first ones (others would be conflicts)."""
    stats = await made.mes.ask("stats")
    return sum(entry["duplicates"] for entry in stats["sources"].values())


def some_hit(chance: random.Random, point: str) -> int:
    """Which pass of a point to die at: rare points at their first ones, the steps of the fold somewhere."""
    return chance.randint(5, 40) if point == "after-step" else chance.randint(1, 4)
