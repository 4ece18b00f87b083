"""Flows: their rate in positions, what is a spike, a gap, and none; a second meter in series."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

from edge_agent.config.codes import Code
from edge_agent.config.devices import OpcUaSource, Tag, Unit
from edge_agent.config.document_rules import CrossCheckSection, FlowSection
from edge_agent.config.findings import shown
from edge_agent.config.quantities import PER
from edge_agent.config.report import Path
from edge_agent.config.resolve_context import World, typed_tag
from edge_agent.config.resolve_positions import Positions, grain, sampling_of, tag_unit
from edge_agent.config.resolve_tags import NUMBER_TYPES
from edge_agent.config.signals import Flow, FlowCheck
from edge_agent.config.tagmap import Material

COMPARED_OVER = timedelta(hours=1)
_MILLION = 10**6


def resolve_flow(flow: FlowSection, material: Material, world: World, path: Path) -> tuple[Flow, Unit] | None:
    """The flow in positions, and the unit of its quantities; None where something was reported."""
    before = world.report.findings.errors
    tag = typed_tag(world, (*path, "tag"), flow.tag, NUMBER_TYPES, "a flow is a number")
    source = world.device(flow.tag.source)
    unit = None if tag is None else tag_unit(world, (*path, "tag"), tag)
    figures = Positions(material, world, path)
    max_rate, low_cut = figures.rate("max_rate", flow.max_rate), figures.rate("low_cut", flow.low_cut)
    one = None if unit is None else figures.of(unit, (*path, "tag"))
    check = None if flow.cross_check is None else _cross_check(flow.cross_check, flow, figures, world)
    if tag is None or source is None or unit is None or one is None:
        return None
    sampling = sampling_of(source)
    if flow.max_gap < 2 * sampling:
        message = "every pause between two readings would be a gap"
        world.report.error((*path, "max_gap"), Code.OUT_OF_RANGE, message, "allow two sampling periods at least")
    if low_cut is not None and max_rate is not None and low_cut >= max_rate:
        world.report.error(
            (*path, "low_cut"), Code.OUT_OF_RANGE, "nothing is left between it and `max_rate`", "lower it"
        )
    found = Flow(
        tag=tag.ref,
        sampling=sampling,
        max_gap=flow.max_gap,
        rate=_rate(tag, one, flow),
        unit=material.unit.name,
        conversion=f"{figures.told(unit, path)}, per {flow.per}",
        grain=grain(one, tag.scale),
        by_exception=isinstance(source, OpcUaSource),
        max_rate=None if max_rate is None else int(max_rate * _MILLION),
        low_cut=0 if low_cut is None else round(low_cut * _MILLION),
        check=check,
    )
    return None if world.report.findings.errors > before else (found, unit)


def _rate(tag: Tag, one: Fraction, flow: FlowSection) -> Fraction:
    return Fraction(tag.scale) * one * _MILLION / PER[flow.per]


def _cross_check(section: CrossCheckSection, flow: FlowSection, figures: Positions, world: World) -> FlowCheck | None:
    """The second meter; it has the same unit of time."""
    place = (*figures.path, "cross_check")
    if section.tag == flow.tag:
        message = f"{shown(str(section.tag))} is the meter itself"
        world.report.error((*place, "tag"), Code.CONFLICT, message, "name the second one")
        return None
    tag = typed_tag(world, (*place, "tag"), section.tag, NUMBER_TYPES, "a flow is a number")
    unit = None if tag is None else tag_unit(world, (*place, "tag"), tag)
    one = None if unit is None else figures.of(unit, (*place, "tag"))
    if tag is None or one is None:
        return None
    over = section.every or COMPARED_OVER
    if over <= flow.max_gap:
        message = "the two are compared over less than `max_gap`"
        world.report.error((*place, "every"), Code.OUT_OF_RANGE, message, "compare over a longer time")
    share, amount = Fraction(0), 0
    if isinstance(section.tolerance, Decimal):
        share = Fraction(section.tolerance)
    else:
        amount = Positions(figures.material, world, place).amount("tolerance", section.tolerance) or 0
    return FlowCheck(section.tag, _rate(tag, one, flow), over, share, amount)
