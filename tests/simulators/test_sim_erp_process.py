"""The ERP as a process behind a real broker: told to misbehave over its control channel, its books end up right."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from edge_agent_simulators.control import Process
from tests.receiver.agent_log import AgentLog
from tests.receiver.wires import WireAgent

Until = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]
Starter = Callable[..., Awaitable[Process]]


class Desk:
    """A broker, the agent's log behind it, and the ERP's process, which may end and be started again."""

    def __init__(self, start: Starter, until: Until, folder: Path, port: int, agent: WireAgent) -> None:
        self._start = start
        self._until = until
        self._folder = folder
        self._port = port
        self.agent = agent
        self.log = agent.log

    async def begin(self, *options: str) -> None:
        self.erp = await self._start("erp", "--port", self._port, "--folder", self._folder / "erp", *options)

    async def publish(self, *quantities: str) -> None:
        await asyncio.to_thread(self.agent.publish, [self.log.consumed(quantity) for quantity in quantities])

    async def sums_to(self, total: str) -> None:
        async def reached() -> bool:
            return list((await self.erp.ask("totals"))["totals"].values()) == [total]

        await self._until(reached)

    async def answered(self, sequence: int, status: str) -> dict[str, Any]:
        """Wait for the last answer to an event."""
        said = self.log.answers["erp", self.log.source()]

        async def reached() -> bool:
            cumulative = status == "accepted" and said.up_to >= sequence and sequence not in said.single
            return cumulative or said.single.get(sequence, {}).get("status") == status

        await self._until(reached)
        return said.single.get(sequence, {})


@pytest.fixture
async def desk(start: Starter, until: Until, tmp_path: Path) -> AsyncIterator[Desk]:
    broker = await start("broker")
    port = broker.ready["port"]
    agent = WireAgent(AgentLog(), port)
    await asyncio.to_thread(agent.__enter__)
    yield Desk(start, until, tmp_path, port, agent)
    await asyncio.to_thread(agent.__exit__)
    del agent._client  # paho closes its own socket pair only when it is freed


async def test_it_posts_answers_and_shows_its_documents(desk: Desk) -> None:
    await desk.begin()
    await desk.publish("3", "4.5")
    await desk.sums_to("7.5")
    assert (await desk.answered(2, "accepted"))["document"] == "2"
    documents = (await desk.erp.ask("documents"))["documents"]
    assert [(one["number"], one["event"]) for one in documents] == [(1, desk.log.at(1).id), (2, desk.log.at(2).id)]
    status = await desk.erp.ask("status")
    assert (status["answered"], status["posted_twice"]) == ({"accepted": 2}, [])
    assert (await desk.erp.ask("discrepancies"))["discrepancies"] == []


async def test_it_rejects_until_it_is_put_right(desk: Desk) -> None:
    await desk.begin("--cumulative")
    fault = (await desk.erp.ask("fault", answer="reject", code="unknown_product", material="PET", nth=2))["name"]
    await desk.publish("3", "4", "5")
    await desk.sums_to("8")
    assert (await desk.answered(2, "rejected"))["code"] == "unknown_product"
    assert (await desk.erp.ask("put-right", name=fault))["ended"] == [fault]
    await asyncio.to_thread(desk.agent.publish, [desk.log.retry(desk.log.at(2))])
    await desk.sums_to("12")
    await desk.answered(2, "accepted")


async def test_it_crashes_after_posting_and_posts_nothing_twice(desk: Desk) -> None:
    await desk.begin("--prove")
    await desk.erp.ask("fault", answer="crash", times=1)
    await desk.publish("3", "4")
    await asyncio.to_thread(desk.agent.heartbeat)

    async def ended() -> bool:
        with suppress(RuntimeError):
            await desk.erp.ask("status")
            return False
        return True

    await desk._until(ended)
    await desk.begin("--prove")
    await asyncio.to_thread(desk.agent.heartbeat)
    await desk.sums_to("7")
    assert (await desk.erp.ask("status"))["posted_twice"] == []
    await desk.answered(1, "accepted")


async def test_it_never_answers_until_it_is_told_to(desk: Desk) -> None:
    await desk.begin()
    await desk.erp.ask("voice", manner="never")
    await desk.publish("3")
    await desk.sums_to("3")
    assert desk.log.answers["erp", desk.log.source()].single == {}
    await desk.erp.ask("voice", manner="twice")
    await desk.answered(1, "accepted")


@pytest.mark.parametrize(("inbox", "books"), [(True, False), (True, True)])
async def test_it_comes_back_from_a_backup(desk: Desk, tmp_path: Path, inbox: bool, books: bool) -> None:
    await desk.begin()
    await desk.publish("3")
    await desk.sums_to("3")
    backup = str(tmp_path / "backup")
    await desk.erp.ask("backup", into=backup)
    await desk.publish("4")
    await desk.sums_to("7")
    await desk.answered(2, "accepted")
    assert (await desk.erp.ask("restore", **{"from": backup}, inbox=inbox, books=books))["highest"] == 1 + (not books)
    await asyncio.to_thread(desk.agent.heartbeat)
    await desk.sums_to("7")
    assert (await desk.erp.ask("status"))["posted_twice"] == []


async def test_what_it_cannot_do_it_says(desk: Desk) -> None:
    await desk.begin()
    for request, why in (
        ({"cmd": "fault", "answer": "explode"}, "none of"),
        ({"cmd": "fault", "answer": "reject", "colour": "red"}, "no colour"),
        ({"cmd": "voice", "manner": "loud"}, "none of"),
        ({"cmd": "dance"}, "dance"),
    ):
        name = request.pop("cmd")
        with pytest.raises(RuntimeError, match=why):
            await desk.erp.ask(name, **request)
    assert (await desk.erp.ask("restart"))["highest"] == 0
