"""Bytes that would keep asyncua's decoder busy for ever are refused; each in a process of its own with a time limit."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
from collections.abc import Callable

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua import ua_binary
from asyncua.ua.uaerrors import UaError

from edge_agent.sources.opcua_guard import install

ENDLESS = bytes.fromhex("c0c0c0c05a5a5a5b21")
STRINGS = b"\x8c" + struct.pack("<i", 2**31 - 1) + struct.pack("<i", -4) * 4
"""Each string says it is -4 bytes long: reading it goes back to where its length began."""
NESTED = b"\x98\x40\x00\x00\x00" + (b"\x80" + struct.pack("<i", 2**31 - 1)) * 64
DECODE = """
import sys
from asyncua.common.utils import Buffer
from asyncua.ua import ua_binary
from edge_agent.sources.opcua_guard import install
if "unguarded" not in sys.argv:
    install()
ua_binary.variant_from_binary(Buffer(bytes.fromhex(sys.argv[1])))
"""


def _decoded_in_its_own_process(data: bytes, seconds: float, *guarded: str) -> str:
    command = [sys.executable, "-c", DECODE, data.hex(), *guarded]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    return done.stderr.splitlines()[-1] if done.returncode else ""


@pytest.mark.parametrize("data", [ENDLESS, STRINGS, NESTED])
def test_endless_arrays_are_refused(data: bytes) -> None:
    assert "an array claims" in _decoded_in_its_own_process(data, 60)


@pytest.mark.slow
def test_unguarded_the_nine_bytes_keep_the_decoder_busy() -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        _decoded_in_its_own_process(ENDLESS, 10, "unguarded")


@pytest.mark.parametrize("dimensions", [[2000, 2000], [-1, -2], [0, 2], [2, 2**31 - 1], [1] * 17, []])
def test_dimensions_that_do_not_fit_are_refused(dimensions: list[int]) -> None:
    install()
    data = b"\xc5" + struct.pack("<i2H", 2, 7, 8) + struct.pack(f"<i{len(dimensions)}i", len(dimensions), *dimensions)
    with pytest.raises(UaError, match="an array of 2 claims the dimensions"):
        ua_binary.variant_from_binary(Buffer(data))


@pytest.mark.parametrize(
    "variant",
    [
        ua.Variant([1, 2, 3, 4], ua.VariantType.UInt16, Dimensions=[ua.Int32(2), ua.Int32(2)]),
        ua.Variant([], ua.VariantType.UInt16),
        ua.Variant(["a", None], ua.VariantType.String),
        ua.Variant([ua.Variant(1), ua.Variant("a")], ua.VariantType.Variant),
        ua.Variant([True] * 1000, ua.VariantType.Boolean),
    ],
)
def test_honest_arrays_are_decoded_as_before(variant: ua.Variant) -> None:
    install()
    decoded = ua_binary.variant_from_binary(Buffer(ua_binary.variant_to_binary(variant)))
    assert ua_binary.variant_to_binary(decoded) == ua_binary.variant_to_binary(variant)


Spoil = Callable[[random.Random, bytes], bytes]


def _flip(chance: random.Random, data: bytes) -> bytes:
    spoiled = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        spoiled[chance.randrange(len(spoiled))] = chance.choice([0, 0x7F, 0x80, 0xC0, 0xFF, chance.randrange(256)])
    return bytes(spoiled)


def _noise(chance: random.Random, data: bytes) -> bytes:
    return bytes([chance.choice([0x80, 0x98, 0xC0, 0xD8, 0x18])]) + chance.randbytes(len(data))


@pytest.mark.parametrize("spoil", [_flip, _noise])
def test_whatever_comes_is_decoded_or_refused_in_time(spoil: Spoil) -> None:
    """In this process: the run's own time limit is the judge."""
    install()
    chance = random.Random(4711)
    inner = [ua.Variant([1, 2], ua.VariantType.UInt16, Dimensions=[ua.Int32(1), ua.Int32(2)]), ua.Variant("x")]
    whole = ua_binary.variant_to_binary(ua.Variant(inner, ua.VariantType.Variant))
    for _ in range(3000):
        data = spoil(chance, whole)
        try:
            ua_binary.variant_from_binary(Buffer(data))
        except (
            UaError,
            ValueError,
            LookupError,
            TypeError,
            struct.error,
            OverflowError,
            RecursionError,
            AttributeError,
        ):
            continue
