"""Figures with a unit, as text: exact decimals, durations, sizes, quantities and rates. All raise Unfit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import time, timedelta
from decimal import Decimal
from fractions import Fraction

from edge_agent.config.codes import Code
from edge_agent.config.findings import Unfit, one_of, shown

MOST_DIGITS = 30
MOST_DECIMALS = 9
"""Decimals a quantity may have (events.md, Data)."""
_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?"
_DECIMAL = re.compile(_NUMBER)
_WITH_UNIT = re.compile(rf"({_NUMBER}) ?([^\s/0-9.][^\s/]*)")
_RATE = re.compile(rf"({_NUMBER}) ?([^\s/0-9.][^\s/]*)/([^\s/]+)")
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")

MICROSECONDS = {
    "ms": 1_000,
    "s": 1_000_000,
    "min": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
}
PER = {"s": 1, "min": 60, "h": 3600, "d": 86400}
"""Seconds of the units of time that a rate may have."""
SIZES = {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4}
LONGEST_DURATION = timedelta(days=3660)


@dataclass(frozen=True, slots=True)
class Quantity:
    """`24 pcs`: an amount of a unit of the map."""

    amount: Decimal
    unit: str


@dataclass(frozen=True, slots=True)
class Rate:
    """`25 pcs/s`: an amount of a unit of the map in `per` seconds."""

    amount: Decimal
    unit: str
    per: int


@dataclass(frozen=True, slots=True)
class Ratio:
    """`1.29 kg/L`: an amount of one unit in one of another."""

    amount: Decimal
    unit: str
    per: str


def decimal(text: str) -> Decimal:
    """A plain decimal number, exactly."""
    if not _DECIMAL.fullmatch(text):
        raise Unfit(Code.BAD_QUANTITY, f"{shown(text)} is not a plain decimal number", "write it like 12 or 0.5")
    return _decimal(text)


def _decimal(digits: str) -> Decimal:
    if len(digits) > MOST_DIGITS:
        raise Unfit(Code.OUT_OF_RANGE, f"{shown(digits)} has more than {MOST_DIGITS} digits")
    return Decimal(digits)


def positive(text: str) -> Decimal:
    """A decimal number above zero."""
    return _above_zero(decimal(text), text)


def _above_zero(value: Decimal, text: str) -> Decimal:
    if value <= 0:
        raise Unfit(Code.NOT_POSITIVE, f"{shown(text)} must be above zero")
    return value


def duration(text: str) -> timedelta:
    """`100 ms`, `2 s`, `5 min`, `12 h`, `90 d`: above zero, in whole microseconds."""
    match = _WITH_UNIT.fullmatch(text)
    if match is None or match[2] not in MICROSECONDS:
        raise Unfit(
            Code.BAD_DURATION, f"{shown(text)} is not a duration", "write it like 100 ms, 2 s, 5 min, 12 h or 90 d"
        )
    microseconds = Fraction(_above_zero(_decimal(match[1]), text)) * MICROSECONDS[match[2]]
    if microseconds > LONGEST_DURATION // timedelta(microseconds=1):
        raise Unfit(Code.OUT_OF_RANGE, f"{shown(text)} is longer than {LONGEST_DURATION.days} d")
    if microseconds.denominator != 1:
        raise Unfit(Code.BAD_DURATION, f"{shown(text)} is finer than a microsecond", "write at least 0.001 ms")
    return timedelta(microseconds=int(microseconds))


def size(text: str) -> int:
    """`256 MiB`, `2 GiB`: bytes, at least one MiB."""
    match = _WITH_UNIT.fullmatch(text)
    if match is None or match[2] not in SIZES:
        raise Unfit(Code.BAD_SIZE, f"{shown(text)} is not a size", "write it like 256 MiB or 2 GiB")
    wanted = Fraction(_above_zero(_decimal(match[1]), text)) * SIZES[match[2]]
    if wanted < SIZES["MiB"] or wanted > 1024 * SIZES["TiB"]:
        raise Unfit(Code.OUT_OF_RANGE, f"{shown(text)} is not between 1 MiB and 1024 TiB")
    return int(wanted)


def quantity(text: str) -> Quantity:
    """`24 pcs`: above zero."""
    match = _WITH_UNIT.fullmatch(text)
    if match is None:
        raise Unfit(Code.BAD_QUANTITY, f"{shown(text)} is not an amount with a unit", "write it like 24 pcs")
    return Quantity(_above_zero(_decimal(match[1]), text), match[2])


def rate(text: str) -> Rate:
    """`25 pcs/s`, `1500 pcs/min`: above zero."""
    match = _RATE.fullmatch(text)
    if match is None:
        raise Unfit(Code.BAD_QUANTITY, f"{shown(text)} is not a rate", "write it like 25 pcs/s or 1500 pcs/min")
    if match[3] not in PER:
        message = f"{shown(match[3])} in {shown(text)} is not a unit of time for a rate"
        raise Unfit(Code.BAD_QUANTITY, message, f"use {one_of(PER)}")
    return Rate(_above_zero(_decimal(match[1]), text), match[2], PER[match[3]])


def ratio(text: str) -> Ratio:
    """`1.29 kg/L`: above zero."""
    match = _RATE.fullmatch(text)
    if match is None:
        raise Unfit(Code.BAD_QUANTITY, f"{shown(text)} is not a density", "write it like 1.29 kg/L")
    return Ratio(_above_zero(_decimal(match[1]), text), match[2], match[3])


def lag(text: str) -> timedelta | Quantity:
    """`45 s` or `320 pcs`: material still in the pipe; a unit of time makes it a duration."""
    match = _WITH_UNIT.fullmatch(text)
    return duration(text) if match and match[2] in MICROSECONDS else quantity(text)


def tolerance(text: str) -> Decimal | Quantity:
    """`4 %` as a share of one, or `5 kg`: how far two meters may differ."""
    if text.endswith("%"):
        share = positive(text[:-1].rstrip(" ")) / 100
        if share >= 1:
            raise Unfit(Code.OUT_OF_RANGE, f"{shown(text)} is no tolerance: all of it", "write it like 4 %")
        return share
    return quantity(text)


def time_of_day(text: str) -> time:
    """`06:00`, from 00:00 to 23:59."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise Unfit(Code.BAD_TIME, f"{shown(text)} is not a time of day", 'write it quoted, like "06:00"')
    return time(int(match[1]), int(match[2]))


def has_few_decimals(factor: Fraction) -> bool:
    """Whether every whole number times `factor` has at most nine decimals."""
    scaled: Fraction = factor * 10**MOST_DECIMALS
    return scaled.denominator == 1
