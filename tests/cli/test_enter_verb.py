"""`enter` and `reconcile`: what is asked of the agent, and how an entry is repeated."""

from __future__ import annotations

import re
from pathlib import Path
from uuid import UUID

import pytest

from tests.cli.shop import WHO, Agent, run, run_json

BOOKED = {
    "source": "urn:edgeagent:l3-edge:u:routine",
    "sequence": 18,
    "id": "0f",
    "repeated": False,
    "material": "300017",
    "quantity": "12.5",
    "unit": "kg",
}
WHAT = ("--material", "300017", "--quantity", "12.5")


@pytest.mark.parametrize(
    ("kind", "event"),
    [("consumption", "consumed"), ("return", "returned"), ("scrap", "scrapped"), ("sample", "sampled")],
)
async def test_an_entry_is_asked_for_with_everything(tmp_path: Path, kind: str, event: str) -> None:
    agent = Agent(tmp_path, {"enter": BOOKED})
    more = ("--unit", "kg", "--order", "A1", "--lot", "L7", "--container", "C", "--from", "L3", "--to", "WH")
    async with agent.running():
        result = await run("enter", kind, *WHAT, *more, "--form", "f-1", *WHO, "--data", tmp_path)
    assert result.exit_code == 0, result.output
    assert agent.asked == [
        {
            "do": "enter",
            "event": event,
            "material": "300017",
            "quantity": "12.5",
            "unit": "kg",
            "order": "A1",
            "lot": "L7",
            "container": "C",
            "from": "L3",
            "to": "WH",
            "process": False,
            "barcode": None,
            "form": "f-1",
            "by": "A. Kern",
            "reason": "checked against the bin",
        }
    ]
    assert f"booked: {kind} of 12.5 kg of 300017 is urn:edgeagent:l3-edge:u:routine/18" in result.stdout


async def test_what_is_left_out_is_null_and_the_form_is_made_and_printed(tmp_path: Path) -> None:
    agent = Agent(tmp_path, {"enter": BOOKED})
    async with agent.running():
        result = await run("enter", "scrap", "--process", *WHO, "--data", tmp_path)
        found = await run_json("enter", "scrap", "--process", *WHO, "--data", tmp_path)
    first, second = agent.asked
    absent = ("material", "quantity", "unit", "order", "lot", "container", "from", "to", "barcode")
    assert {name: first[name] for name in absent} == dict.fromkeys(absent)
    assert first["process"] is True
    assert UUID(first["form"]).version == 4
    assert f"(form {first['form']})" in result.stdout
    assert found["form"] == second["form"] != first["form"]


async def test_a_repeated_form_is_said_to_be_one(tmp_path: Path) -> None:
    async with Agent(tmp_path, {"enter": BOOKED | {"repeated": True}}).running():
        result = await run("enter", "return", *WHAT, "--form", "f-1", *WHO, "--data", tmp_path)
    assert result.exit_code == 0
    assert "form f-1 was entered before, nothing is booked again" in result.stdout
    assert "urn:edgeagent:l3-edge:u:routine/18" in result.stdout


async def test_without_an_answer_the_form_is_told_for_another_try(tmp_path: Path) -> None:
    result = await run("enter", "return", *WHAT, *WHO, "--data", tmp_path)
    assert result.exit_code == 4
    (form,) = re.findall(r"--form ([0-9a-f-]{36}): it is booked once", result.stderr)
    agent = Agent(tmp_path, {"enter": BOOKED})
    async with agent.running():
        await run("enter", "return", *WHAT, "--form", form, *WHO, "--data", tmp_path)
    assert agent.asked[0]["form"] == form


async def test_a_barcode_goes_as_it_was_scanned(tmp_path: Path) -> None:
    agent = Agent(tmp_path, {"enter": BOOKED})
    scanned = "]C10107032069804988" + "10L7\x1d3012"
    async with agent.running():
        await run("enter", "consumption", "--barcode", scanned, *WHO, "--data", tmp_path)
        await run("enter", "consumption", "--barcode", "-", *WHO, "--data", tmp_path, given=f"{scanned}\r\nmore\n")
    assert [request["barcode"] for request in agent.asked] == [scanned, scanned]


async def test_what_makes_no_sense_asks_nobody(tmp_path: Path) -> None:
    agent = Agent(tmp_path, {"enter": BOOKED})
    async with agent.running():
        for arguments in (("theft", *WHAT), ("sample", "--process", *WHAT), WHAT):
            assert (await run("enter", *arguments, *WHO, "--data", tmp_path)).exit_code == 2
        assert (await run("enter", "scrap", *WHAT, "--data", tmp_path)).exit_code == 2
    assert agent.asked == []


async def test_a_refusal_is_one_line(tmp_path: Path) -> None:
    async with Agent(tmp_path, {"enter": "there is no material 1 in the tag map"}).running():
        result = await run("enter", "scrap", *WHAT, *WHO, "--data", tmp_path)
    assert (result.exit_code, result.stderr) == (1, "edge-agent: there is no material 1 in the tag map\n")


async def test_reconcile_asks_for_a_snapshot(tmp_path: Path) -> None:
    agent = Agent(tmp_path, {"snapshot": {"events": 2}})
    async with agent.running():
        result = await run("reconcile", "--data", tmp_path)
        assert (await run_json("reconcile", "--data", tmp_path))["events"] == 2
    assert (result.exit_code, "2 events" in result.stdout) == (0, True)
    assert agent.asked[0] == {"do": "snapshot"}
    assert (await run("reconcile", "--data", tmp_path)).exit_code == 4
