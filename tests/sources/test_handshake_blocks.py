"""Weighed drums over real protocols: each block says its order, who weighed it and a float; the ledger is in grams."""

from __future__ import annotations

import asyncio
from collections import Counter as Tally
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from random import Random

import pytest

from edge_agent.clock import SystemClock
from edge_agent.config.devices import ModbusSource, OpcUaSource
from edge_agent.config.signals import Handshake, Kind
from edge_agent.derivation import confirming
from edge_agent.derivation.booking import Books
from edge_agent.derivation.confirming import HandshakeRule
from edge_agent.derivation.context import Attribution
from edge_agent.model.confirmation import Block, Result
from edge_agent.model.movement import Cause
from edge_agent.sources import opcua_values, registers
from edge_agent.sources.base import Source
from edge_agent.sources.modbus import Modbus
from edge_agent.sources.opcua import OpcUa
from edge_agent.telemetry.metrics import Counts
from edge_agent.telemetry.status import Status
from tests.derivation.plant import PCS, counter, handshake
from tests.sources.conftest import eventually, free_port
from tests.sources.handshake_plcs import (
    BITS,
    PLC,
    RING,
    BitsProgram,
    CounterProgram,
    Memory,
    ModbusMemory,
    OpcUaMemory,
    Program,
    RingProgram,
    ref,
)
from tests.sources.modbus_device import ModbusDevice
from tests.sources.opcua_device import URI, Device
from tests.sources.test_handshake_kinds import RULE, Line

GRAM = Decimal("0.001")
RUNS = ref("runs")
DRUMS = [
    (f"D{number}", "AB"[number % 2], grams) for number, grams in enumerate([12_700, 250_000, 100, 1, 33_333, 8_400])
]
"""Each drum with its order and its weight in grams: what the plant knows of them."""
COUNTER = Handshake(ref("seq"), ref("echo"), ref("result"), ref("cases"), ref("sscc"), 1 << 16)
PROGRAMS: dict[Kind, Callable[[Memory], Program]] = {
    Kind.TRANSACTION_COUNTER: CounterProgram,
    Kind.BITS: BitsProgram,
    Kind.RING: RingProgram,
}
ONE_WAY = pytest.mark.parametrize("line", [Kind.TRANSACTION_COUNTER], indirect=True)
SPECS = {Kind.TRANSACTION_COUNTER: COUNTER, Kind.BITS: BITS, Kind.RING: RING}


def saying(spec: Handshake) -> Handshake:
    """The handshake, its block a weight in kilograms with its order and who weighed it."""
    slots = "ring_" if spec.kind is Kind.RING else ""
    weight, order, who = (ref(f"{slots}{name}") for name in ("weight", "order", "who"))
    return replace(spec, quantity=weight, order=order, operator=who, grain=GRAM, rounded=True)


@pytest.fixture(params=["opcua", "modbus"])
async def memory(request: pytest.FixtureRequest) -> AsyncIterator[Memory]:
    device: Device | ModbusDevice = Device(free_port()) if request.param == "opcua" else ModbusDevice(free_port())
    yield OpcUaMemory(device) if isinstance(device, Device) else ModbusMemory(device)
    await device.stop()


@pytest.fixture(params=list(PROGRAMS))
async def line(request: pytest.FixtureRequest, memory: Memory) -> AsyncIterator[Line]:
    await memory.start()
    await memory.put("runs", "NEXT")
    program = PROGRAMS[request.param](memory)
    task = asyncio.create_task(program.run(), name="program")
    weighed = replace(handshake(), factor=Fraction(1, 1000), source_unit=PCS)
    yield Line(saying(SPECS[request.param]), program, _maker(memory), (weighed, counter("others", order=RUNS)))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _maker(memory: Memory) -> Callable[[Handshake, Status, Counts], Source]:
    def make(spec: Handshake, status: Status, counts: Counts) -> Source:
        wanted = {spec.trigger, spec.ack, spec.result, RUNS, *spec.contents}
        tags = [tag for tag in memory.tags if tag.ref in wanted]
        if isinstance(memory, OpcUaMemory):
            server = OpcUaSource(PLC, memory.url, {"pv": URI}, timedelta(milliseconds=20))
            return OpcUa(server, tags, {RULE: spec}, SystemClock(), status, counts=counts)
        device = ModbusSource(PLC, memory.url, 1, "CDAB", timedelta(milliseconds=20), timedelta(seconds=0.2))
        return Modbus(device, tags, {RULE: spec}, SystemClock(), status, counts=counts)

    return make


def weigh(line: Line, drum: str, order: str, kilograms: float) -> None:
    line.program.says[drum] = {"weight": kilograms, "order": order, "who": f"who of {drum}"}
    line.program.move(drum)


