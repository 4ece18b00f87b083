"""Materials and cadences."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction

from biip import ParseError
from biip.gtin import Gtin

from edge_agent.config.codes import Code
from edge_agent.config.devices import Unit
from edge_agent.config.document import HOLD, RELEASED, CadenceSection, CommandSection, MaterialSection
from edge_agent.config.findings import shown
from edge_agent.config.quantities import has_few_decimals
from edge_agent.config.rec20 import weigh_and_fill
from edge_agent.config.report import Path, Report
from edge_agent.config.resolve_units import find_unit, ratio
from edge_agent.config.shape import Draft
from edge_agent.config.tagmap import Cadence, Calendar, CutAt, LotPolicy, Material

ALIGNED = "clock"
LONGEST_SYSTEM = 64
"""As in the answers that systems send (config/schema/cmd.ack-1.json)."""
ACCEPTED_WITHIN = timedelta(hours=1)
_EXAMPLE = "1.29 kg/L"
"""Of a density."""


def resolve_materials(draft: Draft, units: dict[str, Unit], report: Report) -> dict[str, Material]:
    """Every material whose unit is known."""
    found = {}
    for number, section in draft.materials.items():
        path: Path = ("materials", number)
        unit = find_unit(report, (*path, "unit"), section.unit, units)
        _check_density(section, units, report, (*path, "density"))
        if section.precision is not None and not has_few_decimals(Fraction(section.precision)):
            message = "a quantity has at most nine decimals"
            report.error((*path, "precision"), Code.TOO_MANY_DECIMALS, message, 'write it like "0.001"')
        if unit is not None:
            found[number] = Material(
                number,
                section.name,
                section.klass,
                unit,
                section.posting,
                section.lot_tracked,
                section.precision,
                _gtin(section, report, (*path, "gtin")),
                _lot_policy(section, draft, report, (*path, "lot_status")),
            )
    _check_twice(found, report)
    return found


def _lot_policy(section: MaterialSection, draft: Draft, report: Report, path: Path) -> LotPolicy | None:
    said = section.lot_status
    if said is None:
        return None
    if not section.lot_tracked:
        message = "only lots have a status, and the material is not lot-tracked"
        report.error(path, Code.CONFLICT, message, "add lot_tracked: true", key=True)
    check_speaks(draft, said.from_, report, (*path, "from"))
    if not said.usable:
        report.error((*path, "usable"), Code.CONFLICT, "no lot may ever be used then", f"name one, like {RELEASED}")
    return LotPolicy(said.from_, frozenset(said.usable), said.on_blocked == HOLD)


def check_speaks(draft: Draft, name: str, report: Report, path: Path) -> bool:
    """Whether the source is there and sends messages."""
    source = report.look_up(path, "source", name, draft.sources, "sources")
    if source is not None and not isinstance(source, CommandSection):
        message = f"the source {shown(name)} sends no messages"
        advice = f"name one that says mqtt: commands, or add {name}_messages: {{mqtt: commands}} to `sources`"
        report.error(path, Code.CONFLICT, message, advice)
        return False
    return source is not None


def _gtin(section: MaterialSection, report: Report, path: Path) -> str | None:
    """The GTIN as 14 digits, its check digit right (GS1 General Specifications, 7.9)."""
    if section.gtin is None:
        return None
    try:
        return Gtin.parse(section.gtin).as_gtin_14()
    except ParseError:
        advice = "copy it from under the barcode, quoted: 8, 12, 13 or 14 digits, the last a check digit"
        report.error(path, Code.BAD_NAME, f"{shown(section.gtin)} is no GTIN", advice)
        return None


def _check_twice(materials: dict[str, Material], report: Report) -> None:
    """One GTIN names one material."""
    owner: dict[str, str] = {}
    for number, material in materials.items():
        if material.gtin is not None and owner.setdefault(material.gtin, number) != number:
            message = f"the GTIN of {shown(owner[material.gtin])} already"
            report.error(("materials", number, "gtin"), Code.BAD_NAME, message, "one material for each")


def _check_density(section: MaterialSection, units: dict[str, Unit], report: Report, path: Path) -> None:
    if section.density is None:
        return
    above = find_unit(report, path, section.density.unit, units)
    below = find_unit(report, path, section.density.per, units)
    if above is not None and below is not None and above.base == below.base:
        message = f"{shown(above.name)} and {shown(below.name)} measure the same: this is no density"
        report.error(path, Code.NOT_CONVERTIBLE, message, f"write it like {_EXAMPLE}")


def conversion(
    report: Report, path: Path, section: MaterialSection | None, *, one: Unit, other: Unit, units: dict[str, Unit]
) -> Fraction | None:
    """How much of `other` one of `one` is, by their base or by the material's density; None where reported."""
    density = None if section is None else section.density
    if one.base == other.base or density is None:
        by_density = weigh_and_fill(units[one.base].code, units[other.base].code)
        advice = f"give the material its `density:`, like {_EXAMPLE}" if by_density else None
        return ratio(report, path, one, other, advice)
    above, below = units.get(density.unit), units.get(density.per)
    if above is None or below is None:
        return None
    if (one.base, other.base) == (below.base, above.base):
        return one.factor / below.factor * Fraction(density.amount) * above.factor / other.factor
    if (one.base, other.base) == (above.base, below.base):
        return one.factor / above.factor / Fraction(density.amount) * below.factor / other.factor
    return ratio(report, path, one, other)


