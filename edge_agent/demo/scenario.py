"""One run of the demo: start the four ends, let the line run, cut, drain, compare."""

from __future__ import annotations

import asyncio
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from edge_agent.config.share import shared_file
from edge_agent.control import ask
from edge_agent.demo.compare import Doubt, Fault, Hole, disagreements
from edge_agent.demo.dosing import dosing
from edge_agent.demo.processes import Child, DemoError
from edge_agent.errors import ControlError
from edge_agent.store.reader import DATABASE_NAME, open_reader

SIMULATORS = "edge_agent_simulators"
LINE_MAP, SKID_MAP = "bottling-line.yaml", "dosing-skid.yaml"
READY_SECONDS = 30
QUIET_SECONDS = 20
DRAIN_SECONDS = 30
_POLL_SECONDS = 0.5
_REGISTERS = {"preforms_used": "::Infeed.Total", "bottles_made": "::Filler.Total", "pallet_out": "::Pal.Seq"}
"""What the line's PLC shows for each of its rules."""
_SKID_RULE = "syrup_used"


@dataclass(frozen=True, slots=True)
class Options:
    """What to run: `seconds` of production by `seed`, with or without a saboteur between broker and MES."""

    seconds: float
    seed: int
    sabotage: str | None
    directory: Path


@dataclass(frozen=True, slots=True)
class Glance:
    """The three views at one moment, for the terminal; `phase` says what is going on."""

    phase: str
    elapsed: float
    line: Mapping[str, str]
    booked: Mapping[str, str]
    received: Mapping[str, str]
    reviews: int
    gaps: int
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """The end of the run: what each end says, and everything that does not add up."""

    line: Mapping[str, str]
    booked: Mapping[str, str]
    received: Mapping[str, str]
    review: list[dict[str, Any]]
    gaps: list[dict[str, Any]]
    problems: list[str]
    faults: list[dict[str, Any]] = field(default_factory=list)

    @property
    def agree(self) -> bool:
        """Whether line, agent and MES agree to the unit."""
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """The object that `demo --json` prints."""
        return {
            "agree": self.agree,
            "line": self.line,
            "booked": self.booked,
            "received": self.received,
            "review": self.review,
            "gaps": self.gaps,
            "problems": self.problems,
            "faults": self.faults,
        }


Watch = Callable[[Glance], None]


class Plant:
    """The running ends of one demo."""

    def __init__(self, options: Options, line: Child, skid: Child, mes: Child) -> None:
        self.line = line
        self.skid = skid
        self.mes = mes
        self.data = options.directory / "data"
        self._began = time.monotonic()

    async def agent(self, do: str) -> dict[str, Any]:
        """Ask the agent over its control socket."""
        return await asyncio.to_thread(ask, self.data, do)

    async def made(self) -> dict[str, str]:
        """The truth: what line and skid did."""
        line, skid = await asyncio.gather(self.line.ask("ledger"), self.skid.ask("ledger"))
        return {**line["ledger"], **skid["ledger"]}

    async def faults(self) -> list[dict[str, Any]]:
        """Every fault of line and skid so far, as they began."""
        line, skid = await asyncio.gather(self.line.ask("faults"), self.skid.ask("faults"))
        return sorted((*line["faults"], *skid["faults"]), key=lambda fault: str(fault["started"]))

    async def glance(self, phase: str) -> Glance:
        """What each end says now."""
        made, mes, faults = await asyncio.gather(self.made(), self.mes.ask("totals"), self.faults())
        with open_reader(self.data / DATABASE_NAME) as reader:
            booked, reviews, gaps = reader.totals(), reader.reviews(), reader.gaps()
        begun = [f"{fault['kind']} {fault.get('counter') or ''}".strip() for fault in faults]
        return Glance(
            phase,
            time.monotonic() - self._began,
            made,
            _texts(booked),
            mes["totals"],
            len(reviews),
            len(gaps),
            tuple(begun),
        )


