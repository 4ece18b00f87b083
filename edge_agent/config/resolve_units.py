"""Units of the map: each an exact multiple of its base; nothing converts that the map does not say."""

from __future__ import annotations

from fractions import Fraction

from edge_agent.config.codes import Code
from edge_agent.config.devices import Unit
from edge_agent.config.document import UnitSection
from edge_agent.config.findings import shown
from edge_agent.config.quantities import Quantity
from edge_agent.config.report import Path, Report

LONGEST_CHAIN = 8


def resolve_units(sections: dict[str, UnitSection], report: Report) -> dict[str, Unit]:
    """Every unit with its base and exact factor."""
    found = {}
    for name, section in sections.items():
        way = _way_to_base(name, sections, report)
        if way is not None:
            base, factor = way
            found[name] = Unit(name, section.code, base, factor)
    return found


def _way_to_base(name: str, sections: dict[str, UnitSection], report: Report) -> tuple[str, Fraction] | None:
    """The last unit of the chain of `of:`, and how much of it one `name` is; None where that was reported."""
    factor, seen, unit = Fraction(1), [name], name
    while (of := sections[unit].of) is not None:
        path: Path = ("units", unit, "of")
        if of.unit in seen or len(seen) > LONGEST_CHAIN:
            chain = " of ".join(shown(step) for step in (*seen, of.unit))
            message = f"{chain}: this never ends at a base unit"
            report.error(
                ("units", name, "of"), Code.UNIT_CYCLE, message, f"at most {LONGEST_CHAIN} steps, in no circle"
            )
            return None
        if report.look_up(path, "unit", of.unit, sections, "units") is None:
            return None
        factor *= Fraction(of.amount)
        unit = of.unit
        seen.append(unit)
    return unit, factor


def find_unit(report: Report, path: Path, name: str, units: dict[str, Unit]) -> Unit | None:
    """The unit `name`; only the map's own are known, so `25 pcs/s` is never parsecs."""
    return report.look_up(path, "unit", name, units, "units")


def ratio(report: Report, path: Path, unit: Unit, into: Unit, advice: str | None = None) -> Fraction | None:
    """How much of `into` one of `unit` is; None and an error (with `advice`) where they measure different things."""
    if unit.base != into.base:
        message = f"{shown(unit.name)} does not convert to {shown(into.name)}"
        of = f"both must come from one base unit: give one of them an `of:` ({unit.name}: {unit.base} here)"
        report.error(path, Code.NOT_CONVERTIBLE, message, advice or of)
        return None
    return unit.factor / into.factor


def convert(report: Report, path: Path, quantity: Quantity, into: Unit, units: dict[str, Unit]) -> Fraction | None:
    """A quantity of the map in `into`, exactly."""
    unit = find_unit(report, path, quantity.unit, units)
    if unit is None:
        return None
    factor = ratio(report, path, unit, into)
    return None if factor is None else Fraction(quantity.amount) * factor
