"""Movement rules: material, places, signal and cadence, resolved to objects and one exact factor."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil

from edge_agent.config.codes import Code
from edge_agent.config.devices import Tag, Unit
from edge_agent.config.document import CadenceSection
from edge_agent.config.document_rules import SIGNALS, CounterSection, LotTagSection, RuleSection
from edge_agent.config.findings import one_of, shown
from edge_agent.config.quantities import MOST_DECIMALS, Quantity, has_few_decimals
from edge_agent.config.report import Path, Report
from edge_agent.config.resolve_confirmed import (
    DEPARTED,
    check_measured,
    check_transports,
    resolve_arrival,
    resolve_confirmation,
    resolve_once_per,
)
from edge_agent.config.resolve_context import (
    World,
    check_context,
    check_former_names,
    check_lot_places,
    find_tag,
)
from edge_agent.config.resolve_counters import check_siblings, resolve_counter
from edge_agent.config.resolve_flows import resolve_flow
from edge_agent.config.resolve_handshakes import resolve_handshake
from edge_agent.config.resolve_levels import resolve_level
from edge_agent.config.resolve_materials import conversion
from edge_agent.config.resolve_tags import FLOAT_TYPES, NUMBER_TYPES, WHOLE_TYPES
from edge_agent.config.resolve_units import convert
from edge_agent.config.signals import PER_UNIT, Confirmation, Counter, Direction, Handshake, Signal
from edge_agent.config.tagmap import Cadence, LotWay, Material, Pause, Rule, Unproven
from edge_agent.model.movement import EventType
from edge_agent.model.reading import TagRef

RUN_EVENTS = {
    "consumed": EventType.CONSUMED,
    "produced": EventType.PRODUCED,
    "moved": EventType.MOVED,
    "returned": EventType.RETURNED,
    "scrapped": EventType.SCRAPPED,
    "sampled": EventType.SAMPLED,
}
"""The events of rules that this version books."""
_NOT_RUN = {
    "received": (
        "a receipt needs its reference document, and no signal says that",
        "leave it to the system that receives against the document, and begin with what is `moved` from there",
    ),
    "adjusted": (
        "an adjustment needs a count and a reason, and no signal says them",
        "count in the system of record of that location; `edge-agent correct` reverses what was booked wrongly",
    ),
}
"""Those that it does not (events.md, Types): why not, and what to do instead."""
_SIDES: dict[str, frozenset[str]] = {
    "consumed": frozenset({"from"}),
    "produced": frozenset({"to"}),
    "moved": frozenset({"from", "to"}),
    "returned": frozenset({"to"}),
    "received": frozenset({"to"}),
    "scrapped": frozenset({"from"}),
    "sampled": frozenset({"from"}),
}
"""The storage locations an event has (events.md, Types); an adjustment has one, whichever way it goes."""
MOVES_BACK = frozenset({"consumed", "moved"})
"""Events with one that undoes them: what is consumed is returned, what is moved is moved back."""


def resolve_rules(world: World) -> dict[str, Rule]:
    """Every rule that is right and that this version runs."""
    found = {}
    check_former_names(world)
    check_lot_places(world)
    check_transports(world)
    for name, section in world.draft.movements.items():
        rule = _rule(name, section, world)
        if rule is not None:
            found[name] = rule
    return {name: rule for name, rule in found.items() if not _left_out(rule, world.report)}


def _left_out(rule: Rule, report: Report) -> bool:
    entries = (("movements", rule.name), ("materials", rule.material.number), ("cadence", rule.cadence.name))
    return not report.left_out.isdisjoint(entries)


def _rule(name: str, section: RuleSection, world: World) -> Rule | None:
    path: Path = ("movements", name)
    material = world.report.look_up((*path, "material"), "material", section.material, world.materials, "materials")
    cadence = _cadence(section, material, world, path)
    _check_sides(section, world.report, path)
    check_context(section, material, world, path)
    once_per, arrival = resolve_once_per(section), resolve_arrival(section, world.report, path)
    found = _signal(section, material, world, path)
    event = RUN_EVENTS.get(section.event)
    if event is None:
        world.report.not_run((*path, "event"), Code.NOT_RUN_EVENT, *_NOT_RUN[section.event])
    if material is None or found is None or cadence is None or event is None:
        return None
    signal, factor, source_unit = found
    terms = world.draft.cadence[cadence.name]
    max_qty = _max_qty(terms, cadence, material, world)
    return Rule(
        name=name,
        event=event,
        material=material,
        signal=signal,
        factor=factor,
        source_unit=source_unit,
        cadence=cadence,
        from_=section.from_,
        to=section.to,
        order=section.order,
        split=section.split,
        on_span=section.on_span,
        unproven=section.unproven or terms.unproven or Unproven.REVIEW,
        was=section.was,
        max_qty=max_qty,
        operator=section.operator,
        into_lot=section.into_lot,
        container=section.container if section.handshake is None else None,
        lot_from=_lot_from(section),
        lag=_lag(section, signal, source_unit, world, path),
        only_while=section.only_while,
        pause=_pause(section),
        once_per=once_per,
        departs=section.phase == DEPARTED,
        arrival=arrival,
    )


def _lot_from(section: RuleSection) -> TagRef | LotWay | None:
    way = section.lot_from
    return way.tag if isinstance(way, LotTagSection) else LotWay(way) if way is not None else None


def _pause(section: RuleSection) -> Pause | None:
    pause = section.pause_while
    return None if pause is None else Pause(pause.when, pause.on_resume == "rebase")


def _lag(section: RuleSection, signal: Signal, unit: Unit, world: World, path: Path) -> timedelta | int:
    """The lag as a time, or in positions of the signal, rounded up to whole ones."""
    if isinstance(signal, Confirmation) or not isinstance(section.lag, Quantity):
        return section.lag if isinstance(section.lag, timedelta) else timedelta(0)
    amount = convert(world.report, (*path, "lag"), section.lag, unit, world.units)
    position = Fraction(signal.grain) * Fraction(world.tags[signal.measured].scale)
    return timedelta(0) if amount is None else ceil(amount / position)


def _max_qty(section: CadenceSection, cadence: Cadence, material: Material, world: World) -> Decimal | None:
    """The cadence's `max_qty` in the unit of the rule's material, rounded down to what a quantity can be."""
    if section.max_qty is None:
        return None
    path: Path = ("cadence", cadence.name, "max_qty")
    exact = convert(world.report, path, section.max_qty, material.unit, world.units)
    return None if exact is None else Decimal(exact * 10**MOST_DECIMALS // 1).scaleb(-MOST_DECIMALS)


def _cadence(section: RuleSection, material: Material | None, world: World, path: Path) -> Cadence | None:
    """The rule's own cadence, or that of its material's class."""
    if section.cadence is not None:
        return world.report.look_up((*path, "cadence"), "cadence", section.cadence, world.cadences, "cadence")
    if material is None:
        return None
    if material.klass not in world.report.names("cadence"):
        message = f"the class {shown(material.klass)} of {shown(material.number)} has no cadence"
        advice = f"add {material.klass} to `cadence`, or name one in the rule: cadence: ..."
        world.report.error((*path, "material"), Code.NO_CADENCE, message, advice)
    return world.cadences.get(material.klass)


def _check_sides(section: RuleSection, report: Report, path: Path) -> None:
    given = {side for side, location in (("from", section.from_), ("to", section.to)) if location is not None}
    if section.event == "adjusted":
        if len(given) != 1:
            message = "an adjustment has one location: `from` lowers its stock, `to` raises it"
            report.error((*path, "event"), Code.SIDES, message, "keep one of them")
        return
    needed = _SIDES[section.event]
    missing = frozenset() if section.confirmation is not None else needed - given
    for side in sorted(missing):
        message = f"`{section.event}` needs `{side}`, the storage location"
        report.error((*path, "event"), Code.SIDES, message, f"add {side}: L3-OUT")
    for side in sorted(given - needed):
        message = f"`{side}` means nothing for `{section.event}`"
        report.error((*path, side), Code.SIDES, message, f"it has {one_of(sorted(needed))} only", key=True)
    if section.from_ is not None and section.from_ == section.to:
        report.error((*path, "to"), Code.SIDES, "it moves to where it is", "name two locations")


_Found = tuple[Signal, Fraction, Unit]
"""A signal, what one position of it is in the material's unit, and the unit that its evidence is in."""


