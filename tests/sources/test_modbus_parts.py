"""Modbus without a device: registers to values, tags to requests, frames to verdicts."""

from __future__ import annotations

import struct
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge_agent.config.devices import ModbusAddress, Tag, TagType
from edge_agent.sources.modbus_frames import Expected, Kind, crc
from edge_agent.sources.modbus_plan import plan
from edge_agent.sources.registers import decoder, encode, width
from tests.sources.modbus_bench import modbus_tag
from tests.sources.modbus_device import crc16

BIG_ENDIAN = {
    TagType.INT16: ">h",
    TagType.UINT16: ">H",
    TagType.INT32: ">i",
    TagType.UINT32: ">I",
    TagType.INT64: ">q",
    TagType.UINT64: ">Q",
}
ORDERS = ("ABCD", "CDAB", "BADC", "DCBA")


@pytest.mark.parametrize(
    ("order", "octets"),
    [("ABCD", "12 34 56 78"), ("CDAB", "56 78 12 34"), ("BADC", "34 12 78 56"), ("DCBA", "78 56 34 12")],
)
def test_the_order_is_that_of_its_letters(order: str, octets: str) -> None:
    tag = modbus_tag("t", "hr", 0, TagType.UINT32)
    assert decoder(tag, 0, order)(bytes.fromhex(octets)) == 0x12345678
    assert encode(tag, 0x12345678, order) == bytes.fromhex(octets)


def test_sixty_four_bits_have_the_same_orders() -> None:
    tag = modbus_tag("t", "hr", 0, TagType.UINT64)
    shown = {order: encode(tag, 0x0102030405060708, order).hex() for order in ORDERS}
    assert shown == {
        "ABCD": "0102030405060708",
        "CDAB": "0708050603040102",
        "BADC": "0201040306050807",
        "DCBA": "0807060504030201",
    }


@given(st.sampled_from(sorted(BIG_ENDIAN)), st.sampled_from(ORDERS), st.integers(0, 100), st.data())
def test_what_is_encoded_is_decoded(kind: TagType, order: str, at: int, data: st.DataObject) -> None:
    bits = 8 * struct.calcsize(BIG_ENDIAN[kind])
    low = -(1 << bits - 1) if kind.value.startswith("int") else 0
    number = data.draw(st.integers(low, low + (1 << bits) - 1))
    tag = modbus_tag("t", "hr", 1000 + at, kind)
    octets = encode(tag, number, order)
    assert decoder(tag, 1000, order)(b"\xff" * 2 * at + octets + b"\xff\xff") == number
    for outside in (low - 1, low + (1 << bits)):
        with pytest.raises(ValueError, match="cannot hold"):
            encode(tag, outside, order)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
@example(0.10000000149011612)
def test_a_float_is_the_shortest_decimal_that_is_it(value: float) -> None:
    number = decoder(modbus_tag("t", "hr", 0, TagType.FLOAT32), 0, "ABCD")(struct.pack(">f", value))
    assert isinstance(number, Decimal)
    assert struct.unpack(">f", struct.pack(">f", float(number)))[0] == value


@pytest.mark.parametrize("octets", ["7fc00000", "7f800000", "ff800000"])
def test_what_is_no_number_is_no_value(octets: str) -> None:
    assert decoder(modbus_tag("t", "hr", 0, TagType.FLOAT32), 0, "ABCD")(bytes.fromhex(octets)) is None


@pytest.mark.parametrize(
    ("octets", "order", "text"),
    [
        (b"A1  ", "ABCD", "A1"),
        (b"A1\0\0", "CDAB", "A1"),
        (b"1A\0\0", "BADC", "A1"),
        (b"1A\0\0", "DCBA", "A1"),
        (b"A\0XX", "ABCD", "A"),
        (b"\0\0\0\0", "ABCD", ""),
        (b"\xff\xfe  ", "ABCD", None),
    ],
)
def test_texts_end_at_a_nul_or_with_their_filling(octets: bytes, order: str, text: str | None) -> None:
    assert decoder(modbus_tag("t", "hr", 0, TagType.STRING, length=4), 0, order)(octets) == text


