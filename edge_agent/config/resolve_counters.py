"""Counters: figures of the plant to raw units, and the questions whether the tag can count like that."""

from __future__ import annotations

from datetime import timedelta
from decimal import ROUND_CEILING, Context, Decimal
from fractions import Fraction

from edge_agent.config.codes import Code
from edge_agent.config.document_rules import CounterSection
from edge_agent.config.findings import shown
from edge_agent.config.quantities import Quantity
from edge_agent.config.report import Path, Report
from edge_agent.config.resolve_context import World
from edge_agent.config.resolve_tags import FLOAT_TYPES, NUMBER_TYPES, WHOLE_TYPES, lowest, values
from edge_agent.config.resolve_units import convert
from edge_agent.config.signals import Counter, Resets
from edge_agent.config.tagmap import Device, ModbusSource, Tag, TagType

SETTLE = timedelta(seconds=2)
_SAMPLES_IN_A_BURST = 2
_UP = Context(prec=28, rounding=ROUND_CEILING)
_EXACT_FLOATS = {TagType.FLOAT32: 1 << 24, TagType.FLOAT64: 1 << 53}


def resolve_counter(section: CounterSection, tag: Tag, source: Device, world: World, path: Path) -> Counter | None:
    """The counter in raw units; None where something was reported, or where this version does not run it."""
    report = world.report
    if tag.type not in NUMBER_TYPES:
        message = f"{shown(str(tag.ref))} is a {tag.type.value} and cannot count"
        report.error((*path, "tag"), Code.WRONG_TAG_TYPE, message, "name a tag of a whole type, like uint32")
        return None
    before = report.findings.errors
    raw = _RawFigures(tag, world, path)
    max_rate = raw.rate(section)
    step = raw.amount("step", section.step)
    review_over = raw.amount("review_over", section.review_over)
    sampling = source.poll if isinstance(source, ModbusSource) else source.sample
    burst = raw.amount("burst", section.burst)
    if burst is None:
        seconds = Fraction(sampling // timedelta(microseconds=1), 1_000_000)
        run = Fraction(max_rate or 0) * _SAMPLES_IN_A_BURST * seconds
        burst = max(_ceiling(run), step or Decimal(1))
    _check_wrap(section, tag, report, path)
    resets = _resets(section, report, path)
    if tag.type in FLOAT_TYPES:
        _check_float(section, tag, report, path)
        return None
    counter = Counter(
        tag=tag.ref,
        sampling=sampling,
        settle=section.settle or SETTLE,
        max_rate=max_rate,
        burst=burst,
        wraps_at=section.wraps_at,
        wraps_to=section.wraps_to or 0,
        resets=resets,
        review_over=review_over,
        epoch_tag=section.epoch_tag,
    )
    if report.findings.errors > before:
        return None
    _check_speed(counter, report, path)
    return counter


class _RawFigures:
    """Figures of a counter, from units of the map to raw units of its tag, rounded up where they do not end."""

    def __init__(self, tag: Tag, world: World, path: Path) -> None:
        self._tag = tag
        self._world = world
        self._path = path

    def amount(self, key: str, quantity: Quantity | None) -> Decimal | None:
        """`24 pcs` in raw units."""
        raw = None if quantity is None else self._raw(key, quantity)
        return None if raw is None else _ceiling(raw)

    def rate(self, section: CounterSection) -> Decimal | None:
        """`25 pcs/s` in raw units per second."""
        rate = section.max_rate
        raw = None if rate is None else self._raw("max_rate", Quantity(rate.amount, rate.unit))
        return None if raw is None or rate is None else _ceiling(raw / rate.per)

    def _raw(self, key: str, quantity: Quantity) -> Fraction | None:
        if self._tag.unit is None:
            return None
        amount = convert(self._world.report, (*self._path, key), quantity, self._tag.unit, self._world.units)
        return None if amount is None else amount / Fraction(self._tag.scale)


def _ceiling(value: Fraction) -> Decimal:
    """The decimal of 28 digits next above: these are upper bounds."""
    return _UP.divide(Decimal(value.numerator), Decimal(value.denominator)).normalize(_UP)


def _check_wrap(section: CounterSection, tag: Tag, report: Report, path: Path) -> None:
    """Where it wraps must be possible, and its rate known (derivation.md, Counters)."""
    wraps_at, wraps_to = section.wraps_at, section.wraps_to or 0
    if wraps_at is None:
        if section.wraps_to is not None:
            message = "`wraps_to` means nothing without `wraps_at`"
            report.error((*path, "wraps_to"), Code.BAD_WRAP, message, "add `wraps_at`, or remove it", key=True)
    elif wraps_at <= wraps_to:
        message = f"the modulus {wraps_at} - ({wraps_to}) is not above zero"
        report.error((*path, "wraps_at"), Code.BAD_WRAP, message, "`wraps_at` is the first value never shown")
    elif tag.type in WHOLE_TYPES:
        _check_fits(wraps_at, wraps_to, tag.type, report, path)
    if wraps_at is not None and section.max_rate is None:
        message = "`max_rate` is required with `wraps_at`: without it a wrap cannot be told from a reset"
        report.error((*path, "wraps_at"), Code.NO_MAX_RATE, message, "add max_rate: 25 pcs/s", key=True)
    stop = section.saturates_at
    if stop is not None and wraps_at is not None:
        message = "a counter wraps or stops, not both"
        report.error((*path, "saturates_at"), Code.CONFLICT, message, "keep `wraps_at` or `saturates_at`", key=True)
    if stop is not None and not 0 < stop < (values(tag.type) if tag.type in WHOLE_TYPES else stop + 1):
        message = f"a {tag.type.value} never stops at {stop}"
        report.error((*path, "saturates_at"), Code.BAD_WRAP, message, "write the highest value it shows")


def _check_fits(wraps_at: int, wraps_to: int, kind: TagType, report: Report, path: Path) -> None:
    highest, least = values(kind), lowest(kind)
    if wraps_at > highest:
        message = f"a {kind.value} never shows {wraps_at - 1}: it wraps at {highest} at the latest"
        advice = f"write wraps_at: {highest}" + (f" and wraps_to: {least}" if least else "")
        report.error((*path, "wraps_at"), Code.BAD_WRAP, message, advice)
    if wraps_to < least:
        message = f"a {kind.value} never shows {wraps_to}: its lowest value is {least}"
        report.error((*path, "wraps_to"), Code.BAD_WRAP, message, f"write wraps_to: {least}")


def _check_float(section: CounterSection, tag: Tag, report: Report, path: Path) -> None:
    """A float stops counting units where its mantissa ends; below that, this version does not run it."""
    limit = _EXACT_FLOATS[tag.type]
    bounds = [bound for bound in (section.wraps_at, section.saturates_at) if bound is not None]
    if tag.range is not None:
        bounds.append(int(Fraction(tag.range[1]) / Fraction(tag.scale)))
    if min(bounds, default=limit + 1) > limit:
        message = f"a {tag.type.value} counter loses units from {limit:,} on, and nothing here stops it before"
        advice = f"count in a uint32; or give wraps_at, saturates_at or the tag's range, at most {limit}"
        report.error((*path, "tag"), Code.FLOAT_COUNTER, message, advice)
        return
    report.not_run((*path, "tag"), Code.NOT_RUN_COUNTER, f"a {tag.type.value} counter")


def _resets(section: CounterSection, report: Report, path: Path) -> frozenset[Resets]:
    if section.resets is None:
        return frozenset({Resets.RESTART})
    events = frozenset(section.resets)
    place = (*path, "resets")
    if len(events) < len(section.resets):
        report.error(place, Code.CONFLICT, "an event is listed twice", "name each once")
    if not events:
        report.error(place, Code.NO_VALUE, "no event is listed", "write [never], or [restart]")
    if Resets.NEVER in events and len(events) > 1:
        report.error(place, Code.CONFLICT, "`never` stands alone", "write [never], or the events without it")
    return events


def _check_speed(counter: Counter, report: Report, path: Path) -> None:
    """Between two readings it must not be able to run a whole turn: no wrap could be seen any more."""
    if counter.modulus is None or counter.max_rate is None:
        return
    seconds = Decimal(counter.sampling // timedelta(microseconds=1)).scaleb(-6)
    room = counter.max_rate * seconds + counter.burst
    if room >= counter.modulus:
        message = f"up to {room:f} can run between two readings, and it wraps after {counter.modulus}"
        advice = "sample faster, or lower `max_rate` or `burst`"
        report.error((*path, "max_rate"), Code.TOO_SLOW, message, advice)
