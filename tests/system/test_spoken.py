"""MES and SCADA speak to a running agent over a real broker, beside a real OPC UA line; it is killed now and then."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from edge_agent.broker import Message, Received, Session
from edge_agent.config.mqtt_reference import Mqtt
from edge_agent.control import ask
from edge_agent.errors import ControlError
from edge_agent.mqtt.network import PahoBroker
from edge_agent.store.reader import DATABASE_NAME, open_reader
from edge_agent_simulators.control import Process
from tests.cli.shop import run
from tests.inbound.speaking import spoken_text
from tests.kill.harness import Template
from tests.publishing.brokers import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
BASE = "mat/v1/acme/berlin/filling/L3/_"
PREFORMS = "consumed/300017"


class Scada:
    """Says things over a session of its own, and hears what is answered and what is published."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._numbers = count(1)
        self._answers: dict[str, dict[str, Any]] = {}
        self.events: dict[str, dict[str, Any]] = {}
        """Every event by its id; a second content of one fails the test."""
        self.exceptions: dict[str, dict[str, Any]] = {}
        """So every exception."""

    @classmethod
    async def connect(cls, port: int) -> Scada:
        broker = PahoBroker(Mqtt("127.0.0.1", port, None, "mat"), "scada")
        made = cls(await broker.connect(Message("scada/gone", b"")))
        await made._session.subscribe(f"{BASE}/_gateway/l3-edge/cmd/+/reply", made._answered)
        await made._session.subscribe(f"{BASE}/_material/#", made._published)
        await made._session.subscribe(f"{BASE}/_ops/exception", made._excepted)
        return made

    async def close(self) -> None:
        await self._session.close()

    def _answered(self, message: Received) -> None:
        body = json.loads(message.payload)
        self._answers[body.get("nonce", "")] = body

    def _published(self, message: Received) -> None:
        body = json.loads(message.payload)
        assert self.events.setdefault(body["id"], body) == body

    def _excepted(self, message: Received) -> None:
        body = json.loads(message.payload)
        assert self.exceptions.setdefault(body["id"], body) == body

    def said(self, cause: str) -> int:
        """How many exceptions there were for a cause."""
        return sum(one["data"]["cause"] == cause for one in self.exceptions.values())

    def send(self, name: str, body: dict[str, Any]) -> str:
        """Say it once; its nonce."""
        nonce = body.get("nonce") or f"nonce-{next(self._numbers):05}"
        expires = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
        said = {"expires": expires, **body, "nonce": nonce}
        self._session.publish(
            Message(f"{BASE}/_gateway/l3-edge/cmd/{name}", json.dumps(said).encode()), lambda _puback: None
        )
        return nonce

    async def say(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """Say it until it is answered, as SCADA must: the agent may be away."""
        for _ in range(60):
            nonce = self.send(name, body)
            for _ in range(20):
                if nonce in self._answers:
                    return self._answers.pop(nonce)
                await asyncio.sleep(0.05)
        raise AssertionError(f"never answered: {body}")

    def moved(self) -> dict[str, list[str]]:
        """By container: the orders of its movements, one each."""
        found = defaultdict(list)
        for event in self.events.values():
            for line in event["data"]["materialActual"]:
                if event["type"].endswith("material.moved.v1") and line["materialUse"] == "Consumed":
                    found[line["containerID"]].append(event["data"].get("jobOrderID", ""))
        return dict(found)

    def sums(self, event: str, material: str) -> dict[str, Decimal]:
        """What was published of an event and a material, by order."""
        found: dict[str, Decimal] = defaultdict(Decimal)
        for one in self.events.values():
            for line in one["data"]["materialActual"]:
                if one["type"].endswith(f".{event}.v1") and line["materialDefinitionID"] == material:
                    found[one["data"].get("jobOrderID", "")] += Decimal(line["quantity"]["quantityString"])
        return dict(found)


class Works:
    """Line, broker, agent and SCADA."""

    def __init__(self, folder: Path, line: Process, agent: Template, scada: Scada) -> None:
        self.data = folder / "data"
        self.line = line
        self.agent = agent
        self.scada = scada

    async def run(self, **how: Any) -> None:
        """Run the agent until it is ready."""
        await self.agent.ask("run", **how)

    async def ready(self) -> None:
        async with asyncio.timeout(60):
            while not await self._is_up():
                await asyncio.sleep(0.1)

    async def _is_up(self) -> bool:
        try:
            status = await asyncio.to_thread(ask, self.data, "status")
        except ControlError:
            return False
        return {"filler", "broker"} <= {name for name, part in status["components"].items() if part["state"] == "up"}

    async def start(self) -> None:
        """The line starts, more than a sampling interval (100 ms) after what was said: no count can be of before it."""
        await asyncio.sleep(0.5)
        await self.line.ask("start")

    async def rest(self) -> None:
        """The line stops, and all that the agent has is published."""
        await self.line.ask("stop")
        async with asyncio.timeout(60):
            while not (await self.line.ask("status"))["at_rest"]:
                await asyncio.sleep(0.1)
        await asyncio.sleep(3)  # what is held settles
        await asyncio.to_thread(ask, self.data, "cut")

    def books(self) -> Any:
        with open_reader(self.data / DATABASE_NAME) as reader:
            assert reader.imbalances() == []
            return reader.totals(), reader.reviews(), reader.in_transit()


@asynccontextmanager
async def works(folder: Path, *edits: tuple[str, str]) -> AsyncIterator[Works]:
    async with AsyncExitStack() as stack:
        broker = await Process.start("broker", "--port", "0")
        stack.push_async_callback(broker.stop)
        line = await Process.start("line", "--no-script", "--cases-per-pallet", "1", "--seed", "5")
        stack.push_async_callback(line.stop)
        text = spoken_text(f"mqtt://127.0.0.1:{broker.ready['port']}").replace(":4840", f":{line.ready['port']}")
        text = text.replace("every 5 s", "every 1 s").replace("every 2 s", "every 1 s")
        for old, new in edits:
            assert old in text
            text = text.replace(old, new)
        (folder / "line.yaml").write_text(text, encoding="utf-8")
        agent = await Template.fork_server(folder / "line.yaml", folder / "data", folder / "agent.log")
        stack.push_async_callback(agent.stop)
        scada = await Scada.connect(int(broker.ready["port"]))
        stack.push_async_callback(scada.close)
        made = Works(folder, line, agent, scada)
        try:
            yield made
        finally:
            await agent.ask("kill")


def _movement(number: int, **changes: Any) -> dict[str, Any]:
    said = {"rule": "agv_out", "id": f"AGV-{number}", "time": datetime.now(UTC).isoformat(), "quantity": "2"}
    return {**said, "unit": "case", "container": f"AGV-P{number}", **changes}


async def test_mes_says_the_order_of_what_the_line_counts(tmp_path: Path) -> None:
    """The line counts preforms over OPC UA; which order they are for is known from MES alone."""
    async with works(tmp_path, ("order: filler.order_no", "order: mes.order_no")) as made:
        await made.run()
        await made.ready()
        first = await made.scada.say("context", {"source": "mes", "values": {"order_no": "4711"}})
        assert (first["taken"], first["reason"]) == (1, None)
        await made.start()
        await until(lambda: made.scada.sums("consumed", "300017").get("4711", 0) > 20, "the first order consumes")
        await made.scada.say("context", {"source": "mes", "values": {"order_no": "4712"}})
        await until(lambda: made.scada.sums("consumed", "300017").get("4712", 0) > 0, "so does the second")
        await made.agent.ask("kill")
        await made.run()
        before = made.scada.sums("consumed", "300017")["4712"]
        await until(lambda: made.scada.sums("consumed", "300017")["4712"] > before + 20, "and after the kill")
        await made.rest()
        truth = (await made.line.ask("ledger"))["ledger"]
        consumed = sum(Decimal(value) for key, value in truth.items() if key.startswith(PREFORMS))
        await until(lambda: sum(made.scada.sums("consumed", "300017").values()) == consumed, "all is published")
        assert set(made.scada.sums("consumed", "300017")) == {"4711", "4712"}
        assert made.books()[1] == []


@pytest.mark.parametrize("point", ["after-step", "before-commit", "after-commit"])
async def test_scada_confirms_once_whatever_happens(tmp_path: Path, point: str) -> None:
    """Each message is sent three times at least; the agent dies beside a commit again and again."""
    async with works(tmp_path) as made:
        await made.run()
        await made.ready()
        await made.scada.say("context", {"source": "mes", "values": {"order_no": "4711"}})
        for number in range(8):
            body = _movement(number)
            if number % 2:
                await made.agent.ask("kill")
                await made.run(kill_at=point, hit=20 + 7 * number)
            for _ in range(2):
                made.scada.send("confirm", body)
            said = asyncio.create_task(made.scada.say("confirm", body))
            while not said.done():
                ended = await made.agent.ask("wait", seconds=0.5)
                if ended["ended"] and ended.get("code") == -9:
                    await made.run()
            answer = await said
            assert (answer["id"], answer["result"]) == (f"AGV-{number}", 0)
        again = await made.scada.say("confirm", body)
        assert (again["result"], again["repeated"]) == (0, True)
        conflict = await made.scada.say("confirm", body | {"quantity": "3"})
        assert (conflict["result"], conflict["review"]) == (2, "agv_out/1/1")
        nak = await made.scada.say("confirm", _movement(99, quantity="-1"))
        assert (nak["result"], nak["reason"]) == (1, "quantity is -1, not a positive quantity")
        await until(lambda: len(made.scada.moved()) == 8, "all movements are published")
        assert made.scada.moved() == {f"AGV-P{number}": ["4711"] for number in range(8)}
        totals, reviews, _ = made.books()
        assert totals["moved/900001/4711/L3-OUT"] == 8 * 48
        assert sorted(one["cause"] for one in reviews) == ["conflict", "failed-check"]


async def test_what_failed_its_check_is_booked_as_it_was_found(tmp_path: Path) -> None:
    """A pallet stands there, of which SCADA said -1: somebody counts it. Its places must be known, and whose it is."""
    async with works(tmp_path, ("    to: WH-01\n    order: mes.order_no", "    order: mes.order_no")) as made:
        await made.run()
        await made.ready()
        await made.scada.say("context", {"source": "mes", "values": {"order_no": "4711"}})
        for number, to in ((1, "WH-01"), (2, None)):
            told = _movement(number, quantity="-1", **({} if to is None else {"to": to}))
            assert (await made.scada.say("confirm", told))["review"] == f"agv_out/1/{number}"

        async def accept(name: str, **word: Any) -> dict[str, Any]:
            who = {"id": name, "by": "A. Kern", "reason": "counted in the aisle"}
            return await asyncio.to_thread(ask, made.data, "review.accept", **who, **word)

        with pytest.raises(ControlError, match="say which candidate happened, or the quantity that was found"):
            await accept("agv_out/1/1")
        with pytest.raises(ControlError, match="above 0"):
            await accept("agv_out/1/1", quantity="-2")
        with pytest.raises(ControlError, match="candidates 1 to 1, not 2"):
            await accept("agv_out/1/1", quantity="93", candidate=2)
        with pytest.raises(ControlError, match=r"agv_out/1/2 does not say from where or to where it went: reject it"):
            await accept("agv_out/1/2", quantity="93")
        who = ("--by", "A. Kern", "--reason", "counted in the aisle", "--data", made.data)
        said = await run("review", "accept", "agv_out/1/1", "--quantity", "93", *who)
        assert (said.exit_code, said.stdout) == (0, "agv_out/1/1: booked 93 pcs\n")
        with pytest.raises(ControlError, match=r"accepted already, by A\. Kern"):
            await accept("agv_out/1/1", quantity="93")
        await until(lambda: len(made.scada.moved()) == 1, "it is published")
        assert made.scada.sums("moved", "900001") == {"4711": 2 * 93}, (
            "a line for where it left, and one for where it is"
        )
        for name, whole in (("agv_out/1/1", "accepted candidate 1, 93 pcs by A. Kern at "), ("agv_out/1/2", "opened ")):
            assert f"\n  {whole}" in (await run("review", "show", name, "--data", made.data)).stdout
        assert made.books()[0]["moved/900001/4711/L3-OUT"] == 93


_TRANSPORT = """  agv_left:
    event: moved
    material: "900001"
    from: WH-01
    to: WH-02
    confirmation: {source: mes}
    phase: departed
  agv_there:
    event: moved
    material: "900001"
    from: WH-01
    to: WH-02
    confirmation: {source: mes}
    phase: arrived
    pairs_with: agv_left
    arrives_within: 4 h
"""


async def test_what_passed_and_what_is_on_its_way_outlives_a_kill(tmp_path: Path) -> None:
    confirmation = "confirmation: {source: mes}\n"
    once = (confirmation, f"{confirmation}    once_per: {{key: container, within: 12 h, else: exclude}}\n")
    async with works(tmp_path, once, ("ownership:", f"{_TRANSPORT}ownership:")) as made:
        await made.run()
        await made.ready()
        await made.scada.say("context", {"source": "mes", "values": {"order_no": "4711"}})
        for number in range(3):
            await made.scada.say("confirm", _movement(number, container="P1"))
            left = _movement(100 + number, rule="agv_left", container=f"Q{number}")
            assert (await made.scada.say("confirm", left))["result"] == 0
            await made.agent.ask("kill")
            await made.run()
        assert [one["container"] for one in made.books()[2]] == ["Q0", "Q1", "Q2"]
        for number in range(2):
            there = _movement(200 + number, rule="agv_there", container=f"Q{number}")
            assert [(await made.scada.say("confirm", there))["result"] for _ in range(2)] == [0, 0]
        await until(lambda: len(made.scada.moved()) == 3, "all movements are published")
        assert made.scada.moved() == {"P1": ["4711"], "Q0": [""], "Q1": [""]}
        totals, reviews, under_way = made.books()
        assert totals["moved/900001/4711/L3-OUT"] == 48
        assert totals["moved/900001//WH-01"] == 96
        assert (reviews, [one["container"] for one in under_way]) == ([], ["Q2"])


_LOTS = (
    ("PET preform 28 g, class: packaging, unit: pcs", "PET preform 28 g, class: packaging, unit: pcs, {policy}"),
    ("from: L3-HOPPER", "from: L3-HOPPER\n    lot_from: {tag: mes.lot}"),
)


async def test_a_lot_on_hold_is_said_while_the_line_consumes_it(tmp_path: Path) -> None:
    """The line counts preforms over OPC UA; MES says which lot they are of, and LIMS what may be done with it."""
    policy = "lot_tracked: true, lot_status: {from: lims}"
    edits = tuple((old, new.replace("{policy}", policy)) for old, new in _LOTS)
    async with works(
        tmp_path, ("  mes: {mqtt: commands}", "  mes: {mqtt: commands}\n  lims: {mqtt: commands}"), *edits
    ) as made:
        await made.run()
        await made.ready()
        scada = made.scada

        async def lims(status: str) -> None:
            said = {"source": "lims", "lots": [{"material": "300017", "lot": "L7", "status": status}]}
            answer = await scada.say("lot-status", said)
            assert (answer["taken"], answer["reason"]) == (1, None)

        await lims("RELEASED")
        await scada.say("context", {"source": "mes", "values": {"lot": "L7", "order_no": "4711"}})
        await made.start()
        await until(lambda: sum(scada.sums("consumed", "300017").values()) > 20, "the lot is consumed")
        assert scada.said("lot-blocked") == 0
        await lims("QA-HOLD")
        await until(lambda: scada.said("lot-blocked") > 0, "the exception arrives")
        await made.agent.ask("kill")
        await made.run()
        before = len(scada.exceptions)
        await until(lambda: len(scada.exceptions) > before and scada.said("lot-blocked") > 1, "and after the restart")
        await lims("RELEASED")
        await made.rest()
        truth = (await made.line.ask("ledger"))["ledger"]
        consumed = sum(Decimal(value) for key, value in truth.items() if key.startswith(PREFORMS))
        await until(lambda: sum(scada.sums("consumed", "300017").values()) == consumed, "all is published")
        assert {one["data"]["cause"] for one in scada.exceptions.values()} == {"lot-blocked"}
        assert made.books()[1] == []
