"""Lots that no tag tells: the oldest first, a blend of all, the container's, the block's."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.config.signals import Handshake
from edge_agent.config.tagmap import CutAt, LotWay, Rule
from edge_agent.derivation.amounts import exact
from edge_agent.derivation.lots import oldest, proportional, stock
from edge_agent.model.confirmation import Result
from edge_agent.model.event import Entered, Entry
from edge_agent.model.movement import Cause, EventType, Flag, LineState, Notice
from edge_agent.model.reading import TagRef
from edge_agent.store import checkpoint
from tests.derivation.plant import AT_ONCE, COUNT, EVERY_MINUTE, SSCC, Bench, counter, handshake

LOT, DRUM, FILLED = TagRef("plc", "lot"), TagRef("plc", "drum"), TagRef("plc", "filled")
SILO = "SILO"
HOURLY = replace(EVERY_MINUTE, every=timedelta(hours=1))


def taker(way: LotWay = LotWay.FIFO, **changes: Any) -> Rule:
    """Consumes from the silo; counts on COUNT."""
    return replace(counter("used", lot_from=way, **{"cadence": HOURLY, **changes}), from_=SILO)


def filler(**changes: Any) -> Rule:
    """Produces into the silo; the lot is read from a tag. Counts on FILLED."""
    return replace(counter("made", tag=FILLED, lot_from=LOT, cadence=HOURLY), event=EventType.PRODUCED, to=SILO)


def filled(*shares: tuple[str, int], rule: Rule | None = None) -> Bench:
    """The silo is filled by these lots, one after the other; nothing was taken yet."""
    bench = Bench(rule or taker(), filler()).read("", LOT).read(0, FILLED).read(0).after(1)
    total = 0
    for lot, much in shares:
        total += much
        bench.read(lot, LOT).after(1).read(total, FILLED).after(1)
    return bench


def taken(bench: Bench) -> list[Any]:
    """Each line of what was taken: its lot and quantity, by position."""
    marks = [mark for (name, _, _), mark in sorted(bench.journal.lines.items()) if name == "used"]
    assert all(mark.state in (LineState.PENDING, LineState.CUT) for mark in marks)
    return [(mark.line.key.lot, mark.line.quantity) for mark in marks]


def notices(bench: Bench) -> list[Any]:
    """Each exception said at once."""
    said = [event.about for event in bench.journal.events]
    return [(one.cause, one.key.lot, one.quantity) for one in said if isinstance(one, Notice)]


def lies(bench: Bench, location: str = SILO, material: str = "300017") -> Any:
    """The lots at a location, the oldest first."""
    return stock(bench.state, location, material)


# fifo


def test_the_oldest_lot_first() -> None:
    bench = filled(("L1", 10), ("L2", 10)).read(4).after(1).read(7)
    assert (taken(bench), notices(bench)) == ([("L1", 7)], [])


def test_a_delta_that_spans_two_lots_is_two_lines_at_the_exact_quantities() -> None:
    bench = filled(("L1", 10), ("L2", 10)).read(4).after(1).read(15)

    assert taken(bench) == [("L1", 10), ("L2", 5)]
    lines = bench.state.rules["used"].pending
    assert [(one.evidence.from_position, one.evidence.to_position) for one in lines] == [(0, 10), (10, 15)]
    assert lies(bench) == (("L2", 5),)
    assert sorted(line.key.lot or "" for line in bench.cut().material_events()[0].lines) == ["L1", "L2"]


def test_what_nobody_brought_has_no_lot_and_is_booked_with_an_exception_at_once() -> None:
    bench = filled(("L1", 10)).read(12).after(1).read(15).after(1).read(20)

    assert taken(bench) == [("L1", 10), (None, 10)]
    assert notices(bench) == [(Cause.LOT_UNKNOWN, None, 2)]
    assert bench.booked == 30  # 10 made, 20 taken


def test_a_lot_that_comes_after_the_silo_ran_empty() -> None:
    bench = filled().read(5).after(1).read("L1", LOT).after(1).read(10, FILLED).after(1).read(9)

    assert taken(bench) == [(None, 5), ("L1", 4)]


def test_quantities_of_lots_are_exact_where_a_raw_unit_is_not_a_whole_one() -> None:
    rule = taker(factor=Fraction(3, 8), max_rate=Decimal(1000))
    bench = filled(("L1", 10), ("L2", 10), rule=rule).read(30).after(1).read(40)  # 11.25, 15

    assert taken(bench) == [("L1", 10), ("L2", 5)]
    (_, _, middle), *_ = sorted(name for name in bench.journal.lines if name[0] == "used" and name[2])
    assert middle == 26  # of 30 raw units for 11.25: 10 are 26.7


def test_a_single_unit_is_of_the_lot_that_has_more_of_it_flagged() -> None:
    rule = taker(factor=Fraction(4))
    bench = filled(("L1", 3), ("L2", 10), rule=rule).read(1)

    assert taken(bench) == [("L1", 4)]
    assert Flag.STRADDLED_LOT in bench.journal.flags()
    assert taken(bench.after(1).read(2)) == [("L1", 4), ("L2", 4)]


def test_a_persons_entry_empties_and_fills_the_silo_too() -> None:
    bench = filled(("L1", 10), ("L2", 10))
    about: dict[str, Any] = {"material": "300017", "unit": "pcs", "received": bench.now}
    entry = Entry("f1", "anna", "spilled", bench.now.wall)
    bench.feed(Entered(entry, EventType.SCRAPPED, quantity=Decimal(8), from_=SILO, lot="L1", **about))
    bench.feed(Entered(replace(entry, form="f2"), EventType.RETURNED, quantity=Decimal(3), to=SILO, lot="L0", **about))

    assert lies(bench) == (("L1", 2), ("L2", 10), ("L0", 3))
    assert taken(bench.read(14)) == [("L1", 2), ("L2", 10), ("L0", 2)]


def test_a_person_who_names_no_lot_has_taken_the_oldest() -> None:
    bench = filled(("L1", 10), ("L2", 10))
    entry = Entry("f1", "anna", "spilled", bench.now.wall)
    bench.feed(Entered(entry, EventType.SCRAPPED, "300017", Decimal(12), "pcs", bench.now, from_=SILO))

    assert lies(bench) == (("L2", 8),)


def test_what_a_person_decides_moves_the_lots() -> None:
    bench = filled(("L1", 10), ("L2", 10)).read(5).away(5, None).read(8).rest(3)
    assert bench.doubts() == [("unproven", [3, 8])]  # ran, or was reset and climbed back
    (review,) = bench.journal.reviews.values()
    number = next(n for n, way in enumerate(review.candidates, 1) if way.quantity == 3)

    (decided,) = bench.decide(number).material_events()
    assert [(line.key.lot, line.quantity) for line in decided.lines] == [("L1", Decimal(3))]
    assert dict(lies(bench)) == {"L1": Decimal(2), "L2": Decimal(10)}


def test_what_a_person_decides_has_no_lot_where_it_spans_several() -> None:
    bench = filled(("L1", 10), ("L2", 10)).read(5).away(5, None).read(8).rest(3)
    (review,) = bench.journal.reviews.values()
    number = next(n for n, way in enumerate(review.candidates, 1) if way.quantity == 8)

    (decided,) = bench.decide(number).material_events()
    assert [(line.key.lot, line.quantity) for line in decided.lines] == [(None, Decimal(8))]
    assert notices(bench) == [(Cause.LOT_UNKNOWN, None, 8)]
    assert dict(lies(bench)) == {"L2": Decimal(7)}


def test_a_change_of_the_oldest_lot_cuts_where_the_cadence_says_so() -> None:
    rule = taker(cadence=replace(HOURLY, name="by lot", or_at=frozenset({CutAt.LOT_CHANGE})))
    bench = filled(("L1", 10), ("L2", 10), rule=rule).read(10).after(1).read(15).rest(5)

    lines = [line for event in bench.material_events() for line in event.lines]
    assert [(line.key.rule, line.key.lot, int(line.quantity)) for line in lines] == [("used", "L1", 10)]


def test_a_confirmation_that_spans_lots_is_for_a_person_to_decide() -> None:
    rule = handshake(lot_from=LotWay.FIFO)
    bench = Bench(rule)
    entry = Entry("f1", "anna", "made", bench.now.wall)
    about: dict[str, Any] = {"material": "900001", "unit": "pcs", "received": bench.now, "to": "L3-OUT"}
    bench.feed(Entered(entry, EventType.RETURNED, quantity=Decimal(1000), lot="L1", **about))
    bench.feed(Entered(replace(entry, form="f2"), EventType.RETURNED, quantity=Decimal(2000), lot="L2", **about))
    bench.block(1, 0, cases=40).released(1).block(2, 1, cases=40)

    booked = next(mark.line for name, mark in bench.journal.lines.items() if name[0] == "pallet_out")
    assert (booked.key.lot, int(booked.quantity)) == ("L1", 960)
    assert bench.doubts() == [("straddled-lot", [960, 960])]
    assert [one.result for one in bench.journal.acknowledgements] == [Result.DONE, Result.IN_REVIEW]
    bench.decide(2)
    assert lies(bench, "L3-OUT", "900001") == (("L1", 40), ("L2", 1040))


# blend


def test_a_blend_is_told_when_it_is_cut_each_lot_by_its_share() -> None:
    bench = filled(("L1", 30), ("L2", 10), rule=taker(LotWay.BLEND)).read(4).after(1).read(8).after(1).read(12)
    assert taken(bench) == [(None, 12)]

    bench.cut()
    assert (taken(bench), notices(bench)) == ([("L1", 9), ("L2", 3)], [])
    assert lies(bench) == (("L1", 21), ("L2", 7))


def test_what_pours_in_closes_what_was_drawn_before() -> None:
    bench = filled(("L1", 30), rule=taker(LotWay.BLEND)).read(10)
    bench.after(1).read("L2", LOT).after(1).read(50, FILLED).after(1).read(14)
    assert taken(bench) == [("L1", 10), (None, 4)]

    assert taken(bench.cut()) == [("L1", 10), ("L1", 2), ("L2", 2)]
    assert lies(bench) == (("L1", 18), ("L2", 18))


def test_shares_are_multiples_of_the_precision_and_add_up_exactly() -> None:
    rule = taker(LotWay.BLEND)
    rule = replace(rule, material=replace(rule.material, precision=Decimal(1)))
    bench = filled(("L1", 10), ("L2", 10), ("L3", 10), rule=rule).read(20).cut()

    assert taken(bench) == [("L1", 8), ("L2", 6), ("L3", 6)]
    assert taken(bench.after(1).read(24).cut())[3:] == [("L2", 3), ("L3", 1)]


AMOUNTS = st.integers(1, 10**12).map(lambda nanos: exact(nanos, Fraction(1, 10**9)))


@given(held=st.lists(AMOUNTS, min_size=1, max_size=5), quantity=AMOUNTS, grain=st.sampled_from(["1e-9", "0.25", "1"]))
def test_quantities_of_lots_always_look_alike(held: list[Decimal], quantity: Decimal, grain: str) -> None:
    lots = [(f"L{number}", there) for number, there in enumerate(held)]

    for _, share in (*proportional(lots, quantity, Decimal(grain)), *oldest(lots, quantity)):
        _, digits, exponent = share.as_tuple()
        assert isinstance(exponent, int)
        assert exponent == 0 or (exponent < 0 and digits[-1] != 0)


def test_the_books_of_a_blend_carry_no_zeros() -> None:
    bench = filled(("L1", 30), ("L2", 10), rule=taker(LotWay.BLEND)).read(12).cut()

    assert [str(quantity) for _, quantity in taken(bench)] == ["9", "3"]
    assert [str(quantity) for _, quantity in lies(bench)] == ["21", "7"]


def test_an_empty_tank_gives_no_lot_and_says_so_once() -> None:
    bench = filled(("L1", 5), rule=taker(LotWay.BLEND)).read(8).cut()
    assert (taken(bench), notices(bench)) == ([("L1", 5), (None, 3)], [(Cause.LOT_UNKNOWN, None, 3)])


def test_what_was_drawn_from_an_empty_tank_is_not_given_a_lot_that_came_later() -> None:
    bench = filled(rule=taker(LotWay.BLEND)).read(8).after(1).read("L1", LOT).after(1).read(50, FILLED)
    bench.after(1).read(10).cut()

    assert taken(bench) == [(None, 8), ("L1", 2)]
    assert notices(bench) == [(Cause.LOT_UNKNOWN, None, 8)]


# containers and blocks


def test_a_container_is_known_by_the_lot_it_was_filled_with() -> None:
    drums = replace(counter("filled", tag=FILLED, lot_from=LOT, container=DRUM), event=EventType.PRODUCED, to="DRUMS")
    emptied = replace(counter("used", lot_from=LotWay.CONTAINER, container=SSCC, cadence=HOURLY), from_="DRUMS")
    bench = Bench(drums, emptied).read("L1", LOT).read("D1", DRUM).read("D9", SSCC).read(0, FILLED).read(0)
    bench.after(1).read(20, FILLED).after(1).read("D2", DRUM).read("L2", LOT).after(1).read(30, FILLED).after(1)
    bench.read("D1", SSCC).after(1).read(5).after(1).read(9).after(1).read("D2", SSCC).after(1).read(12)
    bench.after(1).read("D9", SSCC).after(1).read(13)

    assert taken(bench) == [("L1", 9), ("L2", 3), (None, 1)]
    assert notices(bench) == [(Cause.LOT_UNKNOWN, None, 1)]


def test_a_block_states_its_lot() -> None:
    rule = handshake(lot_from=LotWay.BLOCK)
    assert isinstance(rule.signal, Handshake)
    rule = replace(rule, signal=replace(rule.signal, lot=LOT))
    bench = Bench(rule)
    for number, lot in enumerate(("L1", "", "L2"), start=1):
        bench.lot_block(number, lot, LOT)

    lines = [mark.line for mark in bench.journal.lines.values()]
    assert [line.key.lot for line in lines] == ["L1", None, "L2"]
    assert [cause for cause, _, _ in notices(bench)] == [Cause.LOT_UNKNOWN]


def test_an_unreadable_lot_tag_is_an_exception_too() -> None:
    bench = Bench(counter(lot_from=LOT, cadence=AT_ONCE)).read("", LOT).read(0).after(1).read(3)

    assert [(cause, lot) for cause, lot, _ in notices(bench)] == [(Cause.LOT_UNKNOWN, None)]
    assert bench.booked == 3


# what is remembered


def test_lots_are_stored_exactly() -> None:
    bench = filled(("L1", 10), ("L2", 3), rule=taker(factor=Fraction(1, 8))).read(4)
    rows = {(kind, name): body for kind, name, body, _ in checkpoint.rows(bench.state)}

    assert checkpoint.decoded("lots", rows["lots", f"{SILO}|300017"]) == bench.state.lots[f"{SILO}|300017"]


SHARES = st.lists(st.tuples(st.text("LM", min_size=1, max_size=2), st.decimals("0.001", "1000", places=3)), max_size=5)


@given(SHARES, st.decimals("0.001", "5000", places=3), st.sampled_from([Decimal(1), Decimal("0.1"), Decimal("1e-9")]))
def test_shares_always_add_up_and_none_is_negative(
    lots: list[tuple[str, Decimal]], quantity: Decimal, grain: Decimal
) -> None:
    for shares in (oldest(lots, quantity), proportional(lots, quantity, grain)):
        assert sum(share for _, share in shares) == quantity
        assert all(share > 0 for _, share in shares)


def test_the_counter_of_the_silo_is_followed_alike_without_the_short_cut() -> None:
    bench = filled(("L1", 10))
    for count in range(1, 8):
        bench.after(0.1).read(count, COUNT)
    assert taken(bench) == [("L1", 7)]
