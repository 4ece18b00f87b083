"""The whole main job in real time over real protocols, in processes of their own: `edge-agent demo`."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

KINDS = {"wrap16", "wrap32", "glitch", "signed_reset", "restored_retain"}


async def demo(*arguments: str) -> tuple[int, dict[str, Any]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "edge_agent", "demo", "--json", *arguments), stdout=asyncio.subprocess.PIPE
    )
    answer, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, json.loads(answer)


async def test_ninety_seconds_agree_to_the_unit() -> None:
    code, report = await demo("--for", "90s", "--seed", "7")

    assert report["problems"] == []
    assert (code, report["agree"]) == (0, True)
    assert {fault["kind"] for fault in report["faults"]} >= KINDS
    assert report["booked"] == report["received"]
    doubtful = {one["key"] for one in (*report["review"], *report["gaps"])}
    certain = [key for key, made in report["line"].items() if made != "0" and key not in doubtful]
    assert len(certain) >= 3
    assert all(report["line"][key] == report["received"][key] for key in certain)
    assert len({key.split("/")[2] for key in report["line"] if key.startswith("produced")}) >= 2


@pytest.mark.parametrize("sabotage", ["drop", "double", "wrong-order", "late-unit"])
async def test_sabotage_is_noticed(sabotage: str) -> None:
    code, report = await demo("--for", "20s", "--seed", "3", "--sabotage", sabotage)

    assert (code, report["agree"]) == (1, False)
    assert report["problems"]
    assert report["booked"] != report["received"]
