"""Handshakes in bits and by rings in a tag map: what they become, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from edge_agent.config.devices import ModbusAddress, OpcUaAddress, OpcUaField
from edge_agent.config.loader import Loaded
from edge_agent.config.signals import Handshake, Kind
from edge_agent.config.tagmap import TagMap
from edge_agent.model.reading import TagRef

Load = Callable[[str], Loaded]

MAP = """\
schema: 1
agent: l3-edge
line: {enterprise: acme, site: berlin}
calendar: {time_zone: Europe/Berlin, day_starts: "06:00"}
mqtt: {url: "mqtt://127.0.0.1:1883", root: mat}
buffer: {max_size: 256 MiB, keep_sent: 90 d}
sources:
  filler: {opcua: "opc.tcp://127.0.0.1:4840", security: None, namespaces: {pv: "urn:plc"}, sample: 100 ms}
  tanks: {modbus: "tcp://127.0.0.1:502", unit_id: 1, order: CDAB, poll: 1 s}
tags:
  filler:
    request: {node: "nsu={pv};s=::Pal.Request", type: bool}
    answer:  {node: "nsu={pv};s=::Pal.Answer", type: bool, write: true}
    result:  {node: "nsu={pv};s=::Pal.Result", type: int16, write: true}
    cases:   {node: "nsu={pv};s=::Pal.Cases", type: int16, unit: case}
    sscc:    {node: "nsu={pv};s=::Pal.SSCC", type: string}
    number:  {node: "nsu={pv};s=::Pal.Number", type: uint32}
    head:    {node: "nsu={pv};s=::Ring.Head", type: uint16}
    tail:    {node: "nsu={pv};s=::Ring.Tail", type: uint16, write: true}
    r_cases: {node: "nsu={pv};s=::Ring.Slots[{slot+1}].Cases", type: int16, unit: case, slots: 16}
    r_sscc:  {node: "nsu={pv};s=::Ring.Slots[{slot+1}].SSCC", type: string, slots: 16}
    left:    {node: "nsu={pv};s=::Palletizer", type: event, of_type: "nsu={pv};i=5001"}
    e_cases: {field: "nsu={pv};Cases", type: int16, unit: case}
    e_sscc:  {field: "nsu={pv};SSCC", type: string}
  tanks:
    request: {at: "di3", type: bool}
    answer:  {at: "co4", type: bool, write: true}
    bit:     {at: "hr9.3", type: bool, write: true}
    cases:   {at: "hr10", type: uint16, unit: case}
    head:    {at: "hr20", type: uint16}
    tail:    {at: "hr21", type: uint16, write: true}
    r_cases: {at: "hr100", type: uint16, unit: case, slots: 8, stride: 12}
    r_sscc:  {at: "hr101", type: string, length: 18, slots: 8, stride: 12}
units: {pcs: {code: H87}, case: {code: XCS, of: 24 pcs}}
materials: {"900001": {name: Soda, class: finished, unit: pcs}}
cadence: {finished: {send: at-once, stream: critical}}
movements:
  pallet_out:
    event: moved
    material: "900001"
    from: L3-OUT
    to: WH-01
    HANDSHAKE
