"""`cmd/context`: MES or SCADA say what runs: order, lot, operator, as values of tags (derivation.md, Context)."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from typing import Annotated

from pydantic import Field

from edge_agent.config.devices import WHOLE, Tag, TagType
from edge_agent.inbound.telling import Name, Statement, Telling
from edge_agent.model import message
from edge_agent.model.message import ContextMessage
from edge_agent.model.reading import Instant, Scalar, TagRef

NAME = "context"
MOST_VALUES = 100
LONGEST_VALUE = 256
_FRACTION = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,9})?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

Said = str | int | bool
_Value = Annotated[str, Field(max_length=LONGEST_VALUE)] | int | bool


class Context(Statement):
    """Values of tags of `source`."""

    values: Annotated[dict[Name, _Value], Field(min_length=1, max_length=MOST_VALUES)]


class TellingContext(Telling[Context, ContextMessage]):
    """The verb."""

    name = NAME
    model = Context

    def _fault(self, command: Context) -> str | None:
        for name, value in command.values.items():
            tag = self._map.tags.get(TagRef(command.source, name))
            if tag is None:
                return f"{name}: the source has no such tag"
            try:
                _scalar(tag, value)
            except ValueError as error:
                return f"{name}: {error}"
        return None

    def _parts(self, command: Context) -> list[str]:
        return [f"{name} = {value!r}" for name, value in command.values.items()]

    def _message(self, command: Context, since: datetime, now: Instant, nonce: message.Nonce) -> ContextMessage:
        values = {
            name: _scalar(self._map.tags[TagRef(command.source, name)], value) for name, value in command.values.items()
        }
        return ContextMessage(command.source, values, since, now, nonce)


def _scalar(tag: Tag, said: Said) -> Scalar:
    """The value as a source would read it: what has fractions is a decimal. Raises ValueError where it is none."""
    match tag.type:
        case TagType.STRING:
            value: Scalar = _text(said)
        case TagType.BOOL if isinstance(said, bool):
            value = said
        case TagType.BOOL:
            raise ValueError("it is true or false")
        case TagType.FLOAT32 | TagType.FLOAT64:
            value = _fraction(said)
        case whole:
            value = _whole(whole, said)
    if isinstance(value, int | Decimal) and not tag.in_range(value):
        raise ValueError("it is not in the range of the tag")
    return value


def _text(said: Said) -> str:
    if not isinstance(said, str):
        raise ValueError("it is a string")  # noqa: TRY004 - of what was said, one error
    if _CONTROL.search(said):
        raise ValueError("it holds control characters")
    return said


def _fraction(said: Said) -> Decimal:
    if isinstance(said, bool) or not _FRACTION.fullmatch(str(said)):
        raise ValueError('it is a number: whole, or quoted as in "17.5"')
    return Decimal(said)


def _whole(kind: TagType, said: Said) -> int:
    held = WHOLE[kind]
    if isinstance(said, bool) or not isinstance(said, int) or said not in held:
        raise ValueError(f"it is a whole number from {held.start} to {held.stop - 1}")
    return said
