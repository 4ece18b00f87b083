"""Rules for levels and flows, and their tags: a tank of syrup booked in kg, a scale, a flow meter."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from edge_agent.config.devices import Unit
from edge_agent.config.signals import PER_UNIT, Flow, FlowCheck, Level
from edge_agent.config.tagmap import Material, Rule
from edge_agent.model.movement import EventType
from edge_agent.model.reading import TagRef
from tests.derivation.plant import EVERY_MINUTE

LEVEL, STABLE, TARE, PRINTED = (TagRef("plc", name) for name in ("level", "stable", "tare", "printed"))
FLOW, SECOND = TagRef("plc", "flow"), TagRef("plc", "second")
L = Unit("L", "LTR", "L", Fraction(1))
SYRUP = Material("100200", "Base syrup", "bulk", L)


def positions(units: float | str | Fraction) -> int:
    """Units of the material in positions."""
    return round(Fraction(units) * PER_UNIT)


def level(**changes: Any) -> Rule:
    """Litres of a tank, polled every second, smoothed over 8 s: 5 L of trembling, refills of 200 L, at most 2 L/s."""
    rule: dict[str, Any] = {
        key: changes.pop(key)
        for key in ("order", "split", "on_span", "event", "material", "cadence", "from_", "to")
        if key in changes
    }
    scale = Fraction(changes.pop("litres", 1))
    table = changes.pop("table", ((Fraction(0), Fraction(0)), (Fraction(1), scale * PER_UNIT)))
    rate = changes.pop("max_rate", 2)
    spec: dict[str, Any] = {
        "tag": LEVEL,
        "sampling": timedelta(seconds=1),
        "window": timedelta(seconds=8),
        "settle": timedelta(seconds=20),
        "hold": timedelta(seconds=60),
        "hysteresis": positions(changes.pop("hysteresis", 5)),
        "refill_min": positions(changes.pop("refill_min", 200)),
        "max_rate": None if rate is None else Fraction(rate) * PER_UNIT,
        "table": tuple((Fraction(raw), Fraction(contents)) for raw, contents in table),
        "unit": "L",
        "conversion": f"1 = {scale} L",
        "grain": Decimal(1) / Decimal(PER_UNIT) / Decimal(scale.numerator) * Decimal(scale.denominator),
        **changes,
    }
    return _rule("level", Level(**spec), rule)


def flow(**changes: Any) -> Rule:
    """Litres a minute, sampled every second and reported as they change; at most 80 L/min, gaps of 10 s."""
    rule: dict[str, Any] = {
        key: changes.pop(key) for key in ("order", "split", "on_span", "cadence", "material") if key in changes
    }
    per_raw = Fraction(changes.pop("litres", 1)) * PER_UNIT * 10**6 / 60
    check = changes.pop("check", None)
    most = changes.pop("max_rate", 80)
    spec: dict[str, Any] = {
        "tag": FLOW,
        "sampling": timedelta(seconds=1),
        "max_gap": timedelta(seconds=10),
        "rate": per_raw,
        "unit": "L",
        "conversion": f"1 = {per_raw}",
        "grain": Decimal(1) / Decimal(PER_UNIT),
        "by_exception": True,
        "max_rate": None if most is None else round(most * per_raw),
        "check": None if check is None else FlowCheck(SECOND, per_raw, timedelta(minutes=1), **check),
        **changes,
    }
    return _rule("flow", Flow(**spec), rule)


def _rule(name: str, signal: Level | Flow, changes: dict[str, Any]) -> Rule:
    about: dict[str, Any] = {
        "event": EventType.CONSUMED,
        "material": SYRUP,
        "cadence": EVERY_MINUTE,
        **changes,
    }
    unit = about["material"].unit
    return Rule(name, signal=signal, factor=Fraction(1, PER_UNIT), source_unit=unit, **about)
