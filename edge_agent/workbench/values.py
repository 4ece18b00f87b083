"""Instants and values as recordings and cases write them, checked against what a tag can show. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache

from edge_agent.config.codes import Code
from edge_agent.config.devices import WHOLE, Tag, TagType
from edge_agent.config.findings import Unfit, shown
from edge_agent.model.reading import Instant, Scalar

BOOT = "recording"
"""A recording is one boot of one machine: elapsed time is the difference of two `t`."""
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
"""Bounds of `t`."""

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)", re.ASCII)
_MICROSECOND = timedelta(microseconds=1)
_MOST_DIGITS = 400
"""A float64 has at most 309 digits before the point."""
_LARGEST = {TagType.FLOAT32: Decimal("3.4028235e38"), TagType.FLOAT64: Decimal("1.7976931348623158e308")}


@lru_cache(maxsize=256)
def moment(text: str) -> datetime:
    """The instant of an RFC 3339 text, in UTC, cut to microseconds. Raises Unfit."""
    advice = "write it like 2026-03-02T08:00:00.250Z, or with an offset such as +01:00"
    if not _RFC_3339.fullmatch(text):
        raise Unfit(Code.BAD_INSTANT, f"{shown(text)} is no RFC 3339 date and time with an offset", advice)
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Unfit(Code.BAD_INSTANT, f"there is no such time as {shown(text)}", advice) from error


def ingested(text: str) -> datetime:
    """The instant of receipt that `text` says. Raises Unfit where it is none, or none of our time."""
    at = moment(text)
    if not EARLIEST <= at < LATEST:
        raise Unfit(Code.BAD_INSTANT, f"{shown(text)} is not between {EARLIEST.year} and {LATEST.year}")
    return at


def instant(wall: datetime) -> Instant:
    """The instant of a recording at `wall`."""
    return Instant(wall, (wall - EARLIEST) // _MICROSECOND * 1000, BOOT)


def written(at: datetime) -> str:
    """An instant as recordings and results write it: RFC 3339 in UTC, to the microsecond where it has any."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def plain(quantity: Decimal) -> str:
    """A quantity as text: no exponent, no zeros that say nothing."""
    return f"{quantity.normalize():f}" if quantity else "0"


def fit(tag: Tag, value: object) -> Scalar | None:
    """`value` as the source would deliver it for `tag`; None is no value. Raises Unfit where it cannot show that."""
    if value is None:
        return None
    if tag.type is TagType.STRING:
        return _text(tag, value)
    if tag.type is TagType.BOOL:
        if isinstance(value, bool):
            return value
        raise _unfit(tag, value, "write true or false")
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise _unfit(tag, value, "write a number, unquoted")
    return _whole(tag, value) if tag.type in WHOLE else _float(tag, value)


def _text(tag: Tag, value: object) -> str:
    if not isinstance(value, str):
        raise _unfit(tag, value, 'quote it: "4711"')
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise _unfit(tag, "a text with half a character", "export it as UTF-8")
    return value


def _whole(tag: Tag, value: int | Decimal) -> int:
    held = WHOLE[tag.type]
    if not held.start <= value < held.stop:
        raise _unfit(tag, value, f"a {tag.type} shows {held.start} to {held.stop - 1}")
    if value != int(value):
        raise _unfit(tag, value, f"a {tag.type} is a whole number")
    return int(value)


def _float(tag: Tag, value: int | Decimal) -> Decimal:
    largest = _LARGEST[tag.type]
    if not -largest <= value <= largest:
        raise _unfit(tag, value, f"a {tag.type} is not that large")
    exact = Decimal(value)
    sign, digits, exponent = exact.as_tuple()
    if len(digits) > _MOST_DIGITS or not isinstance(exponent, int) or exponent < -_MOST_DIGITS:
        raise _unfit(tag, value, f"write at most {_MOST_DIGITS} digits")
    return -exact if sign and not exact else exact


def _unfit(tag: Tag, value: object, advice: str) -> Unfit:
    text = str(value) if not isinstance(value, int) or abs(value) < 10**60 else "a number of more than 60 digits"
    text = text.lower() if isinstance(value, bool) else text  # as JSON writes it
    return Unfit(Code.NOT_OF_TYPE, f"{shown(text)} is nothing that {tag.ref} ({tag.type}) can show", advice)