async def run_demo(options: Options, watch: Watch) -> Report:
    """Run the whole main job once and compare; `watch` is called about twice a second.

    Raises:
        DemoError: an end of the demo did not start or died.
    """
    async with _plant(options) as plant:
        await _until(lambda: _is_ready(plant), READY_SECONDS, "the agent is not ready")
        await plant.line.ask("start")
        async with dosing(plant.line, plant.skid):
            await _watch_for(plant, options.seconds, watch)
            await plant.line.ask("stop")
        watch(await plant.glance("line stopped: last signals"))
        await _until(lambda: _is_quiet(plant), QUIET_SECONDS, None)
        await plant.agent("cut")
        watch(await plant.glance("cut: the MES catches up"))
        await _until(lambda: _has_drained(plant), DRAIN_SECONDS, None)
        watch(await plant.glance("comparing"))
        return await _compare(plant)


@asynccontextmanager
async def _plant(options: Options) -> AsyncIterator[Plant]:
    """Start broker, line, MES and agent; end them all whatever happens."""
    async with AsyncExitStack() as stack:

        async def child(name: str, *arguments: str) -> Child:
            started = await Child.start(f"{SIMULATORS}.{name}", *arguments)
            stack.push_async_callback(started.stop)
            return started

        broker = await child("broker", "--port", "0")
        script = ("--for", f"{options.seconds:g}", "--seed", str(options.seed))
        line, skid = await child("line", *script), await child("skid", *script)
        upstream = str(broker.ready["port"])
        if options.sabotage is not None:
            proxy = await child("proxy", "--upstream-port", upstream, "--sabotage", options.sabotage)
            mes_port = str(proxy.ready["port"])
        else:
            mes_port = upstream
        mes = await child("mes", "--host", "127.0.0.1", "--port", mes_port, "--root", "mat")
        plant = Plant(options, line, skid, mes)
        maps = _write_maps(options.directory, line=line.ready["port"], skid=skid.ready["port"], mqtt=upstream)
        plant.data.mkdir(exist_ok=True)
        log = stack.enter_context((options.directory / "agent.log").open("wb"))
        agent = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "edge_agent", "run", "--config", str(maps), "--data", str(plant.data)),
            *("--heartbeat", "1"),
            stdin=DEVNULL,
            stdout=log,
            stderr=log,
        )
        stack.push_async_callback(_end, agent)
        yield plant


def _write_maps(directory: Path, **ports: object) -> Path:
    """The shipped maps with the ports of this run, in a folder of their own."""
    shipped = {"line": '"opc.tcp://127.0.0.1:4840"', "skid": '"tcp://127.0.0.1:502"', "mqtt": '"mqtt://127.0.0.1:1883"'}
    maps = directory / "maps.d"
    maps.mkdir(exist_ok=True)
    for name in (LINE_MAP, SKID_MAP):
        text = shared_file(name).read_text(encoding="utf-8")
        for end, url in shipped.items():
            text = text.replace(url, f'{url.rpartition(":")[0]}:{ports[end]}"')
        (maps / name).write_text(text, encoding="utf-8")
    return maps


async def _end(agent: Process) -> None:
    if agent.returncode is None:
        agent.terminate()
        try:
            async with asyncio.timeout(10):
                await agent.wait()
        except TimeoutError:
            agent.kill()
            await agent.wait()


async def _watch_for(plant: Plant, seconds: float, watch: Watch) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        watch(await plant.glance("line running"))
        await asyncio.sleep(min(_POLL_SECONDS, left))


async def _until(met: Callable[[], Any], seconds: float, otherwise: str | None) -> None:
    """Wait until `met` holds, at most `seconds`; then raise `otherwise`, if given, or go on."""
    end = time.monotonic() + seconds
    while not await met():
        if time.monotonic() > end:
            if otherwise is not None:
                raise DemoError(otherwise)
            return
        await asyncio.sleep(0.2)


