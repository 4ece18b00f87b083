"""Counters: figures of the plant to counts, and the questions whether the tag can count like that."""

from __future__ import annotations

from datetime import timedelta
from decimal import ROUND_CEILING, Context, Decimal
from fractions import Fraction

from edge_agent.config.codes import Code
from edge_agent.config.devices import Device, ModbusSource, Tag, TagType
from edge_agent.config.document_rules import CounterSection
from edge_agent.config.findings import shown
from edge_agent.config.quantities import Quantity
from edge_agent.config.report import Path, Report
from edge_agent.config.resolve_context import World, find_tag, typed_tag
from edge_agent.config.resolve_floats import check_grains, resolve_grain
from edge_agent.config.resolve_latches import check_alike, resolve_at_change
from edge_agent.config.resolve_tags import FLOAT_TYPES, NUMBER_TYPES, WHOLE_TYPES, lowest, values
from edge_agent.config.resolve_units import convert
from edge_agent.config.signals import Counter, CrossCheck, Direction, Resets

SETTLE = timedelta(seconds=2)
_SAMPLES_IN_A_BURST = 2
_PERIOD = timedelta(hours=1)
_UP = Context(prec=28, rounding=ROUND_CEILING)


def resolve_counter(section: CounterSection, tag: Tag, source: Device, world: World, path: Path) -> Counter | None:
    """The counter in counts; None where something was reported."""
    report = world.report
    if tag.type not in NUMBER_TYPES:
        message = f"{shown(str(tag.ref))} is a {tag.type.value} and cannot count"
        report.error((*path, "tag"), Code.WRONG_TAG_TYPE, message, "name a tag of a whole type, like uint32")
        return None
    before = report.findings.errors
    sampling = source.poll if isinstance(source, ModbusSource) else source.sample
    _check_wrap(section, tag, report, path)
    resets = _resets(section, world, path)
    grain = _grain(section, tag, world, path)
    if grain is None:
        return None
    figures = _Figures(tag, grain, world, path)
    max_rate = figures.rate(section)
    step = figures.amount("step", section.step)
    review_over = figures.amount("review_over", section.review_over)
    burst = figures.amount("burst", section.burst)
    if burst is None:
        seconds = Fraction(sampling // timedelta(microseconds=1), 1_000_000)
        run = Fraction(max_rate or 0) * _SAMPLES_IN_A_BURST * seconds
        burst = max(_ceiling(run), step or Decimal(1))
    if report.findings.errors > before:
        return None
    wraps_at, wraps_to, saturates_at, resets_to = _edges(section, grain)
    counter = Counter(
        tag=tag.ref,
        sampling=sampling,
        settle=section.settle or SETTLE,
        max_rate=max_rate,
        burst=burst,
        wraps_at=wraps_at,
        wraps_to=wraps_to or 0,
        resets=resets,
        review_over=review_over,
        epoch_tag=section.epoch_tag,
        grain=grain,
        rounded=tag.type in FLOAT_TYPES,
        direction=section.direction,
        resets_to=resets_to or 0,
        saturates_at=saturates_at,
        final_tag=section.final_tag,
        cross_check=_cross_check(section, figures, sampling, world, path),
        at_change=resolve_at_change(section, tag, world, path),
    )
    if report.findings.errors > before:
        return None
    _check_speed(counter, report, path)
    return counter


def check_siblings(section: CounterSection, tag: Tag | None, world: World, path: Path) -> None:
    """The tags beside the counter's: the last total is one that the same device shows in the same way."""
    if section.epoch_tag is not None:
        find_tag(world, (*path, "epoch_tag"), section.epoch_tag)
    if section.final_tag is None:
        return
    place = (*path, "final_tag")
    final = typed_tag(world, place, section.final_tag, NUMBER_TYPES, "the last total is a number")
    if final is not None and tag is not None:
        check_alike(final, tag, world, place, "the device that resets keeps the total")


def _grain(section: CounterSection, tag: Tag, world: World, path: Path) -> Decimal | None:
    """Raw units of one count: one, but for floats; None where something was reported."""
    report = world.report
    if tag.type not in FLOAT_TYPES:
        if section.resolution is not None:
            message = f"a {tag.type.value} counts whole raw units"
            report.error((*path, "resolution"), Code.CONFLICT, message, "remove it: only a float has one", key=True)
        return Decimal(1)
    wanted = None
    if section.resolution is not None:
        wanted = _Figures(tag, Decimal(1), world, path).exact("resolution", section.resolution)
        if wanted is None:
            return None
    grain = resolve_grain(section, tag, wanted, report, path)
    if grain is not None:
        check_grains(section, grain, report, path)
    return grain


def _edges(section: CounterSection, grain: Decimal) -> list[int | None]:
    """`wraps_at`, `wraps_to`, `saturates_at` and `resets_to` in counts."""
    sign = -1 if section.direction is Direction.DOWN else 1
    edges = (section.wraps_at, section.wraps_to, section.saturates_at, section.resets_to)
    return [None if edge is None else int(sign * edge / grain) for edge in edges]


def _cross_check(
    section: CounterSection, figures: _Figures, sampling: timedelta, world: World, path: Path
) -> CrossCheck | None:
    """The second counter, in counts of the first; None where there is none, or something was reported."""
    check, report, path = section.cross_check, world.report, (*path, "cross_check")
    if check is None:
        return None
    tag = typed_tag(world, (*path, "tag"), check.tag, NUMBER_TYPES, "a second counter is a number")
    source = world.device(check.tag.source)
    if section.direction is Direction.UP_DOWN:
        message = "a counter that runs both ways has no sum to compare"
        report.error(path, Code.CONFLICT, message, "remove it, or use two counters", key=True)
    if tag is None or source is None:
        return None
    if check.tag == section.tag:
        report.error((*path, "tag"), Code.CONFLICT, "a counter does not check itself", "name another tag")
    if tag.unit is None:
        message = f"the tag {shown(str(tag.ref))} has no unit, so its value is no quantity"
        report.error((*path, "tag"), Code.NO_UNIT, message, f"add unit: ... to the tag {tag.ref}")
        return None
    figures = figures.within("cross_check")
    factor = figures.exact("tag", Quantity(tag.scale, tag.unit.name))
    share = Fraction(check.tolerance) if isinstance(check.tolerance, Decimal) else None
    amount = None if isinstance(check.tolerance, Decimal) else figures.amount("tolerance", check.tolerance)
    other = source.poll if isinstance(source, ModbusSource) else source.sample
    if factor is None or (amount is None and share is None):
        return None
    every = check.every or _PERIOD
    return CrossCheck(check.tag, factor, max(sampling, other), every, share or Fraction(0), amount or Decimal(0))


class _Figures:
    """Figures of a counter, from units of the map to counts, rounded up where they do not end."""

    def __init__(self, tag: Tag, grain: Decimal, world: World, path: Path) -> None:
        self._tag = tag
        self._grain = grain
        self._world = world
        self._path = path

    def within(self, key: str) -> _Figures:
        """The same for the keys of a section of the counter's."""
        return _Figures(self._tag, self._grain, self._world, (*self._path, key))

    def amount(self, key: str, quantity: Quantity | None) -> Decimal | None:
        """`24 pcs` in counts."""
        counts = None if quantity is None else self.exact(key, quantity)
        return None if counts is None else _ceiling(counts)

    def rate(self, section: CounterSection) -> Decimal | None:
        """`25 pcs/s` in counts per second."""
        rate = section.max_rate
        counts = None if rate is None else self.exact("max_rate", Quantity(rate.amount, rate.unit))
        return None if counts is None or rate is None else _ceiling(counts / rate.per)

    def exact(self, key: str, quantity: Quantity) -> Fraction | None:
        """`0.5 kg` in counts, exactly."""
        if self._tag.unit is None:
            return None
        amount = convert(self._world.report, (*self._path, key), quantity, self._tag.unit, self._world.units)
        return None if amount is None else amount / Fraction(self._tag.scale) / Fraction(self._grain)


def _ceiling(value: Fraction) -> Decimal:
    """The decimal of 28 digits next above: these are upper bounds."""
    return _UP.divide(Decimal(value.numerator), Decimal(value.denominator)).normalize(_UP)


def _check_wrap(section: CounterSection, tag: Tag, report: Report, path: Path) -> None:
    """Where it wraps, stops and begins must be possible, and its rate known (derivation.md, Counters)."""
    wraps_at, wraps_to = section.wraps_at, section.wraps_to or 0
    down = section.direction is Direction.DOWN
    if wraps_at is None:
        if section.wraps_to is not None:
            message = "`wraps_to` means nothing without `wraps_at`"
            report.error((*path, "wraps_to"), Code.BAD_WRAP, message, "add `wraps_at`, or remove it", key=True)
    elif section.direction is Direction.UP_DOWN:
        message = "a counter that runs both ways and wraps: nothing tells one way round from the other"
        report.error((*path, "wraps_at"), Code.CONFLICT, message, "use a wider tag, or two counters", key=True)
    elif down and section.wraps_to is None:
        message = "counting down it wraps to a higher value, and nothing says to which"
        report.error((*path, "wraps_at"), Code.BAD_WRAP, message, "add wraps_to: 65535, and wraps_at: -1", key=True)
    elif (wraps_to <= wraps_at) if down else (wraps_at <= wraps_to):
        message = f"counting {section.direction.value} it cannot run from {wraps_to} to {wraps_at}"
        report.error((*path, "wraps_at"), Code.BAD_WRAP, message, "`wraps_at` is the first value never shown")
    elif tag.type in WHOLE_TYPES:
        low, high = (wraps_at + 1, wraps_to) if down else (wraps_to, wraps_at - 1)
        _check_fits(low, high, tag.type, report, path, down=down)
        _check_last(wraps_at, tag.type, report, path, down=down)
    if wraps_at is not None and section.max_rate is None:
        message = "`max_rate` is required with `wraps_at`: without it a wrap cannot be told from a reset"
        report.error((*path, "wraps_at"), Code.NO_MAX_RATE, message, "add max_rate: 25 pcs/s", key=True)
    _check_stop(section, report, path)
    for key in ("saturates_at", "resets_to"):
        value: int | None = getattr(section, key)
        if value is not None and tag.type in WHOLE_TYPES and not lowest(tag.type) <= value < values(tag.type):
            message = f"a {tag.type.value} never shows {value}"
            report.error((*path, key), Code.BAD_WRAP, message, "write a value it shows")


def _check_stop(section: CounterSection, report: Report, path: Path) -> None:
    stop, begin, way = section.saturates_at, section.resets_to, section.direction
    if stop is None:
        return
    place = (*path, "saturates_at")
    if section.wraps_at is not None:
        message = "a counter wraps or stops, not both"
        report.error(place, Code.CONFLICT, message, "keep `wraps_at` or `saturates_at`", key=True)
    elif way is Direction.UP_DOWN:
        report.error(
            place, Code.CONFLICT, "a counter that runs both ways has no one end to stop at", "remove it", key=True
        )
    elif (begin is not None and stop >= begin) if way is Direction.DOWN else stop <= (begin or 0):
        message = f"counting {way.value} from {begin or 0} it never stops at {stop}"
        report.error(place, Code.BAD_WRAP, message, "write the last value it shows")


def _check_fits(low: int, high: int, kind: TagType, report: Report, path: Path, *, down: bool) -> None:
    """Whether the type shows the lowest and the highest value; counting down, `wraps_at` is below the lowest."""
    most, least = values(kind), lowest(kind)
    if high >= most:
        message = f"a {kind.value} never shows {high}: its highest value is {most - 1}"
        key, advice = ("wraps_to", f"write wraps_to: {most - 1}") if down else ("wraps_at", f"write wraps_at: {most}")
        advice += f" and wraps_to: {least}" if least and not down else ""
        report.error((*path, key), Code.BAD_WRAP, message, advice)
    if low < least:
        message = f"a {kind.value} never shows {low}: its lowest value is {least}"
        key, advice = ("wraps_at", f"write wraps_at: {least - 1}") if down else ("wraps_to", f"write wraps_to: {least}")
        report.error((*path, key), Code.BAD_WRAP, message, advice)


def _check_last(wraps_at: int, kind: TagType, report: Report, path: Path, *, down: bool) -> None:
    """The usual slip: the last value that is shown in place of the first that never is."""
    last, step = (lowest(kind), -1) if down else (values(kind) - 1, 1)
    if wraps_at == last:
        message = f"a {kind.value} shows {last}, and `wraps_at` is the first value that the counter never shows"
        report.warning((*path, "wraps_at"), Code.WRAPS_TOO_EARLY, message, f"write wraps_at: {last + step}")


def _resets(section: CounterSection, world: World, path: Path) -> frozenset[Resets]:
    report = world.report
    if section.resets is None:
        return frozenset({Resets.RESTART})
    events = frozenset(section.resets)
    place = (*path, "resets")
    if len(events) < len(section.resets):
        report.error(place, Code.CONFLICT, "an event is listed twice", "name each once")
    if not events:
        report.error(place, Code.NO_VALUE, "no event is listed", "write [never], or [restart]")
    if Resets.NEVER in events and section.final_tag is not None:
        report.error((*path, "final_tag"), Code.CONFLICT, "nothing resets it", "remove it, or mend `resets`", key=True)
    if Resets.NEVER in events and len(events) > 1:
        report.error(place, Code.CONFLICT, "`never` stands alone", "write [never], or the events without it")
    if Resets.ORDER in events and world.draft.movements[str(path[1])].order is None:
        report.error(place, Code.CONFLICT, "the rule names no order to be reset by", "add order: source.tag")
    if Resets.SHIFT in events and world.draft.calendar is not None and not world.draft.calendar.shifts:
        message = "the calendar has no shifts to be reset by"
        report.error(place, Code.CONFLICT, message, 'add calendar: {shifts: {early: "06:00", ...}}')
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
