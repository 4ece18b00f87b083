"""JSON from strangers, read strictly: no NaN, no name twice, no binary floats, no endless numbers. Pure."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, NoReturn
from unicodedata import category

PAYLOAD_BYTES = 1 << 20
"""Most bytes of a message; an event has at most 64 KiB (events.md, Data), answers of an agent may be larger."""
_INTEGER_DIGITS = 20
_NUMBER_TEXT = 64


class Malformed(ValueError):
    """The message cannot be read as what it should be; the text says why."""


def read_object(payload: bytes) -> dict[str, Any]:
    """The JSON object in `payload`, its numbers as int and Decimal. Raises Malformed."""
    if len(payload) > PAYLOAD_BYTES:
        raise Malformed(f"it has {len(payload)} bytes, more than {PAYLOAD_BYTES}")
    try:
        value = _DECODER.decode(payload.decode("utf-8"))
    except Malformed:
        raise
    except RecursionError:
        raise Malformed("it is nested too deeply") from None
    except ValueError as error:
        raise Malformed(f"it is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise Malformed("it is not a JSON object")
    return value


def read_text(value: object, name: str) -> str:
    """`value` as a text that every database takes: not empty, no control character, no lone surrogate.

    Raises Malformed, which names it as `name`.
    """
    if not isinstance(value, str) or not value:
        raise Malformed(f"{name}: not a text")
    if not is_plain(value):
        raise Malformed(f"{name}: holds a control character or half of one")
    return value


def is_plain(text: str) -> bool:
    """Whether every database and every terminal can take `text`: no control character, no lone surrogate."""
    return text.isprintable() or not any(category(character) in {"Cc", "Cs"} for character in text)


def write(value: object) -> bytes:
    """`value` as compact JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("a name stands twice in one object")
    return found


def _integer(digits: str) -> int:
    if len(digits) > _INTEGER_DIGITS + digits.startswith("-"):
        raise Malformed(f"it holds a number of {len(digits)} digits")
    return int(digits)


def _decimal(text: str) -> Decimal:
    if len(text) > _NUMBER_TEXT:
        raise Malformed(f"it holds a number of {len(text)} characters")
    return Decimal(text)


def _refuse(constant: str) -> NoReturn:
    raise Malformed(f"{constant} is no JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_int=_integer, parse_float=_decimal, parse_constant=_refuse)
