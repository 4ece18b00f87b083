"""The line as a process: a real OPC UA client sees what the control channel calls the truth."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import pytest
from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.uaerrors import BadMessageNotAvailable, BadSubscriptionIdInvalid, UaError, UaStatusCodeError

from edge_agent_simulators.control import Process
from edge_agent_simulators.opcua import TYPES
from edge_agent_simulators.plc import FILLER, INFEED, ORDER, PAL_ACK, PAL_CASES, PAL_RESULT, PAL_SEQ, PAL_SSCC

Until = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]
Starter = Callable[..., Awaitable[Process]]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:asyncua.*")


class LineClient(Client):
    """A client that addresses the line's nodes by name."""

    async def of(self, name: str) -> Any:
        index = await self.get_namespace_index("urn:example:bottling-line")
        return self.get_node(ua.NodeId(ua.String(name), ua.Int16(index)))


@asynccontextmanager
async def connected(line: Process) -> AsyncIterator[LineClient]:
    client = LineClient(line.ready["url"], timeout=10)
    await client.connect()
    try:
        yield client
    finally:
        try:
            await client.disconnect()
        except (ConnectionError, OSError, TimeoutError, UaError):
            client.disconnect_socket()


class Seen:
    """Collects data changes."""

    def __init__(self) -> None:
        self.values: dict[str, list[tuple[Any, datetime]]] = {}

    def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
        stamp = data.monitored_item.Value.SourceTimestamp
        self.values.setdefault(str(node.nodeid.Identifier), []).append((value, stamp))


async def test_nodes_have_the_types_of_the_tag_map_and_only_two_can_be_written(start: Starter) -> None:
    line = await start("line", "--no-script")
    async with connected(line) as client:
        for name, kind in TYPES.items():
            node = await client.of(name)
            assert (await node.read_data_value()).Value.VariantType is kind
        for name in (PAL_ACK, PAL_RESULT):
            await (await client.of(name)).write_value(ua.Variant(0, TYPES[name]))
        for name in (ORDER, INFEED, FILLER, PAL_SEQ, PAL_SSCC, PAL_CASES):
            node = await client.of(name)
            with pytest.raises(UaStatusCodeError):
                await node.write_value(await node.read_data_value())


async def test_source_timestamps_and_truth_are_one(start: Starter, until: Until) -> None:
    line = await start("line", "--no-script", "--seed", 4)
    async with connected(line) as client:
        seen = Seen()
        subscription = await client.create_subscription(50, seen)
        await subscription.subscribe_data_change([await client.of(INFEED)], queuesize=1000)
        await line.ask("start")

        async def enough() -> bool:
            return len(seen.values.get(INFEED, [])) > 20

        await until(enough)
        await subscription.delete()
    (first, since), *rest = seen.values[INFEED]
    order = (await line.ask("status"))["order"]
    key = f"consumed/300017/{order}/L3-HOPPER"
    for value, stamp in rest:
        answer = await line.ask("truth", key=key, **{"from": since.isoformat(), "to": stamp.isoformat()})
        assert int(answer["truth"]) == (value - first) % 65536
    stamps = [stamp for _, stamp in rest]
    assert stamps == sorted(set(stamps))


async def test_a_restart_ends_sessions_and_begins_anew_on_the_same_port(start: Starter, until: Until) -> None:
    line = await start("line", "--no-script")
    await line.ask("start")
    async with connected(line) as client:
        started = await client.get_node(ua.NodeId(ua.Int32(ObjectIds.Server_ServerStatus_StartTime))).read_value()
        fault = (await line.ask("inject", fault="signed_reset", counter="bottles", seconds=1.0))["fault"]
        assert fault["kind"] == "signed_reset"

        async def down() -> bool:
            return not (await line.ask("status"))["online"]

        await until(down)
        with pytest.raises(OSError, match="Connect call failed"):
            await Client(line.ready["url"], timeout=2).connect()

        async def up() -> bool:
            return bool((await line.ask("status"))["online"])

        await until(up)
        with pytest.raises((ConnectionError, UaError)):
            await (await client.of(INFEED)).read_value()
    async with connected(line) as client:
        again = await client.get_node(ua.NodeId(ua.Int32(ObjectIds.Server_ServerStatus_StartTime))).read_value()
        assert again > started
        assert await (await client.of(FILLER)).read_value() < 1_000
        seen = Seen()
        subscription = await client.create_subscription(50, seen)
        await subscription.subscribe_data_change([await client.of(INFEED)], queuesize=1000)

        async def flowing() -> bool:
            return len(seen.values.get(INFEED, [])) > 5

        await until(flowing)


async def test_republish_says_what_it_does_not_have(start: Starter) -> None:
    line = await start("line", "--no-script")
    async with connected(line) as client:
        subscription = await client.create_subscription(1000, Seen())
        number = subscription.subscription_id
        assert number is not None
        with pytest.raises(BadMessageNotAvailable):
            await client.uaclient.session.republish(number, 4711)
        with pytest.raises(BadSubscriptionIdInvalid):
            await client.uaclient.session.republish(999_999, 1)


async def test_a_pallet_is_acknowledged_by_what_the_client_writes(start: Starter, until: Until) -> None:
    line = await start("line", "--no-script")
    await line.ask("start")

    async def raised() -> bool:
        return bool((await line.ask("handshakes"))["handshakes"])

    await until(raised)
    async with connected(line) as client:
        block = {name: await (await client.of(name)).read_value() for name in (PAL_SEQ, PAL_CASES, PAL_SSCC, PAL_ACK)}
        assert block[PAL_ACK] == block[PAL_SEQ] - 1
        # Ack before Result, as a client may: the PLC's cycle reads both
        await (await client.of(PAL_ACK)).write_value(ua.Variant(block[PAL_SEQ], TYPES[PAL_ACK]))
        await (await client.of(PAL_RESULT)).write_value(ua.Variant(4, TYPES[PAL_RESULT]))

        async def answered() -> bool:
            return (await line.ask("handshakes"))["handshakes"][0]["acknowledged"] is not None

        await until(answered)
    pallet = (await line.ask("handshakes"))["handshakes"][0]
    assert (pallet["number"], pallet["cases"], pallet["sscc"]) == (block[PAL_SEQ], block[PAL_CASES], block[PAL_SSCC])
    assert pallet["acknowledgements"] == 1


async def test_refusals_name_what_is_wrong_and_the_next_request_works(start: Starter) -> None:
    line = await start("line", "--no-script")
    for request, words in (
        ({"cmd": "nonsense"}, "nonsense"),
        ({"cmd": "inject", "fault": "earthquake"}, "earthquake"),
        ({"cmd": "truth", "key": "a"}, "from"),
        ({"cmd": "set", "counter": "preforms"}, "value"),
    ):
        with pytest.raises(RuntimeError, match=words):
            await line.ask(**request)
    await line.ask("set", counter="preforms", value=123)
    await line.ask("set", order="4713")
    status = await line.ask("status")
    assert status["registers"][INFEED] == 123
    assert status["order"] == "4713"
    assert (await line.ask("ledger"))["ledger"] == {}


async def test_it_ends_when_its_input_closes_even_while_the_plc_is_down(start: Starter) -> None:
    line = await start("line", "--for", 60, "--seed", 3)
    assert len(line.ready["orders"]) == 3
    await line.ask("start")
    await line.ask("restart_server", seconds=3)
    await asyncio.sleep(0.2)
    assert await line.stop() == 0
