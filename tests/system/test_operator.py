"""What an operator does with the running agent: status, backlog, reviews; and a service that starts and stops."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.kill.harness import Plant, plant

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
MAP = Path(__file__).parents[2] / "config" / "bottling-line.yaml"


@pytest_asyncio.fixture
async def made(tmp_path: Path) -> AsyncIterator[Plant]:
    async with plant(tmp_path, seed=6) as running:
        yield running


async def edge_agent(*arguments: object) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "edge_agent", *map(str, arguments)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def ask_json(*arguments: object) -> dict[str, Any]:
    code, out, err = await edge_agent(*arguments, "--json")
    assert code == 0, err
    answer: dict[str, Any] = json.loads(out)
    return answer


async def restored_value(made: Plant) -> dict[str, Any]:
    """Let the PLC come back with an older preform counter; the review that this opens."""
    await made.run()
    status = await made.line.ask("status")
    older = (status["registers"]["::Infeed.Total"] - 900) % 65536
    await made.line.ask("inject", fault="restored_retain", counter="preforms", value=older)
    reviews: list[dict[str, Any]] = []

    async def opened() -> bool:
        nonlocal reviews
        reviews = (await ask_json("review", "list", "--data", made.data))["reviews"]
        return bool(reviews)

    await made.until(opened)
    (review,) = reviews
    return review


async def test_a_review_is_listed_accepted_once_and_booked_with_its_cause(made: Plant) -> None:
    review = await restored_value(made)
    assert review["rule"] == "preforms_used"
    assert [one["candidate"] for one in review["candidates"]] == list(range(1, len(review["candidates"]) + 1))
    chosen = next(one for one in review["candidates"] if one["quantity"] != "0")
    who = ("--by", "A. Kern", "--reason", "checked against the bin", "--data", made.data)

    code, _, err = await edge_agent("review", "accept", review["id"], "--candidate", 99, *who)
    assert (code, "candidates 1 to" in err) == (1, True)
    code, out, _ = await edge_agent("review", "accept", review["id"], "--candidate", chosen["candidate"], *who)
    assert (code, f"booked {chosen['quantity']} pcs" in out) == (0, True)
    code, _, err = await edge_agent("review", "accept", review["id"], "--candidate", chosen["candidate"], *who)
    assert (code, "accepted already, by A. Kern" in err) == (1, True)
    code, _, err = await edge_agent("review", "reject", "nobody/1/1", *who)
    assert (code, "there is no review nobody/1/1" in err) == (1, True)

    (opened,) = (await made.mes.ask("reviews"))["reviews"]
    decided: list[dict[str, Any]] = []

    async def arrived() -> bool:
        nonlocal decided
        decided = [event for event in _events(made) if event.get("causationid") == opened["id"]]
        return len(decided) == 2

    await made.until(arrived)
    (event,) = (event for event in decided if event["type"].startswith("io.edgeagent.material."))
    (said,) = (event for event in decided if event["type"] == "io.edgeagent.movement.decided.v1")
    assert said["data"]["decision"]["by"] == event["data"]["decision"]["by"] == "A. Kern"
    assert event["data"]["materialActual"][0]["quantity"]["quantityString"] == chosen["quantity"]
    assert event["correlationid"] == opened["correlationid"]
    assert "checked against the bin" in json.dumps(event["data"])
    assert (await ask_json("review", "list", "--data", made.data))["reviews"] == []


async def test_a_rejected_review_books_nothing(made: Plant) -> None:
    review = await restored_value(made)
    before = len(_events(made))
    who = ("--by", "A. Kern", "--reason", "counted in rework", "--data", made.data)
    code, out, _ = await edge_agent("review", "reject", review["id"], *who)
    assert (code, "nothing booked" in out) == (0, True)
    (said,) = (event for event in _events(made) if "causationid" in event)
    assert said["type"] == "io.edgeagent.movement.decided.v1"
    assert said["data"]["decision"]["verdict"] == "rejected"
    assert len(_events(made)) >= before
    (closed,) = (await ask_json("review", "list", "--all", "--data", made.data))["reviews"]
    assert (closed["status"], closed["decided_by"]) == ("rejected", "A. Kern")


async def test_status_and_backlog_with_the_agent_up_and_down(made: Plant) -> None:
    await made.run()
    status = await ask_json("status", "--data", made.data)
    assert status["running"]
    assert {status["components"][name]["state"] for name in ("filler", "broker", "store")} == {"up"}
    assert status["imbalances"] == []
    await made.broker_away(away=True)

    async def waits() -> bool:
        backlog = await ask_json("backlog", "--data", made.data)
        return any(stream["waiting"] and stream["oldest_waiting"] for stream in backlog["streams"])

    await made.until(waits)
    await made.agent.ask("kill")
    assert await waits(), "the backlog can be read with the service down"
    code, out, _ = await edge_agent("status", "--data", made.data)
    assert (code, "not running" in out) == (0, True)
    code, _, err = await edge_agent("review", "reject", "x", "--by", "a", "--reason", "b", "--data", made.data)
    assert (code, "is it running" in err) == (4, True)


async def test_sigterm_ends_it_cleanly_and_does_not_cut(made: Plant) -> None:
    await made.run()
    ended = await made.agent.ask("stop")
    assert ended == {"ended": True, "code": 0}
    assert "Traceback" not in made.log()
    await made.settle()


async def test_a_second_agent_on_the_same_store_is_refused(made: Plant) -> None:
    await made.run()
    code, _, err = await edge_agent("run", "--config", made.directory / "line.yaml", "--data", made.data)
    assert (code, "held by another process" in err) == (1, True)


async def test_an_invalid_map_ends_with_78_and_its_place(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(MAP.read_text(encoding="utf-8").replace("wraps_at: 65536", "wraps_att: 65536"), encoding="utf-8")
    code, _, err = await edge_agent("run", "--config", wrong, "--data", tmp_path / "data")
    assert code == 78
    assert f"{wrong}:" in err
    assert "wraps_at" in err


async def test_what_this_version_does_not_run_is_refused_with_78(tmp_path: Path) -> None:
    ahead = tmp_path / "ahead.yaml"
    text = MAP.read_text(encoding="utf-8").replace("event: consumed", "event: adjusted", 1)
    ahead.write_text(text, encoding="utf-8")
    code, _, err = await edge_agent("run", "--config", ahead, "--data", tmp_path / "data")
    assert (code, "not run by this version" in err) == (78, True)
    code, _, _ = await edge_agent("check", ahead)
    assert code == 0
    code, _, _ = await edge_agent("check", "--strict", ahead)
    assert code == 3


def _events(made: Plant) -> list[dict[str, Any]]:
    """Every stored event of the agent."""
    import sqlite3

    database = sqlite3.connect(f"file:{made.data / 'edge-agent.db'}?mode=ro", uri=True)
    try:
        return [json.loads(payload) for (payload,) in database.execute("SELECT payload FROM event")]
    finally:
        database.close()
