"""The values of a tag map as pydantic types: each takes the YAML scalar as written and knows its own JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import time, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, TypeVar

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from edge_agent.config import conditions, names, quantities
from edge_agent.config.codes import Code
from edge_agent.config.findings import NOWHERE, AlreadyReported, Unfit, one_of, printable, shown
from edge_agent.config.rec20 import check_code
from edge_agent.config.scalars import Kind
from edge_agent.config.schedule import Schedule, schedule
from edge_agent.config.yaml_nodes import Scalar, Seq
from edge_agent.model.reading import TagRef

T = TypeVar("T")
_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_TAG_REF = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\.([A-Za-z_][A-Za-z0-9_]*)")
_INT64_DIGITS = 20


def _scalar(value: object) -> Scalar:
    """The scalar, if it is one that holds something. A key comes as its text: its quoting has been checked."""
    if isinstance(value, str):
        return Scalar(value, Kind.TEXT, NOWHERE)
    if not isinstance(value, Scalar):
        raise Unfit(Code.WRONG_SHAPE, "a single value is expected here", "write it on the same line, without brackets")
    if value.kind is Kind.BAD:
        raise AlreadyReported
    if value.kind is Kind.NULL:
        raise Unfit(Code.NO_VALUE, "the value is missing", "write it, or remove the key")
    if len(value.text) > names.LONGEST_TEXT:
        message = f"{shown(value.text)} is longer than {names.LONGEST_TEXT:,} characters"
        raise Unfit(Code.TOO_LONG, message)
    return value


def text_of(value: object) -> str:
    """Text as such. An unquoted number or boolean is refused: what it lost (zeros, a point) cannot be seen any more."""
    scalar = _scalar(value)
    if scalar.kind is not Kind.TEXT:
        message = f"{shown(scalar.text)} unquoted is {scalar.kind.value} to YAML, not text"
        raise Unfit(Code.UNQUOTED, message, f'quote it: "{printable(scalar.text[:60])}"')
    return scalar.text


def _number_of(value: object) -> str:
    scalar = _scalar(value)
    if scalar.kind is Kind.BOOLEAN:
        raise Unfit(Code.WRONG_KIND, f"{shown(scalar.text)} is not a number")
    return scalar.text


def _whole(value: object) -> int:
    text = _number_of(value)
    if not _WHOLE.fullmatch(text):
        raise Unfit(Code.WRONG_KIND, f"{shown(text)} is not a whole number", "write it like 65536")
    if len(text) > _INT64_DIGITS:
        raise Unfit(Code.OUT_OF_RANGE, f"{shown(text)} is beyond 64 bits")
    return int(text)


def _flag(value: object) -> bool:
    scalar = _scalar(value)
    if scalar.kind is not Kind.BOOLEAN:
        raise Unfit(Code.WRONG_KIND, f"{shown(scalar.text)} is neither true nor false", "write true or false, unquoted")
    return scalar.text.lower() == "true"


def _decimal(value: object) -> Decimal:
    return quantities.decimal(_number_of(value))


def _positive(value: object) -> Decimal:
    return quantities.positive(_number_of(value))


def _figure(parse: Callable[[str], T]) -> Callable[[object], T]:
    """A figure with a unit: a bare number is told to carry one, not to be quoted."""

    def read(value: object) -> T:
        return parse(_number_of(value))

    return read


def _texts(parse: Callable[[str], T]) -> Callable[[object], T]:
    def read(value: object) -> T:
        return parse(text_of(value))

    return read


def _tag_ref(text: str) -> TagRef:
    match = _TAG_REF.fullmatch(text)
    if match is None:
        raise Unfit(Code.BAD_NAME, f"{shown(text)} does not name a tag", "write source.tag, like filler.order_no")
    return TagRef(match[1], match[2])


def _register_text(value: object) -> str:
    """The text of a Modbus address. A bare number is refused; one whose base is in doubt too is told so later."""
    scalar = _scalar(value)
    if scalar.kind is Kind.INTEGER and len(scalar.text) < 5:
        return scalar.text
    return text_of(value)


def _texts_of(value: object) -> tuple[str, ...]:
    """One text, or a list of them with one at least."""
    if not isinstance(value, Seq):
        return (text_of(value),)
    if not value:
        raise Unfit(Code.NO_VALUE, "the list is empty", "write one entry at least")
    return tuple(text_of(item) for item in value)


class Leaf:
    """Marks a field as read by `read` from its YAML scalar; `schema` is its JSON Schema."""

    def __init__(self, read: Callable[[object], object], **schema: object) -> None:
        self._read = read
        self._schema = schema

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._read)

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return dict(self._schema)


class OneOf(Leaf):
    """One of a few words; given an enumeration, one of its members."""

    def __init__(self, *words: str, member: Callable[[str], object] = str) -> None:
        by_case = {word.casefold(): word for word in words}

        def read(value: object) -> object:
            text = text_of(value)
            if text in words:
                return member(text)
            meant = by_case.get(text.casefold())
            advice = f"did you mean {meant}?" if meant else None
            raise Unfit(Code.NO_SUCH_CHOICE, f"{shown(text)} is not {one_of(words)}", advice)

        super().__init__(read, enum=list(words))


class MemberOf(OneOf):
    """The value of an enumeration's member."""

    def __init__(self, kind: type[StrEnum]) -> None:
        super().__init__(*(member.value for member in kind), member=kind)