def _signal(section: RuleSection, material: Material | None, world: World, path: Path) -> _Found | None:
    given = [key for key in SIGNALS if getattr(section, key) is not None]
    if not given:
        message = f"the rule has no signal: {one_of(SIGNALS)}"
        world.report.error(path, Code.ONE_SIGNAL, message, "add counter: {tag: source.tag, ...}", key=True)
        return None
    for extra in given[1:]:
        message = f"the rule has a {given[0]} already: exactly one signal proves a movement"
        world.report.error((*path, extra), Code.ONE_SIGNAL, message, "make it a rule of its own", key=True)
    check_measured(section, world, path)
    if section.confirmation is not None:
        for key in ("quantity", "container"):
            if getattr(section, key) is not None:
                message = f"`{key}` is a tag, and a confirmation says it itself"
                world.report.error((*path, key), Code.CONFLICT, message, "remove it", key=True)
        confirmed = resolve_confirmation(section.confirmation, world, path)
        return None if material is None or confirmed is None else (confirmed, Fraction(1), material.unit)
    if section.handshake is None:
        if section.quantity is not None:
            message = "`quantity` is read together with a handshake's trigger, and there is none"
            world.report.error((*path, "quantity"), Code.CONFLICT, message, "remove it", key=True)
        if section.counter is None:
            return None if material is None else _vessel(section, material, world, path)
        return _counted(section, _counter(section, world, path), material, world, path)
    return _counted(section, resolve_handshake(section, section.handshake, world, path), material, world, path)


