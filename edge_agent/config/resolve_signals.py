"""Handshakes of rules: their tags."""

from __future__ import annotations

from edge_agent.config.codes import Code
from edge_agent.config.document_rules import HandshakeSection, RuleSection
from edge_agent.config.findings import shown
from edge_agent.config.report import Path
from edge_agent.config.resolve_context import NAMING_TYPES, World, find_tag, typed_tag
from edge_agent.config.resolve_tags import FLOAT_TYPES, NUMBER_TYPES, WHOLE_TYPES, values
from edge_agent.config.signals import Handshake
from edge_agent.config.tagmap import Tag, TagType
from edge_agent.model.reading import TagRef

TRANSACTION_COUNTER = "transaction-counter"


def resolve_handshake(section: RuleSection, handshake: HandshakeSection, world: World, path: Path) -> Handshake | None:
    """A transaction counter; None where something was reported, or where this version does not run it."""
    before = world.report.findings.errors
    place = (*path, "handshake")
    trigger = _trigger(handshake, world, place)
    ack = typed_tag(world, (*place, "ack"), handshake.ack, NUMBER_TYPES | {TagType.BOOL}, "it must echo")
    if trigger is not None and ack is not None and trigger.type is not ack.type:
        message = f"`ack` is a {ack.type.value} and cannot echo a {trigger.type.value}"
        world.report.error((*place, "ack"), Code.WRONG_TAG_TYPE, message, "give both the same type")
    if handshake.result is not None:
        typed_tag(world, (*place, "result"), handshake.result, WHOLE_TYPES, "a result code is a whole number")
    if section.quantity is None:
        message = "a handshake needs the tag of its quantity: pallets are partial"
        world.report.error(path, Code.MISSING_KEY, message, "add quantity: source.tag", key=True)
    else:
        quantity = typed_tag(world, (*path, "quantity"), section.quantity, NUMBER_TYPES, "a quantity is a number")
        if quantity is not None and quantity.type in FLOAT_TYPES:
            world.report.not_run((*path, "quantity"), Code.NOT_RUN_COUNTER, f"a {quantity.type.value} quantity")
    if section.container is not None:
        text = frozenset({TagType.STRING})
        typed_tag(world, (*path, "container"), section.container, text, "a container's id is a string")
    if section.lot is not None:
        typed_tag(world, (*path, "lot"), section.lot, NAMING_TYPES, "a lot is a string or whole number")
    _check_block(section, handshake, world, path)
    if world.report.findings.errors > before or section.quantity is None or trigger is None:
        return None
    if handshake.kind != TRANSACTION_COUNTER:
        return None
    return Handshake(
        trigger=handshake.trigger,
        ack=handshake.ack,
        result=handshake.result,
        quantity=section.quantity,
        container=section.container,
        modulus=values(trigger.type),
        lot=section.lot,
    )


def _trigger(handshake: HandshakeSection, world: World, place: Path) -> Tag | None:
    if handshake.kind == TRANSACTION_COUNTER:
        needed = "a transaction counter is a whole number"
        return typed_tag(world, (*place, "trigger"), handshake.trigger, WHOLE_TYPES, needed)
    return find_tag(world, (*place, "trigger"), handshake.trigger)


def _check_block(section: RuleSection, handshake: HandshakeSection, world: World, path: Path) -> None:
    """One source, since the block is read in one request; each tag in one part; answers can be written."""
    parts: list[tuple[Path, TagRef | None]] = [
        ((*path, "handshake", "trigger"), handshake.trigger),
        ((*path, "handshake", "ack"), handshake.ack),
        ((*path, "handshake", "result"), handshake.result),
        ((*path, "quantity"), section.quantity),
        ((*path, "container"), section.container),
        ((*path, "lot"), section.lot),
    ]
    seen: dict[TagRef, Path] = {}
    for place, ref in parts:
        if ref is None:
            continue
        if ref in seen:
            message = f"{shown(str(ref))} is its {seen[ref][-1]} already"
            world.report.error(place, Code.CONFLICT, message, "each part has a tag of its own")
        seen.setdefault(ref, place)
        if ref.source != handshake.trigger.source:
            message = f"{shown(str(ref))} is on another source than the trigger"
            advice = "the block is read in one request: all its tags are on one source"
            world.report.error(place, Code.SEVERAL_SOURCES, message, advice)
        tag = world.tags.get(ref)
        if place[-1] in {"ack", "result"} and tag is not None and not tag.write:
            message = f"the agent must write {shown(str(ref))}, and the tag does not allow it"
            world.report.error(place, Code.WRITE_MISSING, message, f"add write: true to the tag {ref}")