def test_bits_are_counted_from_the_lowest() -> None:
    assert [
        decoder(modbus_tag("t", "hr", 5, TagType.BOOL, bit=bit), 4, "DCBA")(b"\0\0\x04\x01") for bit in (0, 8, 10)
    ] == [
        True,
        False,
        True,
    ]
    assert [decoder(modbus_tag("t", "co", at, TagType.BOOL), 3, "ABCD")(b"\x02\x01") for at in (3, 4, 11)] == [
        False,
        True,
        True,
    ]


TAGS = st.lists(
    st.builds(
        lambda table, at, kind: modbus_tag(f"{table}{at}{kind}", table, at, kind),
        st.sampled_from(("hr", "ir")),
        st.integers(0, 400),
        st.sampled_from(sorted(BIG_ENDIAN)),
    )
    | st.builds(
        lambda table, at: modbus_tag(f"{table}{at}", table, at, TagType.BOOL),
        st.sampled_from(("co", "di")),
        st.integers(0, 4000),
    ),
    min_size=1,
    max_size=60,
)


@given(TAGS, st.integers(4, 125))
def test_every_tag_is_in_one_request_that_a_device_can_answer(tags: list[Tag], most: int) -> None:
    blocks = plan(tags, "ABCD", most)
    assert sorted(tag.ref for block in blocks for tag in block.tags) == sorted(tag.ref for tag in tags)
    for block in blocks:
        assert block.count <= (2000 if block.table in ("co", "di") else most)
        for tag in block.tags:
            address = tag.address
            assert isinstance(address, ModbusAddress)
            assert address.table == block.table
            assert block.start <= address.offset
            assert address.offset + width(tag) <= block.start + block.count
        halves = block.halves
        assert (halves is None) is (len(block.tags) == 1)
        if halves is not None:
            assert [tag for half in halves for tag in half.tags] == list(block.tags)


SENT = bytes.fromhex("0007 0000 0006 01 03 0068 0002")
RIGHT = bytes.fromhex("0007 0000 0007 01 03 04 00010203")
REFUSED = bytes.fromhex("0007 0000 0003 01 83 02")


def test_an_answer_counts_only_when_it_is_whole() -> None:
    expected = Expected(SENT, 4, serial=False)
    assert {expected.judge(RIGHT[:end]).kind for end in range(len(RIGHT))} == {Kind.PART}
    whole = expected.judge(RIGHT)
    assert (whole.kind, whole.octets) == (Kind.ANSWER, bytes.fromhex("00010203"))
    refusal = expected.judge(REFUSED)
    assert (refusal.kind, refusal.code) == (Kind.REFUSAL, 2)


@given(st.binary(max_size=30))
@example(RIGHT + b"\0")
@example(RIGHT[:-1] + b"\0\0")
@example(REFUSED + b"\0")
def test_nothing_but_the_right_frame_is_an_answer(got: bytes) -> None:
    verdict = Expected(SENT, 4, serial=False).judge(got)
    is_answer = len(got) == len(RIGHT) and got[:9] == RIGHT[:9]
    is_refusal = len(got) == len(REFUSED) and got[:8] == REFUSED[:8]
    assert (verdict.kind is Kind.ANSWER) is is_answer
    assert (verdict.kind is Kind.REFUSAL) is is_refusal


@given(st.integers(0, 12), st.integers(1, 255))
def test_a_frame_on_a_serial_line_fits_its_check(at: int, flip: int) -> None:
    sent = b"\x01\x03\x00\x68\x00\x02"
    right = b"\x01\x03\x04\x00\x01\x02\x03"
    right += crc16(right)
    expected = Expected(sent + crc(sent), 4, serial=True)
    assert expected.judge(right).kind is Kind.ANSWER
    at %= len(right)
    flipped = right[:at] + bytes([right[at] ^ flip]) + right[at + 1 :]
    assert expected.judge(flipped).kind is not Kind.ANSWER


def test_a_write_is_answered_by_what_it_wrote() -> None:
    single = bytes.fromhex("0009 0000 0006 01 06 00d2 0001")
    assert Expected(single, None, serial=False).judge(single).kind is Kind.ANSWER
    several = bytes.fromhex("0009 0000 000b 01 10 00d2 0002 04 00010002")
    answer = bytes.fromhex("0009 0000 0006 01 10 00d2 0002")
    assert Expected(several, None, serial=False).judge(answer).kind is Kind.ANSWER
    assert Expected(several, None, serial=False).judge(answer[:-1] + b"\x01").kind is Kind.WRONG
