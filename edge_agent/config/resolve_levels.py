"""Levels and weights: what their readings mean, and the figures that tell use from trembling."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction
from hashlib import sha256
from itertools import pairwise

from edge_agent.config.codes import Code
from edge_agent.config.devices import Tag, TagType, Unit
from edge_agent.config.document_rules import LevelSection, RuleSection
from edge_agent.config.findings import shown
from edge_agent.config.report import Path
from edge_agent.config.resolve_context import World, find_tag, typed_tag
from edge_agent.config.resolve_positions import Positions, grain, require, sampling_of, tag_unit
from edge_agent.config.resolve_tags import NUMBER_TYPES, WHOLE_TYPES
from edge_agent.config.resolve_units import find_unit
from edge_agent.config.signals import Level
from edge_agent.config.tagmap import Material

WINDOW = timedelta(seconds=30)
SETTLE = timedelta(minutes=1)
RISING = frozenset({"produced", "received", "returned"})
"""Events that fill the tank: what rises counts."""
_NEEDED = (
    ("hysteresis", "nothing else tells use from trembling", "5 L"),
    ("refill_min", "nothing else tells a refill from a swing", "200 L"),
)
Table = tuple[tuple[Fraction, Fraction], ...]


def resolve_level(
    rule: RuleSection, level: LevelSection, material: Material, world: World, path: Path
) -> tuple[Level, Unit] | None:
    """The level in positions, and the unit its readings are evidence in; None where something was reported."""
    before = world.report.findings.errors
    tag = typed_tag(world, (*path, "tag"), level.tag, NUMBER_TYPES, "a level is a number")
    source = world.device(level.tag.source)
    complete = require(world, path, level, _NEEDED)
    _check_surroundings(rule, level, world, path)
    figures = Positions(material, world, path)
    hysteresis = figures.amount("hysteresis", level.hysteresis)
    refill_min = figures.amount("refill_min", level.refill_min)
    max_rate = figures.rate("max_rate", level.max_rate)
    unit = None if tag is None else _unit(level, tag, material, world, path)
    if tag is None or unit is None or source is None or not complete or hysteresis is None or refill_min is None:
        return None
    place = (*path, "tag") if level.strapping is None else (*path, "contents")
    one = figures.of(unit, place)
    table = None if one is None else _table(level, tag, one, world, path)
    if one is None or table is None:
        return None
    _check_window(level, sampling_of(source), world, path)
    _check_figures(level, table, tag, world, path, hysteresis=hysteresis, refill_min=refill_min)
    settle = level.settle or SETTLE
    below, above = _ends(level, tag, table)
    found = Level(
        tag=tag.ref,
        sampling=sampling_of(source),
        window=level.window or WINDOW,
        settle=settle,
        hold=level.hold or settle,
        hysteresis=hysteresis,
        refill_min=refill_min,
        table=table,
        unit=material.unit.name,
        conversion=_told(level, figures, unit, place),
        grain=grain(one, tag.scale),
        bounded=level.strapping is not None,
        max_rate=max_rate,
        blind_below=below,
        blind_above=above,
        after_flow=level.after_flow or timedelta(0),
        rises=rule.event in RISING or (rule.event == "adjusted" and rule.to is not None),
        net=level.net,
        stable=level.stable,
        tare=level.tare,
        printed=level.printed,
    )
    return None if world.report.findings.errors > before else (found, unit)


def _unit(level: LevelSection, tag: Tag, material: Material, world: World, path: Path) -> Unit | None:
    """The unit of what readings mean: the tag's, or that of the strapping table's contents."""
    if level.strapping is None:
        if level.contents is not None:
            message = "`contents` means nothing without a strapping table"
            world.report.error((*path, "contents"), Code.CONFLICT, message, "remove it", key=True)
        return tag_unit(world, (*path, "tag"), tag)
    if level.contents is None:
        return material.unit
    return find_unit(world.report, (*path, "contents"), level.contents, world.units)


def _table(level: LevelSection, tag: Tag, one: Fraction, world: World, path: Path) -> Table | None:
    """Raw readings and the positions they mean."""
    scale = Fraction(tag.scale)
    if level.strapping is None:
        return (Fraction(0), Fraction(0)), (Fraction(1), scale * one)
    pairs = [(Fraction(pair[0]), Fraction(pair[1])) for pair in level.strapping if len(pair) == 2]
    rising = all(low[0] < high[0] and low[1] < high[1] for low, high in pairwise(pairs))
    if len(pairs) < 2 or len(pairs) < len(level.strapping) or not rising:
        message = "a strapping table is two or more pairs of reading and contents, both rising"
        world.report.error((*path, "strapping"), Code.OUT_OF_RANGE, message, "write [[0, 0], [10, 1250.5]]")
        return None
    return tuple((reading / scale, contents * one) for reading, contents in pairs)


def _ends(level: LevelSection, tag: Tag, table: Table) -> tuple[Fraction | None, Fraction | None]:
    """Raw readings at which the sensor says only `no more` (or `no less`, where something is left below it)."""
    low, high = (None, None) if tag.range is None else (Fraction(end) for end in tag.range)
    above = high if level.clips_at is None else Fraction(level.clips_at)
    scale = Fraction(tag.scale)
    below = None
    if low is not None and (level.strapping is not None or low > 0):
        empty = table[0][1] <= 0 and low / scale <= table[0][0]
        below = None if empty else low / scale
    return below, None if above is None else above / scale


def _told(level: LevelSection, figures: Positions, unit: Unit, path: Path) -> str:
    """How readings become quantities; a strapping table by its digest."""
    told = figures.told(unit, path)
    if level.strapping is None:
        return told
    text = ";".join(f"{reading} {contents}" for reading, contents in level.strapping)
    return f"strapping {sha256(text.encode()).hexdigest()[:12]}, {told}"


def _check_figures(
    level: LevelSection, table: Table, tag: Tag, world: World, path: Path, *, hysteresis: int, refill_min: int
) -> None:
    if refill_min <= hysteresis:
        message = "what is trembling cannot be a refill: `refill_min` is not above `hysteresis`"
        world.report.error((*path, "refill_min"), Code.OUT_OF_RANGE, message, "raise it")
    steepest = max((high[1] - low[1]) / (high[0] - low[0]) for low, high in pairwise(table))
    if tag.type in WHOLE_TYPES and hysteresis < steepest:
        message = f"one step of {shown(str(tag.ref))} is more than `hysteresis`: its resolution would be booked as use"
        world.report.error((*path, "hysteresis"), Code.OUT_OF_RANGE, message, "raise it, to two steps at least")
    if level.tare is not None and level.max_rate is None:
        message = "`tare` needs `max_rate`: the weight may step before its tare is read"
        world.report.error((*path, "tare"), Code.CONFLICT, message, "add max_rate: 3 kg/s", key=True)


def _check_window(level: LevelSection, sampling: timedelta, world: World, path: Path) -> None:
    if (level.window or WINDOW) < 3 * sampling:
        message = "the window holds fewer than three readings, so nothing is smoothed"
        place = (*path, "tag") if level.window is None else (*path, "window")
        world.report.error(place, Code.OUT_OF_RANGE, message, "widen `window`, or sample faster")


def _check_surroundings(rule: RuleSection, level: LevelSection, world: World, path: Path) -> None:
    _check_beside(level, world, path)
    _check_inflow(rule, level, world, path)


def _check_beside(level: LevelSection, world: World, path: Path) -> None:
    """The tags beside the weight are of its scale, and of types that serve."""
    if level.stable is not None:
        typed_tag(world, (*path, "stable"), level.stable, frozenset({TagType.BOOL}), "it is true or false")
    if level.printed is not None:
        typed_tag(world, (*path, "printed"), level.printed, frozenset({TagType.STRING}), "what is printed is text")
    if level.tare is not None:
        find_tag(world, (*path, "tare"), level.tare)
    for key, ref in (("stable", level.stable), ("printed", level.printed), ("tare", level.tare)):
        if ref is not None and ref.source != level.tag.source:
            message = f"{shown(str(ref))} is on another source than the level"
            world.report.error((*path, key), Code.SEVERAL_SOURCES, message, "name a tag of the same device")


def _check_inflow(rule: RuleSection, level: LevelSection, world: World, path: Path) -> None:
    """What comes in while the level falls is not seen: it is excluded (`pause_while`), or the quantity is a net one."""
    if level.net or rule.pause_while is not None or rule.from_ is None:
        return
    for name, other in world.draft.movements.items():
        if other is not rule and other.to == rule.from_ and other.material == rule.material:
            message = f"{shown(name)} fills {shown(rule.from_)} while its level is read: use and inflow are one number"
            advice = "add pause_while for the time of the inflow, or net: true"
            world.report.error((*path, "tag"), Code.CONFLICT, message, advice)
