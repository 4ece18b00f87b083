"""Handshakes by OPC UA events against a real server: fields, commit before acknowledgement, lost sessions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from asyncua import ua

from edge_agent.clock import SystemClock
from edge_agent.config.devices import OpcUaAddress, OpcUaField, OpcUaSource, Tag, TagType
from edge_agent.config.signals import Handshake, Kind
from edge_agent.model.confirmation import Acknowledge, Block, Result
from edge_agent.model.reading import Quality, TagRef
from edge_agent.sources import opcua_events
from edge_agent.sources.opcua import OpcUa
from edge_agent.telemetry.status import Status
from tests.sources.conftest import Consumer, eventually
from tests.sources.opcua_device import URI, Device

PLC, RULE = "plc", "pallet_out"
EMITTER, CASES, SSCC = (TagRef(PLC, name) for name in ("pallets", "cases", "sscc"))
SPEC = Handshake(EMITTER, EMITTER, None, CASES, SSCC, 0, Kind.EVENT)
WEIGHT, ORDER = TagRef(PLC, "weight"), TagRef(PLC, "order")
WEIGHED = Handshake(
    EMITTER, EMITTER, None, WEIGHT, SSCC, 0, Kind.EVENT, order=ORDER, grain=Decimal("0.001"), rounded=True
)
EVENTS = f"events of {PLC}"


@dataclass
class Palletizer:
    """An object of a server that says by events which pallet has left."""

    device: Device
    status: Status = field(default_factory=Status)
    _kinds: dict[str, Any] = field(default_factory=dict)
    _types: list[int] = field(default_factory=list)

    async def start(self) -> None:
        await self.device.start()
        server = self.device.server
        index = await server.get_namespace_index(URI)
        emitter = await server.nodes.objects.add_object(
            ua.NodeId(ua.String("::Palletizer"), ua.Int16(index), ua.NodeIdType.String), "Palletizer"
        )
        texts, weight = ua.VariantType.String, ua.VariantType.Float
        fields = [("Cases", ua.VariantType.Int16), ("SSCC", texts), ("Weight", weight), ("Order", texts)]
        for name in ("PalletLeft", "PalletTurned"):
            kind = await server.create_custom_event_type(index, name, ua.ObjectIds.BaseEventType, fields)  # type: ignore[attr-defined]  # not in its stubs
            self._kinds[name] = await server.get_event_generator(kind, emitting_node=emitter.nodeid)
            self._types.append(int(kind.nodeid.Identifier))

    async def emit(
        self, sscc: str, cases: Any = 40, *, kind: str = "PalletLeft", weight: float = 0.0, order: str = ""
    ) -> None:
        made = self._kinds[kind]
        made.event.Cases, made.event.SSCC = cases, sscc
        made.event.Weight, made.event.Order = weight, order
        await made.trigger(message=sscc)

    def source(self, spec: Handshake = SPEC) -> OpcUa:
        address = OpcUaAddress(URI, "s=::Palletizer")
        tags = [
            Tag(EMITTER, TagType.EVENT, address, of_type=OpcUaAddress(URI, f"i={self._types[0]}")),
            Tag(CASES, TagType.INT16, OpcUaField(URI, "Cases"), scale=Decimal(1)),
            Tag(SSCC, TagType.STRING, OpcUaField(URI, "SSCC")),
            Tag(WEIGHT, TagType.FLOAT32, OpcUaField(URI, "Weight")),
            Tag(ORDER, TagType.STRING, OpcUaField(URI, "Order")),
        ]
        reference = OpcUaSource(PLC, self.device.url, {"pv": URI}, timedelta(milliseconds=50))
        return OpcUa(reference, tags, {RULE: spec}, SystemClock(), self.status)

    def unacknowledged(self) -> int:
        """Notifications that the server keeps for us."""
        service = self.device.server.iserver.subscription_service
        return sum(len(one._not_acknowledged_results) for one in service.subscriptions.values())

    def state(self) -> tuple[str, str]:
        known = self.status.snapshot().get(EVENTS, {"state": "", "detail": ""})
        return known["state"], known["detail"]


@pytest.fixture
async def plant(device: Device) -> Palletizer:
    await device.stop()
    plant = Palletizer(device)
    await plant.start()
    return plant


@pytest.fixture
async def consumer(plant: Palletizer) -> AsyncIterator[Consumer]:
    source = plant.source()
    consumer = Consumer(source)
    await consumer.until(lambda: consumer.of(Block))
    yield consumer
    await consumer.end()
    await source.close()


def heard(consumer: Consumer) -> list[Block]:
    return [block for block in consumer.of(Block) if block.event]


async def heard_so_many(consumer: Consumer, number: int) -> None:
    await consumer.until(lambda: len(heard(consumer)) == number)


async def commit(consumer: Consumer, block: Block) -> None:
    await consumer.source.acknowledge(Acknowledge(RULE, block.number, Result.DONE, block.received))


async def test_listening_begins_with_a_block_that_says_so(plant: Palletizer, consumer: Consumer) -> None:
    (first,) = consumer.of(Block)
    assert (first.rule, first.event, first.values) == (RULE, "", {})
    assert plant.state()[0] == "up"


async def test_an_event_is_a_block_of_its_fields_and_its_time(plant: Palletizer, consumer: Consumer) -> None:
    await plant.emit("P1", 40)
    await consumer.until(lambda: heard(consumer))
    (block,) = heard(consumer)
    assert {tag: reading.value for tag, reading in block.values.items()} == {CASES: 40, SSCC: "P1"}
    assert all(reading.source_time is not None for reading in block.values.values())
    assert len(bytes.fromhex(block.event)) >= 8


async def test_fields_say_the_order_and_a_weight(plant: Palletizer) -> None:
    source = plant.source(WEIGHED)
    consumer = Consumer(source)
    await consumer.until(lambda: consumer.of(Block))
    await plant.emit("D1", weight=12.7, order="4711")
    await heard_so_many(consumer, 1)
    await commit(consumer, heard(consumer)[0])
    await plant.emit("D2", weight=float("nan"), order="")
    await heard_so_many(consumer, 2)
    await consumer.end()
    await source.close()

    weighed, faulty = heard(consumer)
    said = {tag: reading.value for tag, reading in weighed.values.items()}
    assert said == {WEIGHT: Decimal("12.7"), SSCC: "D1", ORDER: "4711"}
    assert (faulty.values[WEIGHT].quality, faulty.values[ORDER].value) == (Quality.BAD, "")


async def test_events_of_another_type_are_not_heard(plant: Palletizer, consumer: Consumer) -> None:
    await plant.emit("P1", kind="PalletTurned")
    await plant.emit("P2")
    await consumer.until(lambda: heard(consumer))
    assert [block.values[SSCC].value for block in heard(consumer)] == ["P2"]


async def test_the_notification_is_acknowledged_after_the_commit(plant: Palletizer, consumer: Consumer) -> None:
    await plant.emit("P1")
    await consumer.until(lambda: heard(consumer))
    await plant.emit("P2")
    await asyncio.sleep(0.3)  # what must not come has had its time
    assert (len(heard(consumer)), plant.unacknowledged()) == (1, 1)
    await commit(consumer, heard(consumer)[0])
    await consumer.until(lambda: len(heard(consumer)) == 2)
    await commit(consumer, heard(consumer)[1])
    await eventually(lambda: plant.unacknowledged() == 0)
    assert [block.number for block in heard(consumer)] == [1, 2]


async def test_a_store_that_stalls_loses_neither_events_nor_the_subscription(
    plant: Palletizer, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After half of the lifetime the next notification is asked for, and none is acknowledged."""
    monkeypatch.setattr(opcua_events, "_LIFETIME_SECONDS", 1.0)
    monkeypatch.setattr(opcua_events, "_KEEPALIVE_SECONDS", 0.1)
    source = plant.source()
    consumer = Consumer(source)
    await consumer.until(lambda: consumer.of(Block))
    for number in range(3):
        await plant.emit(f"P{number}")
        await heard_so_many(consumer, number + 1)
    assert plant.unacknowledged() == 3
    for block in heard(consumer):
        await commit(consumer, block)
    await eventually(lambda: plant.unacknowledged() == 0)
    assert len(consumer.of(Block)) == 4
    await consumer.end()
    await source.close()


