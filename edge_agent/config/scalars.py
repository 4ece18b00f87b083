"""What an unquoted YAML scalar means: YAML 1.2, and an error wherever YAML 1.1 or a hurried reader sees otherwise."""

from __future__ import annotations

import re
from enum import Enum

from edge_agent.config.codes import Code
from edge_agent.config.findings import Unfit, shown


class Kind(Enum):
    """What a scalar holds. Quoted ones are always text; `BAD` ones have been reported."""

    TEXT = "text"
    INTEGER = "a whole number"
    DECIMAL = "a number"
    BOOLEAN = "true or false"
    NULL = "nothing"
    BAD = "bad"


_WORDS = {"true": Kind.BOOLEAN, "false": Kind.BOOLEAN, "null": Kind.NULL}
_OLD_BOOLEANS = frozenset({"yes", "no", "on", "off", "y", "n"})
_LONGEST_WORD = 5
_LONGEST_NUMBER = 64
_LIKE_A_NUMBER = re.compile(r"[-+0-9._:a-fox]+", re.IGNORECASE)
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]*)\.[0-9]+")
_PLAIN = (
    (re.compile(r"[-+]?0[0-9]+"), Code.OLD_NUMBER, "a leading zero: YAML 1.1 reads it as octal"),
    (re.compile(r"[-+]?0o[0-7_]+", re.IGNORECASE), Code.OLD_NUMBER, "octal"),
    (re.compile(r"[-+]?0x[0-9a-f_]+", re.IGNORECASE), Code.OLD_NUMBER, "hexadecimal"),
    (re.compile(r"[-+]?0b[01_]+", re.IGNORECASE), Code.OLD_NUMBER, "binary"),
    (re.compile(r"[-+]?[0-9][0-9_]*(:[0-9]{1,2})+(\.[0-9_]*)?"), Code.SEXAGESIMAL, "YAML 1.1 reads it in base 60"),
    (re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt \t].*)?"), Code.SEXAGESIMAL, "YAML 1.1 reads it as a date"),
    (re.compile(r"[-+]?\.?[0-9][0-9_]*_[0-9_]*(\.[0-9_]*)?"), Code.UNDERSCORES, "it has underscores"),
    (re.compile(r"[-+]?[0-9][0-9_]*\.[0-9_]*_[0-9_]*"), Code.UNDERSCORES, "it has underscores"),
    (re.compile(r"[-+]?\.(nan|inf)", re.IGNORECASE), Code.NOT_FINITE, "it is not a finite number"),
    (
        re.compile(r"[-+]?([0-9][0-9_]*\.?[0-9_]*|\.[0-9_]+)e[-+]?[0-9]+", re.IGNORECASE),
        Code.EXPONENT,
        "it has an exponent",
    ),
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)"), Code.ODD_NUMBER, "digits on both sides of the point, no leading 0"),
    (re.compile(r"="), Code.ODD_NUMBER, "YAML 1.1 gives it a meaning of its own"),
)


def kind_of(text: str) -> Kind:
    """The kind of an unquoted scalar. Raises Unfit where readers of YAML disagree about it."""
    if not text or text == "~":
        return Kind.NULL
    if text[0] in "0123456789+-.=":
        return _number(text)
    if len(text) > _LONGEST_WORD:
        return Kind.TEXT
    word = text.lower()
    if word in _OLD_BOOLEANS:
        advice = f'write true or false, or quote it if it is a name: "{text}"'
        raise Unfit(Code.OLD_BOOLEAN, f"{shown(text)} unquoted is a boolean to YAML 1.1 and text to YAML 1.2", advice)
    if word in _WORDS:
        if text not in {word, word.capitalize(), word.upper()}:
            return Kind.TEXT
        return _WORDS[word]
    return Kind.TEXT


def _number(text: str) -> Kind:
    if _INTEGER.fullmatch(text):
        return Kind.INTEGER
    if _DECIMAL.fullmatch(text):
        return Kind.DECIMAL
    if len(text) > _LONGEST_NUMBER:
        if _LIKE_A_NUMBER.fullmatch(text):
            raise Unfit(Code.ODD_NUMBER, f"{shown(text)} is too long for a number", 'quote it if it is a name: "..."')
        return Kind.TEXT
    for pattern, code, why in _PLAIN:
        if pattern.fullmatch(text):
            advice = 'write it as a plain decimal number; if it is a name or a time, quote it: "..."'
            raise Unfit(code, f"{shown(text)} is not a plain number: {why}", advice)
    return Kind.TEXT