async def all_weighed(line: Line) -> None:
    async with line.agent():
        await eventually(lambda: RUNS in line.state.contexts)
        for drum, order, grams in DRUMS:
            weigh(line, drum, order, grams / 1000)
        await line.confirmed(*(drum for drum, _, _ in DRUMS))


def compare(line: Line) -> None:
    """The books against the plant's ledger. AssertionError where they differ."""
    booked = [mark.line for mark in line.journal.lines.values()]
    ledger = [(drum, order, f"who of {drum}", Decimal(grams) / 1000) for drum, order, grams in DRUMS]
    assert [(one.key.container, one.key.order, one.key.operator, one.quantity) for one in booked] == ledger
    assert (line.journal.reviews, line.journal.gaps) == ({}, [])
    assert line.program.results == [Result.DONE] * len(DRUMS)


async def test_each_drum_is_booked_to_the_gram_for_its_own_order(line: Line) -> None:
    await all_weighed(line)

    compare(line)


@ONE_WAY
async def test_any_number_of_grams_is_booked_exactly(line: Line) -> None:
    random = Random(20260302)
    drums = {f"R{number}": random.randint(1, 1_000_000) for number in range(12)}
    async with line.agent():
        for drum, grams in drums.items():
            weigh(line, drum, "A", grams / 1000)
        await line.confirmed(*drums)

    assert {mark.line.key.container: mark.line.quantity * 1000 for mark in line.journal.lines.values()} == drums


async def test_a_drum_without_its_order_or_weight_is_asked_for_and_stops_nobody(line: Line) -> None:
    async with line.agent():
        await eventually(lambda: RUNS in line.state.contexts)
        drums = [("", 12.5), ("A", float("nan")), ("A", float("inf")), ("A", -12.5), ("A", 12.5)]
        for n, (order, weight) in enumerate(drums, 1):
            weigh(line, f"D{n}", order, weight)
            await line.confirmed(f"D{n}")  # one at a time: a ring has one result for all that wait

    reviews = {one.line.key.container: one for one in line.journal.reviews.values()}
    assert Tally(one.cause for one in line.journal.reviews.values()) == {
        Cause.ORDER_UNKNOWN: 1,
        Cause.FAILED_CHECK: 3,
    }
    assert [way.quantity for way in reviews["D1"].candidates] == [Decimal("12.5"), 0]
    assert line.program.results == [Result.IN_REVIEW, *[Result.FAILED_CHECK] * 3, Result.DONE]
    assert line.booked()[-1] == "D5"


async def test_an_agent_killed_before_its_answer_books_the_weight_once(line: Line) -> None:
    async def kept_back(_answer: object) -> bool:
        return False

    weigh(line, "D1", "A", 12.7)
    async with line.agent(kept_back):
        await eventually(lambda: line.answers)
    async with line.agent():
        await line.confirmed("D1")

    (mark,) = line.journal.lines.values()
    assert (mark.line.key.order, mark.line.quantity, line.journal.reviews) == ("A", Decimal("12.7"), {})


Patch = pytest.MonkeyPatch


def takes_the_order_that_runs(patch: Patch) -> None:
    """That of the tag, as it is when the block is read, in the place of the block's."""

    def whose(work: Books, one: HandshakeRule, block: Block) -> Attribution:
        found = right(work, one, block)
        runs, _ = work.state.contexts[RUNS].history[-1]
        return replace(found, settings=(found.first._replace(order=runs),))

    right = confirming._whose
    patch.setattr(confirming, "_whose", whose)


def doubles_the_weight(patch: Patch) -> None:
    right = Handshake.counts
    patch.setattr(Handshake, "counts", lambda spec, shown: 2 * right(spec, shown))


def _as_it_is(value: float, *, single: bool) -> Decimal:
    assert single
    return Decimal(value)


def truncates_the_weight(patch: Patch) -> None:
    """12.7 in a float32 is 12.69999980926513671875."""
    for source in (opcua_values, registers):
        patch.setattr(source, "shortest", _as_it_is)
    patch.setattr(Handshake, "counts", lambda spec, shown: int(shown / spec.grain))


def forgets_who_weighed(patch: Patch) -> None:
    patch.setattr(Handshake, "surroundings", property(lambda spec: {"order": spec.order}))


@ONE_WAY
@pytest.mark.parametrize(
    "bug", [takes_the_order_that_runs, doubles_the_weight, truncates_the_weight, forgets_who_weighed]
)
async def test_the_comparison_catches(bug: Callable[[Patch], None], line: Line, monkeypatch: Patch) -> None:
    bug(monkeypatch)
    await all_weighed(line)

    with pytest.raises(AssertionError):
        compare(line)
