"""Tags: addresses by the protocol of their source, types, units and scales."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from edge_agent.config.addresses import LARGEST_TABLE, LONGEST_STRING, REGISTERS, event_field, node, register
from edge_agent.config.codes import Code
from edge_agent.config.devices import WHOLE, CommandAddress, ModbusAddress, OpcUaAddress, OpcUaField, Tag, TagType, Unit
from edge_agent.config.document import CommandSection, ModbusSection, TagSection
from edge_agent.config.findings import shown
from edge_agent.config.report import Path, Report
from edge_agent.config.resolve_units import find_unit
from edge_agent.config.shape import Draft
from edge_agent.model.reading import TagRef

WHOLE_TYPES = frozenset(WHOLE)
FLOAT_TYPES = frozenset({TagType.FLOAT32, TagType.FLOAT64})
NUMBER_TYPES = WHOLE_TYPES | FLOAT_TYPES
MOST_SLOTS = 256
"""Of a ring: more is no queue between two programs, and each slot is a node to look up."""
Address = OpcUaAddress | ModbusAddress | OpcUaField | CommandAddress
_SLOT_MARKS = ("{slot}", "{slot+1}")
_READ_ONLY_TABLES = frozenset({"ir", "di"})


@dataclass(frozen=True, slots=True)
class _Protocol:
    """How tags of a source are addressed: the key `needed`, and those that mean nothing."""

    name: str
    needed: str
    foreign: frozenset[str]
    example: str


_OPC_UA = _Protocol("OPC UA", "node", frozenset({"at", "length"}), 'node: "nsu={pv};s=::Order.No"')
_MODBUS = _Protocol("Modbus", "at", frozenset({"node"}), 'at: "40101" (1-based) or at: "hr100" (0-based)')


def values(kind: TagType) -> int:
    """How many whole numbers from zero on a whole type holds: 65536 for uint16, 32768 for int16, 10000 for bcd16."""
    return WHOLE[kind].stop


def lowest(kind: TagType) -> int:
    """The lowest value of a whole type."""
    return WHOLE[kind].start


def resolve_tags(draft: Draft, units: dict[str, Unit], report: Report) -> dict[TagRef, Tag]:
    """Every tag whose address, type and unit are right."""
    found = {}
    for ref, section in draft.tags.items():
        path: Path = ("tags", ref.source, ref.tag)
        unit = None if section.unit is None else find_unit(report, (*path, "unit"), section.unit, units)
        slots = _slots(ref, section, draft, report, path)
        address: Address | None = slots[0] if slots else _address(ref, section, draft, report, path)
        of_type = _of_type(ref, section, draft, report, path)
        if section.field is not None:
            address = _field(ref, section, draft, report, path)
        fit = _check_figures(section, report, path)
        limits = _limits(section, report, path)
        if address is None or not fit or (section.unit is not None and unit is None) or slots == ():
            continue
        scale = Decimal(1) if section.scale is None else section.scale
        found[ref] = Tag(ref, section.type, address, unit, scale, limits, section.write, slots or (), of_type=of_type)
    return found


def _address(
    ref: TagRef, section: TagSection, draft: Draft, report: Report, path: Path
) -> OpcUaAddress | ModbusAddress | CommandAddress | None:
    source = draft.sources.get(ref.source)
    if source is None or section.field is not None:
        return None
    if isinstance(source, CommandSection):
        return _by_name(section, report, path)
    if isinstance(source, ModbusSection):
        return _modbus_address(section, report, path)
    if _belongs(_OPC_UA, section, report, path) and section.node is not None:
        return report.attempt((*path, "node"), node, section.node, source.namespaces)
    return None


def _field(ref: TagRef, section: TagSection, draft: Draft, report: Report, path: Path) -> OpcUaField | None:
    """A field of an event, on an OPC UA server; it has no other place."""
    source = draft.sources.get(ref.source)
    strangers = [key for key in ("node", "at", "slots", "of_type") if getattr(section, key) is not None]
    if isinstance(source, ModbusSection | CommandSection) or strangers:
        report.error((*path, "field"), Code.CONFLICT, "a field is a part of an OPC UA event", "remove it", key=True)
        return None
    if source is None or section.field is None:
        return None
    return report.attempt((*path, "field"), event_field, section.field, source.namespaces)


def _of_type(ref: TagRef, section: TagSection, draft: Draft, report: Report, path: Path) -> OpcUaAddress | None:
    """The type of event that a node of type `event` is listened to for."""
    source = draft.sources.get(ref.source)
    is_event = section.type is TagType.EVENT
    elsewhere = isinstance(source, ModbusSection | CommandSection)
    if is_event is (section.of_type is None) or (is_event and elsewhere):
        message = "a tag of type event is a node of an OPC UA server, and says which events it means"
        report.error(path, Code.CONFLICT, message, 'write type: event and of_type: "nsu={pv};i=5001"', key=True)
        return None
    if section.of_type is None or source is None or isinstance(source, ModbusSection | CommandSection):
        return None
    return report.attempt((*path, "of_type"), node, section.of_type, source.namespaces)


def _slots(
    ref: TagRef, section: TagSection, draft: Draft, report: Report, path: Path
) -> tuple[OpcUaAddress | ModbusAddress, ...] | None:
    """The addresses of a ring's slots, empty where something is wrong; None for a tag that has one value."""
    is_modbus = isinstance(draft.sources.get(ref.source), ModbusSection)
    if section.stride is not None and (section.slots is None or not is_modbus):
        message = "`stride` says how far apart the slots of a ring are on Modbus"
        report.error((*path, "stride"), Code.CONFLICT, message, "remove it, or add slots: 16", key=True)
        return ()
    if section.slots is None:
        return None
    if not 2 <= section.slots <= MOST_SLOTS:
        report.error((*path, "slots"), Code.OUT_OF_RANGE, f"a ring has 2 to {MOST_SLOTS} slots", "write slots: 16")
        return ()
    return _modbus_slots(section, report, path) if is_modbus else _node_slots(ref, section, draft, report, path)


