"""From OPC UA DataValues to readings and back: pure, and never guessing (OPC 10000-4, 7.11 and 7.39)."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

from asyncua import ua
from asyncua.ua.status_codes import StatusCodes, get_name_and_doc

from edge_agent.config.devices import WHOLE, OpcUaAddress, Tag, TagType
from edge_agent.model.reading import Instant, Quality, Reading, Scalar
from edge_agent.sources.bcd import DIGITS, from_bcd, to_bcd
from edge_agent.sources.decimals import shortest

OVERFLOW: Final = 0x480
"""InfoType DataValue and Overflow: values of the item's queue before this one were discarded."""
_SEVERITY: Final = 0xC000_0000
_QUALITIES: Final = {0x0000_0000: Quality.GOOD, 0x4000_0000: Quality.UNCERTAIN}
_EARLIEST: Final = datetime(1601, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
LONGEST_TEXT: Final = 4096
"""Characters of the longest text that is a value; anything longer is refused."""

_VARIANTS: Final[Mapping[TagType, ua.VariantType]] = {
    TagType.BOOL: ua.VariantType.Boolean,
    TagType.INT16: ua.VariantType.Int16,
    TagType.UINT16: ua.VariantType.UInt16,
    TagType.INT32: ua.VariantType.Int32,
    TagType.UINT32: ua.VariantType.UInt32,
    TagType.INT64: ua.VariantType.Int64,
    TagType.UINT64: ua.VariantType.UInt64,
    TagType.BCD16: ua.VariantType.UInt16,
    TagType.BCD32: ua.VariantType.UInt32,
    TagType.FLOAT32: ua.VariantType.Float,
    TagType.FLOAT64: ua.VariantType.Double,
    TagType.STRING: ua.VariantType.String,
}
_KINDS: Final[Mapping[TagType, int]] = {tag_type: int(kind.value) for tag_type, kind in _VARIANTS.items()}
_GOOD: Final = 0


class Sample(NamedTuple):
    """A DataValue without asyncua: `kind` is the number of the built-in type, 0 where there is no value at all.

    `status` is a StatusCode; times are those that say something, else None.
    """

    kind: int
    value: Any
    status: int = 0
    source_time: datetime | None = None
    server_time: datetime | None = None
    is_array: bool = False


def sample(data: ua.DataValue) -> Sample:
    """What asyncua has decoded."""
    variant = data.Value
    return Sample(
        0 if variant is None else int(variant.VariantType.value),
        None if variant is None else variant.Value,
        _GOOD if data.StatusCode is None else int(data.StatusCode.value),
        known_time(data.SourceTimestamp),
        known_time(data.ServerTimestamp),
        variant is not None and bool(variant.is_array),
    )


def decode(tag: Tag, data: Sample, received: Instant, *, continuous: bool = False) -> Reading:
    """One value as a reading; what is not a value of the tag's type is BAD, with a status that says why.

    BadTypeMismatch: another type, or an array. BadOutOfRange: NaN, infinite, too long or with a NUL, four bits that
    are no digit. BadNoData: no value at all. BadDataEncodingInvalid: text that is not UTF-8. An overflow bit ends
    continuity.
    """
    status = data.status
    quality = quality_of(status) if status else Quality.GOOD
    value, fault = _value(tag.type, data)
    if fault and quality is Quality.GOOD:
        quality, status = Quality.BAD, fault
    continuous = continuous and status & OVERFLOW != OVERFLOW
    return Reading(tag.ref, value, quality, received, status, data.source_time, data.server_time, continuous)


def unreadable(tag: Tag, status: int, received: Instant) -> Reading:
    """A tag that has no value, for the reason that `status` says."""
    return Reading(tag.ref, None, Quality.BAD, received, status)


def encode(tag: Tag, number: int) -> ua.DataValue:
    """A whole number (0 or 1 for a bool) as a value to write.

    It is bare, since many devices refuse a status or a timestamp beside it.

    Raises ValueError where the tag's type cannot hold it.
    """
    if number not in (range(2) if tag.type is TagType.BOOL else WHOLE.get(tag.type, range(0))):
        raise ValueError(f"{tag.ref} is {tag.type} and cannot hold {number}")
    bits = to_bcd(number, tag.type) if tag.type in DIGITS else number
    value = bool(bits) if tag.type is TagType.BOOL else bits
    return ua.DataValue(ua.Variant(value, _VARIANTS[tag.type]), StatusCode=None)


def node_id(address: OpcUaAddress, index: int) -> ua.NodeId:
    """The NodeId at the namespace's present index (OPC 10000-6, 5.3.1.10).

    Raises ValueError where `identifier` is none.
    """
    kind, _, text = address.identifier.partition("=")
    match kind:
        case "s" if text:
            return ua.NodeId(ua.String(text), ua.Int16(index), ua.NodeIdType.String)
        case "i" if text.isascii() and text.isdecimal():
            return ua.NodeId(ua.Int32(int(text)), ua.Int16(index), ua.NodeIdType.Numeric)
        case "g":
            return ua.NodeId(ua.Guid(text), ua.Int16(index), ua.NodeIdType.Guid)
        case "b" if text:
            octets = ua.ByteString(base64.b64decode(text, validate=True))
            return ua.NodeId(octets, ua.Int16(index), ua.NodeIdType.ByteString)
    raise ValueError(f"{address.identifier!r} is not s=, i=, g= or b= and an identifier")


def quality_of(status: int) -> Quality:
    """By the severity bits alone; the reserved severity counts as bad (OPC 10000-4, 7.39.1)."""
    return _QUALITIES.get(status & _SEVERITY, Quality.BAD)


def status_name(status: int) -> str:
    """`BadNodeIdUnknown` for people; the number where it has no name."""
    name, meaning = get_name_and_doc(status & 0xFFFF_0000)
    return f"0x{status:08X}" if meaning.startswith("Unknown") else name


def known_time(value: datetime | None) -> datetime | None:
    """A DateTime that says something: the first and the last one mean "none" (OPC 10000-6, 5.2.2.5)."""
    return value if value is not None and _EARLIEST < value < _LATEST else None


def _value(wanted: TagType, data: Sample) -> tuple[Scalar | None, int]:
    """The value and 0, or None and the status that says what is wrong with it."""
    if data.kind == 0:
        return None, StatusCodes.BadNoData
    if data.kind != _KINDS[wanted] or data.is_array:
        return None, StatusCodes.BadTypeMismatch
    if wanted is TagType.STRING:
        return _text(data.value)
    if wanted is TagType.FLOAT32 or wanted is TagType.FLOAT64:
        return _decimal(data.value, single=wanted is TagType.FLOAT32)
    if wanted in DIGITS:
        digits = from_bcd(data.value)
        return digits, StatusCodes.BadOutOfRange if digits is None else _GOOD
    number: int | bool = data.value
    return number, _GOOD


def _text(value: str | None) -> tuple[str | None, int]:
    """A null string is an empty one; bytes that were no UTF-8 arrive as lone surrogates."""
    text = value or ""
    if len(text) > LONGEST_TEXT or "\0" in text:
        return None, StatusCodes.BadOutOfRange
    if any("\ud800" <= character <= "\udfff" for character in text):
        return None, StatusCodes.BadDataEncodingInvalid
    return text, _GOOD


def _decimal(value: float, *, single: bool) -> tuple[Decimal | None, int]:
    if not math.isfinite(value):
        return None, StatusCodes.BadOutOfRange
    return shortest(value, single=single), _GOOD
