"""Binary floats become decimals at the sources' door, and go no further (events.md, Data)."""

from __future__ import annotations

import struct
from decimal import Decimal


def shortest(value: float, *, single: bool) -> Decimal:
    """The shortest decimal that is this finite float and no other: what a person would have typed.

    `single` is a 32-bit float.
    """
    return Decimal(_shortest_single(value) if single else repr(value))


def _shortest_single(value: float) -> str:
    for digits in range(6, 9):
        text = f"{value:.{digits}g}"
        if struct.unpack("<f", struct.pack("<f", float(text)))[0] == value:
            return text
    return f"{value:.9g}"
