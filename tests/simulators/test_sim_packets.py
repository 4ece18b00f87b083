"""MQTT packets, however the stream was cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent_simulators.mqtt_packets import (
    Framer,
    ProtocolError,
    Publish,
    decode_length,
    encode_length,
    puback,
)

PUBLISHES = st.builds(
    lambda topic, payload, qos, number, retain, duplicate, properties: Publish(
        topic.encode(), payload, qos, number if qos else None, retain, duplicate, properties
    ),
    st.text(min_size=1, max_size=40),
    st.binary(max_size=700),
    st.integers(0, 2),
    st.integers(1, 65_535),
    st.booleans(),
    st.booleans(),
    st.binary(max_size=300),
)


@given(PUBLISHES)
def test_a_publish_survives_decoding_and_encoding(message: Publish) -> None:
    packet = message.encode()
    assert Publish.decode(packet) == message
    assert Publish.decode(packet).encode() == packet


@given(st.lists(st.one_of(PUBLISHES.map(Publish.encode), st.just(puback(7)), st.just(b"\xd0\x00"))), st.data())
def test_packets_come_out_whole_however_they_were_cut(packets: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(packets)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=30)))
    framer = Framer()
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += list(framer.feed(stream[start:end]))
    assert found == packets


@given(st.integers(0, 268_435_455))
def test_lengths_are_variable_byte_integers(value: int) -> None:
    encoded = encode_length(value)
    assert len(encoded) == (1 if value < 128 else 2 if value < 16_384 else 3 if value < 2_097_152 else 4)
    assert decode_length(b"\x30" + encoded, 1) == (value, 1 + len(encoded))
    assert decode_length(encoded[:-1], 0) is None


def test_what_is_no_mqtt_is_refused() -> None:
    with pytest.raises(ProtocolError, match="four bytes"):
        list(Framer().feed(b"\x30\xff\xff\xff\xff\x01"))
    with pytest.raises(ProtocolError, match="do not fit"):
        encode_length(268_435_456)
    with pytest.raises(ProtocolError, match="no PUBLISH"):
        Publish.decode(puback(1))
    for cut in (b"\x32\x03\x00\x09a", b"\x32\x04\x00\x01a\x00", b"\x32\x05\x00\x01a\x00\x01", b"\x30\x04\x00\x01a\x09"):
        with pytest.raises(ProtocolError):
            Publish.decode(cut)


def test_puback_is_four_bytes() -> None:
    assert puback(0x1234) == b"\x40\x02\x12\x34"
