"""Exact quantities: integers of a signal times an exact factor, as decimals that always look alike. Pure."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

TOO_MUCH = Decimal(10) ** 18
"""A quantity of an event has at most 18 digits before its point (events.md, Data)."""
_NANO = 10**9
_ONE = Decimal(1)


def exact(raw: int | Decimal, factor: Fraction) -> Decimal:
    """`raw * factor` as a decimal of at most nine places, exactly; the loader has refused factors that need more.

    Raises ArithmeticError where a fraction of a raw unit needs more, or `raw` is not finite.
    """
    if factor == 1 and isinstance(raw, int):
        return Decimal(raw)
    scaled = Fraction(raw) * factor * _NANO
    if scaled.denominator != 1:
        msg = f"{raw} x {factor} needs more than nine decimals"
        raise ArithmeticError(msg)
    whole, rest = divmod(scaled.numerator, _NANO)
    return Decimal(whole) if rest == 0 else Decimal(scaled.numerator).scaleb(-9).normalize()


def total(one: Decimal, other: Decimal) -> Decimal:
    """The sum, without zeros at its end: however it was added up, it looks alike."""
    both = one + other
    return both if both.as_tuple().exponent == 0 else plain(both)


def plain(value: Decimal) -> Decimal:
    """The same value without zeros at its end, and without an exponent where it is whole."""
    short = value.normalize()
    return short.quantize(_ONE) if short == short.to_integral_value() else short


def to_nine_decimals(quantity: Decimal) -> Decimal:
    """What was measured, as evidence: a grain by a density may have any number of decimals."""
    exponent = quantity.as_tuple().exponent
    return round(quantity, 9) if isinstance(exponent, int) and exponent < -9 else quantity
