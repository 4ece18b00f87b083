"""Strict JSON from strangers (reliability.md, Bad inputs): every doubtful payload is refused with a reason. Pure."""

from __future__ import annotations

import json
from typing import Any, NoReturn

PAYLOAD_BYTES = 65_536
"""Most bytes of a command."""
_DEEPEST = 16
_INTEGER_DIGITS = 20


class PayloadRefused(ValueError):
    """Why a payload is not taken; the text is for the sender."""


def decode_object(payload: bytes) -> dict[str, Any]:
    """The JSON object in `payload`. Raises PayloadRefused: size, UTF-8, syntax, depth, duplicate keys, odd numbers."""
    if len(payload) > PAYLOAD_BYTES:
        raise PayloadRefused(f"it has {len(payload)} bytes, more than {PAYLOAD_BYTES}")
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PayloadRefused("it is not UTF-8") from error
    _check_depth(text)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_without_duplicates,
            parse_int=_integer,
            parse_float=_no_number,
            parse_constant=_no_number,
        )
    except json.JSONDecodeError as error:
        raise PayloadRefused(f"it is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise PayloadRefused("it is not a JSON object")
    return value


def _check_depth(text: str) -> None:
    """Counts brackets, those inside of strings too: a command needs none there, and the decoder must not recurse."""
    depth = 0
    for character in text:
        if character in "[{":
            depth += 1
        elif character in "]}":
            depth -= 1
        if depth > _DEEPEST:
            raise PayloadRefused(f"it is nested deeper than {_DEEPEST} levels")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise PayloadRefused("it has a key twice")
    return found


def _integer(digits: str) -> int:
    if len(digits) > _INTEGER_DIGITS:
        raise PayloadRefused(f"it holds a number of {len(digits)} digits")
    return int(digits)


def _no_number(text: str) -> NoReturn:
    raise PayloadRefused(f"{text[:20]} is not a whole number")
