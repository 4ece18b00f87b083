"""The MES behind a real broker, and the saboteur between them."""

from __future__ import annotations

import asyncio
import json
import queue
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent_simulators.broker import mosquitto
from edge_agent_simulators.control import Process
from edge_agent_simulators.sabotage import Sabotage

Until = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]
Starter = Callable[..., Awaitable[Process]]
GATEWAY = "mat/v1/acme/berlin/filling/L3/_/_gateway/l3-edge"


class Agent:
    """Publishes events, and answers `cmd/replay` with their bytes."""

    def __init__(self) -> None:
        self.replays: list[dict[str, Any]] = []
        self.shelf: dict[tuple[str, int], tuple[str, bytes]] = {}
        self._granted: queue.Queue[bool] = queue.Queue()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="agent", protocol=paho.MQTTv5)
        self._client.on_subscribe = lambda *_arguments: self._granted.put(True)
        self._client.on_message = self._asked

    def connect(self, port: int) -> None:
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._client.subscribe(f"{GATEWAY}/cmd/replay", qos=1)
        self._granted.get(timeout=10)

    def publish(self, topic: str, payload: bytes) -> None:
        self._client.publish(topic, payload, qos=1).wait_for_publish(10)

    def keep(self, topic: str, payload: bytes) -> None:
        event = json.loads(payload)
        self.shelf[event["source"], int(event["sequence"])] = (topic, payload)

    def heartbeat(self) -> None:
        heads: dict[str, int] = {}
        for source, sequence in self.shelf:
            heads[source] = max(sequence, heads.get(source, 0))
        self.publish(f"{GATEWAY}/heartbeat", json.dumps({"data": {"streams": heads}}).encode())

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        # paho closes its own socket pair only when it is freed: leave no cycle that would put that off
        self._client.on_subscribe = self._client.on_message = None
        del self._client

    def _asked(self, client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        command = json.loads(message.payload)
        self.replays.append(command)
        wanted = command["data"]
        for sequence in range(wanted["from"], wanted["to"] + 1):
            client.publish(*self.shelf[wanted["source"], sequence], qos=1)


@pytest.fixture
async def agent() -> AsyncIterator[Agent]:
    found = Agent()
    yield found
    await asyncio.to_thread(found.close)


def contiguous(mes: Process, source: str, sequence: int) -> Callable[[], Awaitable[bool]]:
    async def reached() -> bool:
        stats = await mes.ask("stats")
        return bool(stats["sources"].get(source, {}).get("contiguous") == sequence)

    return reached


async def test_it_asks_for_what_it_missed_in_the_middle_and_at_the_tail(
    start: Starter, until: Until, agent: Agent, maker: Any
) -> None:
    broker = await start("broker")
    mes = await start("mes", "--port", broker.ready["port"])
    agent.connect(broker.ready["port"])
    events = maker()
    for number in range(1, 9):
        agent.keep(events.topic(), events.make("consumed", str(number)))
    for number in (1, 2, 5):
        agent.publish(*agent.shelf[events.source, number])
    await until(contiguous(mes, events.source, 5))
    first = agent.replays[0]
    assert (first["specversion"], first["type"]) == ("1.0", "io.edgeagent.cmd.replay.v1")
    assert first["data"] == {"source": events.source, "from": 3, "to": 4}
    agent.heartbeat()
    await until(contiguous(mes, events.source, 8))
    assert agent.replays[-1]["data"] == {"source": events.source, "from": 6, "to": 8}
    assert (await mes.ask("totals"))["totals"] == {"consumed/300017/4711/L3-HOPPER": "36"}
    assert (await mes.ask("stats"))["sources"][events.source]["chain_breaks"] == []
    wire = (await mes.ask("wire"))["wire"]
    kept = {event["sequence"]: event["sha256"] for event in (await mes.ask("events"))["events"]}
    assert [entry["sequence"] for entry in wire][:3] == [1, 2, 5]
    assert all(kept[entry["sequence"]] == entry["sha256"] for entry in wire)


async def test_it_comes_back_after_the_broker_and_after_its_own_end(
    start: Starter, until: Until, agent: Agent, maker: Any, tmp_path: Any
) -> None:
    broker = await start("broker")
    port, database = broker.ready["port"], tmp_path / "mes.db"
    mes = await start("mes", "--port", port, "--db", database)
    await broker.kill()
    await start("broker", "--port", port, "--port-v3", broker.ready["port_v3"])

    async def reconnected() -> bool:
        return int((await mes.ask("stats"))["connects"]) >= 2

    await until(reconnected)
    agent.connect(port)
    events = maker()
    agent.keep(events.topic(), events.make())
    agent.heartbeat()
    await until(contiguous(mes, events.source, 1))
    assert await mes.stop() == 0
    # published while it is away: the broker keeps it for the session
    agent.publish(events.topic(), events.make())
    mes = await start("mes", "--port", port, "--db", database)
    await until(contiguous(mes, events.source, 2))
    assert (await mes.ask("totals"))["totals"] == {"consumed/300017/4711/L3-HOPPER": "24"}


async def test_reviews_and_exceptions_can_be_read(start: Starter, until: Until, agent: Agent, maker: Any) -> None:
    broker = await start("broker")
    mes = await start("mes", "--port", broker.ready["port"])
    agent.connect(broker.ready["port"])
    events = maker("ops")
    for name in ("movement.inreview", "exception.raised"):
        payload = events.make().replace(b"material.consumed", name.encode())
        events.sent[-1] = payload
        agent.publish(events.topic("x"), payload)
    agent.publish("mat/v1/a/_material/consumed", b"no event")
    await until(contiguous(mes, events.source, 2))

    async def counted() -> bool:
        return len((await mes.ask("stats"))["malformed"]) == 1

    await until(counted)
    assert [event["sequence"][-1] for event in (await mes.ask("reviews"))["reviews"]] == ["1"]
    assert [event["sequence"][-1] for event in (await mes.ask("exceptions"))["exceptions"]] == ["2"]
    assert (await mes.ask("totals"))["totals"] == {}


KINDS = ["iotcore", *(["mosquitto"] if mosquitto() else [])]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sabotage", [kind.value for kind in Sabotage])
async def test_each_sabotage_shows_at_the_mes(
    start: Starter, until: Until, agent: Agent, maker: Any, kind: str, sabotage: str
) -> None:
    broker = await start("broker", "--kind", kind)
    port = broker.ready["port"]
    proxy = await start("proxy", "--upstream-port", port, "--sabotage", sabotage)
    mes = await start("mes", "--port", proxy.ready["port"])
    agent.connect(port)
    events = maker()
    for number in range(1, 61):
        agent.keep(events.topic(), events.make("consumed", str(number), order="A" if number <= 30 else "B"))
        agent.publish(*agent.shelf[events.source, number])
    agent.heartbeat()
    honest = {"consumed/300017/A/L3-HOPPER": 465, "consumed/300017/B/L3-HOPPER": 1365}
    expected = {
        "none": honest,
        "drop": {**honest, "consumed/300017/A/L3-HOPPER": 462},
        "double": {**honest, "consumed/300017/A/L3-HOPPER": 468},
        "wrong-order": {"consumed/300017/A/L3-HOPPER": 465 + 31, "consumed/300017/B/L3-HOPPER": 1365 - 31},
        "late-unit": {**honest, "consumed/300017/A/L3-HOPPER": 462},
    }[sabotage]

    async def all_else_arrived() -> bool:
        stats = (await mes.ask("stats"))["sources"].get(events.source, {})
        missing = [[3, 3]] if sabotage in {"drop", "late-unit"} else []
        asked = not missing or stats.get("replays", 0) >= 2
        return bool(stats.get("highest") == 60 and stats["gaps"] == missing and asked)

    await until(all_else_arrived)
    totals = {key: int(value) for key, value in (await mes.ask("totals"))["totals"].items()}
    assert totals == expected
    altered = await proxy.ask("altered")
    if sabotage == "none":
        assert altered["altered"] is None
        return
    victim = 31 if sabotage == "wrong-order" else 3
    assert int(altered["altered"]["sequence"]) == victim
    stats = (await mes.ask("stats"))["sources"][events.source]
    assert stats["chain_breaks"] == ([victim + 1] if sabotage in {"double", "wrong-order"} else [])
    agent.publish(*agent.shelf[events.source, victim])
    if sabotage == "late-unit":
        assert altered["holding"]
        assert (await proxy.ask("release"))["released"] == 1
        await until(contiguous(mes, events.source, 60))
        assert {key: int(value) for key, value in (await mes.ask("totals"))["totals"].items()} == honest
        return
    await _every_copy_is_altered(proxy, mes, until, altered["altered"]["times"])


async def _every_copy_is_altered(proxy: Process, mes: Process, until: Until, before: int) -> None:
    """The resend was met too, and the MES saw no other bytes for the same event."""

    async def met() -> bool:
        return bool((await proxy.ask("altered"))["altered"]["times"] > before)

    await until(met)
    assert (await mes.ask("stats"))["conflicts"] == []


async def test_the_proxy_survives_a_broker_that_is_away(start: Starter, until: Until) -> None:
    broker = await start("broker")
    proxy = await start("proxy", "--upstream-port", broker.ready["port"])
    mes = await start("mes", "--port", proxy.ready["port"])
    await broker.kill()
    await start("broker", "--port", broker.ready["port"], "--port-v3", broker.ready["port_v3"])

    async def reconnected() -> bool:
        return int((await mes.ask("stats"))["connects"]) >= 2

    await until(reconnected)
    assert await proxy.stop() == 0