async def _is_ready(plant: Plant) -> bool:
    """The agent knows a first value of every rule, and the broker link is up."""
    try:
        status = await plant.agent("status")
    except ControlError:
        return False
    states = {name: part["state"] for name, part in status["components"].items()}
    known = set(status["rules"]["last"]) == {*_REGISTERS, _SKID_RULE}
    return known and all(state == "up" for state in states.values())


async def _is_quiet(plant: Plant) -> bool:
    """The line rests with every pallet answered, and the agent has settled on the very values that the PLC shows."""
    line, skid = await plant.line.ask("status"), await plant.skid.ask("status")
    status = await plant.agent("status")
    shown = {rule: line["registers"][register] for rule, register in _REGISTERS.items()} | {_SKID_RULE: skid["dosed"]}
    at_rest = line["at_rest"] and not line["outstanding"] and skid["at_rest"]
    return bool(at_rest and status["rules"]["last"] == shown)


async def _has_drained(plant: Plant) -> bool:
    """The MES has every event that the agent has stored."""
    status, stats = await plant.agent("status"), await plant.mes.ask("stats")
    got = {source: entry["contiguous"] for source, entry in stats["sources"].items()}
    return all(got.get(source, 0) >= stream["head"] for source, stream in status["streams"].items())


async def _compare(plant: Plant) -> Report:
    line, faults = _decimals(await plant.made()), await plant.faults()
    received = _decimals((await plant.mes.ask("totals"))["totals"])
    with open_reader(plant.data / DATABASE_NAME) as reader:
        booked, reviews, gaps = reader.totals(), reader.reviews(), reader.gaps()
    review = [await _with_truth(plant, item) for item in reviews]
    gap = [await _with_truth(plant, item) for item in gaps]
    problems = disagreements(
        line,
        booked,
        received,
        reviews=[_doubt(item) for item in review],
        gaps=[_hole(item) for item in gap],
        faults=[_fault(item) for item in faults if item["ambiguous"]],
    )
    return Report(_texts(line), _texts(booked), _texts(received), review, gap, problems, faults)


async def _with_truth(plant: Plant, item: Mapping[str, Any]) -> dict[str, Any]:
    """A review or gap as stored, with the truth: what ran in its interval and is not booked, by whose it may be."""
    end, truth_of = (plant.skid, "seen") if item["rule"] == _SKID_RULE else (plant.line, "truth")
    event, material, order, place = item["key"].split("/")
    orders = dict.fromkeys((order, *(way["order"] or "" for way in item["candidates"])))
    truths = {}
    for key in ("/".join((event, material, one, place)) for one in orders):
        answer = await end.ask(truth_of, key=key, **{"from": item["since"], "to": item["until"]})
        truths[key] = Decimal(answer["truth"])
    truth = sum(truths.values(), -Decimal(item.get("seen", 0)))
    return {**item, "truth": f"{truth:f}", "truths": {key: f"{value:f}" for key, value in truths.items()}}


def _doubt(item: Mapping[str, Any]) -> Doubt:
    since, until = (datetime.fromisoformat(item[name]) for name in ("since", "until"))
    return Doubt(item["rule"], _decimals(item["truths"]), since, until)


def _hole(item: Mapping[str, Any]) -> Hole:
    return Hole(item["key"], Decimal(item["min"]), None if item["max"] is None else Decimal(item["max"]))


def _fault(item: Mapping[str, Any]) -> Fault:
    since = datetime.fromisoformat(item["started"])
    until = datetime.fromisoformat(item["ended"]) if item["ended"] else since
    return Fault(frozenset(item["may_review"]), since, until)


def _decimals(totals: Mapping[str, str]) -> dict[str, Decimal]:
    return {key: Decimal(value) for key, value in totals.items()}


def _texts(totals: Mapping[str, Decimal]) -> dict[str, str]:
    """One text per quantity, whatever it was summed from: 24.0 and 24 are the same."""
    return {key: f"{value.normalize():f}" for key, value in sorted(totals.items()) if value}
