"""The grain that floats are rounded to: of counters, so that no rounding of the device's ever adds up; of blocks."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import ceil

from edge_agent.config.codes import Code
from edge_agent.config.devices import Tag, TagType, Unit
from edge_agent.config.document_rules import CounterSection, HandshakeSection
from edge_agent.config.findings import shown
from edge_agent.config.report import Path, Report
from edge_agent.config.resolve_units import convert

FLOAT_DIGITS = {TagType.FLOAT32: 24, TagType.FLOAT64: 53}
"""Bits of the significand (IEEE 754-2019, table 3.5)."""
_FINEST = 6
"""Decimals of the finest grain that is chosen by itself."""


def resolve_grain(
    section: CounterSection, tag: Tag, wanted: Fraction | None, report: Report, path: Path
) -> Decimal | None:
    """Raw units that one count of a float counter stands for; None where something was reported.

    It is `wanted` (the map's `resolution`, in raw units), or the smallest power of ten that the float still tells
    apart below the highest value it can show, at least a millionth. A float loses units where its significand ends:
    what nothing stops before is refused (derivation.md, Counters).
    """
    digits = FLOAT_DIGITS[tag.type]
    limit = _highest(section, tag)
    if limit is None or limit > 1 << digits:
        message = f"a {tag.type.value} counter loses units from {1 << digits:,} on, and nothing here stops it before"
        advice = f"count in a uint32; or give wraps_at, saturates_at or the tag's range, at most {1 << digits}"
        report.error((*path, "tag"), Code.FLOAT_COUNTER, message, advice)
        return None
    spacing = _spacing(limit, digits)
    if wanted is None:
        return next(step for place in range(_FINEST, -1, -1) if Fraction(step := Decimal(1).scaleb(-place)) >= spacing)
    if wanted < spacing:
        message = f"a {tag.type.value} below {limit} tells no raw units apart that are finer than {float(spacing):.2g}"
        report.error((*path, "resolution"), Code.FLOAT_COUNTER, message, "write a coarser resolution, or a lower limit")
        return None
    return _decimal(wanted, tag, report, path)


def resolve_block_grain(
    section: HandshakeSection, tag: Tag, units: dict[str, Unit], report: Report, path: Path
) -> Decimal | None:
    """Raw units that the quantity of a block is rounded to: one, but for floats; None where something was reported.

    Each block states its quantity anew, so nothing adds up: by default it is a millionth, as for what is measured.
    """
    place = (*path, "resolution")
    if tag.type not in FLOAT_DIGITS:
        if section.resolution is not None:
            message = f"a {tag.type.value} states whole raw units"
            report.error(place, Code.CONFLICT, message, "remove it: only a float has one", key=True)
        return Decimal(1)
    if section.resolution is None:
        return Decimal(1).scaleb(-_FINEST)
    if tag.unit is None:
        return None
    amount = convert(report, place, section.resolution, tag.unit, units)
    return None if amount is None else _decimal(amount / Fraction(tag.scale), tag, report, path)


def _decimal(wanted: Fraction, tag: Tag, report: Report, path: Path) -> Decimal | None:
    """The `resolution`, in raw units, as a decimal; None where it is none."""
    grain = Decimal(wanted.numerator) / Decimal(wanted.denominator)
    if Fraction(grain) == wanted:
        return grain
    message = f"{shown(f'{wanted}')} raw units of {shown(str(tag.ref))} are no decimal number"
    report.error((*path, "resolution"), Code.TOO_MANY_DECIMALS, message, "write a resolution in the tag's own unit")
    return None


def check_grains(section: CounterSection, grain: Decimal, report: Report, path: Path) -> None:
    """Where it wraps, stops or begins is a whole number of counts."""
    for key in ("wraps_at", "wraps_to", "saturates_at", "resets_to"):
        value: int | None = getattr(section, key)
        if value is not None and (Fraction(value) / Fraction(grain)).denominator != 1:
            message = f"{value} is no whole number of steps of {grain:f}"
            report.error((*path, key), Code.BAD_WRAP, message, "choose a resolution that divides it")


def _highest(section: CounterSection, tag: Tag) -> int | None:
    """The raw value, as a bound without its sign, that it never exceeds; None where nothing says so."""
    bounds = [
        max(abs(bound), abs(section.wraps_to or 0))
        for bound in (section.wraps_at, section.saturates_at)
        if bound is not None
    ]
    if tag.range is not None:
        bounds.append(ceil(max(abs(Fraction(edge)) for edge in tag.range) / Fraction(tag.scale)))
    return min(bounds, default=None)


def _spacing(limit: int, digits: int) -> Fraction:
    """Between neighbouring floats just below `limit`."""
    exponent = max(limit - 1, 1).bit_length() - digits
    return Fraction(2) ** exponent
