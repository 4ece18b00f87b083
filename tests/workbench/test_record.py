"""The line's own process recorded over OPC UA, and what is derived from that beside the line's ledger."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from edge_agent_simulators.control import Process
from tests.workbench.recordings import CONFIG, MAP

_SECONDS = 60


@pytest.fixture
async def line() -> AsyncIterator[Process]:
    process = await Process.start("line", "--no-script", "--seed", 3)
    yield process
    await process.kill()


async def _run(*arguments: object) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "edge_agent", *map(str, arguments)), stdin=DEVNULL, stdout=PIPE, stderr=PIPE
    )


async def _until(path: Path, count: int) -> None:
    """The recording has so many lines."""
    async with asyncio.timeout(_SECONDS):
        while not path.exists() or path.read_bytes().count(b"\n") < count:
            await asyncio.sleep(0.05)


def _map_of(line: Process, folder: Path) -> Path:
    path = folder / "line.yaml"
    text = MAP.read_text(encoding="utf-8").replace("127.0.0.1:4840", f"127.0.0.1:{line.ready['port']}")
    path.write_text(text, encoding="utf-8")
    return path


async def test_a_recorded_line_is_derived_to_the_unit(line: Process, tmp_path: Path) -> None:
    tag_map, out = _map_of(line, tmp_path), tmp_path / "line.jsonl"
    recorder = await _run("record", tag_map, "--out", out)
    await _until(out, 8)  # all tags read once, at rest
    await line.ask("start")
    await _until(out, 200)
    await line.ask("stop")
    async with asyncio.timeout(_SECONDS):
        while not (await line.ask("status"))["at_rest"]:
            await asyncio.sleep(0.05)
        shown = (await line.ask("status"))["registers"]
        wanted = {"filler.preforms_in": shown["::Infeed.Total"], "filler.bottles_out": shown["::Filler.Total"]}
        while not wanted.items() <= _latest(out).items():
            await asyncio.sleep(0.05)
    recorder.send_signal(signal.SIGINT)
    _, said = await recorder.communicate()
    pallets = (await line.ask("handshakes"))["handshakes"]
    ledger = (await line.ask("ledger"))["ledger"]

    assert recorder.returncode == 0, said.decode()
    assert b"recorded: filler" in said
    assert out.read_bytes().endswith(b"\n")
    assert all(pallet["acknowledged"] is None for pallet in pallets), "recording only looks"
    derive = await _run("derive", tag_map, out, "--json")
    told, _ = await derive.communicate()
    found: dict[str, Any] = json.loads(told)
    for rule, event in (("preforms_used", "consumed"), ("bottles_made", "produced")):
        made = {key.split("/")[2]: text for key, text in ledger.items() if key.startswith(f"{event}/")}
        assert {order: int(quantity) for order, quantity in found[rule]["booked"].items()} == {
            order: int(quantity) for order, quantity in made.items()
        }
        assert found[rule]["review"] == []
        assert found[rule]["gaps"] == []
    assert pallets
    assert sum(map(int, found["pallet_out"]["booked"].values())) == 24 * pallets[0]["cases"]


async def test_several_devices_are_one_recording(line: Process, tmp_path: Path) -> None:
    """The skid doses across the wrap of its counter, for the order that the line shows."""
    skid = await Process.start("skid", "--dosed", (1 << 32) - 20, "--rate", "3")
    tag_map, out = _map_of(line, tmp_path), tmp_path / "both.jsonl"
    more = tmp_path / "skid.yaml"
    text = (CONFIG / "dosing-skid.yaml").read_text(encoding="utf-8")
    more.write_text(text.replace("127.0.0.1:502", f"127.0.0.1:{skid.ready['port']}"), encoding="utf-8")
    try:
        recorder = await _run("record", tag_map, "--config", more, "--out", out)
        async with asyncio.timeout(_SECONDS):
            while not {"filler.order_no", "tanks.dosed"} <= _latest(out).keys():
                await asyncio.sleep(0.05)
            await skid.ask("order", number=(await line.ask("status"))["order"])
            await skid.ask("dose")
            while not 20 < _latest(out)["tanks.dosed"] < 1_000:
                await asyncio.sleep(0.05)
            await skid.ask("rest")
            while _latest(out)["tanks.dosed"] != (await skid.ask("status"))["dosed"]:
                await asyncio.sleep(0.05)
        recorder.send_signal(signal.SIGTERM)
        await recorder.communicate()
        ledger = (await skid.ask("ledger"))["ledger"]
    finally:
        await skid.kill()

    derive = await _run("derive", tag_map, out, "--config", more, "--json")
    told, _ = await derive.communicate()
    found: dict[str, Any] = json.loads(told)["syrup_used"]
    ((key, dosed),) = ledger.items()
    assert {order: Decimal(kg) for order, kg in found["booked"].items()} == {key.split("/")[2]: Decimal(dosed)}
    assert (found["unit"], found["review"], found["gaps"]) == ("kg", [], [])


def _latest(path: Path) -> dict[str, Any]:
    """The latest value of each tag."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    lines = [json.loads(line) for line in text.splitlines() if line.endswith("}")]
    return {line["tag"]: line["v"] for line in lines if "tag" in line}


async def test_nothing_is_recorded_over(tmp_path: Path) -> None:
    out = tmp_path / "kept.jsonl"
    out.write_text("kept", encoding="utf-8")

    recorder = await _run("record", MAP, "--out", out, "--for", "1s")
    _, said = await recorder.communicate()

    assert recorder.returncode == 1
    assert b"is there already" in said
    assert out.read_text(encoding="utf-8") == "kept"


async def test_an_unknown_source_is_named_beside_the_known_ones(tmp_path: Path) -> None:
    recorder = await _run("record", MAP, "--out", tmp_path / "none.jsonl", "--source", "tanks")
    _, said = await recorder.communicate()

    assert recorder.returncode == 2
    assert b"filler" in said
    assert not (tmp_path / "none.jsonl").exists()


async def test_a_device_that_is_not_there_leaves_an_empty_recording(tmp_path: Path) -> None:
    tag_map, out = tmp_path / "line.yaml", tmp_path / "none.jsonl"
    tag_map.write_text(MAP.read_text(encoding="utf-8").replace("127.0.0.1:4840", "127.0.0.1:1"), encoding="utf-8")

    recorder = await _run("record", tag_map, "--out", out, "--for", "1s")
    _, said = await recorder.communicate()

    assert recorder.returncode == 0
    assert b"lost" in said
    assert out.read_bytes() == b""
