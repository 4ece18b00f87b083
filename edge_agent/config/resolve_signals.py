"""Levels and flows of rules: their tags and figures."""

from __future__ import annotations

from itertools import pairwise

from edge_agent.config.codes import Code
from edge_agent.config.document_rules import FlowSection, LevelSection
from edge_agent.config.quantities import Quantity
from edge_agent.config.report import Path
from edge_agent.config.resolve_context import World
from edge_agent.config.resolve_units import convert
from edge_agent.config.tagmap import Tag


def check_level(level: LevelSection, tag: Tag, world: World, path: Path) -> None:
    """A level's figures convert to the unit of its tag; a strapping table rises."""
    for key in ("hysteresis", "refill_min"):
        quantity: Quantity | None = getattr(level, key)
        _check_figure(quantity, tag, world, (*path, key))
    if level.max_rate is not None:
        _check_figure(Quantity(level.max_rate.amount, level.max_rate.unit), tag, world, (*path, "max_rate"))
    if level.strapping is not None:
        pairs = [(pair[0], pair[1]) for pair in level.strapping if len(pair) == 2]
        rising = all(one[0] < two[0] and one[1] < two[1] for one, two in pairwise(pairs))
        if len(pairs) < 2 or len(pairs) < len(level.strapping) or not rising:
            message = "a strapping table is two or more pairs of reading and contents, both rising"
            world.report.error((*path, "strapping"), Code.OUT_OF_RANGE, message, "write [[0, 0], [10, 1250.5]]")


def check_flow(flow: FlowSection, tag: Tag, world: World, path: Path) -> None:
    """A flow's figures convert to the unit of its tag."""
    if flow.max_rate is not None:
        _check_figure(Quantity(flow.max_rate.amount, flow.max_rate.unit), tag, world, (*path, "max_rate"))


def _check_figure(quantity: Quantity | None, tag: Tag, world: World, path: Path) -> None:
    if quantity is not None and tag.unit is not None:
        convert(world.report, path, quantity, tag.unit, world.units)
