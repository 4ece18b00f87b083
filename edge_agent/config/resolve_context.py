"""What surrounds a movement: order, lot, container, conditions, a rule's former name."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from edge_agent.config.codes import Code
from edge_agent.config.conditions import Condition, Kind
from edge_agent.config.devices import CommandSource, Device, Source, Tag, TagType, Unit
from edge_agent.config.document_rules import LotTagSection, RuleSection
from edge_agent.config.findings import shown
from edge_agent.config.quantities import Quantity
from edge_agent.config.report import Path, Report
from edge_agent.config.resolve_tags import NUMBER_TYPES, WHOLE_TYPES
from edge_agent.config.resolve_units import find_unit
from edge_agent.config.shape import Draft
from edge_agent.config.tagmap import Cadence, Material
from edge_agent.model.reading import TagRef

NAMING_TYPES = WHOLE_TYPES | {TagType.STRING}
"""Types that can hold the name of an order or a lot."""
_KINDS = {TagType.STRING: Kind.TEXT, TagType.BOOL: Kind.BOOL} | dict.fromkeys(NUMBER_TYPES, Kind.NUMBER)


@dataclass(frozen=True, slots=True)
class World:
    """All that rules refer to, resolved."""

    report: Report
    draft: Draft
    sources: dict[str, Source]
    tags: dict[TagRef, Tag]
    units: dict[str, Unit]
    materials: dict[str, Material]
    cadences: dict[str, Cadence]

    def device(self, name: str) -> Device | None:
        """The source of that name, where it is a device."""
        source = self.sources.get(name)
        return None if isinstance(source, CommandSource) else source


def find_tag(world: World, path: Path, ref: TagRef, *, in_ring: bool = False, in_event: bool = False) -> Tag | None:
    """The tag; None where it is unknown (reported here) or faulty (reported before).

    Slots are for the block of a ring, fields for that of an event.
    """
    tag = world.tags.get(ref)
    if tag is not None and tag.slots and not in_ring:
        message = f"{shown(str(ref))} has slots: only the block of a ring is read slot by slot"
        world.report.error(path, Code.CONFLICT, message, "name another tag, or use a handshake of kind: ring")
        return None
    if tag is not None and tag.comes_with_events and not in_event:
        message = f"{shown(str(ref))} comes with events: only a handshake by events has it"
        world.report.error(path, Code.CONFLICT, message, "name another tag, or use a handshake of kind: event")
        return None
    if tag is not None:
        return tag
    sources, given = world.report.names("tags"), world.report.names("tags", ref.source)
    if ref.source not in sources:
        advice = world.report.findings.nearest(ref.source, sources) or "add its tags to `tags`"
        world.report.error(path, Code.UNKNOWN_NAME, f"the source {shown(ref.source)} has no tags", advice)
    elif ref.tag not in given:
        advice = world.report.findings.nearest(ref.tag, given) or f"add it under tags: {ref.source}:"
        world.report.error(path, Code.UNKNOWN_NAME, f"there is no tag {shown(str(ref))}", advice)
    return None


def typed_tag(world: World, path: Path, ref: TagRef, fit: Container[TagType], needed: str) -> Tag | None:
    """The tag, if it is of a type that serves."""
    tag = find_tag(world, path, ref)
    if tag is not None and tag.type not in fit:
        message = f"{shown(str(ref))} is a {tag.type.value}; {needed}"
        world.report.error(path, Code.WRONG_TAG_TYPE, message, "name another tag, or mend its type")
        return None
    return tag


def check_context(section: RuleSection, material: Material | None, world: World, path: Path) -> None:
    """Everything of a rule that is neither its material nor its signal."""
    if section.order is not None:
        typed_tag(world, (*path, "order"), section.order, NAMING_TYPES, "an order is a string or whole number")
    if section.operator is not None:
        typed_tag(world, (*path, "operator"), section.operator, NAMING_TYPES, "an operator is a string or whole number")
    if section.container is not None and section.handshake is None:
        text = frozenset({TagType.STRING})
        typed_tag(world, (*path, "container"), section.container, text, "a container's id is a string")
    _check_lot(section, material, world, path)
    _check_into_lot(section, world, path)
    if section.only_while is not None:
        _check_condition(section.only_while, world, (*path, "only_while"))
    if section.pause_while is not None:
        _check_condition(section.pause_while.when, world, (*path, "pause_while", "when"))
    if section.once_per is not None and section.container is None and section.confirmation is None:
        message = "the rule names no container to tell one from another"
        world.report.error((*path, "once_per", "key"), Code.CONFLICT, message, "add container: source.tag")
    if isinstance(section.lag, Quantity):
        find_unit(world.report, (*path, "lag"), section.lag.unit, world.units)
        if section.counter is None:
            message = "only a counter tells when so much has run"
            world.report.error((*path, "lag"), Code.CONFLICT, message, "give the lag as a time: lag: 45 s")


def _check_into_lot(section: RuleSection, world: World, path: Path) -> None:
    if section.into_lot is None:
        return
    here = (*path, "into_lot")
    typed_tag(world, here, section.into_lot, NAMING_TYPES, "a lot is a string or whole number")
    if section.event != "consumed":
        message = f"what is {section.event} goes into no lot"
        world.report.error(here, Code.CONFLICT, message, "take it out, or let the rule say event: consumed")
    if isinstance(section.lag, Quantity):
        message = "a lag in units tells the order and lot, and not the lot that is made"
        world.report.error(here, Code.CONFLICT, message, "give the lag as a time: lag: 45 s")


def _check_lot(section: RuleSection, material: Material | None, world: World, path: Path) -> None:
    way = section.lot_from
    if way is None:
        if material is not None and material.lot_tracked:
            message = f"the material {shown(material.number)} is lot-tracked, and the rule does not say which lot"
            advice = "add lot_from: {tag: source.tag}, or container, block, fifo or blend"
            world.report.error((*path, "material"), Code.NO_LOT, message, advice)
    elif isinstance(way, LotTagSection):
        place = (*path, "lot_from", "tag")
        typed_tag(world, place, way.tag, NAMING_TYPES, "a lot is a string or whole number")
    elif way in {"fifo", "blend"} and section.from_ is None:
        message = f"`{way}` takes the lots of the location it comes from, and the rule has no `from`"
        world.report.error((*path, "lot_from"), Code.CONFLICT, message, "use lot_from: {tag: source.tag}")
    elif way == "blend" and (section.handshake or section.confirmation) is not None:
        message = "a confirmation is one line, and a blend is a line of each lot"
        world.report.error((*path, "lot_from"), Code.CONFLICT, message, "use lot_from: fifo, block or container")
    elif way == "container" and section.container is None and section.confirmation is None:
        message = "the rule names no container to know the lot from"
        world.report.error((*path, "lot_from"), Code.CONFLICT, message, "add container: source.tag")
    elif way == "block" and section.handshake is None and section.confirmation is None:
        message = "only a handshake or a confirmation says the lot itself"
        world.report.error((*path, "lot_from"), Code.CONFLICT, message, "use lot_from: {tag: source.tag}")
    elif way == "block" and section.lot is None:
        message = "the rule does not say which tag of the block is the lot"
        world.report.error((*path, "lot_from"), Code.CONFLICT, message, "add lot: source.tag")
    if section.lot is not None and way != "block":
        message = "`lot` is read in a handshake's block, and the rule does not take the lot from there"
        world.report.error((*path, "lot"), Code.CONFLICT, message, "add lot_from: block, or remove it", key=True)


def _check_condition(condition: Condition, world: World, path: Path) -> None:
    """The tags are there, and what is compared goes together."""
    tags = [find_tag(world, path, ref) for ref in condition.tags]
    if None in tags:
        return
    kinds = {tag.ref: _KINDS[tag.type] for tag in tags if tag is not None}
    world.report.attempt(path, condition.check, kinds)


def check_lot_places(world: World) -> None:
    """The lots of a material at a location are taken in one way only."""
    ways: dict[tuple[str, str], tuple[str, str]] = {}
    for name, section in world.draft.movements.items():
        if section.lot_from not in {"fifo", "blend"} or section.from_ is None:
            continue
        other, way = ways.setdefault((section.from_, section.material), (name, str(section.lot_from)))
        if way != section.lot_from:
            message = f"the rule {shown(other)} takes the lots of {shown(section.from_)} as `{way}`"
            world.report.error(("movements", name, "lot_from"), Code.CONFLICT, message, "take them in one way")


def check_former_names(world: World) -> None:
    """A rule's state goes on under its new name: one rule for each former name, and no rule of that name left."""
    report = world.report
    heirs: dict[str, str] = {}
    for name, section in world.draft.movements.items():
        if section.was is None:
            continue
        place: Path = ("movements", name, "was")
        if section.was in report.names("movements"):
            message = f"there is a rule {shown(section.was)}: it cannot be the former name of another"
            report.error(place, Code.CONFLICT, message, "remove `was`, or rename that rule")
        if section.was in heirs:
            message = f"the rule {shown(heirs[section.was])} has been {shown(section.was)} already"
            report.error(place, Code.CONFLICT, message, "one rule goes on for another")
        heirs.setdefault(section.was, name)
