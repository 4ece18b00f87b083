"""What may be a name: of a topic level, a tag, a location. What a broker, a URN or a reader could trip over is out.

Source: MQTT 5, 1.5.4 and 4.7; events.md, Topics and Envelope; reliability.md, Bad inputs.
"""

from __future__ import annotations

import re
import unicodedata

from edge_agent.config.codes import Code
from edge_agent.config.findings import Unfit, shown

LONGEST_NAME = 200
LONGEST_TEXT = 4096
MOST_ROOT_LEVELS = 16
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_UNIT = re.compile(r"[^\W\d_][\w%°²³-]*|%")
_UNFIT_CATEGORIES = {
    "Cc": "a control character",
    "Cf": "an invisible format character",
    "Cs": "half of a surrogate pair",
    "Zl": "a line separator",
    "Zp": "a paragraph separator",
}
_WILDCARDS = {"+": "MQTT's wildcard", "#": "MQTT's wildcard", "/": "the separator of topic levels"}


def check_text(text: str, longest: int = LONGEST_TEXT) -> str:
    """Free text: not empty, no character that hides or cannot be sent. Raises Unfit."""
    if not text.strip():
        raise Unfit(Code.BAD_NAME, "this is empty", "give it a name, or remove the key")
    if len(text) > longest:
        raise Unfit(Code.TOO_LONG, f"{shown(text)} has {len(text):,} characters; at most {longest} are allowed")
    if not (text.isascii() and text.isprintable()):
        for character in text:
            fault = _fault(character)
            if fault is not None:
                message = f"{shown(text)} holds U+{ord(character):04X}, {fault}"
                raise Unfit(Code.BAD_NAME, message, "remove it")
    return text


def _fault(character: str) -> str | None:
    code = ord(character)
    if code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF:
        return "a non-character"
    return _UNFIT_CATEGORIES.get(unicodedata.category(character))


def label(text: str) -> str:
    """A description for people, such as a material's name."""
    return check_text(text, LONGEST_NAME)


def name(text: str) -> str:
    """A name of the plant's own: material number, storage location, class, owner. Raises Unfit."""
    check_text(text, LONGEST_NAME)
    if text != text.strip():
        raise Unfit(Code.BAD_NAME, f"{shown(text)} begins or ends with a space", f"write {shown(text.strip())}")
    for character, why in _WILDCARDS.items():
        if character in text:
            raise Unfit(Code.BAD_NAME, f"{shown(text)} holds `{character}`, {why}", "use letters, digits, - and _")
    if text.startswith("$"):
        raise Unfit(Code.BAD_NAME, f"{shown(text)} begins with `$`, which is the broker's own", "choose another name")
    return text


def pattern(text: str) -> str:
    """A name in which `*` stands for any characters."""
    return name(text)


def topic_level(text: str) -> str:
    """A name that becomes a topic level; a leading `_` is kept for levels of the agent's own (`_`, `_gateway`)."""
    name(text)
    if text.startswith("_"):
        raise Unfit(Code.BAD_NAME, f"{shown(text)} begins with `_`, which the topics keep for themselves", "drop it")
    return text


def topic_root(text: str) -> str:
    """The first level or levels of every topic."""
    check_text(text, LONGEST_NAME)
    levels = text.split("/")
    if len(levels) > MOST_ROOT_LEVELS:
        message = f"the root has {len(levels)} levels; at most {MOST_ROOT_LEVELS} are allowed"
        raise Unfit(Code.TOO_LONG, message, "one level is usual: `mat`")
    for level in levels:
        if not level:
            raise Unfit(Code.BAD_NAME, f"the root {shown(text)} has an empty level", "remove the extra `/`")
        name(level)
    return text


def token(text: str) -> str:
    """A name that becomes part of a URN: the agent's, a stream's."""
    name(text)
    if not _TOKEN.fullmatch(text):
        message = f"{shown(text)} cannot be part of an event's `source` URN"
        raise Unfit(Code.BAD_NAME, message, "use A-Z, a-z, 0-9, `.`, `_` and `-`, a letter or digit first")
    return text


def identifier(text: str) -> str:
    """The name of a tag, source, rule or namespace."""
    check_text(text, LONGEST_NAME)
    if not _IDENTIFIER.fullmatch(text):
        advice = "use A-Z, a-z, 0-9 and `_`, no digit first"
        raise Unfit(Code.NOT_AN_IDENTIFIER, f"{shown(text)} cannot be such a name", advice)
    return text


def unit(text: str) -> str:
    """The name of a unit, as it stands in `25 pcs/s`."""
    name(text)
    if not _UNIT.fullmatch(text):
        message = f"{shown(text)} cannot name a unit"
        raise Unfit(Code.BAD_NAME, message, "begin with a letter; no spaces: it must read well in `25 pcs/s`")
    return text
