"""Movement rules: material, places, signal and cadence, resolved to objects and one exact factor."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from edge_agent.config.codes import Code
from edge_agent.config.document import CadenceSection
from edge_agent.config.document_rules import SIGNALS, RuleSection
from edge_agent.config.findings import one_of, shown
from edge_agent.config.quantities import MOST_DECIMALS, has_few_decimals
from edge_agent.config.report import Path, Report
from edge_agent.config.resolve_confirmed import (
    DEPARTED,
    check_measured,
    check_transports,
    resolve_arrival,
    resolve_confirmation,
    resolve_once_per,
)
from edge_agent.config.resolve_context import World, check_context, check_former_names, find_tag, typed_tag
from edge_agent.config.resolve_counters import resolve_counter
from edge_agent.config.resolve_materials import bridges
from edge_agent.config.resolve_signals import check_flow, check_level, resolve_handshake
from edge_agent.config.resolve_tags import NUMBER_TYPES, WHOLE_TYPES
from edge_agent.config.resolve_units import convert, ratio
from edge_agent.config.signals import Confirmation, Counter, Signal
from edge_agent.config.support import RUN_EVENTS
from edge_agent.config.tagmap import Cadence, CommandSource, Material, Rule, Tag, Unit, Unproven
from edge_agent.model.reading import TagRef

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


def resolve_rules(world: World) -> dict[str, Rule]:
    """Every rule that is right and that this version runs."""
    found = {}
    check_former_names(world)
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
    signal = _signal(section, world, path)
    once_per, arrival = resolve_once_per(section), resolve_arrival(section, world.report, path)
    if material is None:
        return None
    booked = _booked(section, signal, material, world, path)
    event = RUN_EVENTS.get(section.event)
    if signal is None or cadence is None or booked is None or event is None:
        return None
    terms = world.draft.cadence[cadence.name]
    max_qty = _max_qty(terms, cadence, material, world)
    return Rule(
        name=name,
        event=event,
        material=material,
        signal=signal,
        factor=booked[0],
        source_unit=booked[1],
        cadence=cadence,
        from_=section.from_,
        to=section.to,
        order=section.order,
        split=section.split,
        on_span=section.on_span,
        unproven=section.unproven or terms.unproven or Unproven.REVIEW,
        was=section.was,
        max_qty=max_qty,
        once_per=once_per,
        departs=section.phase == DEPARTED,
        arrival=arrival,
    )


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


def _signal(section: RuleSection, world: World, path: Path) -> Signal | None:
    given = [key for key in SIGNALS if getattr(section, key) is not None]
    if not given:
        message = f"the rule has no signal: {one_of(SIGNALS)}"
        world.report.error(path, Code.ONE_SIGNAL, message, "add counter: {tag: source.tag, ...}", key=True)
        return None
    for extra in given[1:]:
        message = f"the rule has a {given[0]} already: exactly one signal proves a movement"
        world.report.error((*path, extra), Code.ONE_SIGNAL, message, "make it a rule of its own", key=True)
    check_measured(section, world, path)
    if section.handshake is not None:
        return resolve_handshake(section, section.handshake, world, path)
    for key in ("quantity", "container"):
        if getattr(section, key) is not None:
            message = f"`{key}` is read together with a handshake's trigger, and there is none"
            world.report.error((*path, key), Code.CONFLICT, message, "remove it", key=True)
    if section.confirmation is not None:
        return resolve_confirmation(section.confirmation, world, path)
    return _meter(section, world, path)


def _meter(section: RuleSection, world: World, path: Path) -> Counter | None:
    """A counter; a level or flow is checked, and not run."""
    if section.counter is not None:
        place = (*path, "counter")
        for key in ("epoch_tag", "final_tag"):
            ref: TagRef | None = getattr(section.counter, key)
            if ref is not None:
                _check_sibling(key, ref, world, (*place, key))
        tag = find_tag(world, (*place, "tag"), section.counter.tag)
        source = world.sources.get(section.counter.tag.source)
        if tag is None or source is None or isinstance(source, CommandSource):
            return None
        return resolve_counter(section.counter, tag, source, world, place)
    for key, meter in (("level", section.level), ("flow", section.flow)):
        if meter is None:
            continue
        needed = f"a {key} is a number"
        tag = typed_tag(world, (*path, key, "tag"), meter.tag, NUMBER_TYPES, needed)
        if tag is not None and section.level is not None:
            check_level(section.level, tag, world, (*path, key))
        elif tag is not None and section.flow is not None:
            check_flow(section.flow, tag, world, (*path, key))
    return None


def _check_sibling(key: str, ref: TagRef, world: World, path: Path) -> None:
    if key == "final_tag":
        typed_tag(world, path, ref, NUMBER_TYPES, "the last total is a number")
    else:
        find_tag(world, path, ref)


def _booked(
    section: RuleSection, signal: Signal | None, material: Material, world: World, path: Path
) -> tuple[Fraction, Unit] | None:
    """One raw unit of the signal in the material's unit, and the unit it is in: of a message, the material's own."""
    if isinstance(signal, Confirmation):
        return Fraction(1), material.unit
    measured = _measured(section, world, path)
    factor = None if measured is None else _factor(measured[0], material, world, measured[1])
    if factor is None or measured is None or measured[0].unit is None:
        return None
    return factor, measured[0].unit


def _measured(section: RuleSection, world: World, path: Path) -> tuple[Tag, Path] | None:
    """The tag whose value becomes the quantity, and where the rule names it."""
    if section.handshake is not None:
        ref, place = section.quantity, (*path, "quantity")
    else:
        meters = {"counter": section.counter, "level": section.level, "flow": section.flow}
        key, meter = next(((key, meter) for key, meter in meters.items() if meter is not None), ("", None))
        ref, place = (None if meter is None else meter.tag), (*path, key, "tag")
    tag = None if ref is None else world.tags.get(ref)
    if tag is None or tag.type not in NUMBER_TYPES:
        return None
    if tag.unit is None:
        message = f"the tag {shown(str(tag.ref))} has no unit, so its value is no quantity"
        world.report.error(place, Code.NO_UNIT, message, f"add unit: ... to the tag {tag.ref}")
        return None
    return tag, place


def _factor(tag: Tag, material: Material, world: World, path: Path) -> Fraction | None:
    """One raw unit in the material's unit, exactly; with at most nine decimals, which a booked quantity has."""
    if tag.unit is None or bridges(world.draft.materials.get(material.number), tag.unit, material.unit, world.units):
        return None
    unit_factor = ratio(world.report, path, tag.unit, material.unit)
    if unit_factor is None:
        return None
    factor = Fraction(tag.scale) * unit_factor
    if tag.type in WHOLE_TYPES and not has_few_decimals(factor):
        message = f"one raw unit of {shown(str(tag.ref))} is {factor} {material.unit.name}: more than nine decimals"
        advice = f"book the material in a smaller unit than {material.unit.name}"
        world.report.error(path, Code.TOO_MANY_DECIMALS, message, advice)
        return None
    return factor


def check_writes(world: World) -> None:
    """`write: true` opens a tag that a handshake answers in, and no other (derivation.md, Handshakes)."""
    report = world.report
    handshakes = [("movements", rule, "handshake") for rule in report.names("movements")]
    answers = {report.text(*handshake, key) for handshake in handshakes for key in ("ack", "result")}
    for ref, section in world.draft.tags.items():
        if section.write and str(ref) not in answers:
            message = f"{shown(str(ref))} is no handshake's `ack` or `result`, so the agent never writes it"
            report.error(("tags", *ref, "write"), Code.WRITE_REFUSED, message, "remove write: true", key=True)
