"""The fields of a request, read strictly: what is wrong is said by name."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from edge_agent.errors import ControlError

LONGEST_TEXT = 500
_LONGEST_QUANTITY = 28
_BEYOND = Decimal(10) ** 18
"""An event carries no quantity so large (events.md, Data)."""


def text(request: Mapping[str, Any], key: str) -> str:
    """A printable text that is there. Raises ControlError."""
    value = request.get(key)
    if not isinstance(value, str) or not value.strip() or len(value) > LONGEST_TEXT or not value.isprintable():
        raise ControlError(f"{key} must be a printable text of 1 to {LONGEST_TEXT} characters")
    return value.strip()


def optional(request: Mapping[str, Any], key: str) -> str | None:
    """A printable text, or None where it is left out. Raises ControlError."""
    return None if request.get(key) is None else text(request, key)


def number(request: Mapping[str, Any], key: str) -> int:
    """A whole number above 0. Raises ControlError."""
    value = request.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ControlError(f"{key} must be a whole number from 1 on")
    return value


def quantity(value: object, key: str) -> Decimal:
    """A quantity above 0, as decimal text of at most nine places. Raises ControlError."""
    try:
        found = Decimal(value) if isinstance(value, str) and len(value) <= _LONGEST_QUANTITY else Decimal("NaN")
    except InvalidOperation:
        found = Decimal("NaN")
    exponent = found.as_tuple().exponent
    fits = found.is_finite() and 0 < found < _BEYOND and isinstance(exponent, int) and -9 <= exponent <= 0
    if not fits:
        raise ControlError(f"{key} must be a quantity above 0 in decimal figures, with at most nine decimals")
    return found
