"""What a message may claim: asyncua 2.1 believes lengths, so nine bytes can keep its decoder busy for ever.

Every array announces its length before its elements, and every element takes a byte or more (OPC 10000-6, 5.2.5): so a
length beyond the bytes that are left is a lie, as is an array of nothing, a negative length, and dimensions that do not
multiply to the number of elements. With these refused, decoding is bounded by the size of the message.
"""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Callable
from typing import Any, Final

from asyncua import ua
from asyncua.common.utils import Buffer, NotEnoughData
from asyncua.ua import ua_binary
from asyncua.ua.uaerrors import UaError

Deserializer = Callable[[Buffer], Any]

_MOST_DIMENSIONS: Final = 16
_LENGTH: Final = struct.Struct("<i")
_BUILDERS: Final = ("_create_uatype_array_deserializer", "_create_list_deserializer")
_CACHES: Final = ("_create_uatype_deserializer", "_create_type_deserializer", "_create_dataclass_deserializer")
_installed: list[str] = []


def install() -> None:
    """Have asyncua's decoder refuse such claims with a UaError, in this process; may be called again."""
    if _installed:
        return
    for name in _BUILDERS:
        setattr(ua_binary, name, _checked(getattr(ua_binary, name)))
        _installed.append(name)
    for name in _CACHES:  # what was built before holds unchecked parts
        getattr(ua_binary, name).cache_clear()
    shape = _checked_shape(ua_binary._reshape)  # noqa: SLF001 - the only place where dimensions are believed
    ua_binary._reshape = shape  # type: ignore[assignment]  # noqa: SLF001 - mypy compares names of parameters
    Buffer.read = _read  # type: ignore[method-assign]  # asyncua has no other place to check it


def _checked(build: Callable[[Any], Deserializer]) -> Callable[[Any], Deserializer]:
    @functools.cache
    def built(kind: Any) -> Deserializer:
        deserialize, is_empty = build(kind), kind is ua.VariantType.Null

        def checked(data: Buffer) -> Any:
            length = _LENGTH.unpack(data.copy(4).read(4))[0]
            if length > 0 and (is_empty or length > len(data)):
                raise UaError(f"an array claims {length} elements in {len(data)} bytes")
            return deserialize(data)

        return checked

    return built


def _checked_shape(reshape: Callable[[Any, Any], list[Any]]) -> Callable[[list[Any], list[int]], list[Any]]:
    def checked(flat: list[Any], dimensions: list[int]) -> list[Any]:
        is_possible = len(dimensions) <= _MOST_DIMENSIONS and min(dimensions, default=-1) >= 0
        if not is_possible or math.prod(dimensions) != len(flat):
            raise UaError(f"an array of {len(flat)} claims the dimensions {dimensions[:_MOST_DIMENSIONS]}")
        return reshape(flat, dimensions)

    return checked


def _read(self: Buffer, size: int) -> bytes:
    """`Buffer.read` without its way back: a negative size would undo what was read."""
    if not 0 <= size <= self._size:
        raise NotEnoughData(f"{size} bytes are wanted and {self._size} are left")
    start = self._cur_pos
    self._cur_pos += size
    self._size -= size
    return self._data[start : self._cur_pos]
