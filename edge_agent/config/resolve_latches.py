"""Tags beside a counter that keep one of its counts: what the PLC latches in the scan in which the order changes."""

from __future__ import annotations

from edge_agent.config.codes import Code
from edge_agent.config.devices import Tag
from edge_agent.config.document_rules import AtChangeSection, CounterSection, LotTagSection, RuleSection
from edge_agent.config.findings import shown
from edge_agent.config.report import Path
from edge_agent.config.resolve_context import World, typed_tag
from edge_agent.config.resolve_tags import FLOAT_TYPES, NUMBER_TYPES, WHOLE_TYPES, lowest, values
from edge_agent.config.signals import AtChange, Direction, Resets
from edge_agent.model.reading import TagRef


def resolve_at_change(section: CounterSection, tag: Tag, world: World, path: Path) -> AtChange | None:
    """The tags in which the PLC latches; None where there are none, or something was reported.

    They and the order or lot are of the counter's own device: only there one scan sees them all.
    """
    latch, path = section.at_change, (*path, "at_change")
    if latch is None:
        return None
    _check_rule(section, world, path, world.draft.movements[str(path[1])])
    _check_told(tag, world, path, world.draft.movements[str(path[1])])
    count = typed_tag(world, (*path, "count"), latch.count, NUMBER_TYPES, "the latched count is a number")
    changes = typed_tag(world, (*path, "changes"), latch.changes, WHOLE_TYPES, "a number of changes is a whole number")
    if count is None or changes is None:
        return None
    check_alike(count, tag, world, (*path, "count"), "the device that counts latches")
    _check_changes(latch, tag, world, path)
    return AtChange(latch.count, latch.changes, values(changes.type) - lowest(changes.type))


def check_alike(kept: Tag, tag: Tag, world: World, place: Path, whose: str) -> None:
    """What keeps a count is on the same device as what counts, and shows it in the same way."""
    if kept.ref.source != tag.ref.source:
        message = f"{shown(str(kept.ref))} is on another source than the counter"
        world.report.error(place, Code.SEVERAL_SOURCES, message, whose)
    alike = (kept.unit, kept.scale, kept.type in FLOAT_TYPES) == (tag.unit, tag.scale, tag.type in FLOAT_TYPES)
    if kept.ref == tag.ref or not alike:
        message = f"{shown(str(kept.ref))} does not keep what {shown(str(tag.ref))} counts"
        world.report.error(place, Code.CONFLICT, message, "name another tag, of the same unit and scale")


def _check_rule(section: CounterSection, world: World, path: Path, rule: RuleSection) -> None:
    """What does not go together with a count at the change."""
    faults = (
        (
            section.direction is Direction.UP_DOWN,
            "a counter that runs both ways shows the same count twice",
            "remove it, or use two counters",
        ),
        (
            Resets.ORDER in (section.resets or ()),
            "the change of order resets the counter, and so its count then is the last total",
            "use final_tag: source.tag",
        ),
        (
            rule.lag is not None,
            "with a `lag` the change takes effect later than the count is latched",
            "remove one of them",
        ),
    )
    for is_fault, message, advice in faults:
        if is_fault:
            world.report.error(path, Code.CONFLICT, message, advice, key=True)


def _check_told(tag: Tag, world: World, path: Path, rule: RuleSection) -> None:
    """Order and lot are told by tags of the same device."""
    lot = rule.lot_from.tag if isinstance(rule.lot_from, LotTagSection) else None
    told = [ref for ref in (rule.order, lot) if ref is not None]
    if not told:
        message = "the rule has no order or lot whose change could be latched"
        world.report.error(path, Code.CONFLICT, message, "add order: source.tag", key=True)
    for ref in told:
        if ref.source != tag.ref.source:
            message = f"{shown(str(ref))} is on another source than the counter: no scan of the PLC sees both change"
            world.report.error(path, Code.SEVERAL_SOURCES, message, "take the order from the PLC, or remove it")


def _check_changes(latch: AtChangeSection, tag: Tag, world: World, path: Path) -> None:
    place: Path = (*path, "changes")
    others: tuple[TagRef, ...] = (latch.count, tag.ref)
    if latch.changes.source != tag.ref.source:
        message = f"{shown(str(latch.changes))} is on another source than the counter"
        world.report.error(place, Code.SEVERAL_SOURCES, message, "the device that counts latches")
    if latch.changes in others:
        message = f"{shown(str(latch.changes))} does not say how many changes there were"
        world.report.error(place, Code.CONFLICT, message, "name a tag that the PLC adds 1 to with each change")
