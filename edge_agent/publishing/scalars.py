"""Decimals and times as events carry them (events.md, Data). Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from functools import lru_cache

from edge_agent.errors import EventInvalid

_QUANTITY = re.compile(r"[0-9]{1,18}(\.[0-9]{1,9})?")


def decimal_string(quantity: Decimal) -> str:
    r"""`quantity` as `^\d{1,18}(\.\d{1,9})?$`, exactly, without trailing zeros. Raises EventInvalid."""
    text = format(quantity, "f") if quantity else "0"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    if _QUANTITY.fullmatch(text) is None:
        raise EventInvalid(f"{quantity} is no quantity an event can carry: up to 18 digits and 9 decimals, no sign")
    return text


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds and `Z`. Raises EventInvalid for a time without a zone."""
    if moment.tzinfo is None:
        raise EventInvalid(f"{moment} has no time zone")
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return f"{moment.isoformat(timespec='milliseconds')[:-6]}Z"


def utc_offset(moment: datetime, zone: tzinfo) -> str:
    """How far the zone is ahead of UTC at a moment, to the minute: `+01:00`."""
    return _offset(moment.astimezone(zone).utcoffset() or timedelta(0))


@lru_cache(maxsize=64)
def _offset(ahead: timedelta) -> str:
    minutes = abs(ahead) // timedelta(minutes=1)
    return f"{'-' if ahead < timedelta(0) else '+'}{minutes // 60:02}:{minutes % 60:02}"