def _node_slots(
    ref: TagRef, section: TagSection, draft: Draft, report: Report, path: Path
) -> tuple[OpcUaAddress | ModbusAddress, ...]:
    text, number = section.node or "", section.slots or 0
    if section.node is not None and not any(mark in text for mark in _SLOT_MARKS):
        message = f"{shown(text)} is the same node for each slot"
        report.error((*path, "node"), Code.BAD_NODE, message, 'write it like "nsu={pv};s=::Ring[{slot}].Cases"')
        return ()
    found = []
    for slot in range(number):
        filled = text.replace("{slot}", str(slot)).replace("{slot+1}", str(slot + 1))
        one = section.model_copy(update={"node": None if section.node is None else filled})
        address = _address(ref, one, draft, report, path)
        if not isinstance(address, OpcUaAddress):
            return ()
        found.append(address)
    return tuple(found)


def _modbus_slots(section: TagSection, report: Report, path: Path) -> tuple[OpcUaAddress | ModbusAddress, ...]:
    first = _modbus_address(section, report, path)
    if first is None:
        return ()
    width = ((section.length or 0) + 1) // 2 if section.type is TagType.STRING else REGISTERS.get(section.type, 1)
    stride, number = section.stride or 0, section.slots or 0
    if stride < width:
        message = f"a slot takes {width} registers, and the next one begins after {stride}"
        report.error((*path, "slots"), Code.OUT_OF_RANGE, message, "add stride: how many registers a slot has")
        return ()
    if first.offset + stride * (number - 1) + width > LARGEST_TABLE:
        message = f"the last slot reaches beyond the last register, {first.table}{LARGEST_TABLE - 1}"
        report.error((*path, "slots"), Code.BEYOND_TABLE, message)
        return ()
    return tuple(replace(first, offset=first.offset + stride * slot) for slot in range(number))


def _by_name(section: TagSection, report: Report, path: Path) -> CommandAddress:
    """Commands name the tag itself."""
    for key in ("node", "at", "length", "slots", "stride", "field", "of_type"):
        if getattr(section, key) is not None:
            message = f"`{key}` means nothing for a tag that commands set by its name"
            report.error((*path, key), Code.CONFLICT, message, "remove it", key=True)
    return CommandAddress()


def _modbus_address(section: TagSection, report: Report, path: Path) -> ModbusAddress | None:
    if not _belongs(_MODBUS, section, report, path) or section.at is None:
        return None
    text = section.type is TagType.STRING
    if text and not 1 <= (section.length or 0) <= LONGEST_STRING:
        message = f"a string on Modbus needs its length in characters, 1 to {LONGEST_STRING}"
        place = (*path, "type") if section.length is None else (*path, "length")
        report.error(place, Code.BAD_LENGTH, message, "add length: 20")
        return None
    if section.length is not None and not text:
        report.error((*path, "length"), Code.BAD_LENGTH, "only a string has a length", "remove it", key=True)
        return None
    address = report.attempt((*path, "at"), register, section.at, section.type, section.length)
    if address is not None and section.write and address.table in _READ_ONLY_TABLES:
        message = f"{shown(section.at)} cannot be written: only coils and holding registers can"
        report.error((*path, "write"), Code.WRITE_REFUSED, message, "use 4xxxx, hr, 0xxxx or co")
    return address


def _belongs(protocol: _Protocol, section: TagSection, report: Report, path: Path) -> bool:
    """Whether the tag is addressed the way its source speaks."""
    needed = protocol.needed
    given = {key for key in ("node", "at", "length") if getattr(section, key) is not None}
    strangers = given & protocol.foreign
    for key in strangers:
        message = f"`{key}` means nothing for a source that speaks {protocol.name}"
        report.error((*path, key), Code.CONFLICT, message, f"use `{needed}`", key=True)
    if needed not in given and not strangers:
        message = f"the source speaks {protocol.name}: the tag needs `{needed}`"
        report.error(path, Code.NO_ADDRESS, message, f"add {protocol.example}", key=True)
    return needed in given and not strangers


def _check_figures(section: TagSection, report: Report, path: Path) -> bool:
    """Only numbers have a unit, a scale and a range."""
    if section.type in NUMBER_TYPES:
        return True
    strangers = [key for key in ("unit", "scale", "range") if getattr(section, key) is not None]
    for key in strangers:
        message = f"a {section.type.value} has no {key}"
        report.error((*path, key), Code.NOT_A_QUANTITY, message, "remove it, or mend the type", key=True)
    return not strangers


def _limits(section: TagSection, report: Report, path: Path) -> tuple[Decimal, Decimal] | None:
    if section.range is None:
        return None
    if len(section.range) != 2 or section.range[0] >= section.range[1]:
        message = "a range is two numbers, the lower one first"
        report.error((*path, "range"), Code.OUT_OF_RANGE, message, "write range: [0, 12000]")
        return None
    return section.range[0], section.range[1]
