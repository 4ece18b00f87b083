"""Everything else that cuts, and what a cut leaves: ended orders, full accumulators, days and shifts, precision."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from edge_agent.config.devices import Unit
from edge_agent.config.tagmap import Cadence, CutAt, Material, Rule
from edge_agent.model.movement import Flag
from edge_agent.model.reading import TagRef
from tests.derivation.plant import AT_ONCE, EVERY_MINUTE, ORDER, Bench, counter, handshake

EVERY_HOUR = Cadence("packaging", timedelta(hours=1), "routine")
BY_ORDER = replace(EVERY_HOUR, or_at=frozenset({CutAt.ORDER_CHANGE}))
KG = Unit("kg", "KGM", "g", Fraction(1000))
G = Unit("g", "GRM", "g", Fraction(1))


def sent(bench: Bench) -> list[list[tuple[str | None, Decimal]]]:
    return [[(line.key.order, line.quantity) for line in event.lines] for event in bench.material_events()]


def test_an_ended_order_is_cut_once_its_last_count_is_in() -> None:
    """The counter is read 50 ms after the order changed: what it shows belongs to the old order still."""
    bench = Bench(counter(order=ORDER, cadence=BY_ORDER)).order("A").read(0).rest(5).read(7)
    bench.after(0.05).order("B").after(0.05).read(8).rest(1.9)
    assert sent(bench) == []
    bench.rest(0.8)
    assert sent(bench) == [[("A", Decimal(8))]]
    bench.read(10).rest(20)
    assert sent(bench) == [[("A", Decimal(8))]], "the running order waits for its hour"
    assert bench.booked == 10


def test_without_being_asked_for_an_order_change_cuts_nothing() -> None:
    bench = Bench(counter(order=ORDER, cadence=EVERY_HOUR)).order("A").read(0).rest(5).read(7).order("B").rest(30)
    assert sent(bench) == []


def test_an_order_that_changed_while_the_agent_was_down_is_cut_once() -> None:
    bench = Bench(counter(order=ORDER, cadence=BY_ORDER)).order("A").read(0).rest(5).read(7)
    bench.lost().after(600).up().order("B").read(7).rest(5)
    assert sent(bench) == [[("A", Decimal(7))]]
    assert sent(bench.rest(30)) == [[("A", Decimal(7))]]


def test_a_full_accumulator_is_cut_and_no_delta_is_split() -> None:
    rule = replace(counter(cadence=EVERY_HOUR), max_qty=Decimal(20))
    bench = Bench(rule).read(0).rest(1).read(19)
    assert sent(bench) == []
    bench.rest(1).read(26).rest(1).read(30)
    assert sent(bench) == [[(None, Decimal(26))]]
    assert bench.booked == 30


def test_what_is_full_leaves_the_others_waiting() -> None:
    other = TagRef("plc", "other")
    rules = replace(counter(cadence=EVERY_HOUR), max_qty=Decimal(20)), counter("u32", tag=other, cadence=EVERY_HOUR)
    bench = Bench(*rules).read(0).read(0, other).rest(1).read(5, other).read(20)
    assert sent(bench) == [[(None, Decimal(20))]]
    assert [int(line.quantity) for line in bench.state.rules["u32"].pending] == [5]


def test_every_accumulator_is_cut_at_the_start_of_the_posting_day() -> None:
    """06:00 in Berlin is 17 h after the noon that the plant begins at, plus one: winter."""
    cadence = replace(EVERY_HOUR, every=timedelta(days=3))
    bench = Bench(counter(cadence=cadence)).read(0).rest(1).read(5)
    bench.after(18 * 3600 - 2).tick().read(5)
    assert sent(bench) == []
    assert sent(bench.after(2).tick()) == [[(None, Decimal(5))]]


def test_a_shift_end_is_a_cut_and_one_missed_happens_once() -> None:
    bench = Bench(counter(cadence=replace(EVERY_HOUR, every=timedelta(days=3), or_at=frozenset({CutAt.SHIFT_END}))))
    bench.read(0).rest(1).read(5).lost().after(9 * 3600).tick()
    assert sent(bench) == [[(None, Decimal(5))]]
    assert sent(bench.rest(60)) == [[(None, Decimal(5))]]


def test_an_aligned_cadence_cuts_on_the_plants_quarter() -> None:
    bench = Bench(counter(cadence=replace(EVERY_HOUR, every=timedelta(minutes=15), aligned=True)))
    bench.after(100).read(0).rest(1).read(5).after(15 * 60 - 102).tick()
    assert sent(bench) == []
    assert sent(bench.after(1.5).tick()) == [[(None, Decimal(5))]]


def test_a_cron_cadence_cuts_at_its_times() -> None:
    bench = Bench(counter(cadence=Cadence("packaging", None, "bulk", cron="30 13 * * *"))).read(0).rest(1).read(5)
    bench.after(5390).tick()
    assert sent(bench) == []
    assert sent(bench.after(20).tick()) == [[(None, Decimal(5))]]


def syrup(precision: str, unit: Unit = KG, **changes: Any) -> Rule:
    """Grams counted, booked in kilograms."""
    rule = counter(factor=Fraction(1) / unit.factor, wraps_at=None, max_rate=Decimal(5000), **changes)
    return replace(rule, material=Material("100200", "Base syrup", "packaging", unit, precision=Decimal(precision)))


def test_a_quantity_is_cut_down_and_its_rest_goes_on_growing() -> None:
    bench = Bench(syrup("0.1")).read(0).rest(1).read(1234).rest(61)
    assert sent(bench) == [[(None, Decimal("1.2"))]]
    assert bench.material_events()[0].lines[0].evidence.flags == (Flag.CUT_TO_PRECISION,)
    (rest,) = bench.state.rules["u16"].pending
    assert (rest.quantity, rest.evidence.to_position) == (Decimal("0.034"), 1234)
    bench.read(1300).rest(61)
    assert sent(bench) == [[(None, Decimal("1.2"))], [(None, Decimal("0.1"))]]
    assert bench.state.rules["u16"].pending == ()


def test_less_than_the_precision_waits() -> None:
    bench = Bench(syrup("0.1")).read(0).rest(1).read(34).rest(130)
    assert sent(bench) == []
    assert sent(bench.read(134).rest(61)) == [[(None, Decimal("0.1"))]]


def test_at_once_means_as_soon_as_there_is_enough() -> None:
    bench = Bench(syrup("0.1", cadence=AT_ONCE)).read(0).rest(1).read(60).rest(1)
    assert sent(bench) == []
    assert sent(bench.read(130)) == [[(None, Decimal("0.1"))]]


def test_the_rest_of_an_ended_order_is_posted_in_the_base_unit() -> None:
    bench = Bench(syrup("0.1", order=ORDER, cadence=BY_ORDER)).order("A").read(0).rest(1).read(1234)
    bench.cut().after(0.05).order("B").after(0.05).read(1240).rest(3)
    lines = [line for event in bench.material_events() for line in event.lines]
    assert [(line.key.order, line.quantity, line.unit) for line in lines] == [
        ("A", Decimal("1.2"), "kg"),
        ("A", Decimal(40), "g"),
    ]


def test_a_container_is_posted_whole() -> None:
    rule = handshake()
    material = replace(rule.material, precision=Decimal(10))
    bench = Bench(replace(rule, material=material)).block(0, 0).after(1).block(1, 0, sscc="P1", cases=2)
    assert sent(bench) == [[(None, Decimal(48))]]


@given(
    st.lists(st.tuples(st.integers(0, 4000), st.sampled_from(["", "order", "cut", "day"])), min_size=1, max_size=25),
    st.sampled_from(["0.1", "0.25", "0.003", "1", "7"]),
)
@example([(1, "cut"), (1, "order")], "1")
@example([(1999, "cut"), (1, "cut")], "1")
def test_nothing_is_lost_to_precision(steps: list[tuple[int, str]], precision: str) -> None:
    """However it is cut: in grams, what was sent and what waits is what ran, order by order, without overlap."""
    bench = Bench(syrup(precision, order=ORDER, cadence=replace(EVERY_MINUTE, or_at=BY_ORDER.or_at)))
    bench.order("0").read(0)
    total, order, ran = 0, 0, {"0": 0}
    for grams, what in steps:
        total += grams
        ran[str(order)] += grams
        bench.rest(2).read(total).rest(0.5)
        if what == "order":
            order += 1
            ran[str(order)] = 0
            bench.order(str(order)).read(total).rest(3)
        elif what == "cut":
            bench.cut()
        elif what == "day":
            bench.after(86_400).tick().read(total)
    lines = [line for event in bench.material_events() for line in event.lines]
    for line in lines:
        step = Decimal(precision) if line.unit == "kg" else Decimal(1)
        assert line.quantity > 0
        assert line.unit == "g" or line.quantity % step == 0
    waiting = list(bench.state.rules["u16"].pending)
    found = dict.fromkeys(ran, Decimal(0))
    for line in lines + waiting:
        assert line.key.order is not None
        found[line.key.order] += line.quantity * (1000 if line.unit == "kg" else 1)
    assert found == {name: Decimal(grams) for name, grams in ran.items()}
    places = sorted((line.evidence.from_position, line.evidence.to_position) for line in lines + waiting)
    assert [start for start, _ in places[1:]] == [end for _, end in places[:-1]]
    assert not waiting or waiting[-1].key.order == str(order)