def resolve_cadences(
    sections: dict[str, CadenceSection], calendar: Calendar | None, units: dict[str, Unit], report: Report
) -> dict[str, Cadence]:
    """Every cadence; `calendar` None where that is faulty."""
    found = {}
    for name, section in sections.items():
        path: Path = ("cadence", name)
        if section.max_qty is not None:
            find_unit(report, (*path, "max_qty"), section.max_qty.unit, units)
        _check_alignment(section, report, (*path, "aligned"))
        for place, system in enumerate(section.accepted_by):
            if len(system) > LONGEST_SYSTEM:
                message = f"{shown(system)} is longer than a system's name may be, {LONGEST_SYSTEM} characters"
                report.error((*path, "accepted_by", place), Code.TOO_LONG, message, "shorten it")
        _check_extra_cuts(section, calendar, report, path)
        found[name] = Cadence(
            name,
            section.send.every,
            section.stream,
            tuple(section.accepted_by),
            section.send.cron,
            section.aligned == ALIGNED,
            frozenset(CutAt(word) for word in section.or_at),
            section.accepted_within or ACCEPTED_WITHIN,
        )
    return found


def _check_alignment(section: CadenceSection, report: Report, path: Path) -> None:
    every = section.send.every
    if section.aligned is not None and every is None:
        message = "`aligned` means something for `every` only"
        report.error(path, Code.CONFLICT, message, "remove it", key=True)
    elif section.aligned == ALIGNED and every is not None and timedelta(days=1) % every:
        message = "a day is no whole number of these periods, so they cannot run on the hour"
        report.error(path, Code.CONFLICT, message, "use a period that divides a day: 5 min, 15 min, 1 h, 8 h", key=True)


def _check_extra_cuts(section: CadenceSection, calendar: Calendar | None, report: Report, path: Path) -> None:
    extra: list[str] = [key for key in ("or_at", "max_qty") if getattr(section, key)]
    if section.send.every is None and section.send.cron is None:
        for key in extra:
            message = f"what is sent at once never waits, so `{key}` means nothing"
            report.error((*path, key), Code.CONFLICT, message, "remove it", key=True)
    if CutAt.SHIFT_END in section.or_at and calendar is not None and not calendar.shifts:
        message = "the calendar has no shifts, so none ever ends"
        advice = 'add shifts: {early: "06:00", late: "14:00", night: "22:00"} to `calendar`'
        report.error((*path, "or_at"), Code.CONFLICT, message, advice)
