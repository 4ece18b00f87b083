"""From DataValues to readings: types, quality, times, and the values that are none (reliability.md, bad inputs)."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.ua_binary import (
    nodeid_from_binary,
    nodeid_to_binary,
    struct_from_binary,
    struct_to_binary,
    variant_from_binary,
)
from asyncua.ua.uaerrors import UaError
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.config.devices import OpcUaAddress, Tag, TagType
from edge_agent.model.reading import Instant, Quality, Reading, TagRef
from edge_agent.sources import opcua_values
from edge_agent.sources.opcua_values import encode, node_id, quality_of, sample, status_name, unreadable

NOW = Instant(datetime(2026, 3, 1, 12, tzinfo=UTC), 5_000_000_000, "boot")
NOON = datetime(2026, 3, 1, 11, 59, 59, tzinfo=UTC)
OVERFLOW = 0x0000_0480
GUID = "09087e75-8e5e-499b-954f-f2a9603db28a"


def decode(tag: Tag, data: ua.DataValue, received: Instant, *, continuous: bool = False) -> Reading:
    """What asyncua decoded, as a reading."""
    return opcua_values.decode(tag, sample(data), received, continuous=continuous)


def _node(identifier: ua.Int32 | ua.String | ua.Guid | ua.ByteString) -> ua.NodeId:
    return ua.NodeId(identifier, ua.Int16(4))


def _tag(kind: TagType) -> Tag:
    return Tag(TagRef("filler", "t"), kind, OpcUaAddress("urn:x", "s=T"))


def _read(kind: TagType, value: Any, variant: ua.VariantType, status: int = 0, **more: Any) -> Reading:
    data = ua.DataValue(ua.Variant(value, variant), StatusCode=ua.StatusCode(ua.UInt32(status)), **more)
    return decode(_tag(kind), data, NOW, continuous=True)


@pytest.mark.parametrize(
    ("kind", "variant", "value"),
    [
        (TagType.BOOL, ua.VariantType.Boolean, True),
        (TagType.INT16, ua.VariantType.Int16, -32768),
        (TagType.UINT16, ua.VariantType.UInt16, 65535),
        (TagType.INT32, ua.VariantType.Int32, -(1 << 31)),
        (TagType.UINT32, ua.VariantType.UInt32, (1 << 32) - 1),
        (TagType.INT64, ua.VariantType.Int64, -(1 << 63)),
        (TagType.UINT64, ua.VariantType.UInt64, (1 << 64) - 1),
        (TagType.STRING, ua.VariantType.String, "Auftrag Ä-7"),
    ],
)
def test_a_value_of_the_declared_type_is_good(kind: TagType, variant: ua.VariantType, value: Any) -> None:
    reading = _read(kind, value, variant)
    assert (reading.value, reading.quality, reading.status) == (value, Quality.GOOD, 0)
    assert type(reading.value) is type(value)
    assert reading.continuous
    assert reading.received == NOW


@pytest.mark.parametrize(
    ("kind", "variant", "value"),
    [
        (TagType.UINT16, ua.VariantType.UInt32, 7),
        (TagType.UINT16, ua.VariantType.Int16, 7),
        (TagType.INT32, ua.VariantType.Double, 7.0),
        (TagType.INT32, ua.VariantType.String, "7"),
        (TagType.BOOL, ua.VariantType.Byte, 1),
        (TagType.STRING, ua.VariantType.ByteString, b"A"),
        (TagType.INT16, ua.VariantType.Variant, ua.Variant(7, ua.VariantType.Int16)),
        (TagType.UINT16, ua.VariantType.UInt16, [7]),
        (TagType.UINT32, ua.VariantType.DateTime, NOON),
    ],
)
def test_another_type_is_no_value(kind: TagType, variant: ua.VariantType, value: Any) -> None:
    data = ua.DataValue(ua.Variant(value, variant))
    if variant is ua.VariantType.Variant:  # nested as it comes from the wire
        data = struct_from_binary(ua.DataValue, Buffer(struct_to_binary(data)))
    reading = decode(_tag(kind), data, NOW)
    if reading.quality is Quality.GOOD:  # asyncua unwraps one level of nesting: then it is the value itself
        assert variant is ua.VariantType.Variant
        assert reading.value == 7
        return
    assert (reading.value, reading.quality) == (None, Quality.BAD)
    assert reading.status == StatusCodes.BadTypeMismatch


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(
    ("kind", "variant"), [(TagType.FLOAT32, ua.VariantType.Float), (TagType.FLOAT64, ua.VariantType.Double)]
)
def test_a_float_that_is_no_number_is_bad(kind: TagType, variant: ua.VariantType, value: float) -> None:
    reading = _read(kind, value, variant)
    assert (reading.value, reading.quality, reading.status) == (None, Quality.BAD, StatusCodes.BadOutOfRange)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_double_becomes_the_decimal_that_means_it(value: float) -> None:
    reading = _read(TagType.FLOAT64, value, ua.VariantType.Double)
    assert isinstance(reading.value, Decimal)
    assert float(reading.value) == value


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_a_single_becomes_the_shortest_decimal_that_means_it(value: float) -> None:
    reading = _read(TagType.FLOAT32, value, ua.VariantType.Float)
    assert isinstance(reading.value, Decimal)
    assert struct.pack("<f", reading.value) == struct.pack("<f", value)
    assert len(reading.value.normalize().as_tuple().digits) <= 9


def test_a_single_reads_as_a_person_typed_it() -> None:
    value = struct.unpack("<f", struct.pack("<f", 0.1))[0]
    assert _read(TagType.FLOAT32, value, ua.VariantType.Float).value == Decimal("0.1")


@pytest.mark.parametrize(
    ("status", "quality"),
    [
        (0x0000_0000, Quality.GOOD),
        (0x0096_0000, Quality.GOOD),  # GoodLocalOverride
        (0x4000_0000, Quality.UNCERTAIN),
        (0x408F_0000, Quality.UNCERTAIN),  # UncertainLastUsableValue
        (0x8000_0000, Quality.BAD),
        (0xC000_0000, Quality.BAD),  # reserved: counts as bad
    ],
)
def test_quality_is_the_severity(status: int, quality: Quality) -> None:
    assert quality_of(status) is quality
    reading = _read(TagType.UINT16, 9, ua.VariantType.UInt16, status)
    assert (reading.quality, reading.status, reading.value) == (quality, status, 9)


def test_a_bad_status_of_the_device_stays_whatever_the_value_is() -> None:
    reading = _read(TagType.UINT16, None, ua.VariantType.Null, StatusCodes.BadSensorFailure)
    assert (reading.value, reading.quality, reading.status) == (None, Quality.BAD, StatusCodes.BadSensorFailure)


def test_good_without_a_value_is_no_value() -> None:
    reading = _read(TagType.UINT16, None, ua.VariantType.Null)
    assert (reading.value, reading.quality, reading.status) == (None, Quality.BAD, StatusCodes.BadNoData)


def test_a_missing_status_is_good() -> None:
    data = ua.DataValue(ua.Variant(5, ua.VariantType.UInt16), StatusCode=None)
    assert decode(_tag(TagType.UINT16), data, NOW).quality is Quality.GOOD


def test_a_null_string_is_an_empty_one() -> None:
    assert _read(TagType.STRING, None, ua.VariantType.String).value == ""


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"Stra\xdfe".decode("utf-8", "surrogateescape"), StatusCodes.BadDataEncodingInvalid),
        ("A\0B", StatusCodes.BadOutOfRange),
        ("x" * 4097, StatusCodes.BadOutOfRange),
    ],
)
def test_text_that_nothing_may_carry_is_refused(text: str, status: int) -> None:
    reading = _read(TagType.STRING, text, ua.VariantType.String)
    assert (reading.value, reading.quality, reading.status) == (None, Quality.BAD, status)


def test_overflow_ends_continuity_and_stays_good() -> None:
    reading = _read(TagType.UINT16, 5, ua.VariantType.UInt16, OVERFLOW)
    assert (reading.quality, reading.continuous, reading.status) == (Quality.GOOD, False, OVERFLOW)


@pytest.mark.parametrize("bits", [0x0000_0400, 0x0000_0080])
def test_half_of_the_overflow_bits_is_no_overflow(bits: int) -> None:
    assert _read(TagType.UINT16, 5, ua.VariantType.UInt16, bits).continuous


def test_times_are_utc_and_those_that_mean_none_are_none() -> None:
    reading = _read(TagType.UINT16, 5, ua.VariantType.UInt16, SourceTimestamp=NOON, ServerTimestamp=NOON)
    assert (reading.source_time, reading.server_time) == (NOON, NOON)
    for none in (datetime(1601, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), None):
        assert _read(TagType.UINT16, 5, ua.VariantType.UInt16, SourceTimestamp=none).source_time is None
    far = datetime(2099, 1, 1, tzinfo=UTC)
    assert _read(TagType.UINT16, 5, ua.VariantType.UInt16, SourceTimestamp=far).source_time == far


def test_times_come_from_the_wire_with_a_zone() -> None:
    data = ua.DataValue(ua.Variant(5, ua.VariantType.UInt16), SourceTimestamp=ua.DateTime.fromisoformat(str(NOON)))
    again = struct_from_binary(ua.DataValue, Buffer(struct_to_binary(data)))
    reading = decode(_tag(TagType.UINT16), again, NOW)
    assert reading.source_time == NOON
    assert reading.source_time is not None
    assert reading.source_time.tzinfo is not None


@given(st.binary(max_size=60).filter(lambda octets: octets[:1] not in (b"\x80", b"\xc0")))
def test_no_bytes_make_a_reading_that_is_good_and_not_of_the_type(octets: bytes) -> None:
    """Arrays of nulls apart: they hang asyncua's decoder, and only a watchdog sees that (reliability.md)."""
    try:
        variant = variant_from_binary(Buffer(octets))
    except (UaError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, struct.error):
        return
    reading = decode(_tag(TagType.UINT16), ua.DataValue(variant), NOW)
    if reading.quality is Quality.GOOD:
        assert type(reading.value) is int
        assert 0 <= reading.value < 1 << 16


