"""Bits and rings over real protocols: a PLC's program on one side, source and engine on the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from edge_agent.clock import SystemClock
from edge_agent.config.devices import ModbusSource, OpcUaSource
from edge_agent.config.signals import Handshake, Kind
from edge_agent.config.tagmap import Rule, TagMap
from edge_agent.derivation.engine import Engine
from edge_agent.errors import SourceError
from edge_agent.model.confirmation import Acknowledge, Result
from edge_agent.model.outcome import Outcome
from edge_agent.model.state import State
from edge_agent.sources.base import Source
from edge_agent.sources.modbus import Modbus
from edge_agent.sources.opcua import OpcUa
from edge_agent.telemetry.metrics import Counts
from edge_agent.telemetry.status import Status
from tests.derivation.plant import CASES, Journal, handshake, tag_map
from tests.sources.conftest import DEADLINE_SECONDS, eventually, free_port
from tests.sources.handshake_plcs import (
    BITS,
    PLC,
    RING,
    BitsProgram,
    Memory,
    ModbusMemory,
    OpcUaMemory,
    Program,
    RingProgram,
)
from tests.sources.modbus_device import ModbusDevice
from tests.sources.opcua_device import URI, Device

RULE = "pallet_out"
PALLETS = [f"P{number}" for number in range(1, 8)]


@dataclass
class Line:
    """A PLC that runs, and an agent that can be switched off and on; what it has stored survives."""

    spec: Handshake
    program: Program
    make: Callable[[Handshake, Status, Counts], Source]
    rules: tuple[Rule, ...] = ()
    """The rule that is confirmed, and others beside it; pallets of cases by default."""
    state: State = field(default_factory=State)
    journal: Journal = field(default_factory=Journal)
    status: Status = field(default_factory=Status)
    counts: Counts = field(default_factory=Counts)
    answers: list[Acknowledge] = field(default_factory=list)

    @asynccontextmanager
    async def agent(
        self, before_answer: Callable[[Acknowledge], Awaitable[bool]] | None = None
    ) -> AsyncIterator[Source]:
        """An agent's life; `before_answer` may keep an acknowledgement from being written."""
        source = self.make(self.spec, self.status, self.counts)
        rule, *others = self.rules or (handshake(container=self.spec.container),)
        engine = Engine(_with_tags(self.spec, replace(rule, signal=self.spec), *others))
        task = asyncio.create_task(self._run(source, engine, before_answer), name="agent")
        try:
            yield source
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await source.close()

    async def confirmed(self, *containers: str) -> None:
        """Wait until the PLC has been told of all of these, in this order."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while tuple(self.program.confirmed[-len(containers) :]) != containers:
                await asyncio.sleep(0.01)

    def booked(self) -> list[str | None]:
        return [mark.line.key.container for mark in self.journal.lines.values()]

    async def _run(
        self, source: Source, engine: Engine, before_answer: Callable[[Acknowledge], Awaitable[bool]] | None
    ) -> None:
        async for delivery in source.deliveries():
            outcome: Outcome = engine.fold(self.state, delivery)
            self.state.adopt(outcome.changed)
            self.journal.take(outcome)
            for answer in outcome.acknowledgements:
                self.answers.append(answer)
                if before_answer is None or await before_answer(answer):
                    with suppress(SourceError):
                        await source.acknowledge(answer)


def _with_tags(spec: Handshake, *rules: Rule) -> TagMap:
    """The map of rules that name other tags than the engine's own tests do."""
    made = tag_map(*rules)
    return replace(made, tags={**made.tags, spec.quantity: replace(made.tags[CASES], ref=spec.quantity)})


async def _kept_back(_answer: Acknowledge) -> bool:
    """The acknowledgement is never written: the agent is killed before."""
    return False


@pytest.fixture(params=["opcua", "modbus"])
async def memory(request: pytest.FixtureRequest) -> AsyncIterator[Memory]:
    if request.param == "opcua":
        server = Device(free_port())
        yield OpcUaMemory(server)
        await server.stop()
    else:
        device = ModbusDevice(free_port())
        yield ModbusMemory(device)
        await device.stop()


