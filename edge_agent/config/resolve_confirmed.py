"""Movements that someone confirms: by message, once per container, in two steps (derivation.md, Handshakes)."""

from __future__ import annotations

from edge_agent.config.codes import Code
from edge_agent.config.document import CommandSection
from edge_agent.config.document_rules import ConfirmationSection, RuleSection
from edge_agent.config.findings import shown
from edge_agent.config.report import Path, Report
from edge_agent.config.resolve_context import World
from edge_agent.config.resolve_materials import check_speaks
from edge_agent.config.signals import Confirmation
from edge_agent.config.tagmap import Arrival, OncePer
from edge_agent.model.reading import TagRef

DEPARTED, ARRIVED = "departed", "arrived"
_ALIKE = ("event", "material", "from_", "to")


def resolve_confirmation(section: ConfirmationSection, world: World, path: Path) -> Confirmation | None:
    """The source whose messages confirm the rule's movements."""
    speaks = check_speaks(world.draft, section.source, world.report, (*path, "confirmation", "source"))
    return Confirmation(section.source) if speaks else None


def check_measured(section: RuleSection, world: World, path: Path) -> None:
    """Nothing is measured by what messages set: those values are context, and say nothing between two of them."""
    meters = {"counter": section.counter, "level": section.level, "flow": section.flow}
    places: list[tuple[Path, TagRef]] = [((key, "tag"), one.tag) for key, one in meters.items() if one is not None]
    if section.handshake is not None and section.handshake.trigger is not None:
        places.append((("handshake", "trigger"), section.handshake.trigger))
    for place, ref in places:
        if isinstance(world.draft.sources.get(ref.source), CommandSection):
            message = f"{shown(str(ref))} is set by messages, which measure nothing"
            advice = "name a tag of a device, or use confirmation: {source: " + ref.source + "}"
            world.report.error((*path, *place), Code.CONFLICT, message, advice)


def resolve_once_per(section: RuleSection) -> OncePer | None:
    """What happens to a container that passes again; that there is one was checked with the rule's context."""
    if section.once_per is None:
        return None
    return OncePer(section.once_per.within, section.once_per.else_ == "exclude")


def resolve_arrival(section: RuleSection, report: Report, path: Path) -> Arrival | None:
    """The second step of a transport, and what is wrong with either; the pair is checked by `check_transports`."""
    of_arrival = {"pairs_with": section.pairs_with, "arrives_within": section.arrives_within}
    if section.phase != ARRIVED:
        for key in (key for key, given in of_arrival.items() if given is not None):
            report.error(
                (*path, key), Code.CONFLICT, f"`{key}` is said by the rule of the arrival", "remove it", key=True
            )
    if section.phase is None:
        return None
    if section.event != "moved":
        report.error((*path, "phase"), Code.CONFLICT, "only what is `moved` departs and arrives", "remove it", key=True)
    if section.handshake is None and section.confirmation is None:
        message = "a departure or an arrival is confirmed, not measured"
        report.error((*path, "phase"), Code.CONFLICT, message, "use a handshake or a confirmation", key=True)
    elif section.handshake is not None and section.container is None:
        message = "both steps of a transport are paired by their container, and the rule names none"
        report.error((*path, "phase"), Code.CONFLICT, message, "add container: source.tag", key=True)
    if section.once_per is not None:
        message = "a transport tells its containers apart already"
        report.error((*path, "once_per"), Code.CONFLICT, message, "remove it", key=True)
    if section.phase != ARRIVED:
        return None
    for key, example in (("pairs_with", "pallet_left"), ("arrives_within", "4 h")):
        if of_arrival[key] is None:
            report.error(path, Code.MISSING_KEY, f"an arrival needs `{key}`", f"add {key}: {example}", key=True)
    if section.pairs_with is None or section.arrives_within is None:
        return None
    return Arrival(section.pairs_with, section.arrives_within)


def check_transports(world: World) -> None:
    """Each arrival pairs with a departure of its own that says the same of the goods; none is left alone."""
    report, rules = world.report, world.draft.movements
    taken: dict[str, str] = {}
    for name, section in rules.items():
        if section.pairs_with is None or section.phase != ARRIVED:
            continue
        place: Path = ("movements", name, "pairs_with")
        if section.handshake is not None and section.handshake.order is not None:
            message = "what arrives belongs to the order it departed for"
            here: Path = ("movements", name, "handshake", "order")
            report.error(here, Code.CONFLICT, message, "let the departure's block say the order", key=True)
        departure = report.look_up(place, "rule", section.pairs_with, rules, "movements")
        if departure is None:
            continue
        if departure.phase != DEPARTED:
            message = f"the rule {shown(section.pairs_with)} is no departure"
            report.error(place, Code.CONFLICT, message, f"add phase: departed to {section.pairs_with}")
        unlike = [key.rstrip("_") for key in _ALIKE if getattr(departure, key) != getattr(section, key)]
        if unlike:
            message = f"{shown(section.pairs_with)} has another {', '.join(f'`{key}`' for key in unlike)}"
            report.error(place, Code.CONFLICT, message, "both steps are one movement: say the same in both")
        if section.pairs_with in taken:
            message = f"{shown(taken[section.pairs_with])} is its arrival already"
            report.error(place, Code.CONFLICT, message, "one arrival for each departure")
        taken.setdefault(section.pairs_with, name)
    for name, section in rules.items():
        if section.phase == DEPARTED and name not in taken:
            message = f"what departs by {shown(name)} never arrives"
            advice = f"add a rule with phase: arrived, pairs_with: {name}, arrives_within: 4 h"
            report.error(("movements", name, "phase"), Code.CONFLICT, message, advice, key=True)