def test_a_number_is_written_bare_and_in_the_tags_type() -> None:
    data = encode(_tag(TagType.UINT32), (1 << 32) - 1)
    assert data.Value == ua.Variant((1 << 32) - 1, ua.VariantType.UInt32)
    assert (data.StatusCode, data.SourceTimestamp, data.ServerTimestamp) == (None, None, None)


def test_a_bit_is_written_as_a_bool() -> None:
    assert encode(_tag(TagType.BOOL), 1).Value == ua.Variant(True, ua.VariantType.Boolean)
    assert encode(_tag(TagType.BOOL), 0).Value == ua.Variant(False, ua.VariantType.Boolean)


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        (TagType.INT16, 32768),
        (TagType.UINT16, -1),
        (TagType.UINT32, 1 << 32),
        (TagType.STRING, 0),
        (TagType.FLOAT64, 0),
        (TagType.BOOL, 2),
    ],
)
def test_what_a_tag_cannot_hold_is_not_written(kind: TagType, number: int) -> None:
    with pytest.raises(ValueError, match="cannot hold"):
        encode(_tag(kind), number)


@pytest.mark.parametrize(
    ("identifier", "expected"),
    [
        ("s=::Order.No", _node(ua.String("::Order.No"))),
        ("s=a=b;ns=9", _node(ua.String("a=b;ns=9"))),
        ("i=2258", _node(ua.Int32(2258))),
        (f"g={GUID}", _node(ua.Guid(GUID))),
        ("b=AQID", _node(ua.ByteString(b"\x01\x02\x03"))),
    ],
)
def test_a_node_is_found_by_its_identifier_and_the_present_index(identifier: str, expected: ua.NodeId) -> None:
    made = node_id(OpcUaAddress("urn:x", identifier), 4)
    assert made == expected
    again = nodeid_from_binary(Buffer(nodeid_to_binary(made)))
    assert again == expected


@pytest.mark.parametrize("identifier", ["", "s=", "i=", "i=-1", "i=²", "g=1", "b=?", "x=1", "Order.No"])
def test_what_is_no_identifier_is_refused(identifier: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        node_id(OpcUaAddress("urn:x", identifier), 4)


def test_statuses_have_names() -> None:
    assert status_name(StatusCodes.BadNodeIdUnknown) == "BadNodeIdUnknown"
    assert status_name(StatusCodes.BadNodeIdUnknown | 0x480) == "BadNodeIdUnknown"
    assert status_name(0x8FFF_0000) == "0x8FFF0000"
    assert status_name(0) == "Good"


def test_an_unreadable_tag_is_bad_with_the_reason() -> None:
    reading = unreadable(_tag(TagType.UINT16), StatusCodes.BadNodeIdUnknown, NOW)
    assert (reading.value, reading.quality, reading.status) == (None, Quality.BAD, StatusCodes.BadNodeIdUnknown)
