"""Confirmations by message: what is booked, what SCADA is answered, and what a person is asked."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from edge_agent.config.tagmap import Cadence, Rule
from edge_agent.derivation import messages
from edge_agent.derivation.restored import decided
from edge_agent.model.confirmation import Result
from edge_agent.model.movement import EventType, Flag, LineState
from edge_agent.model.reading import TagRef
from edge_agent.model.signal_state import ConfirmationState, HandshakeState
from edge_agent.model.state import EPOCH_LEAP, RuleState, State
from tests.derivation.confirming_plant import SODA, Talk, confirmed
from tests.derivation.plant import EVERY_MINUTE, NOON, counter

DONE, FAILED, CONFLICT, IN_REVIEW = Result.DONE, Result.FAILED_CHECK, Result.CONFLICT, Result.IN_REVIEW
MES_ORDER = TagRef("mes", "order_no")


@dataclass(frozen=True)
class Row:
    """A script, the pieces booked, the answers, and each review's candidates. A case is 24 pieces."""

    name: str
    script: Callable[[Talk], Talk]
    booked: int
    results: list[Result]
    doubts: list[tuple[str, list[int]]]
    rule: Rule = field(default_factory=confirmed)


ROWS = [
    Row("a full pallet", lambda t: t.confirm("1"), 960, [DONE], []),
    Row("two", lambda t: t.confirm("1").confirm("2", 3), 1032, [DONE, DONE], []),
    Row("in the material's own unit", lambda t: t.confirm("1", 17, unit=None), 17, [DONE], []),
    Row("by the code of the unit", lambda t: t.confirm("1", 2, unit="XCS"), 48, [DONE], []),
    Row("a fraction that is whole pieces", lambda t: t.confirm("1", "0.5"), 12, [DONE], []),
    Row("nothing", lambda t: t.confirm("1", 0), 0, [FAILED], [("failed-check", [0])]),
    Row("less than nothing", lambda t: t.confirm("1", -3), 0, [FAILED], [("failed-check", [0])]),
    Row("an unknown unit", lambda t: t.confirm("1", unit="kg"), 0, [FAILED], [("failed-check", [0])]),
    Row("too many digits", lambda t: t.confirm("1", 10**17), 0, [FAILED], [("failed-check", [0])]),
    Row("another place than the map's", lambda t: t.confirm("1", to="X"), 0, [FAILED], [("failed-check", [0, 960])]),
    Row("the map's own place", lambda t: t.confirm("1", to="WH-01"), 960, [DONE], []),
    Row("a place that is open", lambda t: t.confirm("1", to="WH-02"), 960, [DONE], [], confirmed(to=None)),
    Row("a place nobody says", lambda t: t.confirm("1"), 0, [FAILED], [("failed-check", [0])], confirmed(to=None)),
    Row(
        "to where it is",
        lambda t: t.confirm("1", to="L3-OUT"),
        *(0, [FAILED], [("failed-check", [0])]),
        confirmed(to=None),
    ),
    Row(
        "a lot-tracked material without its lot",
        lambda t: t.confirm("1").confirm("2", lot="L7"),
        *(960, [FAILED, DONE], [("failed-check", [0, 960])]),
        confirmed(material=replace(SODA, lot_tracked=True)),
    ),
    Row(
        "its order tag was never told",
        lambda t: t.confirm("1").confirm("2", order="4711"),
        *(960, [IN_REVIEW, DONE], [("order-unknown", [0, 960])]),
        confirmed(order=MES_ORDER),
    ),
    Row(
        "its id with another content",
        lambda t: t.confirm("1").say(replace(t.message("1", 12), conflicting=True)).confirm("2", 1),
        *(984, [DONE, CONFLICT, DONE], [("conflict", [0, 288])]),
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_table(row: Row) -> None:
    talk = row.script(Talk(row.rule))

    assert (talk.booked, talk.results, talk.doubts()) == (row.booked, row.results, row.doubts)
    named = [one.review for one in talk.answers if one.review is not None]
    assert named == list(talk.journal.reviews), "each answer names its review"
    assert all((one.reason is None) == (one.result is DONE) for one in talk.answers)
    before = talk.booked
    talk.confirm("last", 1, order="4711", lot="L9", to=None if row.rule.to else "WH-09")
    assert talk.booked == before + 24, "whatever came before"


def test_what_it_says_is_in_the_line() -> None:
    talk = Talk(confirmed()).confirm("AGV-17", 2, lot="L7", order="4711", age=90)
    (event,) = talk.material_events()
    (line,) = event.lines

    assert (event.type, event.time) == (EventType.MOVED, NOON - timedelta(seconds=90))
    assert (line.key.order, line.key.lot, line.key.container) == ("4711", "L7", "PAGV-17")
    assert (str(line.quantity), line.unit, str(line.source_quantity), line.source_unit) == ("48", "pcs", "2", "case")
    assert (line.evidence.raw_after, line.evidence.from_position, line.evidence.to_position) == ("AGV-17", 0, 1)


def test_the_past_is_taken_as_said_and_the_future_is_not() -> None:
    talk = Talk(confirmed()).confirm("1", age=86_400).confirm("2", age=-4).confirm("3", age=-6)
    lines = [event.lines[0] for event in talk.material_events()]

    assert [round((line.time - NOON).total_seconds()) for line in lines] == [-86_400, 4, 0]
    assert [line.evidence.flags for line in lines] == [(), (), (Flag.SOURCE_TIME_REFUSED,)]
    assert lines[0].key.posting_day < lines[1].key.posting_day


def test_its_cadence_gathers_it() -> None:
    often: Cadence = replace(EVERY_MINUTE, name="finished")
    talk = Talk(confirmed(cadence=often)).confirm("1", container=None).confirm("2", container=None)
    assert not talk.material_events()
    talk.after(61).tick()
    (event,) = talk.material_events()
    assert [int(line.quantity) for line in event.lines] == [1920]


def test_what_is_confirmed_in_another_order_is_a_line_that_ends_after_it_begins() -> None:
    often: Cadence = replace(EVERY_MINUTE, name="finished")
    talk = Talk(confirmed(cadence=often))
    talk.confirm("1", container=None, age=5).confirm("2", container=None, age=65).after(61).tick()
    ((line,),) = [event.lines for event in talk.material_events()]
    assert (NOON - line.start_time, NOON - line.time) == (timedelta(seconds=65), timedelta(seconds=5))
    assert (line.evidence.first_time, line.evidence.last_time) == (line.start_time, line.time)


def test_an_id_is_a_natural_key_with_its_answer() -> None:
    rule = replace(confirmed(), was="pallets")
    talk = Talk(rule).confirm("a/b")
    (key,) = talk.journal.natural_keys
    message = talk.message("a/b")

    assert key.key == "message:pallet_out/a/b"
    assert messages.natural_keys(rule, message) == (key.key, "message:pallets/a/b")
    assert talk.answers[0].digest == message.digest
    assert message.digest in key.content
    assert '"result":0' in key.content
    other = replace(message, quantity=Decimal(41), conflicting=True)
    assert messages.natural_keys(rule, other)[0] == f"conflict:pallet_out/{other.digest}/a/b"
    assert replace(message, quantity=Decimal("40.0"), received=talk.after(9).now).digest == message.digest


@pytest.mark.parametrize("change", ["quantity", "unit", "container", "lot", "order", "to", "time"])
def test_everything_it_says_is_its_content(change: str) -> None:
    message = Talk(confirmed()).message("1")
    other: Any = {"quantity": Decimal(41), "time": message.time + timedelta(seconds=1)}.get(change, "other")
    assert replace(message, **{change: other}).digest != message.digest


def test_order_and_lot_told_by_mes_are_those_of_their_time() -> None:
    """The order changes at 12:00:00, by MES's word at 12:00:20; what happened before it belongs to the old one."""
    talk = Talk(confirmed(order=MES_ORDER)).tell(order_no="A")
    talk.after(60).confirm("1", 1).after(20)
    talk.tell(ago=20, order_no="B").confirm("2", 2, age=30).confirm("3", 4, age=10)

    assert (talk.of("A"), talk.of("B")) == (72, 96)
    assert talk.doubts() == []


def test_a_counter_counts_for_the_order_that_mes_says() -> None:
    """With and without the engine's short cut."""
    talk = Talk(counter("u32", order=MES_ORDER)).tell(order_no="A")
    for number in range(1, 41):
        talk.after(0.1).read(number)
        if number == 20:
            talk.tell(order_no="B")
    talk.cut()
    assert (talk.of("A"), talk.of("B")) == (19, 20)


def test_a_rule_that_is_gone_answers_nothing() -> None:
    talk = Talk(confirmed())
    outcome = talk.engine.fold(talk.state, (talk.message("1", rule="gone"),))
    assert (outcome.answered, outcome.natural_keys, outcome.events) == (None, [], [])


def test_a_restored_store_doubts_what_had_happened_by_then_and_nothing_else() -> None:
    """Invariant 13: what happened before the restore may be booked by the lost store; the rest cannot be."""
    talk = Talk(confirmed()).confirm("1")
    backup = copy.deepcopy(talk.state)
    talk.after(60).confirm("2").after(60)
    lost = talk.journal
    talk = Talk(confirmed()).restore(backup)
    talk.now = talk.now.__class__(NOON + timedelta(seconds=200), 2 * 10**12, "boot-1")
    talk.tick()  # the restored store runs since 12:03:20
    state = talk.state.rules["pallet_out"].signal
    assert isinstance(state, ConfirmationState)
    assert (state.epoch, state.restored) == (1 + EPOCH_LEAP, False)
    talk.after(60).confirm("2", age=200).confirm("3", age=57).confirm("4", age=30)

    assert talk.results == [IN_REVIEW, IN_REVIEW, DONE], "57 s ago is within what clocks may be off of the restore"
    assert talk.doubts() == [("restored", [0, 960])] * 2
    assert not talk.journal.lines.keys() & lost.lines.keys(), "no place is used twice"
    review = next(iter(talk.journal.reviews.values()))
    rule = confirmed(cadence=replace(confirmed().cadence, accepted_by=("erp",)))
    held = {"erp": {("pallet_out", review.line.evidence.epoch): 2}}
    assert decided(review, rule, held, NOON) is None, "places are the agent's own: a receiver's word decides nothing"


def test_a_restored_store_does_not_send_what_may_be_sent() -> None:
    often: Cadence = replace(EVERY_MINUTE, name="finished")
    talk = Talk(confirmed(cadence=often)).confirm("1")
    talk.restore(copy.deepcopy(talk.state)).after(61).tick()
    assert talk.doubts() == [("restored", [0, 960])]
    assert [mark.state for mark in talk.journal.lines.values()] == [LineState.IN_REVIEW]
    assert talk.material_events() == []


def test_a_renamed_rule_goes_on() -> None:
    talk = Talk(confirmed("pallets")).confirm("1", rule="pallets")
    state = talk.state
    renamed = Talk(replace(confirmed(), was="pallets"))
    renamed.state = state
    outcome = renamed.engine.inherit(state)
    state.adopt(outcome.changed)
    renamed.journal.take(outcome)
    renamed.confirm("2", 1)
    assert renamed.booked == 24
    assert {name[:2] for name in renamed.journal.lines} == {("pallet_out", 2)}


def test_a_rule_that_was_measured_before_begins_an_epoch_of_its_own() -> None:
    talk = Talk(confirmed())
    talk.state = State({"pallet_out": RuleState(HandshakeState(7, 0, 3, 0, "", 0, released=True))})
    talk.confirm("1")
    assert {name[1] for name in talk.journal.lines} == {8}


def test_a_decision_books_it_once() -> None:
    talk = Talk(confirmed()).confirm("1", to="X").decide(1)
    assert talk.booked == 960
    (event,) = talk.material_events()
    assert event.lines[0].key.container == "P1"