async def test_a_field_that_is_no_value_of_its_tag_is_bad(plant: Palletizer, consumer: Consumer) -> None:
    await plant.emit("P1", cases=None)
    await consumer.until(lambda: heard(consumer))
    assert heard(consumer)[0].values[CASES].quality is Quality.BAD


async def test_a_lost_session_begins_listening_anew_and_says_so(plant: Palletizer, consumer: Consumer) -> None:
    await plant.device.stop()
    await eventually(lambda: plant.state()[0] == "lost")
    await plant.start()
    await consumer.until(lambda: len(consumer.of(Block)) == 2)
    assert [block.event for block in consumer.of(Block)] == ["", ""]
    await plant.emit("P1")
    await consumer.until(lambda: heard(consumer))


async def test_a_subscription_that_the_server_ends_is_made_anew(plant: Palletizer, consumer: Consumer) -> None:
    await plant.device.delete_subscriptions()
    await consumer.until(lambda: len(consumer.of(Block)) == 2)


async def test_a_node_that_emits_nothing_is_said(plant: Palletizer) -> None:
    await plant.device.add_variable("Silent", 0, ua.VariantType.Int16)
    source = plant.source()
    silent = Tag(EMITTER, TagType.EVENT, OpcUaAddress("urn:elsewhere", "s=::Silent"), of_type=OpcUaAddress(URI, "i=1"))
    source._events._tags = {**source._events._tags, EMITTER: silent}
    consumer = Consumer(source)
    await eventually(lambda: "no namespace urn:elsewhere" in plant.state()[1])
    await consumer.end()
    await source.close()
