"""Handshakes of rules: what the PLC and the agent show each other, and the block between them."""

from __future__ import annotations

from datetime import timedelta

from edge_agent.config.codes import Code
from edge_agent.config.devices import ModbusAddress, OpcUaField, Tag, TagType
from edge_agent.config.document_rules import HandshakeSection, RuleSection
from edge_agent.config.findings import shown
from edge_agent.config.report import Path
from edge_agent.config.resolve_context import NAMING_TYPES, World, find_tag, typed_tag
from edge_agent.config.resolve_floats import resolve_block_grain
from edge_agent.config.resolve_tags import FLOAT_TYPES, NUMBER_TYPES, WHOLE_TYPES, values
from edge_agent.config.signals import Handshake, Kind
from edge_agent.model.reading import TagRef

_ENDS = {Kind.RING: ("head", "tail"), Kind.EVENT: ("trigger",)}
_BIT_TYPES = WHOLE_TYPES | {TagType.BOOL}
_WITHIN = timedelta(seconds=30)


def resolve_handshake(section: RuleSection, handshake: HandshakeSection, world: World, path: Path) -> Handshake | None:
    """A handshake; None where something was reported, or where this version does not run it."""
    kind, place, before = Kind(handshake.kind), (*path, "handshake"), world.report.findings.errors
    _check_keys(kind, handshake, world, place)
    ends = [_end(key, kind, handshake, world, place) for key in _ENDS.get(kind, ("trigger", "ack"))]
    trigger, ack = ends[0], ends[-1]
    if handshake.result is not None:
        typed_tag(world, (*place, "result"), handshake.result, WHOLE_TYPES, "a result code is a whole number")
    if handshake.number is not None:
        _part((*place, "number"), handshake.number, (WHOLE_TYPES, "a number is whole"), kind, world)
    _surroundings(section, handshake, kind, world, path)
    quantity = _block(section, kind, world, path)
    grain = None if quantity is None else resolve_block_grain(handshake, quantity, world.units, world.report, place)
    if trigger is not None and ack is not None:
        _check_ends(kind, trigger, ack, world, place)
        _check_block(section, handshake, trigger.ref, world, path)
    if world.report.findings.errors > before or quantity is None or trigger is None or ack is None or grain is None:
        return None
    moduli = {
        Kind.TRANSACTION_COUNTER: values(trigger.type) if trigger.type in WHOLE_TYPES else 0,
        Kind.BITS: 2,
        Kind.EVENT: 0,
    }
    return Handshake(
        trigger=trigger.ref,
        ack=ack.ref,
        result=handshake.result,
        quantity=quantity.ref,
        container=section.container,
        lot=section.lot,
        modulus=moduli.get(kind, len(quantity.slots)),
        kind=kind,
        number=handshake.number,
        within=handshake.within or _WITHIN,
        order=handshake.order,
        operator=handshake.operator,
        grain=grain,
        rounded=quantity.type in FLOAT_TYPES,
    )


def _check_keys(kind: Kind, handshake: HandshakeSection, world: World, place: Path) -> None:
    """Each kind has two ends, and no others; a transaction counter is its own number."""
    own = _ENDS.get(kind, ("trigger", "ack"))
    for key in ("trigger", "ack", "head", "tail", "number"):
        given = getattr(handshake, key) is not None
        if key in own and not given:
            world.report.error(place, Code.MISSING_KEY, f"`{key}` is missing", f"add {key}: source.tag", key=True)
        strange = key not in own if key != "number" else kind in {Kind.TRANSACTION_COUNTER, Kind.EVENT}
        if given and strange:
            message = f"`{key}` means nothing for a {kind.value}"
            world.report.error((*place, key), Code.CONFLICT, message, "remove it", key=True)
    if kind is Kind.EVENT and handshake.result is not None:
        message = "an event has nowhere to write a result"
        world.report.error((*place, "result"), Code.CONFLICT, message, "remove it", key=True)


def _end(key: str, kind: Kind, handshake: HandshakeSection, world: World, place: Path) -> Tag | None:
    """The trigger or acknowledgement, head or tail."""
    ref: TagRef | None = getattr(handshake, key)
    if ref is None:
        return None
    path = (*place, key)
    if kind is Kind.EVENT:
        return _emitter(path, ref, world)
    needed = {
        Kind.BITS: (_BIT_TYPES, "a bit is a bool, or a whole number that is 0 or 1"),
        Kind.RING: (WHOLE_TYPES, "a slot's number is whole"),
    }.get(kind, (WHOLE_TYPES, "a transaction counter is a whole number"))
    if kind is Kind.TRANSACTION_COUNTER and key == "ack":
        needed = (NUMBER_TYPES | {TagType.BOOL}, "it must echo")
    return typed_tag(world, path, ref, *needed)


def _emitter(path: Path, ref: TagRef, world: World) -> Tag | None:
    """The node whose events are meant."""
    tag = find_tag(world, path, ref, in_event=True)
    if tag is not None and tag.type is not TagType.EVENT:
        message = f"{shown(str(ref))} is a {tag.type.value} and emits no events"
        world.report.error(path, Code.WRONG_TAG_TYPE, message, "name a tag of type: event")
        return None
    return tag