def _counted(
    section: RuleSection, signal: Counter | Handshake | None, material: Material | None, world: World, path: Path
) -> _Found | None:
    """What is counted has one exact factor."""
    measured = None if material is None else _measured(section, world, path)
    if material is None or measured is None or measured[0].unit is None:
        return None
    factor = _factor(measured[0], material, world, measured[1], signal)
    return None if signal is None or factor is None else (signal, factor, measured[0].unit)


def _vessel(section: RuleSection, material: Material, world: World, path: Path) -> _Found | None:
    """What is measured is rounded to a position once; that is exact from there on."""
    found: tuple[Signal, Unit] | None = None
    if section.level is not None:
        found = resolve_level(section, section.level, material, world, (*path, "level"))
    elif section.flow is not None:
        found = resolve_flow(section.flow, material, world, (*path, "flow"))
    return None if found is None else (found[0], Fraction(1, PER_UNIT), found[1])


def _counter(section: RuleSection, world: World, path: Path) -> Counter | None:
    if section.counter is None:
        return None
    place = (*path, "counter")
    tag = find_tag(world, (*place, "tag"), section.counter.tag)
    check_siblings(section.counter, tag, world, place)
    _check_direction(section, section.counter, world, place)
    source = world.device(section.counter.tag.source)
    if tag is None or source is None:
        return None
    return resolve_counter(section.counter, tag, source, world, place)


def _check_direction(section: RuleSection, counter: CounterSection, world: World, path: Path) -> None:
    if counter.direction is Direction.UP_DOWN and section.event not in MOVES_BACK:
        message = f"what runs back has no place: `{section.event}` has no movement that undoes it"
        advice = f"use an event that has one, {one_of(sorted(MOVES_BACK))}; or count up, and a fall goes to review"
        world.report.error((*path, "direction"), Code.CONFLICT, message, advice)


def _measured(section: RuleSection, world: World, path: Path) -> tuple[Tag, Path] | None:
    """The tag whose value becomes the quantity, and where the rule names it."""
    if section.handshake is not None:
        ref, place = section.quantity, (*path, "quantity")
    else:
        ref, place = (None if section.counter is None else section.counter.tag), (*path, "counter", "tag")
    tag = None if ref is None else world.tags.get(ref)
    if tag is None or tag.type not in NUMBER_TYPES:
        return None
    if tag.unit is None:
        message = f"the tag {shown(str(tag.ref))} has no unit, so its value is no quantity"
        world.report.error(place, Code.NO_UNIT, message, f"add unit: ... to the tag {tag.ref}")
        return None
    return tag, place


def _factor(
    tag: Tag, material: Material, world: World, path: Path, signal: Counter | Handshake | None
) -> Fraction | None:
    """One position in the material's unit, exactly; with at most nine decimals, which a booked quantity has."""
    section = world.draft.materials.get(material.number)
    if tag.unit is None:
        return None
    unit_factor = conversion(world.report, path, section, one=tag.unit, other=material.unit, units=world.units)
    if unit_factor is None:
        return None
    grain = Decimal(1) if signal is None else signal.grain
    factor = Fraction(tag.scale) * unit_factor * Fraction(grain)
    if (tag.type in WHOLE_TYPES or signal is not None) and not has_few_decimals(factor):
        step = "one raw unit" if grain == 1 else f"one step of {grain:f} raw units"
        message = f"{step} of {shown(str(tag.ref))} is {factor} {material.unit.name}: more than nine decimals"
        coarser = ", or give a coarser resolution" if tag.type in FLOAT_TYPES else ""
        advice = f"book the material in a smaller unit than {material.unit.name}{coarser}"
        world.report.error(path, Code.TOO_MANY_DECIMALS, message, advice)
        return None
    return factor


def check_writes(world: World) -> None:
    """`write: true` opens a tag that a handshake answers in, and no other (derivation.md, Handshakes)."""
    report = world.report
    handshakes = [("movements", rule, "handshake") for rule in report.names("movements")]
    answers = {report.text(*handshake, key) for handshake in handshakes for key in ("ack", "tail", "result")}
    for ref, section in world.draft.tags.items():
        if section.write and str(ref) not in answers:
            message = f"{shown(str(ref))} is no handshake's `ack`, `tail` or `result`, so the agent never writes it"
            report.error(("tags", *ref, "write"), Code.WRITE_REFUSED, message, "remove write: true", key=True)
