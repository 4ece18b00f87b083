"""From Modbus registers and bits to values and back: pure, and never guessing.

A register is 16 bits, high byte first (Modbus Application Protocol V1.1b3, 4.2). What several registers mean together
is the device's own affair, so the tag map says it: `ABCD` high word first, `CDAB` low word first, `BADC` and `DCBA`
the same with the bytes of each register swapped. A value of one register is never swapped. A string keeps its
registers' order; `BADC` and `DCBA` swap the two characters of each.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from decimal import Decimal
from typing import Final

from edge_agent.config.devices import ModbusAddress, Tag, TagType
from edge_agent.model.reading import Scalar
from edge_agent.sources.bcd import DIGITS, from_bcd, to_bcd
from edge_agent.sources.decimals import shortest

BIT_TABLES: Final = frozenset({"co", "di"})
_BYTES: Final = 2
_FORMATS: Final = {
    TagType.INT16: ">h",
    TagType.UINT16: ">H",
    TagType.INT32: ">i",
    TagType.UINT32: ">I",
    TagType.INT64: ">q",
    TagType.UINT64: ">Q",
    TagType.BCD16: ">H",
    TagType.BCD32: ">I",
    TagType.FLOAT32: ">f",
    TagType.FLOAT64: ">d",
}
_SWAPPED_BYTES: Final = frozenset({"BADC", "DCBA"})

Decode = Callable[[bytes], Scalar | None]
"""From the octets of a block to the value; None where they are no value of the tag's type (NaN, no BCD, no UTF-8)."""


def address_of(tag: Tag) -> ModbusAddress:
    """The tag's address. Raises ValueError where it is not one of Modbus."""
    if not isinstance(tag.address, ModbusAddress):
        raise ValueError(f"{tag.ref} has no Modbus address")  # noqa: TRY004 - a map that fits no source, not a type
    return tag.address


def width(tag: Tag) -> int:
    """How many registers, or bits of a coil or discrete input, the tag takes."""
    if tag.type is TagType.STRING:
        return ((address_of(tag).length or 0) + 1) // 2
    return 1 if tag.type is TagType.BOOL else struct.calcsize(_FORMATS[tag.type]) // _BYTES


def decoder(tag: Tag, start: int, order: str) -> Decode:
    """How to find the tag's value in the octets of a block of its table that begins at register or bit `start`."""
    address = address_of(tag)
    place = address.offset - start
    if address.table in BIT_TABLES:
        return lambda octets: bool(octets[place // 8] >> place % 8 & 1)
    first, last = place * _BYTES, (place + width(tag)) * _BYTES
    if tag.type is TagType.BOOL:
        bit = address.bit or 0
        return lambda octets: bool(int.from_bytes(octets[first:last], "big") >> bit & 1)
    if tag.type is TagType.STRING:
        length = address.length or 0
        return lambda octets: _text(
            _swapped(octets[first:last]) if order in _SWAPPED_BYTES else octets[first:last], length
        )
    unpack, ordered = struct.Struct(_FORMATS[tag.type]).unpack, _ordered(width(tag), order)
    if tag.type in (TagType.FLOAT32, TagType.FLOAT64):
        single = tag.type is TagType.FLOAT32
        return lambda octets: _decimal(unpack(ordered(octets[first:last]))[0], single=single)
    if tag.type in DIGITS:
        return lambda octets: from_bcd(unpack(ordered(octets[first:last]))[0])
    return lambda octets: _whole(unpack(ordered(octets[first:last])))


def encode(tag: Tag, number: int, order: str) -> bytes:
    """A whole number as the octets of the tag's registers. Raises ValueError where the tag's type cannot hold it."""
    form = _FORMATS.get(tag.type)
    if form is None or tag.type in (TagType.FLOAT32, TagType.FLOAT64):
        raise ValueError(f"{tag.ref} is {tag.type} and cannot hold {number}")
    try:
        bits = to_bcd(number, tag.type) if tag.type in DIGITS else number
        return _ordered(width(tag), order)(struct.pack(form, bits))
    except (struct.error, ValueError) as error:
        raise ValueError(f"{tag.ref} is {tag.type} and cannot hold {number}") from error


def _ordered(registers: int, order: str) -> Callable[[bytes], bytes]:
    """Between the device's order and high octet first; the way there is the way back."""
    if registers == 1 or order == "ABCD":
        return lambda octets: octets
    if order == "DCBA":
        return lambda octets: octets[::-1]
    return _swapped if order == "BADC" else lambda octets: _swapped(octets[::-1])


def _swapped(octets: bytes) -> bytes:
    """The two octets of each register the other way round."""
    swapped = bytearray(len(octets))
    swapped[::2], swapped[1::2] = octets[1::2], octets[::2]
    return bytes(swapped)


def _whole(values: tuple[int, ...]) -> int:
    return values[0]


def _decimal(value: float, *, single: bool) -> Decimal | None:
    return shortest(value, single=single) if math.isfinite(value) else None


def _text(octets: bytes, length: int) -> str | None:
    """Characters up to the first NUL; the spaces that fill a fixed field are not part of it."""
    try:
        text = octets[:length].partition(b"\0")[0].decode("utf-8")
    except UnicodeDecodeError:
        return None
    return text.rstrip(" ")
