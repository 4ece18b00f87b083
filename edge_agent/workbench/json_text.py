"""A line of JSON, read strictly: no key twice, no NaN, numbers exactly; and where in it a value stands. Pure."""

from __future__ import annotations

import json
from collections import Counter as Tally
from decimal import Decimal
from typing import Any

from edge_agent.config.codes import Code
from edge_agent.config.findings import Unfit, shown

Path = tuple[str, ...]


class LineFault(Exception):
    """What is wrong with a line; `path` leads to the value, or with `key` to its key. Empty: to the line."""

    def __init__(self, fault: Unfit, path: Path = (), *, key: bool = False) -> None:
        super().__init__(fault.message)
        self.fault = fault
        self.path = path
        self.key = key


class SyntaxFault(Exception):
    """The line is no JSON; `column` counts from 1."""

    def __init__(self, fault: Unfit, column: int) -> None:
        super().__init__(fault.message)
        self.fault = fault
        self.column = column


class _NoNumber(ValueError):
    """NaN or an infinity, which JSON does not know."""


class Members(dict[str, Any]):
    """A JSON object; `twice` is a key that it has twice."""

    twice: str | None = None


def parse(text: str) -> Members:
    """The JSON object of a line. Raises SyntaxFault; LineFault where it is none, or has a key twice."""
    advice = 'one JSON object a line, such as {"t": "2026-03-02T08:00:00Z", "tag": "filler.bottles_out", "v": 4711}'
    if not text.strip():
        raise LineFault(Unfit(Code.NOT_A_RECORD, "the line is empty", "take it out"))
    try:
        found = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        fault = Unfit(Code.NOT_A_RECORD, f"this is no JSON: {error.msg[:1].lower()}{error.msg[1:]}", advice)
        raise SyntaxFault(fault, error.pos + 1) from error
    except _NoNumber as error:
        raise SyntaxFault(Unfit(Code.NOT_A_RECORD, f"this is no JSON: {error}", advice), 1) from error
    except (ValueError, ArithmeticError) as error:  # more digits, or a larger exponent, than Python takes
        raise SyntaxFault(Unfit(Code.NOT_A_RECORD, "a number of it is too large", advice), 1) from error
    except RecursionError as error:
        raise SyntaxFault(Unfit(Code.NOT_A_RECORD, "it is nested too deeply", advice), 1) from error
    if not isinstance(found, Members):
        raise LineFault(Unfit(Code.NOT_A_RECORD, "this is no JSON object", advice))
    _refuse_twice(found, ())
    return found


def column_of(text: str, path: Path, *, key: bool = False) -> int:
    """The column, from 1, of the value (or key) at `path` in a line that is JSON; that of the line where it is not."""
    begin = len(text) - len(text.lstrip())
    for depth, step in enumerate(path, 1):
        place = _member(text, begin, step)
        if place is None:
            return begin + 1
        begin = place[0] if key and depth == len(path) else place[1]
    return begin + 1


def _object(pairs: list[tuple[str, Any]]) -> Members:
    members = Members(pairs)
    if len(members) < len(pairs):
        members.twice = Tally(key for key, _ in pairs).most_common(1)[0][0]
    return members


def _constant(text: str) -> object:
    msg = f"{text} is no number"
    raise _NoNumber(msg)


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=Decimal, parse_constant=_constant)


def _refuse_twice(members: Members, path: Path) -> None:
    if members.twice is not None:
        fault = Unfit(Code.DUPLICATE, f"{shown(members.twice)} is given twice", "keep one of them")
        raise LineFault(fault, (*path, members.twice), key=True)
    for key, value in members.items():
        if isinstance(value, Members):
            _refuse_twice(value, (*path, key))


def _member(text: str, begin: int, name: str) -> tuple[int, int] | None:
    """Where the key and the value of a member of the object at `begin` stand, from 0."""
    at = begin + 1
    while (at := _skip(text, at)) < len(text) and text[at] == '"':
        key, value = _DECODER.raw_decode(text, at)
        value = _skip(text, _skip(text, value) + 1)
        if key == name:
            return at, value
        at = _skip(text, _DECODER.raw_decode(text, value)[1]) + 1
    return None


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at
