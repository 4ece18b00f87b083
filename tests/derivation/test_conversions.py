"""Exact conversion with factor versions: packaging, density, precision; nothing pending is ever valued anew."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from edge_agent.config.devices import Unit
from edge_agent.config.tagmap import Material, Rule
from tests.derivation.plant import CASE, PCS, Bench, counter, handshake
from tests.derivation.vessels import LEVEL, level

PALLET = Unit("pallet", "XPX", "pcs", Fraction(960))


def cases(per_case: int, **changes: Any) -> Rule:
    """A counter of cases, booked in pieces."""
    one = Unit("case", "XCS", "pcs", Fraction(per_case))
    return replace(counter("plain", factor=Fraction(per_case), **changes), source_unit=one)


def lines(bench: Bench) -> list[tuple[int, str]]:
    return [(int(mark.line.quantity), mark.line.evidence.conversion) for mark in bench.journal.lines.values()]


def test_another_packaging_factor_values_nothing_anew_and_never_merges() -> None:
    bench = Bench(cases(24)).read(100)
    for n in range(101, 111):
        bench.after(1).read(n)
    assert lines(bench) == [(240, "1 = 24 pcs")]
    bench.map_is(cases(20))
    for n in range(111, 121):
        bench.after(1).read(n)
    assert lines(bench) == [(240, "1 = 24 pcs"), (200, "1 = 20 pcs")]
    bench.map_is(cases(24))
    bench.after(1).read(121)
    assert lines(bench)[2:] == [(24, "1 = 24 pcs")], "back again is another line still: the one between lies between"


def test_a_handshake_says_how_its_cases_were_converted() -> None:
    bench = Bench(handshake()).block(1, 0, 40, "P1").released(1)
    assert lines(bench) == [(960, "1 = 24 pcs")]
    bench.map_is(replace(handshake(), factor=PALLET.factor, source_unit=PALLET))
    bench.block(2, 1, 2, "P2")
    assert lines(bench) == [(960, "1 = 24 pcs"), (1920, "1 = 960 pcs")]


def test_the_source_quantity_is_in_the_unit_that_was_measured() -> None:
    kg = Material("100200", "Base syrup", "bulk", Unit("kg", "KGM", "kg", Fraction(1)))
    rule = level(litres="1.29", material=kg, unit="kg", conversion="1 L = 1.29 kg", max_rate=None)
    rule = replace(rule, source_unit=Unit("L", "LTR", "L", Fraction(1)))
    bench = Bench(rule)
    for value in (1000, 990):
        for _ in range(20):
            bench.after(1).read(Decimal(value), LEVEL, continuous=False)
    (mark,) = bench.journal.lines.values()
    assert (mark.line.quantity, mark.line.unit) == (Decimal("12.9"), "kg")
    assert abs(mark.line.source_quantity - 10) < Decimal("0.000001")
    assert mark.line.source_unit == "L"


@pytest.mark.parametrize("precision", ["0.1", "5"])
def test_a_remainder_is_carried_and_posted_when_its_order_ends(precision: str) -> None:
    bench = Bench(level(material=replace(level().material, precision=Decimal(precision)), max_rate=None))
    value = Decimal(1000)
    for n in range(200):
        bench.after(1).read(value, LEVEL, continuous=False)
        value -= Decimal("0.37") if n > 20 else 0
        if n % 30 == 29:
            bench.cut()
            assert bench.journal.sent() % Decimal(precision) == 0
            assert 0 <= bench.booked - bench.journal.sent() < Decimal(precision)
    bench.after(24 * 3600).tick().cut()
    assert bench.journal.sent() == bench.booked
    assert bench.booked % Decimal(precision) != 0, "the day has ended: all of it is posted, to the last fraction"


def test_packaging_units_are_exact() -> None:
    assert PALLET.factor / CASE.factor == 40
    assert CASE.factor / PCS.factor == 24
