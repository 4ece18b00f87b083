"""Where a tag is: an OPC UA node by namespace URI, a Modbus register whose base nobody can mistake.

Everything raises Unfit.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from uuid import UUID

from edge_agent.config.codes import Code
from edge_agent.config.devices import ModbusAddress, OpcUaAddress, OpcUaField, TagType
from edge_agent.config.findings import Unfit, shown
from edge_agent.config.names import check_text

OPC_UA_NAMESPACE = "http://opcfoundation.org/UA/"
LARGEST_TABLE = 65_536
LONGEST_STRING = 250
"""Characters of a string: 125 registers, what one Modbus request reads (Modbus Application Protocol V1.1b3, 6.3)."""
_BITS = 16
_NUMERIC_LIMIT = 2**32
_NODE = re.compile(r"nsu=([^;]*);([sigb])=(.+)", re.DOTALL)
_FIELD = re.compile(r"nsu=([^;]+);([^;=]+)", re.DOTALL)
_INDEXED = re.compile(r"(ns=[0-9]+;)?[sigb]=.*", re.DOTALL)
_BRACES = re.compile(r"\{([^{}]*)\}|[{}]")
_ZERO_BASED = re.compile(r"(hr|ir|co|di)(0|[1-9][0-9]{0,5})(?:\.([0-9]+))?")
_ONE_BASED = re.compile(r"([0134])([0-9]{4,5})(?:\.([0-9]+))?")
_SHORT = re.compile(r"([0-9]{1,4})(\.[0-9]+)?")
_TABLES = {"0": "co", "1": "di", "3": "ir", "4": "hr"}
REGISTERS = {
    TagType.BOOL: 1,
    TagType.INT16: 1,
    TagType.UINT16: 1,
    TagType.INT32: 2,
    TagType.UINT32: 2,
    TagType.BCD16: 1,
    TagType.BCD32: 2,
    TagType.FLOAT32: 2,
    TagType.INT64: 4,
    TagType.UINT64: 4,
    TagType.FLOAT64: 4,
}
"""Registers of 16 bits that a value takes; a string takes half its length."""


def node(text: str, namespaces: Mapping[str, str]) -> OpcUaAddress:
    """`nsu={pv};s=::Order.No`, `{pv}` standing for a namespace of the source (OPC 10000-6, 5.3.1.10)."""
    filled = _BRACES.sub(lambda match: _namespace(match, text, namespaces), text)
    match = _NODE.fullmatch(filled)
    if match is None:
        if _INDEXED.fullmatch(text):
            message = f"{shown(text)} names its namespace by index, and an index moves"
            advice = f"write nsu={{name}};... with the URI under the source's `namespaces` ({OPC_UA_NAMESPACE} is ns=0)"
            raise Unfit(Code.BAD_NODE, message, advice)
        raise Unfit(Code.BAD_NODE, f"{shown(text)} is not a node id", 'write it like "nsu={pv};s=::Order.No"')
    uri, kind, identifier = match.groups()
    if not uri:
        raise Unfit(Code.BAD_NODE, f"{shown(text)} names no namespace", 'write it like "nsu={pv};s=::Order.No"')
    _check_identifier(kind, identifier)
    return OpcUaAddress(uri.replace("%3B", ";").replace("%25", "%"), f"{kind}={identifier}")


def event_field(text: str, namespaces: Mapping[str, str]) -> OpcUaField:
    """`nsu={pv};Cases`: a field of an event by its browse name, `{pv}` standing for a namespace of the source."""
    filled = _BRACES.sub(lambda match: _namespace(match, text, namespaces), text)
    match = _FIELD.fullmatch(filled)
    if match is None:
        raise Unfit(Code.BAD_NODE, f"{shown(text)} is not a field of an event", 'write it like "nsu={pv};Cases"')
    check_text(match[2])
    return OpcUaField(match[1].replace("%3B", ";").replace("%25", "%"), match[2])


def _namespace(match: re.Match[str], text: str, namespaces: Mapping[str, str]) -> str:
    """The URI for a `{name}`, escaped as in a node id; nothing else is ever looked up."""
    name = match[1]
    if name is None or name not in namespaces:
        known = ", ".join(f"{{{name}}}" for name in namespaces) or "none"
        message = f"{shown(match[0])} in {shown(text)} is not a namespace of this source"
        raise Unfit(Code.BAD_TEMPLATE, message, f"known here: {known}")
    return namespaces[name].replace("%", "%25").replace(";", "%3B")


def _check_identifier(kind: str, identifier: str) -> None:
    check_text(identifier)
    fault = None
    if kind == "i":
        if not (identifier.isascii() and identifier.isdigit() and len(identifier) <= 10):
            fault = "must be a whole number"
        elif int(identifier) >= _NUMERIC_LIMIT:
            fault = f"must be below {_NUMERIC_LIMIT}"
    elif kind == "g":
        try:
            UUID(identifier)
        except ValueError:
            fault = "must be a GUID"
    elif kind == "b":
        try:
            base64.b64decode(identifier, validate=True)
        except ValueError:
            fault = "must be base64"
    if fault is not None:
        raise Unfit(Code.BAD_NODE, f"the identifier {shown(f'{kind}={identifier}')} {fault}")


def register(text: str, kind: TagType, length: int | None) -> ModbusAddress:
    """`40101` (1-based) or `hr100` (0-based), `.10` for a bit; checked against the type of the value."""
    table, offset, bit = _place(text)
    single = table in {"co", "di"}
    if single and kind is not TagType.BOOL:
        message = f"{shown(text)} is a single bit and cannot hold {kind.value}"
        raise Unfit(Code.TABLE_AND_TYPE, message, "use a register (4xxxx, 3xxxx, hr, ir), or type: bool")
    if single and bit is not None:
        raise Unfit(Code.TABLE_AND_TYPE, f"{shown(text)} is a single bit already", "drop the part after the point")
    if bit is not None and kind is not TagType.BOOL:
        message = f"{shown(text)} names bit {bit}, and a bit is no {kind.value}"
        raise Unfit(Code.TABLE_AND_TYPE, message, "use type: bool, or drop the part after the point")
    if not single and kind is TagType.BOOL and bit is None:
        message = f"{shown(text)} is a register of 16 bits: which one is meant?"
        raise Unfit(Code.TABLE_AND_TYPE, message, f'name the bit: "{text}.0" to "{text}.15"')
    count = REGISTERS.get(kind, 1) if kind is not TagType.STRING else ((length or 1) + 1) // 2
    if offset + count > LARGEST_TABLE:
        message = (
            f"{shown(text)} and the {count - 1} after it reach beyond the last register, {table}{LARGEST_TABLE - 1}"
        )
        raise Unfit(Code.BEYOND_TABLE, message)
    return ModbusAddress(table, offset, bit, length)


def _place(text: str) -> tuple[str, int, int | None]:
    if match := _ZERO_BASED.fullmatch(text):
        offset = int(match[2])
        if offset >= LARGEST_TABLE:
            message = f"{shown(text)}: the last one is {match[1]}{LARGEST_TABLE - 1}"
            raise Unfit(Code.BEYOND_TABLE, message)
        return match[1], offset, _bit(match[3], text)
    if match := _ONE_BASED.fullmatch(text):
        number = int(match[2])
        if not 1 <= number <= LARGEST_TABLE:
            last = f"{match[1]}{LARGEST_TABLE}"
            message = f"{shown(text)}: 1-based addresses run from {match[1]}0001 to {last}"
            raise Unfit(Code.BAD_ADDRESS, message, f"for a 0-based one write {_TABLES[match[1]]}{number}")
        return _TABLES[match[1]], number - 1, _bit(match[3], text)
    raise _doubtful(text)


def _bit(text: str | None, address: str) -> int | None:
    if text is None:
        return None
    if len(text) > 2 or (text[0] == "0" and text != "0") or int(text) >= _BITS:
        raise Unfit(Code.BAD_ADDRESS, f"{shown(address)}: bits are 0 to {_BITS - 1}, the lowest first")
    return int(text)


def _doubtful(text: str) -> Unfit:
    match = _SHORT.fullmatch(text)
    if match is None:
        advice = 'write "40101" (1-based) or "hr100" (0-based, the same register); also 3x/ir, 1x/di, 0x/co'
        return Unfit(Code.BAD_ADDRESS, f"{shown(text)} is not a Modbus address", advice)
    number, bit = int(match[1]), match[2] or ""
    zero_based = f"hr{number}{bit} (0-based, = {40001 + number}{bit})"
    advice = f"4{number:04d}{bit} (1-based) or {zero_based}?" if number else f"{zero_based}?"
    return Unfit(
        Code.AMBIGUOUS_ADDRESS, f"{shown(text)} is ambiguous: {advice}", f'write it quoted, like "hr{number}{bit}"'
    )