def _check_ends(kind: Kind, trigger: Tag, ack: Tag, world: World, place: Path) -> None:
    if kind is Kind.TRANSACTION_COUNTER and trigger.type is not ack.type:
        message = f"`ack` is a {ack.type.value} and cannot echo a {trigger.type.value}"
        world.report.error((*place, "ack"), Code.WRONG_TAG_TYPE, message, "give both the same type")
    if kind is Kind.BITS and isinstance(ack.address, ModbusAddress) and ack.address.bit is not None:
        message = f"{shown(str(ack.ref))} is a bit of a register: to write it would write its neighbours too"
        world.report.error((*place, "ack"), Code.WRITE_REFUSED, message, "use a coil, or a register of its own")


def _block(section: RuleSection, kind: Kind, world: World, path: Path) -> Tag | None:
    """The tag of the quantity; its container's is checked too."""
    quantity = None
    if section.quantity is None:
        message = "a handshake needs the tag of its quantity: pallets are partial"
        world.report.error(path, Code.MISSING_KEY, message, "add quantity: source.tag", key=True)
    else:
        place = (*path, "quantity")
        quantity = _part(place, section.quantity, (NUMBER_TYPES, "a quantity is a number"), kind, world)
    if section.container is not None:
        needed = (frozenset({TagType.STRING}), "a container's id is a string")
        _part((*path, "container"), section.container, needed, kind, world)
    if section.lot is not None:
        _part((*path, "lot"), section.lot, (NAMING_TYPES, "a lot is a string or whole number"), kind, world)
    return quantity


def _surroundings(section: RuleSection, handshake: HandshakeSection, kind: Kind, world: World, path: Path) -> None:
    """The order and operator that the block says: then nothing else does, so that the two can never disagree."""
    for key, what in (("order", "an order"), ("operator", "an operator")):
        ref: TagRef | None = getattr(handshake, key)
        if ref is None:
            continue
        place = (*path, "handshake", key)
        _part(place, ref, (NAMING_TYPES, f"{what} is a string or whole number"), kind, world)
        if getattr(section, key) is not None:
            message = f"the block says its {key}, and the rule names a tag for it too"
            world.report.error((*path, key), Code.CONFLICT, message, "keep one of them", key=True)


def _part(path: Path, ref: TagRef, needed: tuple[frozenset[TagType], str], kind: Kind, world: World) -> Tag | None:
    """A tag of the block, of the types needed, for the reason given: with a ring, one that has slots."""
    fit, reason = needed
    if kind not in {Kind.RING, Kind.EVENT}:
        return typed_tag(world, path, ref, fit, reason)
    tag = find_tag(world, path, ref, in_ring=kind is Kind.RING, in_event=kind is Kind.EVENT)
    if tag is None:
        return None
    if tag.type not in fit:
        message = f"{shown(str(ref))} is a {tag.type.value}; {reason}"
        world.report.error(path, Code.WRONG_TAG_TYPE, message, "name another tag, or mend its type")
        return None
    if kind is Kind.EVENT and not isinstance(tag.address, OpcUaField):
        message = f"{shown(str(ref))} is no field of an event"
        world.report.error(path, Code.CONFLICT, message, f'add field: "nsu={{pv}};..." to the tag {ref}')
        return None
    if kind is Kind.RING and not tag.slots:
        message = f"{shown(str(ref))} has one value, and a ring has one in each slot"
        world.report.error(path, Code.CONFLICT, message, f"add slots: 16 to the tag {ref}")
        return None
    return tag


def _check_block(section: RuleSection, handshake: HandshakeSection, trigger: TagRef, world: World, path: Path) -> None:
    """One source, since the block is read in one request; each tag in one part; answers can be written."""
    keys = ("trigger", "ack", "head", "tail", "result", "number", "order", "operator")
    parts: list[tuple[Path, TagRef | None]] = [
        *(((*path, "handshake", key), getattr(handshake, key)) for key in keys),
        ((*path, "quantity"), section.quantity),
        ((*path, "container"), section.container),
        ((*path, "lot"), section.lot),
    ]
    seen: dict[TagRef, Path] = {}
    sizes: dict[int, TagRef] = {}
    for place, ref in parts:
        if ref is None:
            continue
        if ref in seen:
            message = f"{shown(str(ref))} is its {seen[ref][-1]} already"
            world.report.error(place, Code.CONFLICT, message, "each part has a tag of its own")
        seen.setdefault(ref, place)
        if ref.source != trigger.source:
            message = f"{shown(str(ref))} is on another source than the trigger"
            advice = "the block is read in one request: all its tags are on one source"
            world.report.error(place, Code.SEVERAL_SOURCES, message, advice)
        tag = world.tags.get(ref)
        if place[-1] in {"ack", "tail", "result"} and tag is not None and not tag.write:
            message = f"the agent must write {shown(str(ref))}, and the tag does not allow it"
            world.report.error(place, Code.WRITE_MISSING, message, f"add write: true to the tag {ref}")
        if tag is not None and tag.slots:
            sizes.setdefault(len(tag.slots), ref)
    if len(sizes) > 1:
        message = f"its tags have {' and '.join(f'{size} slots ({ref})' for size, ref in sizes.items())}"
        world.report.error((*path, "handshake"), Code.CONFLICT, message, "a ring has one number of slots")
