"""BCD counters at the sources' door: digits as a person reads them off the display, or no value."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from asyncua import ua
from asyncua.ua.status_codes import StatusCodes

from edge_agent.config.devices import ModbusAddress, OpcUaAddress, Tag, TagType
from edge_agent.model.reading import Instant, Quality, TagRef
from edge_agent.sources import opcua_values, registers
from edge_agent.sources.bcd import from_bcd, to_bcd

NOW = Instant(datetime(2026, 3, 2, tzinfo=UTC), 1, "boot")
REF = TagRef("scale", "total")


def on_modbus(kind: TagType) -> Tag:
    return Tag(REF, kind, ModbusAddress("hr", 10))


def on_opcua(kind: TagType) -> Tag:
    return Tag(REF, kind, OpcUaAddress("urn:plant", "s=total"))


def test_every_pattern_of_16_bits_is_its_four_digits_or_nothing() -> None:
    for bits in range(1 << 16):
        digits = [bits >> shift & 0xF for shift in (12, 8, 4, 0)]
        shown = sum(digit * 10**place for place, digit in zip((3, 2, 1, 0), digits, strict=True))
        assert from_bcd(bits) == (shown if max(digits) < 10 else None)


@pytest.mark.parametrize("order", ["ABCD", "CDAB", "BADC", "DCBA"])
def test_a_value_of_eight_digits_in_every_word_order(order: str) -> None:
    octets = {
        "ABCD": b"\x12\x34\x56\x78",
        "CDAB": b"\x56\x78\x12\x34",
        "BADC": b"\x34\x12\x78\x56",
        "DCBA": b"\x78\x56\x34\x12",
    }[order]
    tag = on_modbus(TagType.BCD32)
    assert registers.decoder(tag, 10, order)(octets) == 12_345_678
    assert registers.encode(tag, 12_345_678, order) == octets


def test_one_register_of_a_block() -> None:
    tag = on_modbus(TagType.BCD16)
    assert registers.width(tag) == 1
    assert registers.decoder(tag, 9, "CDAB")(b"\xff\xff\x99\x99") == 9999
    assert registers.decoder(tag, 9, "CDAB")(b"\x00\x00\x00\x0a") is None


@pytest.mark.parametrize(
    ("kind", "variant", "bits", "number"),
    [
        (TagType.BCD16, ua.VariantType.UInt16, 0x9999, 9999),
        (TagType.BCD16, ua.VariantType.UInt16, 0, 0),
        (TagType.BCD32, ua.VariantType.UInt32, 0x00010000, 10_000),
    ],
)
def test_opcua_reads_and_writes_the_unsigned_type_of_its_width(
    kind: TagType, variant: ua.VariantType, bits: int, number: int
) -> None:
    sample = opcua_values.sample(ua.DataValue(ua.Variant(bits, variant)))
    reading = opcua_values.decode(on_opcua(kind), sample, NOW)
    assert (reading.value, reading.quality) == (number, Quality.GOOD)
    written = opcua_values.encode(on_opcua(kind), number).Value
    assert written is not None
    assert (written.Value, written.VariantType) == (bits, variant)


def test_opcua_bits_that_are_no_digit_are_bad_and_say_why() -> None:
    sample = opcua_values.sample(ua.DataValue(ua.Variant(0x0A00, ua.VariantType.UInt16)))
    reading = opcua_values.decode(on_opcua(TagType.BCD16), sample, NOW)
    assert (reading.value, reading.quality, reading.status) == (None, Quality.BAD, StatusCodes.BadOutOfRange)


@pytest.mark.parametrize(("kind", "number"), [(TagType.BCD16, 10_000), (TagType.BCD16, -1), (TagType.BCD32, 10**8)])
def test_what_its_digits_cannot_show_is_never_written(kind: TagType, number: int) -> None:
    with pytest.raises(ValueError, match="fit"):
        to_bcd(number, kind)
    with pytest.raises(ValueError, match="cannot hold"):
        registers.encode(on_modbus(kind), number, "ABCD")
    with pytest.raises(ValueError, match="cannot hold"):
        opcua_values.encode(on_opcua(kind), number)