_NAME = {"type": "string", "maxLength": names.LONGEST_NAME, "minLength": 1}
_NAME_PATTERN = r"^[^+#/$\s]([^+#/]*[^+#/\s])?$"
_IDENTIFIER = r"[A-Za-z_][A-Za-z0-9_]*"
_NUMBER = r"-?(0|[1-9][0-9]*)(\.[0-9]+)?"
_AMOUNT = rf"^{_NUMBER} ?[^\s/0-9.][^\s/]*"

Text = Annotated[str, Leaf(_texts(names.check_text), type="string", minLength=1)]
Texts = Annotated[
    tuple[str, ...],
    Leaf(
        _texts_of,
        oneOf=[
            {"type": "string", "minLength": 1},
            {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
        ],
    ),
]
FileName = Annotated[str, Leaf(text_of, type="string", minLength=1)]
Label = Annotated[str, Leaf(_texts(names.label), **_NAME)]
Name = Annotated[str, Leaf(_texts(names.name), **_NAME, pattern=_NAME_PATTERN)]
Pattern = Annotated[str, Leaf(_texts(names.pattern), **_NAME, pattern=_NAME_PATTERN)]
Level = Annotated[str, Leaf(_texts(names.topic_level), **_NAME, pattern=_NAME_PATTERN)]
Root = Annotated[str, Leaf(_texts(names.topic_root), **_NAME, pattern="^[^+#$]+$")]
Token = Annotated[str, Leaf(_texts(names.token), **_NAME, pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Identifier = Annotated[str, Leaf(_texts(names.identifier), **_NAME, pattern=f"^{_IDENTIFIER}$")]
UnitName = Annotated[str, Leaf(_texts(names.unit), **_NAME)]
UnitCode = Annotated[str, Leaf(_texts(check_code), type="string", pattern="^[0-9A-Z]{2,3}$")]
Ref = Annotated[TagRef, Leaf(_texts(_tag_ref), type="string", pattern=rf"^{_IDENTIFIER}\.{_IDENTIFIER}$")]
Register = Annotated[
    str,
    Leaf(_register_text, type="string", pattern=r"^([0134][0-9]{4,5}|(hr|ir|co|di)[0-9]{1,5})(\.[0-9]{1,2})?$"),
]
Whole = Annotated[int, Leaf(_whole, type="integer")]
Flag = Annotated[bool, Leaf(_flag, type="boolean")]
Exact = Annotated[Decimal, Leaf(_decimal, type=["string", "number"], pattern=f"^{_NUMBER}$")]
Positive = Annotated[Decimal, Leaf(_positive, type=["string", "number"], pattern=f"^{_NUMBER}$", exclusiveMinimum=0)]
Duration = Annotated[
    timedelta, Leaf(_figure(quantities.duration), type="string", pattern=rf"^{_NUMBER} ?(ms|s|min|h|d)$")
]
Size = Annotated[int, Leaf(_figure(quantities.size), type="string", pattern=rf"^{_NUMBER} ?[KMGT]iB$")]
Amount = Annotated[quantities.Quantity, Leaf(_figure(quantities.quantity), type="string", pattern=rf"{_AMOUNT}$")]
Rate = Annotated[quantities.Rate, Leaf(_figure(quantities.rate), type="string", pattern=rf"{_AMOUNT}/(s|min|h|d)$")]
Density = Annotated[quantities.Ratio, Leaf(_figure(quantities.ratio), type="string", pattern=rf"{_AMOUNT}/[^\s/]+$")]
Lag = Annotated[timedelta | quantities.Quantity, Leaf(_figure(quantities.lag), type="string", pattern=rf"{_AMOUNT}$")]
Tolerance = Annotated[
    Decimal | quantities.Quantity,
    Leaf(_figure(quantities.tolerance), type="string", pattern=rf"(^{_NUMBER} ?%$)|({_AMOUNT}$)"),
]
TimeOfDay = Annotated[
    time, Leaf(_texts(quantities.time_of_day), type="string", pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$")
]
Condition = Annotated[
    conditions.Condition,
    Leaf(_texts(conditions.condition), type="string", minLength=1, maxLength=conditions.LONGEST),
]
When = Annotated[Schedule, Leaf(_texts(schedule), type="string", pattern="^(at-once|(every|cron) .+)$")]
