"""Whether an answer is the answer to our request, octet by octet: pure (Modbus Application Protocol V1.1b3, 4 to 7).

Libraries take short, long, odd and foreign answers for success; here nothing but the one right frame is an answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

_HEADER: Final = 6
"""Octets of the MBAP header before the unit identifier (Modbus Messaging on TCP/IP V1.0b, 3.1.3)."""
_ERROR: Final = 0x80
_CRC: Final = 2
_SHOWN: Final = 24
_WRITES_ECHOED: Final = 5
"""Octets of function, address and value or count that the answer to a write repeats."""


class Kind(Enum):
    """What has arrived."""

    PART = "part of an answer"
    ANSWER = "the answer"
    REFUSAL = "an exception response"
    WRONG = "something else"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What has arrived: with an ANSWER its values' octets, with a REFUSAL the exception code, with WRONG why."""

    kind: Kind
    octets: bytes = b""
    code: int = 0
    why: str = ""


class Expected:
    """The answers to a request frame `sent` that are right; `octets` of values where it reads, else None.

    `serial` frames are RTU's: no header, and a CRC behind (Modbus over Serial Line V1.02, 2.5.1).
    """

    def __init__(self, sent: bytes, octets: int | None, *, serial: bool) -> None:
        lead = 0 if serial else _HEADER
        unit, function = sent[lead : lead + 1], sent[lead + 1]
        start = bytes([function, octets]) if octets is not None else sent[lead + 1 : lead + 1 + _WRITES_ECHOED]
        self._crc = _CRC if serial else 0
        self._answer = self._head(sent, unit + start, octets or 0, serial=serial)
        self._refusal = self._head(sent, unit + bytes([function | _ERROR]), 1, serial=serial)
        self._octets = octets or 0

    @staticmethod
    def _head(sent: bytes, start: bytes, more: int, *, serial: bool) -> bytes:
        return start if serial else sent[:4] + (len(start) + more).to_bytes(2, "big") + start

    def judge(self, got: bytes) -> Verdict:
        """What `got`, everything that arrived since the request, is."""
        for head, more, kind in ((self._answer, self._octets, Kind.ANSWER), (self._refusal, 1, Kind.REFUSAL)):
            seen = min(len(got), len(head))
            if got[:seen] != head[:seen]:
                continue
            end = len(head) + more
            if len(got) < end + self._crc:
                return Verdict(Kind.PART)
            if len(got) > end + self._crc:
                return _wrong("more than was asked for", got)
            if self._crc and crc(got[:end]) != got[end:]:
                return _wrong("a CRC that does not fit", got)
            body = got[len(head) : end]
            return Verdict(kind, body) if kind is Kind.ANSWER else Verdict(kind, code=body[0])
        return _wrong("not the answer to our request", got)


def crc(octets: bytes) -> bytes:
    """The two octets that end an RTU frame (Modbus over Serial Line V1.02, 6.2.2)."""
    value = 0xFFFF
    for octet in octets:
        value ^= octet
        for _ in range(8):
            value = value >> 1 ^ 0xA001 if value & 1 else value >> 1
    return value.to_bytes(2, "little")


def _wrong(what: str, got: bytes) -> Verdict:
    shown = got[:_SHOWN].hex(" ") + (" ..." if len(got) > _SHOWN else "")
    return Verdict(Kind.WRONG, why=f"{what}: {shown}")


EXCEPTIONS: Final = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "server device failure",
    5: "acknowledge",
    6: "server device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target device failed to respond",
}
"""Exception codes (Modbus Application Protocol V1.1b3, 7)."""


def exception_name(code: int) -> str:
    """`illegal data address (exception 2)` for people."""
    return f"{EXCEPTIONS.get(code, 'unknown')} (exception {code})"