@pytest.fixture(params=[Kind.BITS, Kind.RING])
async def line(request: pytest.FixtureRequest, memory: Memory) -> AsyncIterator[Line]:
    await memory.start()
    program = BitsProgram(memory) if request.param is Kind.BITS else RingProgram(memory)
    task = asyncio.create_task(program.run(), name="program")
    yield Line(BITS if request.param is Kind.BITS else RING, program, _maker(memory))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _maker(memory: Memory) -> Callable[[Handshake, Status, Counts], Source]:
    def make(spec: Handshake, status: Status, counts: Counts) -> Source:
        wanted = {spec.trigger, spec.ack, spec.result, *spec.contents}
        tags = [tag for tag in memory.tags if tag.ref in wanted]
        if isinstance(memory, OpcUaMemory):
            server = OpcUaSource(PLC, memory.url, {"pv": URI}, timedelta(milliseconds=20))
            return OpcUa(server, tags, {RULE: spec}, SystemClock(), status, counts=counts)
        assert isinstance(memory, ModbusMemory)
        poll, timeout = timedelta(milliseconds=20), timedelta(seconds=0.2)
        device = ModbusSource(PLC, memory.url, 1, "CDAB", poll, timeout)
        return Modbus(device, tags, {RULE: spec}, SystemClock(), status, counts=counts)

    return make


async def test_pallets_are_confirmed_one_after_the_other(line: Line) -> None:
    line.program.move(*PALLETS)
    async with line.agent():
        await line.confirmed(*PALLETS)

    assert line.booked() == PALLETS
    assert line.program.results == [Result.DONE] * len(PALLETS)
    assert (line.journal.reviews, line.journal.gaps) == ({}, [])


async def test_an_agent_killed_before_its_answer_answers_again_and_books_nothing_twice(line: Line) -> None:
    line.program.move("P1", "P2")
    async with line.agent(_kept_back):
        await eventually(lambda: line.answers)
    assert line.program.confirmed == []
    async with line.agent():
        await line.confirmed("P1", "P2")

    assert line.booked() == ["P1", "P2"]
    assert line.journal.reviews == {}


async def test_pallets_wait_in_the_plc_while_the_agent_is_away(line: Line) -> None:
    async with line.agent():
        line.program.move("P1")
        await line.confirmed("P1")
    line.program.move("P2", "P3")
    async with line.agent():
        await line.confirmed("P2", "P3")

    assert line.booked() == ["P1", "P2", "P3"]
    assert line.journal.reviews == {}


async def test_a_plc_that_restarts_with_what_it_held_loses_and_doubles_nothing(line: Line) -> None:
    async with line.agent():
        line.program.move("P1")
        await line.confirmed("P1")
        async with line.program.gate:
            await line.program.memory.restart()
        line.program.move("P2", "P3")
        await line.confirmed("P2", "P3")

    assert line.booked() == ["P1", "P2", "P3"]
    assert line.journal.reviews == {}


async def test_an_answer_to_a_block_that_is_gone_is_not_written(line: Line) -> None:
    """The PLC is cleared between the commit and the answer, and shows another pallet."""
    program = line.program
    trigger, ack = line.spec.trigger.tag, line.spec.ack.tag
    cleared: list[Acknowledge] = []

    async def clear_first(answer: Acknowledge) -> bool:
        if not cleared:
            cleared.append(answer)
            async with program.gate:
                await program.memory.put(trigger, 0)
                await program.memory.put(ack, 0)
                if isinstance(program, RingProgram):
                    program._written = program._tail = 0
                program.queue[0] = "P2"
                await program.scan()
        return True

    async with line.agent(clear_first):
        program.move("P1")
        await line.confirmed("P2")

    booked_or_reviewed = {*line.booked(), *(one.line.key.container for one in line.journal.reviews.values())}
    assert booked_or_reviewed == {"P1", "P2"}
    assert line.counts.get("handshakes_late", rule=RULE) == 0


async def test_a_side_that_waits_too_long_is_shown_and_counted_once(line: Line) -> None:
    line.spec = replace(line.spec, within=timedelta(milliseconds=150))
    component = f"turn of {RULE}"
    async with line.agent(_kept_back):
        await eventually(lambda: line.counts.snapshot().get(f'handshakes_late{{rule="{RULE}"}}') == 0)
        line.program.move("P1")
        await eventually(lambda: line.status.snapshot().get(component))
        shown = line.status.snapshot()[component]
        assert (shown["state"], "acknowledgement for 0.15 s" in shown["detail"]) == ("lost", True)
        assert line.counts.get("handshakes_late", rule=RULE) == 1
    async with line.agent():
        await line.confirmed("P1")
        await eventually(lambda: line.status.snapshot()[component]["state"] == "up")
