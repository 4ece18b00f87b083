"""The skid as a process: a bare socket sees what the control channel calls the truth, and each fault as named."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pymodbus.client import AsyncModbusTcpClient

from edge_agent_simulators.control import Process
from edge_agent_simulators.plc import UINT32
from tests.simulators.modbus_by_hand import DOSED, Wire, one_word

Starter = Callable[..., Awaitable[Process]]
Until = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]

KEY = "consumed/100200/4711/L3-SYRUP"


async def dosing(start: Starter, *arguments: object) -> Process:
    skid = await start("skid", *arguments)
    await skid.ask("order", number="4711")
    await skid.ask("dose")
    return skid


async def counts(skid: Process) -> int:
    """What was dosed, in counts of 0.1 kg."""
    kg = (await skid.ask("ledger"))["ledger"].get(KEY, "0")
    whole, tenths = kg.split(".") if "." in kg else (kg, "0")
    return int(whole) * 10 + int(tenths)


async def hits(skid: Process) -> int:
    return int((await skid.ask("faults"))["faults"][-1]["hits"])


async def agrees(skid: Process, wire: Wire) -> None:
    """At rest, the wire says what was truly dosed."""
    await skid.ask("rest")
    assert (await wire.dosed() - skid.ready["dosed"]) % UINT32 == await counts(skid)


async def test_every_register_says_what_the_layout_says(start: Starter) -> None:
    skid = await start("skid", "--dosed", 70_000)
    client = AsyncModbusTcpClient("127.0.0.1", port=skid.ready["port"])
    await client.connect()
    try:
        words = (await client.read_holding_registers(100, count=28, device_id=1)).registers
        state = (await client.read_coils(0, count=16, device_id=1)).bits
    finally:
        client.close()
    kinds = client.DATATYPE
    raw = struct.pack(">28H", *words)
    level = struct.unpack(">f", raw[2:4] + raw[0:2])[0]
    assert 2_900 < level < 3_100
    assert client.convert_from_registers(words[4:6], kinds.UINT32, "little") == 70_000
    assert struct.unpack(">h", raw[12:14])[0] in range(-50, -30)
    assert client.convert_from_registers(words[10:14], kinds.INT64, "little") == 2**53 + 1
    assert client.convert_from_registers(words[20:28], kinds.STRING) == "SYRUP SKID 3"
    assert [words[9] >> bit & 1 for bit in range(16)] == [int(bit) for bit in state]
    assert words[9] >> 15


async def test_the_wire_and_the_truth_are_one_across_the_wrap(start: Starter, until: Until) -> None:
    skid = await dosing(start, "--dosed", UINT32 - 15, "--rate", "5")
    async with Wire.to(skid) as wire:
        seen = [await wire.dosed()]

        async def wrapped() -> bool:
            seen.append(await wire.dosed())
            return seen[-1] < 1_000

        await until(wrapped)
        assert sorted(seen, key=lambda one: (one + 1_000) % UINT32) == seen
        await agrees(skid, wire)
        (wrap,) = (await skid.ask("faults"))["faults"]
    assert wrap["kind"] == "wrap32"
    asked = {"from": "2000-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z"}
    assert (await skid.ask("truth", key=KEY, **asked))["truth"] == (await skid.ask("ledger"))["ledger"][KEY]


async def test_orders_change_at_rest_only(start: Starter) -> None:
    skid = await dosing(start)
    with pytest.raises(RuntimeError, match="at rest only"):
        await skid.ask("order", number="4712")
    await skid.ask("rest")
    assert await skid.ask("order", number="4712") == {"order": "4712"}
    with pytest.raises(RuntimeError, match="no speed"):
        await skid.ask("inject", fault="slow", speed=3)
    with pytest.raises(RuntimeError, match="unknown"):
        await skid.ask("fly")


async def test_another_unit_and_other_registers_are_refused(start: Starter) -> None:
    skid = await start("skid", "--unit", 7, "--most-registers", 10)
    async with Wire.to(skid) as wire:
        assert await wire.ask(DOSED, unit=1) == b"\x83\x0b"
        assert len(await wire.ask(DOSED, unit=7)) == 6
        assert await wire.ask(bytes.fromhex("0300630001"), unit=7) == b"\x83\x02"
        assert await wire.ask(struct.pack(">BHH", 3, 100, 10), unit=7) != b"\x83\x03"
        assert await wire.ask(struct.pack(">BHH", 3, 100, 11), unit=7) == b"\x83\x03"


@pytest.mark.parametrize(
    ("fault", "parameters", "seen"),
    [
        ("exception", {"code": 6}, "8306"),
        ("exception", {"code": 11}, "830b"),
        ("wrong_count", {"by": -1}, "03020001"),
        ("wrong_count", {"by": 1}, "0306000100000000"),
        ("odd_count", {}, "0303000100"),
        ("wrong_function", {}, "040400010000"),
    ],
)
async def test_an_answer_with_false_content_comes_once(
    start: Starter, fault: str, parameters: dict[str, Any], seen: str
) -> None:
    skid = await start("skid", "--dosed", 1)
    await skid.ask("inject", fault=fault, **parameters)
    async with Wire.to(skid) as wire:
        assert (await wire.ask(DOSED)).hex() == seen
        assert (await wire.ask(DOSED)).hex() == "030400010000"
    assert await hits(skid) == 1


@pytest.mark.parametrize(
    ("fault", "parameters", "seen"),
    [
        ("wrong_transaction", {}, "00020000000701030400010000"),
        ("wrong_unit", {}, "00010000000702030400010000"),
        ("wrong_length", {"length": 65535}, "00010000ffff01030400010000"),
        ("junk", {"junk": "deadbeef"}, "deadbeef00010000000701030400010000"),
    ],
)
async def test_an_answer_in_a_false_frame_comes_once(
    start: Starter, fault: str, parameters: dict[str, Any], seen: str
) -> None:
    skid = await start("skid", "--dosed", 1)
    await skid.ask("inject", fault=fault, **parameters)
    async with Wire.to(skid) as wire:
        wire.send(DOSED)
        assert (await wire.reader.readexactly(len(seen) // 2)).hex() == seen
        assert await wire.dosed() == 1


async def test_a_late_answer_is_taken_for_the_next_one_by_who_does_not_look(start: Starter) -> None:
    skid = await dosing(start)
    await skid.ask("inject", fault="late")
    async with Wire.to(skid) as wire:
        wire.send(DOSED)
        assert await wire.silent()
        wire.send(one_word(106))
        stale, _, careless = await wire.receive()
        fresh, _, temperature = await wire.receive()
        assert (stale, fresh) == (1, 2)
        assert len(careless) != len(temperature)
        await agrees(skid, wire)
    assert await hits(skid) == 1


async def test_slow_answers_wait_for_each_other(start: Starter) -> None:
    skid = await start("skid", "--dosed", 1)
    await skid.ask("inject", fault="slow", delay=0.5)
    loop = asyncio.get_running_loop()
    async with Wire.to(skid) as one, Wire.to(skid) as other:
        began = loop.time()
        assert sum(await asyncio.gather(one.dosed(), other.dosed())) == 2
        assert loop.time() - began >= 0.95
    assert await skid.ask("clear", fault="slow") == {"cleared": 1}


async def test_a_dripping_answer_is_whole_in_the_end(start: Starter) -> None:
    skid = await start("skid", "--dosed", 1)
    await skid.ask("inject", fault="drip", delay=0.05)
    async with Wire.to(skid) as wire:
        wire.send(DOSED)
        pieces = [await wire.reader.read(100)]
        while len(b"".join(pieces)) < 13:
            pieces.append(await wire.reader.read(100))
        assert len(pieces) > 3
        assert b"".join(pieces)[7:].hex() == "030400010000"


async def test_a_black_hole_accepts_and_never_answers(start: Starter) -> None:
    skid = await dosing(start)
    async with Wire.to(skid) as before:
        await before.dosed()
        await skid.ask("inject", fault="black_hole")
        before.send(DOSED)
        async with Wire.to(skid) as after:
            after.send(DOSED)
            assert await before.silent()
            assert await after.silent()
        assert await hits(skid) == 2
        assert await skid.ask("clear") == {"cleared": 1}
        before.transaction = 0
        await agrees(skid, before)


async def test_a_reset_ends_connections_and_takes_new_ones(start: Starter) -> None:
    skid = await dosing(start)
    async with Wire.to(skid) as wire:
        await wire.dosed()
        fault = (await skid.ask("inject", fault="reset"))["fault"]
        with pytest.raises(ConnectionResetError):
            await wire.reader.readexactly(1)
    assert fault["kind"] == "reset"
    assert await hits(skid) == 1
    async with Wire.to(skid) as wire:
        await agrees(skid, wire)


async def test_a_cut_answer_ends_in_a_reset(start: Starter) -> None:
    skid = await dosing(start)
    await skid.ask("inject", fault="cut")
    async with Wire.to(skid) as wire:
        wire.send(DOSED)
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await wire.reader.readexactly(13)
    async with Wire.to(skid) as wire:
        await agrees(skid, wire)


async def test_two_halves_read_apart_are_torn_and_one_request_is_not(start: Starter) -> None:
    skid = await start("skid", "--dosed", 70_000)
    await skid.ask("inject", fault="torn")
    async with Wire.to(skid) as wire:
        low, high = [struct.unpack(">H", (await wire.ask(one_word(at)))[2:])[0] for at in (104, 105)]
        assert high << 16 | low != 70_000
        assert await wire.dosed() == 70_000
        assert await hits(skid) == 1


async def test_a_limit_refuses_what_is_longer(start: Starter) -> None:
    skid = await start("skid", "--dosed", 70_000)
    await skid.ask("inject", fault="limit", registers=4, code=2)
    async with Wire.to(skid) as wire:
        assert await wire.ask(struct.pack(">BHH", 3, 100, 5)) == b"\x83\x02"
        assert await wire.dosed() == 70_000
        assert await hits(skid) == 1


@pytest.mark.parametrize(("totalizer", "after"), [("kept", 5_000), ("zero", 0), ("older", 4_900)])
async def test_a_restart_refuses_connections_and_comes_back_on_the_same_port(
    start: Starter, until: Until, totalizer: str, after: int
) -> None:
    skid = await start("skid", "--dosed", 5_000)
    async with Wire.to(skid) as wire:
        assert await wire.dosed() == 5_000
        await skid.ask("inject", fault="restart", totalizer=totalizer, back=100, down=1.0)
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await wire.reader.readexactly(1)
    status = await skid.ask("status")
    if not status["listening"]:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", skid.ready["port"])

    async def over() -> bool:
        status = await skid.ask("status")
        return bool(status["listening"]) and not status["restarting"]

    await until(over)
    async with Wire.to(skid) as wire:
        assert await wire.dosed() == after
    (fault,) = (await skid.ask("faults"))["faults"]
    assert (fault["before"], fault["after"], fault["told"]) == (5_000, after, 5_000)


async def test_a_script_begins_its_faults(start: Starter, until: Until) -> None:
    skid = await dosing(start, "--for", 5, "--rate", 50)

    async def some_done() -> bool:
        try:
            async with Wire.to(skid) as wire:
                wire.send(DOSED)
                await wire.silent()
        except ConnectionError:
            pass  # what faults are for
        return sum(fault["ended"] is not None for fault in (await skid.ask("faults"))["faults"]) > 2

    await until(some_done)
