"""Quantities cut down to what a material is agreed to be posted in (derivation.md, Cadence). Pure.

The rest stays where it was counted: the line is parted, and what is left goes on growing. When its order or posting day
has ended, there is nothing to grow with: then all of it is posted, exactly, in the unit's base.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from edge_agent.config.signals import Handshake
from edge_agent.config.tagmap import Rule
from edge_agent.model.movement import Flag, Line


def cut_down(rule: Rule, line: Line, *, ended: bool) -> tuple[Line | None, Line | None]:
    """What of `line` is posted now, and what stays pending; their quantities and positions are the line's together."""
    precision = rule.material.precision
    if precision is None or line.quantity % precision == 0:
        return line, None
    width = line.evidence.to_position - line.evidence.from_position
    if ended or (isinstance(rule.signal, Handshake) and line.key.container is not None):
        return _in_base(rule, line), None
    posted = line.quantity // precision * precision
    if posted == 0 or width < 2:
        return None, line
    at = min(max(int(Fraction(posted) * width / Fraction(line.quantity)), 1), width - 1)
    return _parted(line, posted, at, width)


def _parted(line: Line, posted: Decimal, at: int, width: int) -> tuple[Line, Line]:
    proof, source = line.evidence, line.source_quantity
    middle = proof.from_position + at
    flags = tuple(dict.fromkeys((*proof.flags, Flag.CUT_TO_PRECISION)))
    first = replace(
        line,
        quantity=posted,
        source_quantity=source / width * at,
        evidence=replace(proof, to_position=middle, flags=flags),
    )
    rest = replace(
        line,
        quantity=line.quantity - posted,
        source_quantity=source - first.source_quantity,
        start_time=line.time,
        evidence=replace(proof, from_position=middle, first_time=proof.last_time, samples=0, flags=()),
    )
    return first, rest


def _in_base(rule: Rule, line: Line) -> Line:
    unit = rule.material.unit
    if unit.name == unit.base:
        return line
    quantity = line.quantity * unit.factor.numerator / unit.factor.denominator
    return replace(line, quantity=quantity, unit=unit.base)
