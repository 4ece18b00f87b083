"""Lots on hold, expired, or of which nobody has told: booked with an exception at once, or held for a person."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from edge_agent.config.signals import Confirmation, Handshake
from edge_agent.config.tagmap import LotPolicy, LotWay, Rule
from edge_agent.derivation.lot_status import LOTS, SLOTS, told
from edge_agent.derivation.lots import stock
from edge_agent.model.confirmation import Result
from edge_agent.model.event import Entered, Entry
from edge_agent.model.message import ConfirmationMessage, SaidLot
from edge_agent.model.movement import EventType, LineState
from edge_agent.model.reading import TagRef
from tests.derivation.lims import BOOK, HOLD, LOT, MATERIAL, Lab, asking, message
from tests.derivation.plant import AT_ONCE, CASE, EVERY_MINUTE, counter, handshake

HOURLY = replace(EVERY_MINUTE, every=timedelta(hours=1))
FILLED, DRUM = TagRef("plc", "filled"), TagRef("plc", "drum")
SILO = "SILO"


def lies(lab: Lab) -> dict[str | None, int]:
    """What is in the silo."""
    return {lot: int(there) for lot, there in stock(lab.state, SILO, MATERIAL)}


def used(policy: LotPolicy = BOOK, **changes: Any) -> Rule:
    """Consumes; the lot is read from a tag."""
    return asking(counter("used", **{"lot_from": LOT, "cadence": HOURLY, **changes}), policy)


def running(lab: Lab, lot: str = "L1") -> Lab:
    """The counter stands at 0 and the lot is in the machine."""
    lab.read(lot, LOT).read(0).after(1)
    return lab


def ran(lab: Lab, *counts: int) -> Lab:
    for count in counts:
        lab.read(count).after(1)
    return lab


# told in time


def test_a_released_lot_says_nothing() -> None:
    lab = ran(running(Lab(used()).say("L1")), 5, 10)
    assert (lab.booked, lab.said(), lab.doubts()) == (10, [], [])


def test_a_lot_on_hold_is_booked_with_an_exception_at_once_and_only_one() -> None:
    lab = ran(running(Lab(used()).say("L1", "QA-HOLD")), 5, 10, 20)
    assert (lab.booked, lab.said()) == (20, [("lot-blocked", "L1", 5)])
    assert lab.notices()[0].message == (
        "PET preform 28 g: 5 pcs and what follows are of lot L1,"
        " which has been QA-HOLD since 2026-03-02T11:00:00.000+00:00"
    )


def test_each_line_says_so_again() -> None:
    lab = ran(running(Lab(used()).say("L1", "QA-HOLD")), 5, 10)
    ran(lab.cut(), 15)
    assert lab.said() == [("lot-blocked", "L1", 5), ("lot-blocked", "L1", 5)]


def test_a_lot_of_which_nobody_has_told() -> None:
    lab = ran(running(Lab(used()).say("L2")), 5, 10)
    assert (lab.booked, lab.said()) == (10, [("lot-not-told", "L1", 5)])


def test_a_lot_that_is_not_known_is_said_as_ever_and_not_twice() -> None:
    lab = ran(running(Lab(used()), ""), 5, 10)
    assert lab.said() == [("lot-unknown", None, 5)]


def test_an_open_line_that_outlasts_the_shelf_life_says_so_when_it_does() -> None:
    lab = running(Lab(used()).say("L1", lasts=3.5))
    ran(lab, 5, 10)
    assert lab.said() == []
    ran(lab, 15, 20, 25)
    assert (lab.booked, lab.said()) == (25, [("lot-expired", "L1", 5)])
    assert lab.notices()[0].since > lab.now.wall - timedelta(seconds=4)


def test_the_very_moment_of_its_end_is_still_in_the_shelf_life() -> None:
    lab = ran(running(Lab(used()).say("L1", lasts=1)), 5)
    assert lab.said() == []


def test_a_lot_put_on_hold_while_it_is_consumed() -> None:
    lab = ran(running(Lab(used()).say("L1")), 5, 10).say("L1", "QA-HOLD").after(1)
    ran(lab, 15, 20)
    assert lab.said() == [("lot-blocked", "L1", 5)]


def test_one_hold_after_another_is_one_hold() -> None:
    lab = ran(running(Lab(used()).say("L1", "QA-HOLD")), 5).say("L1", "QUARANTINE").after(1)
    assert ran(lab, 10).said() == [("lot-blocked", "L1", 5)]


def test_a_lot_that_is_released_says_nothing_more() -> None:
    lab = ran(running(Lab(used()).say("L1", "QA-HOLD")), 5).say("L1").after(1)
    ran(lab.cut(), 10)
    assert lab.said() == [("lot-blocked", "L1", 5)]


def test_each_plant_has_its_own_words() -> None:
    policy = replace(BOOK, usable=frozenset({"frei", "bedingt frei"}))
    lab = ran(running(Lab(used(policy)).say("L1", "bedingt frei")), 5).say("L1", "RELEASED").after(1)
    assert ran(lab, 10).said() == [("lot-blocked", "L1", 5)]


def test_a_material_without_lot_status_says_nothing() -> None:
    lab = ran(running(Lab(counter("used", lot_from=LOT, cadence=HOURLY))), 5, 10)
    assert (lab.booked, lab.said()) == (10, [])


@pytest.mark.parametrize("event", [EventType.MOVED, EventType.SCRAPPED, EventType.SAMPLED, EventType.PRODUCED])
def test_what_people_do_about_such_a_lot_is_let_be(event: EventType) -> None:
    lab = ran(running(Lab(replace(used(HOLD), event=event)).say("L1", "QA-HOLD")), 5)
    assert (lab.booked, lab.said(), lab.doubts()) == (5, [], [])


def test_a_counter_that_runs_back_returns_of_it_what_it_likes() -> None:
    lab = running(Lab(used(direction="up-down", wraps_at=None, from_=SILO)).say("L1", "QA-HOLD"))
    ran(lab, 10, 7)
    assert lab.said() == [("lot-blocked", "L1", 10)]


# every way a lot is known


def silo(way: LotWay, policy: LotPolicy = BOOK) -> Lab:
    """A silo with ten of L1 and ten of L2; L2 is on hold."""
    taker = used(policy, lot_from=way, from_=SILO)
    filler = replace(asking(counter("made", tag=FILLED, lot_from=LOT, cadence=HOURLY), policy), to=SILO)
    lab = Lab(taker, replace(filler, event=EventType.PRODUCED)).say("L1").say("L2", "QA-HOLD")
    lab.read("L1", LOT).read(0, FILLED).read(0).after(1).read(10, FILLED).after(1)
    lab.read("L2", LOT).after(1).read(20, FILLED).after(1)
    return lab


def test_fifo() -> None:
    assert ran(silo(LotWay.FIFO), 4, 15).said() == [("lot-blocked", "L2", 5)]


def test_blend_is_said_when_its_lots_are_told() -> None:
    lab = ran(silo(LotWay.BLEND), 4, 8)
    assert lab.said() == []
    assert lab.cut().said() == [("lot-blocked", "L2", 4)]


def test_a_container() -> None:
    drums = replace(
        asking(counter("filled", tag=FILLED, lot_from=LOT, container=DRUM)), event=EventType.PRODUCED, to="X"
    )
    emptied = used(lot_from=LotWay.CONTAINER, container=DRUM, from_="X")
    lab = Lab(drums, emptied).say("L1", "QA-HOLD")
    lab.read("L1", LOT).read("D1", DRUM).read(0, FILLED).read(0).after(1).read(20, FILLED).after(1)
    assert ran(lab, 5).said() == [("lot-blocked", "L1", 5)]


def block_rule(policy: LotPolicy = BOOK) -> Rule:
    rule = asking(replace(handshake(lot_from=LotWay.BLOCK), event=EventType.CONSUMED, to=None), policy)
    assert isinstance(rule.signal, Handshake)
    return replace(rule, signal=replace(rule.signal, lot=LOT))


def test_a_block() -> None:
    lab = Lab(block_rule()).say("L1", "QA-HOLD").say("L2")
    lab.lot_block(1, "L1", LOT)
    lab.lot_block(2, "L2", LOT)
    assert (lab.said(), lab.booked) == ([("lot-blocked", "L1", 960)], 1920)


def scada(policy: LotPolicy = BOOK) -> Rule:
    rule = counter("drum", cadence=AT_ONCE)
    return asking(replace(rule, signal=Confirmation("scada"), from_="X", lot_from=LotWay.BLOCK), policy)


def confirmation(lab: Lab, lot: str, id_: str = "1") -> ConfirmationMessage:
    return ConfirmationMessage("drum", id_, lab.now.wall, Decimal(40), lab.now, "pcs", f"D{id_}", lot)


def test_a_confirmation_by_message() -> None:
    lab = Lab(scada()).say("L1", "QA-HOLD")
    lab.feed(confirmation(lab, "L1"))
    assert (lab.said(), lab.booked) == ([("lot-blocked", "L1", 40)], 40)


def entered(lab: Lab, event: EventType = EventType.CONSUMED, lot: str | None = "L1", form: str = "f1") -> Lab:
    about: dict[str, Any] = {"material": MATERIAL, "unit": "pcs", "received": lab.now, "lot": lot, "from_": SILO}
    lab.feed(Entered(Entry(form, "anna", "by hand", lab.now.wall), event, quantity=Decimal(8), **about))
    return lab


@pytest.mark.parametrize("policy", [BOOK, HOLD])
def test_what_a_person_enters_is_that_persons_word(policy: LotPolicy) -> None:
    lab = entered(Lab(used(policy)).say("L1", "QA-HOLD"))
    assert (lab.said(), lab.doubts(), int(lab.journal.sent())) == ([("lot-blocked", "L1", 8)], [], 8)
    assert len(entered(lab, EventType.SCRAPPED, form="f2").said()) == 1


def decided(policy: LotPolicy) -> Lab:
    """Five are counted; then an outage, and a person decides that three more ran, on hold by then."""
    lab = ran(running(Lab(used(policy)).say("L1")), 5).say("L1", "QA-HOLD").after(1)
    lab.away(5, None).read(8).rest(3)
    assert lab.doubts() == [("unproven", [3, 8])]
    (review,) = lab.journal.reviews.values()
    lab.decide(next(n for n, way in enumerate(review.candidates, 1) if way.quantity == 3))
    return lab


@pytest.mark.parametrize("policy", [BOOK, HOLD])
def test_so_is_what_a_person_decides(policy: LotPolicy) -> None:
    lab = decided(policy)
    assert (lab.said(), int(lab.journal.sent())) == ([("lot-blocked", "L1", 3)], 3)


def test_a_lot_that_is_told_late_to_be_another_one_is_looked_at_too() -> None:
    tag = TagRef("mes", "lot")
    lab = Lab(used(lot_from=tag)).say("L1").say("L2", "QA-HOLD").read("L1", tag).read(0)
    lab.read("", TagRef("mes", "other")).after(1)
    ran(ran(lab, *range(10, 110, 10)).cut(), *range(110, 210, 10)).read("L2", tag, age=10.5)
    assert lab.said() == [("lot-blocked", "L2", 100)]


# held


def test_what_is_measured_of_a_held_lot_goes_to_review_when_it_is_cut() -> None:
    lab = ran(running(Lab(used(HOLD)).say("L1", "QA-HOLD")), 5, 10)
    assert (lab.said(), lab.doubts()) == ([("lot-blocked", "L1", 5)], [])
    lab.cut()
    assert (lab.doubts(), int(lab.journal.sent())) == ([("lot-blocked", [0, 10])], 0)
    lab.decide(1)
    assert (int(lab.journal.sent()), len(lab.said())) == (10, 1)


def test_or_is_not_booked_at_all() -> None:
    lab = ran(running(Lab(used(HOLD)).say("L1", "QA-HOLD")), 10)
    lab.cut().decide(2)
    assert (int(lab.journal.sent()), int(lab.journal.in_state(LineState.REJECTED))) == (0, 10)


def test_with_a_cadence_at_once_it_goes_there_at_once_and_nothing_else_is_said() -> None:
    lab = ran(running(Lab(used(HOLD, cadence=AT_ONCE)).say("L1", "QA-HOLD")), 5)
    assert (lab.said(), lab.doubts(), lab.booked) == ([], [("lot-blocked", [0, 5])], 0)


def test_what_ran_before_the_shelf_life_ended_is_booked() -> None:
    lab = ran(running(Lab(used(HOLD)).say("L1", lasts=2.5)), 5, 10, 15, 20)
    lab.cut()
    assert (int(lab.journal.sent()), lab.doubts()) == (10, [("lot-expired", [0, 10])])


def test_a_lot_that_was_released_meanwhile_stays_held_for_what_ran_before() -> None:
    lab = ran(running(Lab(used(HOLD)).say("L1", "QA-HOLD")), 5).say("L1").after(1)
    ran(lab, 10).cut()
    assert (int(lab.journal.sent()), lab.doubts()) == (5, [("lot-blocked", [0, 5])])


def test_a_lot_that_is_not_known_is_held_too() -> None:
    lab = ran(running(Lab(used(HOLD)), ""), 5)
    lab.cut()
    assert (int(lab.journal.sent()), lab.doubts()) == (0, [("lot-not-told", [0, 5])])


def test_what_is_held_was_taken_from_the_silo_all_the_same() -> None:
    lab = ran(silo(LotWay.FIFO, HOLD), 4, 15)
    lab.cut()
    assert (lab.doubts(), lies(lab)) == ([("lot-blocked", [0, 5])], {"L2": 5})
    lab.decide(1)
    assert lies(lab) == {"L2": 5}


def test_of_a_blend_only_the_held_lots_share_is() -> None:
    lab = ran(silo(LotWay.BLEND, HOLD), 8)
    lab.cut()
    sent = [line for event in lab.material_events() for line in event.lines if line.key.rule == "used"]
    assert [(line.key.lot, int(line.quantity)) for line in sent] == [("L1", 4)]
    assert (lab.doubts(), lab.said()) == ([("lot-blocked", [0, 4])], [])


def test_a_held_quantity_is_asked_for_whole_and_in_the_materials_unit() -> None:
    rule = used(HOLD, factor=Fraction(1, 8), cadence=replace(HOURLY, name="cases"))
    material = replace(rule.material, unit=CASE, precision=Decimal(1))
    lab = ran(running(Lab(replace(rule, material=material)).say("L1", "QA-HOLD")), 12)
    lab.cut()
    ((_, review),) = lab.journal.reviews.items()
    assert ([way.quantity for way in review.candidates], review.line.unit) == ([Decimal("1.5"), Decimal(0)], "case")


def test_a_block_of_a_held_lot_is_answered_in_review() -> None:
    lab = Lab(block_rule(HOLD)).say("L1", "QA-HOLD").say("L2")
    lab.lot_block(1, "L1", LOT)
    lab.lot_block(2, "L2", LOT)
    assert [one.result for one in lab.journal.acknowledgements] == [Result.IN_REVIEW, Result.DONE]
    assert (lab.doubts(), lab.said(), lab.booked) == ([("lot-blocked", [0, 960])], [], 960)


def test_so_is_a_message_and_its_answer_names_the_review() -> None:
    lab = Lab(scada(HOLD)).say("L1", "QA-HOLD")
    answered = lab.engine.fold(lab.state, (confirmation(lab, "L1"),)).answered
    assert answered is not None
    assert (answered.result, answered.review) == (Result.IN_REVIEW, "drum/1/1")
    assert answered.reason is not None
    assert "QA-HOLD" in answered.reason


# told late


def test_a_hold_that_is_told_late_names_what_was_sent_and_what_is_pending() -> None:
    lab = ran(running(Lab(used()).say("L1")), 10).cut()
    ran(lab, 20).cut()
    ran(lab, 25).say("L1", "QA-HOLD", ago=2.5)
    (notice,) = lab.notices()
    assert (str(notice.cause), int(notice.quantity), notice.key.lot) == ("lot-blocked", 15, "L1")
    assert [(one.from_position, int(one.quantity)) for one in notice.carried] == [(10, 10)]
    assert "10 pcs sent; 5 pcs pending." in notice.message
    assert lab.booked == 25


def test_a_shelf_life_that_is_told_late_is_said_alike() -> None:
    lab = ran(running(Lab(used()).say("L1", ago=1)), 10, 20).say("L1", ago=5, lasts=-1.5)
    assert lab.refusals  # something newer was said
    lab.say("L1", ago=4, lasts=-1.5)
    assert lab.said() == [("lot-expired", "L1", 20)]


def test_what_was_said_at_once_is_not_said_again() -> None:
    lab = ran(running(Lab(used()).say("L1", "QA-HOLD")), 10).say("L1", "QUARANTINE", ago=1).after(1)
    assert lab.said() == [("lot-blocked", "L1", 10)]


def test_a_lot_that_nobody_had_told_of_and_is_released_late_says_nothing_more() -> None:
    lab = ran(running(Lab(used())), 10).say("L1", ago=5).after(1)
    assert ran(lab, 20).said() == [("lot-not-told", "L1", 10)]


def test_what_is_pending_of_a_lot_that_is_held_late_is_held() -> None:
    lab = ran(running(Lab(used(HOLD)).say("L1")), 10).say("L1", "QA-HOLD", ago=1.5)
    assert "10 pcs pending, to be held" in lab.notices()[0].message
    lab.cut()
    assert (lab.doubts(), int(lab.journal.sent())) == ([("lot-blocked", [0, 10])], 0)


def test_what_was_entered_is_named_too() -> None:
    lab = entered(Lab(used()).say("L1").after(1)).after(1).say("L1", "QA-HOLD", ago=1.5)
    assert [(one.key.rule, int(one.quantity), len(one.carried)) for one in lab.notices()] == [("@entry", 8, 1)]


def test_and_what_was_decided() -> None:
    lab = decided(BOOK)
    assert lab.say("L1", "EXPLODED").said() == [("lot-blocked", "L1", 3)]
    lab = ran(running(Lab(used()).say("L1")), 5)
    lab.away(5, None).read(8).rest(3)
    lab.decide(next(n for n, way in enumerate(lab.journal.reviews["used/1/1"].candidates, 1) if way.quantity == 3))
    lab.cut().say("L1", "QA-HOLD", ago=4)
    assert [int(one.quantity) for one in lab.notices()[0].carried] == [3]


def test_it_says_where_it_does_not_remember() -> None:
    lab = running(Lab(used(cadence=AT_ONCE)).say("L1"))
    ran(lab, *range(1, 41)).say("L1", "QA-HOLD", ago=60)
    assert lab.refusals
    ran(lab.say("L1", "QA-HOLD", ago=41), 50)
    late, at_once = lab.notices()
    assert (int(late.quantity), int(at_once.quantity)) == (32, 10)
    assert "is not remembered here" in late.message


def test_something_newer_was_said() -> None:
    lab = Lab(used()).say("L1", "QA-HOLD").after(10).say("L1", ago=20)
    assert lab.refusals == ["lot L1 of 300017: something newer was said, which holds since 2026-03-02T11:00:00+00:00"]


# what is remembered


def test_it_never_grows_beyond_its_slots() -> None:
    lab = Lab(used())
    for number in range(3 * SLOTS * LOTS // 2):
        said = message(lab.now, SaidLot(MATERIAL, f"L{number}", "RELEASED"))
        lab.state.adopt(lab.engine.fold(lab.state, (said,)).changed)
    assert len(lab.state.statuses) == SLOTS
    assert max(len(slot.lots) for slot in lab.state.statuses.values()) == LOTS
    assert told(lab.state, MATERIAL, f"L{3 * SLOTS * LOTS // 2 - 1}")
    assert told(lab.state, MATERIAL, "L0") == ()
