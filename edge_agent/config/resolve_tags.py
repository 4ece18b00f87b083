"""Tags: addresses by the protocol of their source, types, units and scales."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from edge_agent.config.addresses import LONGEST_STRING, node, register
from edge_agent.config.codes import Code
from edge_agent.config.document import CommandSection, ModbusSection, TagSection
from edge_agent.config.findings import shown
from edge_agent.config.report import Path, Report
from edge_agent.config.resolve_units import find_unit
from edge_agent.config.shape import Draft
from edge_agent.config.tagmap import CommandAddress, ModbusAddress, OpcUaAddress, Tag, TagType, Unit
from edge_agent.model.reading import TagRef

WHOLE_TYPES = frozenset({TagType.INT16, TagType.UINT16, TagType.INT32, TagType.UINT32, TagType.INT64, TagType.UINT64})
FLOAT_TYPES = frozenset({TagType.FLOAT32, TagType.FLOAT64})
NUMBER_TYPES = WHOLE_TYPES | FLOAT_TYPES
_READ_ONLY_TABLES = frozenset({"ir", "di"})
_EXPONENTS = {TagType.INT16: 15, TagType.INT32: 31, TagType.INT64: 63} | {
    TagType.UINT16: 16,
    TagType.UINT32: 32,
    TagType.UINT64: 64,
}


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
    """How many whole numbers from zero on a whole type holds: 65536 for uint16, 32768 for int16."""
    return 1 << _EXPONENTS[kind]


def lowest(kind: TagType) -> int:
    """The lowest value of a whole type."""
    return -values(kind) if kind.value.startswith("int") else 0


def resolve_tags(draft: Draft, units: dict[str, Unit], report: Report) -> dict[TagRef, Tag]:
    """Every tag whose address, type and unit are right."""
    found = {}
    for ref, section in draft.tags.items():
        path: Path = ("tags", ref.source, ref.tag)
        unit = None if section.unit is None else find_unit(report, (*path, "unit"), section.unit, units)
        address = _address(ref, section, draft, report, path)
        fit = _check_figures(section, report, path)
        limits = _limits(section, report, path)
        if address is None or not fit or (section.unit is not None and unit is None):
            continue
        scale = Decimal(1) if section.scale is None else section.scale
        found[ref] = Tag(ref, section.type, address, unit, scale, limits, section.write)
    return found


def _address(
    ref: TagRef, section: TagSection, draft: Draft, report: Report, path: Path
) -> OpcUaAddress | ModbusAddress | CommandAddress | None:
    source = draft.sources.get(ref.source)
    if source is None:
        return None
    if isinstance(source, CommandSection):
        return _by_name(section, report, path)
    if isinstance(source, ModbusSection):
        return _modbus_address(section, report, path)
    if _belongs(_OPC_UA, section, report, path) and section.node is not None:
        return report.attempt((*path, "node"), node, section.node, source.namespaces)
    return None


def _by_name(section: TagSection, report: Report, path: Path) -> CommandAddress:
    """Commands name the tag itself."""
    for key in ("node", "at", "length"):
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
