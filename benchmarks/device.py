"""An OPC UA server that is never the bottleneck: `python -m benchmarks.device --tags 1000`, controlled by JSON lines.

asyncua's own server answers every handshake, subscribe, read and acknowledgement; only the bodies of its data change
notifications are packed here, a whole notification in one `struct` call, so it sends a hundred times what its own
writes give. Who consumes its changes grants it credit in UDP datagrams, each a decimal number of changes.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import struct
import time
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from asyncua import ua
from asyncua.server import subscription_service
from asyncua.server.internal_subscription import InternalSubscription
from asyncua.server.monitored_item_service import MonitoredItemData
from asyncua.server.server import Server
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds

from benchmarks.plant import NAMESPACE, ORDER, tag_name
from edge_agent_simulators.service import Command, Json, free_port, serve

_YEAR_1601 = 116_444_736_000_000_000
"""100 ns from 1601, where OPC UA's DateTime begins, to 1970 (OPC 10000-6, 5.2.2.5)."""
_CHANGE = "IBBIqq"
"""ClientHandle; DataValue with value, source and server time (encoding 0x0D); a scalar UInt32 Variant (type 7)."""
_MASK, _UINT32 = 0x0D, 7
_BODY = ua.NodeId(ua.Int32(ObjectIds.DataChangeNotification_Encoding_DefaultBinary), ua.Int16(0))
_BATCH = 1000
_PATIENCE = 100.0


