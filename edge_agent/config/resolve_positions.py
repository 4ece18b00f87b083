"""Figures of levels and flows as positions of the material, and the words that say how readings become them.

A position is a millionth of the material's unit (`PER_UNIT`): a measured quantity is rounded to it once, so a
conversion may need any number of decimals.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

from edge_agent.config.codes import Code
from edge_agent.config.devices import Device, ModbusSource, Tag, Unit
from edge_agent.config.findings import shown
from edge_agent.config.quantities import Quantity, Rate
from edge_agent.config.report import Path
from edge_agent.config.resolve_context import World
from edge_agent.config.resolve_materials import conversion
from edge_agent.config.resolve_units import find_unit
from edge_agent.config.signals import PER_UNIT
from edge_agent.config.tagmap import Material


@dataclass(frozen=True, slots=True)
class Positions:
    """Converts figures at `path` to positions of `material`."""

    material: Material
    world: World
    path: Path

    def of(self, unit: Unit, path: Path) -> Fraction | None:
        """Positions in one of `unit`; None where that was reported."""
        section = self.world.draft.materials.get(self.material.number)
        factor = conversion(
            self.world.report, path, section, one=unit, other=self.material.unit, units=self.world.units
        )
        return None if factor is None else factor * PER_UNIT

    def amount(self, key: str, quantity: Quantity | None) -> int | None:
        """`5 L` in positions."""
        exact = self._exact(key, quantity)
        return None if exact is None else max(round(exact), 1)

    def rate(self, key: str, rate: Rate | None) -> Fraction | None:
        """`3 L/s` in positions a second."""
        exact = None if rate is None else self._exact(key, Quantity(rate.amount, rate.unit))
        return None if exact is None or rate is None else exact / rate.per

    def _exact(self, key: str, quantity: Quantity | None) -> Fraction | None:
        if quantity is None:
            return None
        place = (*self.path, key)
        unit = find_unit(self.world.report, place, quantity.unit, self.world.units)
        one = None if unit is None else self.of(unit, place)
        return None if one is None else Fraction(quantity.amount) * one

    def told(self, unit: Unit, path: Path) -> str:
        """`1 L = 1.29 kg`: how a quantity in `unit` becomes one of the material."""
        one = self.of(unit, path)
        return "" if one is None else f"1 {unit.name} = {plain(one / PER_UNIT)} {self.material.unit.name}"


def plain(number: Fraction) -> str:
    """A number as a decimal where it ends, else as a fraction: exactly."""
    rest = number.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    if rest != 1:
        return str(number)
    return f"{Decimal(number.numerator) / Decimal(number.denominator):f}"


def grain(one: Fraction, scale: Decimal) -> Decimal:
    """Raw units of a tag that one position stands for, where one of its unit is `one` positions: for evidence only."""
    return Decimal(one.denominator) / Decimal(one.numerator) / scale


def sampling_of(source: Device) -> timedelta:
    """How often a source looks."""
    return source.poll if isinstance(source, ModbusSource) else source.sample


def require(world: World, path: Path, section: object, keys: tuple[tuple[str, str, str], ...]) -> bool:
    """Whether keys that a signal needs are there: (key, why, example)."""
    missing = [one for one in keys if getattr(section, one[0]) is None]
    for key, why, example in missing:
        world.report.error(path, Code.MISSING_KEY, f"`{key}` is missing: {why}", f"add {key}: {example}", key=True)
    return not missing


def tag_unit(world: World, path: Path, tag: Tag) -> Unit | None:
    """The unit of a tag that is measured."""
    if tag.unit is None:
        message = f"the tag {shown(str(tag.ref))} has no unit, so its value is no quantity"
        world.report.error(path, Code.NO_UNIT, message, f"add unit: ... to the tag {tag.ref}")
    return tag.unit
