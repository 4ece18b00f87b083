"""What people enter: an event at once, with its place in the identity; a form is booked once."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from edge_agent.derivation.entering import RULE
from edge_agent.model.event import Entered, Entry
from edge_agent.model.movement import EventType, Flag
from tests.derivation.plant import AT_ONCE, Bench, handshake

RULES = handshake(cadence=replace(AT_ONCE, accepted_by=("mes",)))


def entered(bench: Bench, quantity: str = "3", unit: str = "pcs", form: str = "form-1") -> Entered:
    entry = Entry(form, "A. Kern", "dropped", bench.now.wall)
    return Entered(entry, EventType.SCRAPPED, "900001", Decimal(quantity), unit, bench.now, order="A", from_="L3-OUT")


def test_an_entry_is_an_event_of_its_own_at_once() -> None:
    bench = Bench(RULES)
    bench.feed(entered(bench)).feed(entered(bench, "2", "case", "form-2"))
    first, second = bench.material_events()
    assert (first.type, first.stream, first.accepted_by) == (EventType.SCRAPPED, "critical", ("mes",))
    assert first.about == Entry("form-1", "A. Kern", "dropped", bench.now.wall)
    (line,) = first.lines
    assert line.quantity == 3
    assert (line.unit, line.key.order, line.key.from_) == ("pcs", "A", "L3-OUT")
    assert line.evidence.flags == (Flag.MANUAL_ENTRY,)
    assert (str(second.lines[0].quantity), str(second.lines[0].source_quantity)) == ("48", "2")
    assert second.lines[0].source_unit == "case"
    assert bench.journal.epochs[RULE, 1].last_raw == 2


def test_a_form_is_a_natural_key_and_tells_another_content() -> None:
    bench = Bench(RULES)
    one, other = entered(bench), entered(bench, "4")
    bench.feed(one)
    (key,) = bench.journal.natural_keys
    assert (key.key, key.content) == ("form:form-1", f"{one.digest} 0")
    assert one.digest != other.digest
    assert one.digest == replace(one, received=bench.after(5).now, quantity=Decimal("3.0")).digest


def test_a_quantity_that_no_decimal_can_hold_is_refused() -> None:
    bench = Bench(RULES)
    with pytest.raises(ArithmeticError, match="nine decimals"):
        bench.feed(replace(entered(bench), quantity=Decimal("0.0000000001")))