class Generator:
    """Which change is next: the tags take turns, and each runs on by one every time. All subscriptions share it."""

    def __init__(self, tags: int) -> None:
        self.tags = tags
        self.made = 0
        self.flooding = False
        self.consumer: Subscription | None = None
        self._granted = self._until = self._credit = self._least = 0
        self._rate = 0.0
        self._began = 0
        self._first = 0
        self._spread = False
        self._done = asyncio.Event()

    @property
    def ready(self) -> int:
        """How many changes may go out now."""
        until = self._until
        if self.flooding:
            allowed = min(until, self._granted + self._credit)
            until = allowed if allowed - self.made >= min(self._least, until - self.made) else self.made
        elif self._rate:
            until = min(until, self._first + int((time.time_ns() - self._began) * self._rate / 1e9))
        return max(0, min(until - self.made, _BATCH))

    async def flood(self, changes: int, credit: int, least: int) -> float:
        """Send as fast as is asked for, at most `credit` ahead of what was granted; seconds until all was granted.

        A notification has `least` changes, as one of a publishing interval has many, not one for each grant.

        Raises TimeoutError where that takes longer than anybody waits.
        """
        self._done.clear()
        self.flooding, self._credit, self._least = True, credit, least
        self._granted = self.made
        self._until = self.made + changes
        began = time.perf_counter()
        async with asyncio.timeout(_PATIENCE):
            await self._done.wait()
        self.flooding = False
        return time.perf_counter() - began

    def pace(self, rate: float, changes: int, *, spread: bool) -> None:
        """Send `changes` at `rate` a second; stamped when sent, or (`spread`) when each was due."""
        self.flooding, self._rate, self._spread = False, rate, spread
        self._first, self._until, self._began = self.made, self.made + changes, time.time_ns()

    def grant(self, number: int) -> None:
        """So many changes more have been dealt with."""
        self._granted += number
        if self._granted >= self._until:
            self._done.set()

    def value(self, tag: int) -> int:
        """What a tag shows now."""
        return self.made // self.tags + (tag < self.made % self.tags)

    def body(self, handles: list[int], number: int) -> bytes:
        """The next `number` changes as a DataChangeNotification."""
        now = time.time_ns() // 100 + _YEAR_1601
        spread = self._spread and not self.flooding
        flat: list[int] = []
        for change in range(self.made, self.made + number):
            due = int((change - self._first) / self._rate * 1e9) + self._began if spread else 0
            stamp = due // 100 + _YEAR_1601 if spread else now
            flat += (handles[change % self.tags], _MASK, _UINT32, change // self.tags + 1, stamp, now)
        self.made += number
        changes = struct.pack("<" + _CHANGE * number, *flat)
        return struct.pack("<i", number) + changes + struct.pack("<i", -1)


class Subscription(InternalSubscription):
    """asyncua's subscription, whose data changes come from `generator` once every counter is monitored."""

    generator: Generator
    _handles: list[int]
    _again: asyncio.Task[bool] | None = None

    async def start(self) -> None:
        """The newest subscription gets the changes: one that a client left behind must not eat them."""
        self.generator.consumer = self
        await super().start()

    def has_published_results(self) -> bool:
        """Also where the generator has something."""
        return self._flows() or super().has_published_results()

    async def publish_results(self, requestdata: Any = None) -> bool:
        """One notification; in a flood the next one goes as soon as it is asked for."""
        sent = await super().publish_results(requestdata)
        if sent:
            self.go_on()
        return sent

    def go_on(self) -> None:
        """In a flood, take the next publish request without waiting for the publishing interval."""
        if self.generator.flooding and self._flows():
            self._again = asyncio.get_running_loop().create_task(self.publish_results())

    def _flows(self) -> bool:
        return (
            self.generator.consumer is self and self.generator.ready > 0 and len(self._items()) >= self.generator.tags
        )

    def _items(self) -> Collection[MonitoredItemData]:
        return self.monitored_item_srv._monitored_items.values()  # noqa: SLF001 - asyncua shows its items nowhere else

    def _pop_triggered_datachanges(self, result: ua.PublishResult) -> None:
        if self._triggered_datachanges or not self._flows():
            super()._pop_triggered_datachanges(result)
            return
        if not hasattr(self, "_handles"):
            known = {_tag_of(item): int(item.client_handle or 0) for item in self._items()}
            self._handles = [known[tag_name(number)] for number in range(self.generator.tags)]
        body = self.generator.body(self._handles, self.generator.ready)
        result.NotificationMessage.NotificationData.append(ua.ExtensionObject(TypeId=_BODY, Body=ua.ByteString(body)))


def _tag_of(item: MonitoredItemData) -> str:
    return "" if item.read_value_id is None else str(item.read_value_id.NodeId.Identifier)


class _Grants(asyncio.DatagramProtocol):
    def __init__(self, generator: Generator) -> None:
        self._generator = generator

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002 - asyncio's signature
        self._generator.grant(int(data))
        if self._generator.consumer is not None:
            self._generator.consumer.go_on()


async def _main(tags: int, port: int) -> None:
    generator = Generator(tags)
    Subscription.generator = generator
    setattr(subscription_service, "InternalSubscription", Subscription)  # noqa: B010 - asyncua takes no factory
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    await _add_nodes(server, generator)
    loop = asyncio.get_running_loop()
    grants, _ = await loop.create_datagram_endpoint(lambda: _Grants(generator), ("127.0.0.1", 0))
    await server.start()

    async def flood(request: Json) -> Json:
        work = asyncio.create_task(generator.flood(request["changes"], request["credit"], request["least"]))
        await asyncio.sleep(0)
        if generator.consumer is not None:
            generator.consumer.go_on()
        return {"seconds": await work}

    def pace(request: Json) -> Json:
        generator.pace(request["rate"], request["changes"], spread=request["spread"])
        return {}

    commands: dict[str, Command] = {"flood": flood, "pace": pace, "made": lambda _request: {"made": generator.made}}
    try:
        await serve({"port": port, "grants": grants.get_extra_info("sockname")[1]}, commands)
    finally:
        await server.stop()


async def _add_nodes(server: Server, generator: Generator) -> None:
    index = await server.register_namespace(NAMESPACE)
    objects, space = server.nodes.objects, server.iserver.aspace
    order = ua.NodeId(ua.String(ORDER), ua.Int16(index))
    await objects.add_variable(order, ua.QualifiedName(ORDER, ua.UInt16(index)), "A1", ua.VariantType.String)
    for number in range(generator.tags):
        node, name = ua.NodeId(ua.String(tag_name(number)), ua.Int16(index)), tag_name(number)
        await objects.add_variable(node, ua.QualifiedName(name, ua.UInt16(index)), 0, ua.VariantType.UInt32)
        space.set_attribute_value_callback(node, AttributeIds.Value, _shower(generator, number))


def _shower(generator: Generator, number: int) -> Any:
    def show(_node: object, _attribute: object) -> ua.DataValue:
        now: Any = datetime.now(UTC)
        value = ua.Variant(generator.value(number), ua.VariantType.UInt32)
        return ua.DataValue(value, SourceTimestamp=now, ServerTimestamp=now)

    return show


def main() -> None:
    """Run until the control channel closes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tags", type=int, required=True)
    parser.add_argument("--port", type=int, default=0, help="0 (default) takes a free one")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.CRITICAL)
    asyncio.run(_main(arguments.tags, arguments.port or free_port()))


if __name__ == "__main__":
    main()
