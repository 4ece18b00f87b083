"""The skid's registers and its answers to requests, both pure (Modbus Application Protocol V1.1b3).

Holding registers, 0-based; the input registers (function 4) are the same. Nothing else exists, 99 and 128 neither:

    100  level       float32  L       (40101)
    104  dosed       uint32   0.1 kg
    106  temperature int16    0.1 °C, below zero
    109  state       uint16   bit 0 dosing, bit 10 refilling (40110.10), bit 15 always on
    110  lifetime    int64    mg, beyond what a float64 holds exactly
    120  name        string of 16 characters, padded with NUL

Coils and discrete inputs 0 to 15 are the bits of `state`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Final

FIRST: Final = 100
REGISTERS: Final = 28
DOSED: Final = 104
ORDERS: Final = ("ABCD", "CDAB", "BADC", "DCBA")
DOSING_BIT, REFILL_BIT, READY_BIT = 0, 10, 15

ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE = 1, 2, 3
_BITS = 16
_MOST_REGISTERS, _MOST_BITS = 125, 2000
_HIGH_WORD = 1 << 16
_UINT32 = 1 << 32


@dataclass(frozen=True, slots=True)
class Values:
    """What the device shows; `level` in litres, `dosed` in 0.1 kg, `temperature` in 0.1 °C, `lifetime` in mg."""

    level: float
    dosed: int
    temperature: int
    dosing: bool
    refilling: bool
    lifetime: int
    name: str

    @property
    def state(self) -> int:
        """The word of bits."""
        return self.dosing << DOSING_BIT | self.refilling << REFILL_BIT | 1 << READY_BIT


@dataclass(frozen=True, slots=True)
class Manners:
    """How the device answers: `order` of words and bytes, at most `most` registers at once, else exception `code`.

    With `torn`, half of the totalizer alone shows a high word that is one ahead: who puts two answers together gets a
    number that never was.
    """

    order: str = "CDAB"
    most: int = _MOST_REGISTERS
    code: int = ILLEGAL_VALUE
    torn: bool = False


def image(values: Values, order: str) -> bytes:
    """The registers from `FIRST` on."""
    octets = bytearray(2 * REGISTERS)
    for register, kind, value in (
        (100, ">f", values.level),
        (DOSED, ">I", values.dosed),
        (106, ">h", values.temperature),
        (109, ">H", values.state),
        (110, ">q", values.lifetime),
    ):
        _put(octets, register, _ordered(struct.pack(kind, value), order))
    name = values.name.encode("ascii").ljust(16, b"\0")
    _put(octets, 120, _swapped(name) if order in {"BADC", "DCBA"} else name)
    return bytes(octets)


def answer(request: bytes, values: Values, manners: Manners) -> bytes:
    """The response PDU to a request PDU; functions 1 to 4 are known."""
    function = request[0] if request else 0
    if function not in {1, 2, 3, 4}:
        return refusal(function, ILLEGAL_FUNCTION)
    if len(request) != 5:
        return refusal(function, ILLEGAL_VALUE)
    start, count = struct.unpack(">HH", request[1:])
    if function in {1, 2}:
        return _bits(function, start, count, values.state)
    return _registers(function, start, count, values, manners)


def refusal(function: int, code: int) -> bytes:
    """An exception response."""
    return bytes((function | 0x80, code))


def shows_dosed(request: bytes, response: bytes) -> bool:
    """Whether the response tells the whole totalizer."""
    if request[0] not in {3, 4} or response[0] != request[0]:
        return False
    start, count = struct.unpack(">HH", request[1:])
    return bool(start <= DOSED and start + count >= DOSED + 2)


def _registers(function: int, start: int, count: int, values: Values, manners: Manners) -> bytes:
    if not 1 <= count <= _MOST_REGISTERS:
        return refusal(function, ILLEGAL_VALUE)
    if count > manners.most:
        return refusal(function, manners.code)
    if start < FIRST or start + count > FIRST + REGISTERS:
        return refusal(function, ILLEGAL_ADDRESS)
    if manners.torn and len({DOSED, DOSED + 1} & set(range(start, start + count))) == 1:
        values = _ahead(values)
    place = 2 * (start - FIRST)
    data = image(values, manners.order)[place : place + 2 * count]
    return bytes((function, len(data))) + data


def _bits(function: int, start: int, count: int, state: int) -> bytes:
    if not 1 <= count <= _MOST_BITS:
        return refusal(function, ILLEGAL_VALUE)
    if start + count > _BITS:
        return refusal(function, ILLEGAL_ADDRESS)
    octets = (count + 7) // 8
    chosen = (state >> start) & ((1 << count) - 1)
    return bytes((function, octets)) + chosen.to_bytes(octets, "little")


def _ahead(values: Values) -> Values:
    return replace(values, dosed=(values.dosed + _HIGH_WORD) % _UINT32)


def _put(octets: bytearray, register: int, value: bytes) -> None:
    place = 2 * (register - FIRST)
    octets[place : place + len(value)] = value


def _ordered(value: bytes, order: str) -> bytes:
    """Big endian octets of a number as the device lays them out; a single register is never swapped."""
    if len(value) == 2:
        return value
    if order in {"CDAB", "DCBA"}:
        words = [value[place : place + 2] for place in range(0, len(value), 2)]
        value = b"".join(reversed(words))
    return _swapped(value) if order in {"BADC", "DCBA"} else value


def _swapped(value: bytes) -> bytes:
    """The two octets of each register exchanged."""
    swapped = bytearray(value)
    swapped[0::2], swapped[1::2] = value[1::2], value[0::2]
    return bytes(swapped)