"""
OPCUA_BITS = """\
handshake: {kind: bits, trigger: filler.request, ack: filler.answer, result: filler.result, within: 10 s}
    quantity: filler.cases
    container: filler.sscc"""
OPCUA_RING = """\
handshake: {kind: ring, head: filler.head, tail: filler.tail}
    quantity: filler.r_cases
    container: filler.r_sscc"""
MODBUS_BITS = """\
handshake: {kind: bits, trigger: tanks.request, ack: tanks.answer}
    quantity: tanks.cases"""
MODBUS_RING = """\
handshake: {kind: ring, head: tanks.head, tail: tanks.tail}
    quantity: tanks.r_cases
    container: tanks.r_sscc"""
OPCUA_EVENT = """\
handshake: {kind: event, trigger: filler.left}
    quantity: filler.e_cases
    container: filler.e_sscc"""


def text_of(handshake: str) -> str:
    """The map; what this handshake does not answer in is not opened for writing."""
    lines = MAP.replace("HANDSHAKE", handshake).splitlines()
    source = ""
    for place, line in enumerate(lines):
        if line in {"  filler:", "  tanks:"}:
            source = line.strip(" :")
        name = line.strip().partition(":")[0]
        if ", write: true" in line and not any(
            f"{key}: {source}.{name}" in handshake for key in ("ack", "tail", "result")
        ):
            lines[place] = line.replace(", write: true", "")
    return "\n".join(lines)


def resolved(loaded: Loaded) -> tuple[TagMap, Handshake]:
    assert loaded.tag_map is not None, [finding.render() for finding in loaded.errors]
    assert loaded.findings == ()
    signal = loaded.tag_map.rules["pallet_out"].signal
    assert isinstance(signal, Handshake)
    return loaded.tag_map, signal


def filler(name: str) -> TagRef:
    return TagRef("filler", name)


def test_bits(load_text: Load) -> None:
    _, signal = resolved(load_text(text_of(OPCUA_BITS)))
    assert signal == Handshake(
        filler("request"),
        filler("answer"),
        filler("result"),
        filler("cases"),
        filler("sscc"),
        2,
        Kind.BITS,
        within=timedelta(seconds=10),
    )


def test_bits_with_a_number(load_text: Load) -> None:
    _, signal = resolved(load_text(text_of(OPCUA_BITS.replace("within: 10 s", "number: filler.number"))))
    assert (signal.number, signal.within) == (filler("number"), timedelta(seconds=30))
    assert signal.contents == (filler("cases"), filler("sscc"), filler("number"))


def test_a_ring_of_nodes_that_name_their_slots(load_text: Load) -> None:
    tag_map, signal = resolved(load_text(text_of(OPCUA_RING)))
    assert (signal.kind, signal.trigger, signal.ack, signal.modulus) == (Kind.RING, filler("head"), filler("tail"), 16)
    slots = tag_map.tags[filler("r_cases")].slots
    assert slots[0] == OpcUaAddress("urn:plc", "s=::Ring.Slots[1].Cases")
    assert slots[-1] == OpcUaAddress("urn:plc", "s=::Ring.Slots[16].Cases")


def test_a_ring_of_registers(load_text: Load) -> None:
    tag_map, signal = resolved(load_text(text_of(MODBUS_RING)))
    assert signal.modulus == 8
    slots = tag_map.tags[TagRef("tanks", "r_sscc")].slots
    assert slots[:2] == (ModbusAddress("hr", 101, None, 18), ModbusAddress("hr", 113, None, 18))


def test_events_and_their_fields(load_text: Load) -> None:
    tag_map, signal = resolved(load_text(text_of(OPCUA_EVENT)))
    assert (signal.kind, signal.trigger, signal.result) == (Kind.EVENT, filler("left"), None)
    left = tag_map.tags[filler("left")]
    assert (left.address, left.of_type) == (
        OpcUaAddress("urn:plc", "s=::Palletizer"),
        OpcUaAddress("urn:plc", "i=5001"),
    )
    assert tag_map.tags[filler("e_cases")].address == OpcUaField("urn:plc", "Cases")


def test_bits_in_a_coil_and_a_discrete_input(load_text: Load) -> None:
    _, signal = resolved(load_text(text_of(MODBUS_BITS)))
    assert (signal.trigger, signal.result, signal.container) == (TagRef("tanks", "request"), None, None)


@pytest.mark.parametrize(
    ("handshake", "old", "new", "said"),
    [
        (OPCUA_BITS, "trigger: filler.request, ", "", "`trigger` is missing"),
        (OPCUA_BITS, "within:", "head: filler.head, within:", "`head` means nothing for a bits"),
        (OPCUA_BITS, "trigger: filler.request", "trigger: filler.sscc", "`filler.sscc` is a string; a bit is a bool"),
        (OPCUA_BITS, "kind: bits", "kind: transaction-counter", "a transaction counter is a whole number"),
        (OPCUA_RING, "kind: ring", "kind: bits", "`trigger` is missing"),
        (OPCUA_RING, "tail: filler.tail", "tail: filler.head", "`filler.head` is its head already"),
        (OPCUA_RING, "filler.r_cases", "filler.cases", "`filler.cases` has one value, and a ring has one in each slot"),
        (
            OPCUA_RING,
            'SSCC", type: string, slots: 16',
            'SSCC", type: string, slots: 8',
            "16 slots (filler.r_cases) and 8",
        ),
        (OPCUA_RING, "slots: 16", "slots: 1", "a ring has 2 to 256 slots"),
        (OPCUA_RING, "[{slot+1}]", "[1]", "is the same node for each slot"),
        (
            OPCUA_RING,
            "slots: 16}",
            "slots: 16, stride: 3}",
            "`stride` says how far apart the slots of a ring are on Modbus",
        ),
        (OPCUA_BITS, "quantity: filler.cases", "quantity: filler.r_cases", "has slots: only the block of a ring"),
        (
            MODBUS_RING,
            "length: 18, slots: 8, stride: 12",
            "length: 18, slots: 8, stride: 8",
            "a slot takes 9 registers",
        ),
        (MODBUS_RING, 'at: "hr100"', 'at: "hr65500"', "the last slot reaches beyond the last register"),
        (
            OPCUA_EVENT,
            "trigger: filler.left",
            "trigger: filler.request",
            "`filler.request` is a bool and emits no events",
        ),
        (OPCUA_EVENT, "filler.left}", "filler.left, result: filler.result}", "an event has nowhere to write a result"),
        (OPCUA_EVENT, "filler.e_cases", "filler.cases", "`filler.cases` is no field of an event"),
        (OPCUA_EVENT, ', of_type: "nsu={pv};i=5001"', "", "says which events it means"),
        (OPCUA_EVENT, '"nsu={pv};Cases"', '"Cases"', "is not a field of an event"),
        (
            OPCUA_BITS,
            "quantity: filler.cases",
            "quantity: filler.e_cases",
            "comes with events: only a handshake by events",
        ),
        (MODBUS_BITS, 'at: "hr10", type', 'field: "nsu={pv};X", type', "a field is a part of an OPC UA event"),
        (MODBUS_BITS, "ack: tanks.answer", "ack: tanks.bit", "is a bit of a register: to write it"),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(
    handshake: str, old: str, new: str, said: str, load_text: Load
) -> None:
    base = text_of(handshake.replace(old, new)) if old in handshake else text_of(handshake)
    text = base if old in handshake else base.replace(old, new)
    messages = [finding.message for finding in load_text(text).errors]
    assert any(said in message for message in messages), messages
