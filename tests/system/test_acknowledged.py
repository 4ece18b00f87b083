"""The other end over a real broker: an ERP answers the running agent, rejects, and people settle it by command."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from edge_agent_simulators.control import Process
from tests.kill.harness import Plant, plant

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
WHO = ("--by", "A. Kern", "--reason", "looked at the hopper")
PREFORMS = "consumed/300017"


class Works:
    """The plant, and the ERP whose word every event needs."""

    def __init__(self, made: Plant, erp: Process) -> None:
        self.made = made
        self.erp = erp

    async def command(self, *arguments: object, code: int = 0) -> str:
        """`edge-agent …` on this plant; its exit code is checked, its text returned."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "edge_agent", *map(str, arguments), "--data", str(self.made.data)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode == code, (out, err)
        return (out if code == 0 else err).decode()

    async def json(self, *arguments: object) -> Any:
        return json.loads(await self.command(*arguments, "--json"))

    async def letters(self) -> list[dict[str, Any]]:
        """What is rejected."""
        found: list[dict[str, Any]] = (await self.json("dead", "list"))["rejected"]
        return found

    async def rejected(self) -> dict[str, Any]:
        """The rejection, once it is there."""
        found: list[dict[str, Any]] = []

        async def there() -> bool:
            nonlocal found
            found = await self.letters()
            return bool(found)

        await self.made.until(there)
        return found[0]

    async def settled(self, *, running: bool = True) -> None:
        """Line at rest, everything sent, and every event answered by the ERP."""
        if running:
            await self.made.agent.ask("stop")
        await self.made.settle()

        async def answered() -> bool:
            return not self._open_answers()

        await self.made.until(answered)

    def _open_answers(self) -> int:
        with closing(sqlite3.connect(f"file:{self.made.data / 'edge-agent.db'}?mode=ro", uri=True)) as database:
            sql = "SELECT count(*) FROM answer WHERE status NOT IN ('accepted', 'corrected')"
            return int(database.execute(sql).fetchone()[0])

    async def booked(self) -> dict[str, Decimal]:
        """The agent's books, without the order."""
        sums: dict[str, Decimal] = {}
        for key, value in (await self.json("status"))["booked"].items():
            event, material, _order, _location = key.split("/")
            sums[f"{event}/{material}"] = sums.get(f"{event}/{material}", Decimal(0)) + Decimal(value)
        return sums

    async def made_by_the_line(self) -> dict[str, Decimal]:
        sums: dict[str, Decimal] = {}
        for key, value in (await self.made.line.ask("ledger"))["ledger"].items():
            event, material, _order, _location = key.split("/")
            sums[f"{event}/{material}"] = sums.get(f"{event}/{material}", Decimal(0)) + Decimal(value)
        return sums


@pytest_asyncio.fixture
async def works(tmp_path: Path) -> AsyncIterator[Works]:
    async with plant(tmp_path, seed=11) as made:
        text = (made.directory / "line.yaml").read_text(encoding="utf-8")
        for stream in ("routine", "critical"):
            text = text.replace(
                f"stream: {stream}}}", f"stream: {stream}, accepted_by: [erp], accepted_within: 1 min}}"
            )
        text = text.replace("class: packaging, unit: pcs}", 'class: packaging, unit: pcs, gtin: "04012345123456"}')
        (made.directory / "line.yaml").write_text(text, encoding="utf-8")
        where = ("--port", str(made.broker.ready["port"]), "--folder", str(tmp_path / "erp"))
        erp = await Process.start("erp", *where)
        try:
            yield Works(made, erp)
        finally:
            await erp.stop()


async def test_what_is_rejected_is_sent_again_once_the_erp_knows_the_material(works: Works) -> None:
    fault = await works.erp.ask("fault", answer="reject", code="unknown_product", material="300017", times=1)
    await works.made.run()
    letter = await works.rejected()
    assert (letter["code"], letter["system"], letter["retryable"]) == ("unknown_product", "erp", True)
    assert "create the material there, then retry" in await works.command("dead", "list")
    shown = await works.json("dead", "show", letter["name"])
    assert shown["event"]["data"]["materialActual"][0]["materialDefinitionID"] == "300017"
    assert (await works.json("status"))["rejected"] == 1

    await works.erp.ask("put-right", name=fault["name"])
    assert "sent again" in await works.command("dead", "retry", letter["name"], *WHO)
    await works.settled()
    status = await works.erp.ask("status")
    assert status["posted_twice"] == []
    shown = await works.json("dead", "show", letter["name"])
    assert [one["status"] for one in shown["answers"]] == ["accepted"]
    assert shown["answers"][0]["document"]
    made = await works.made_by_the_line()
    assert (await works.booked())[PREFORMS] == made[PREFORMS]


async def test_a_correction_takes_back_what_was_rejected_and_posts_another(works: Works) -> None:
    await works.erp.ask("fault", answer="reject", code="quantity_precision", material="300017", times=1)
    await works.made.run()
    letter = await works.rejected()
    shown = await works.json("dead", "show", letter["name"])
    wrong = Decimal(shown["event"]["data"]["materialActual"][0]["quantity"]["quantityString"])

    said = await works.command("correct", letter["name"], "--quantity", str(wrong + 5), *WHO)
    assert letter["name"] in said
    assert "already" in await works.command("correct", letter["name"], "--void", *WHO, code=1)
    await works.settled()
    assert (await works.booked())[PREFORMS] == (await works.made_by_the_line())[PREFORMS] + 5
    documents = (await works.erp.ask("documents"))["documents"]
    assert not any(one["event"] == shown["event"]["id"] for one in documents), "what was rejected was never posted"
    assert not any(one["type"].endswith("reversed.v1") for one in documents), "nor was its reversal"
    assert (await works.erp.ask("status"))["posted_twice"] == []


async def test_a_busy_erp_and_a_kill_of_the_agent_cost_nothing(works: Works) -> None:
    await works.erp.ask("fault", answer="busy", retry_after=1, times=3)
    await works.made.run()
    await asyncio.sleep(2)
    await works.made.agent.ask("kill")
    await works.erp.ask("restart")
    await works.settled(running=False)
    assert (await works.erp.ask("status"))["posted_twice"] == []
    assert (await works.booked())[PREFORMS] == (await works.made_by_the_line())[PREFORMS]


async def test_a_person_enters_scrap_once_and_the_audit_log_has_it(works: Works) -> None:
    await works.made.run()
    barcode = "(01)04012345123456(30)12"
    entry = ("enter", "scrap", "--barcode", barcode, "--from", "L3-HOPPER", "--form", "form-0001", *WHO)
    first = await works.json(*entry)
    again = await works.json(*entry)
    assert (first["quantity"], first["material"], first["repeated"]) == ("12", "300017", False)
    assert (again["id"], again["repeated"]) == (first["id"], True)
    other = [*entry[:-4], *WHO, "--quantity", "12", "--order", "4711"]
    assert "another content" in await works.command(*other, code=1)
    assert "GTIN" in await works.command(
        "enter", "scrap", "--barcode", "04012345000009", "--quantity", "1", *WHO, code=1
    )
    await works.settled()
    assert (await works.booked())["scrapped/300017"] == 12
    documents = (await works.erp.ask("documents"))["documents"]
    assert sum(one["event"] == first["id"] for one in documents) == 1
    await works.command("reconcile")
    assert "entered material.scrapped" in await works.command("audit", "export")
    await works.command("audit", "verify")
