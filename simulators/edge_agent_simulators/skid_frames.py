"""Modbus on the wire: MBAP frames over TCP, RTU frames with a checksum over a serial line, and both falsified. Pure.

MODBUS Messaging on TCP/IP Implementation Guide V1.0b, 3.1.3; MODBUS over Serial Line V1.02, 2.5.1 and 6.2.2.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from edge_agent_simulators.skid_faults import Kind, WireFaults

HEADER_OCTETS: Final = 7
_RTU_REQUEST_OCTETS = 8
"""Of functions 1 to 6. Others pass unanswered: the skid has nothing for them."""
_LONGEST_PDU = 253


@dataclass(frozen=True, slots=True)
class Request:
    """A request PDU for `unit`; `transaction` is None on the serial line."""

    unit: int
    pdu: bytes
    transaction: int | None = None


def header(octets: bytes) -> tuple[int, int, int]:
    """Transaction, unit and the number of octets of the PDU that follows. Raises ValueError where it is no Modbus."""
    transaction, protocol, length, unit = struct.unpack(">HHHB", octets)
    if protocol != 0 or not 2 <= length <= _LONGEST_PDU + 1:
        msg = f"protocol {protocol}, length {length}"
        raise ValueError(msg)
    return transaction, unit, length - 1


def crc(octets: bytes) -> bytes:
    """The checksum of an RTU frame, as it is sent: low octet first."""
    value = 0xFFFF
    for octet in octets:
        value ^= octet
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return value.to_bytes(2, "little")


def frame(request: Request, pdu: bytes, faults: WireFaults, at: datetime) -> bytes:
    """The answer's octets, with the armed faults of its frame."""
    unit = request.unit
    if faults.hit(Kind.WRONG_UNIT, at) is not None:
        unit = (unit + 1) % 248
    body = bytes((unit,)) + pdu
    junk = faults.hit(Kind.JUNK, at)
    before = b"" if junk is None else bytes.fromhex(junk["junk"])
    if request.transaction is None:
        checksum = crc(body)
        if faults.hit(Kind.BAD_CRC, at) is not None:
            checksum = bytes(octet ^ 0xFF for octet in checksum)
        return before + body + checksum
    transaction, length = request.transaction, len(body)
    if faults.hit(Kind.WRONG_TRANSACTION, at) is not None:
        transaction = (transaction + 1) % 65536
    if (wrong := faults.hit(Kind.WRONG_LENGTH, at)) is not None:
        length = wrong["length"]
    return before + struct.pack(">HHH", transaction, 0, length) + body


class RtuFramer:
    """Finds requests in what comes over the serial line; skips octet by octet what is none.

    The checksum finds the frame's bounds, not the pause between frames: a pty has no pauses to speak of.
    """

    def __init__(self) -> None:
        self._octets = bytearray()

    def feed(self, octets: bytes) -> Iterator[Request]:
        """Every request that is complete now."""
        self._octets += octets
        while len(self._octets) >= _RTU_REQUEST_OCTETS:
            found = bytes(self._octets[:_RTU_REQUEST_OCTETS])
            if crc(found[:-2]) == found[-2:]:
                del self._octets[:_RTU_REQUEST_OCTETS]
                yield Request(found[0], found[1:-2])
            else:
                del self._octets[0]
