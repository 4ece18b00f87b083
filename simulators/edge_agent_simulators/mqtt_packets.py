"""MQTT control packets on a byte stream: cutting them apart, and PUBLISH of MQTT 5 decoded and encoded (OASIS 2019)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

PUBLISH = 3
PUBACK = 4
_LARGEST_LENGTH = 268_435_455


class ProtocolError(Exception):
    """The bytes are no MQTT."""


class Framer:
    """Cuts a stream into whole control packets, however it was segmented."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take bytes in; yields every packet that is complete now. Raises ProtocolError."""
        self._buffer += data
        while (size := self._whole()) is not None:
            packet = bytes(self._buffer[:size])
            del self._buffer[:size]
            yield packet

    def _whole(self) -> int | None:
        """The size of the first packet where all of it is there."""
        decoded = decode_length(self._buffer, 1) if len(self._buffer) > 1 else None
        if decoded is None:
            return None
        length, body = decoded
        return body + length if len(self._buffer) >= body + length else None


def decode_length(data: bytes | bytearray, at: int) -> tuple[int, int] | None:
    """A variable byte integer at `at` and where it ends; None where it is cut off. Raises ProtocolError."""
    value = 0
    for place in range(4):
        if at + place >= len(data):
            return None
        byte = data[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at + place + 1
    msg = "a length of more than four bytes"
    raise ProtocolError(msg)


def encode_length(value: int) -> bytes:
    """A variable byte integer. Raises ProtocolError above 268,435,455."""
    if value > _LARGEST_LENGTH:
        msg = f"{value} bytes do not fit into an MQTT packet"
        raise ProtocolError(msg)
    encoded = bytearray()
    while True:
        value, low = divmod(value, 0x80)
        encoded.append(low | 0x80 if value else low)
        if not value:
            return bytes(encoded)


@dataclass(frozen=True, slots=True)
class Publish:
    """A PUBLISH; `properties` are kept as they came, without their length. `identifier` is None at QoS 0."""

    topic: bytes
    payload: bytes
    qos: int
    identifier: int | None
    retain: bool = False
    duplicate: bool = False
    properties: bytes = b""

    @classmethod
    def decode(cls, packet: bytes) -> Publish:
        """Read one whole packet. Raises ProtocolError."""
        header = decode_length(packet, 1)
        if header is None or packet[0] >> 4 != PUBLISH:
            msg = "no PUBLISH"
            raise ProtocolError(msg)
        _, at = header
        flags = packet[0] & 0x0F
        qos = flags >> 1 & 0b11
        topic, at = _take(packet, at + 2, int.from_bytes(packet[at : at + 2], "big"))
        identifier = None
        if qos:
            number, at = _take(packet, at, 2)
            identifier = int.from_bytes(number, "big")
        properties = decode_length(packet, at)
        if properties is None:
            msg = "a PUBLISH without properties: is this MQTT 5?"
            raise ProtocolError(msg)
        kept, at = _take(packet, properties[1], properties[0])
        return cls(topic, packet[at:], qos, identifier, bool(flags & 1), bool(flags & 8), kept)

    def encode(self) -> bytes:
        """The packet's bytes."""
        body = len(self.topic).to_bytes(2, "big") + self.topic
        if self.identifier is not None:
            body += self.identifier.to_bytes(2, "big")
        body += encode_length(len(self.properties)) + self.properties + self.payload
        flags = (8 if self.duplicate else 0) | self.qos << 1 | int(self.retain)
        return bytes([PUBLISH << 4 | flags]) + encode_length(len(body)) + body


def puback(identifier: int) -> bytes:
    """PUBACK with reason success, in its short form (MQTT 5, 3.4.2.1)."""
    return bytes([PUBACK << 4, 2]) + identifier.to_bytes(2, "big")


def _take(packet: bytes, at: int, size: int) -> tuple[bytes, int]:
    if at + size > len(packet):
        msg = "a PUBLISH that is cut off"
        raise ProtocolError(msg)
    return packet[at : at + size], at + size
