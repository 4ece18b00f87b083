"""Transports in two steps: one movement, whatever is confirmed twice, late, never, or with another quantity."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from edge_agent.config.tagmap import Arrival
from edge_agent.derivation import transport
from edge_agent.derivation.booking import Books
from edge_agent.model.confirmation import Result
from edge_agent.model.movement import EventType, LineState
from edge_agent.model.reading import TagRef
from edge_agent.model.state import State
from tests.derivation.confirming_plant import Talk, confirmed
from tests.derivation.plant import NOON, Bench, handshake

DONE, FAILED, IN_REVIEW = Result.DONE, Result.FAILED_CHECK, Result.IN_REVIEW
LEFT = confirmed("left", departs=True)
THERE = confirmed("there", arrival=Arrival("left", timedelta(hours=4)))


class Way(Talk):
    """Pallets of cases of 24 go from the line to the warehouse."""

    def __init__(self) -> None:
        super().__init__(LEFT, THERE)

    def left(self, id_: str, container: str | None = "P", quantity: object = 40, **about: Any) -> Way:
        self.confirm(f"L{id_}", quantity, "left", container=container, **about)
        return self

    def there(self, id_: str, container: str | None = "P", quantity: object = 40, **about: Any) -> Way:
        self.confirm(f"T{id_}", quantity, "there", container=container, **about)
        return self

    def late(self) -> Way:
        """Five hours pass."""
        self.after(5 * 3600).tick()
        return self

    @property
    def under_way(self) -> list[str]:
        known = self.state.rules.get("left")
        return [] if known is None else [str(one.key.container) for one in known.transit]


@dataclass(frozen=True)
class Row:
    """A script, the pieces moved, the answers, each review's candidates, what is under way, and the exceptions."""

    name: str
    script: Callable[[Way], Bench]
    moved: int
    results: list[Result]
    doubts: list[tuple[str, list[int]]]
    under_way: list[str]
    late: int = 0


ROWS = [
    Row("it departs: nothing is booked", lambda w: w.left("1"), 0, [DONE], [], ["P"]),
    Row("and arrives: once", lambda w: w.left("1").there("1"), 960, [DONE, DONE], [], []),
    Row(
        "two on their way, in any order",
        lambda w: w.left("1").left("2", "Q", 3).there("2", "Q", 3).there("1"),
        *(1032, [DONE] * 4, [], []),
    ),
    Row(
        "the same container again, after it arrived",
        lambda w: w.left("1").there("1").left("2").there("2"),
        *(1920, [DONE] * 4, [], []),
    ),
    Row("it arrives, and did not depart", lambda w: w.there("1"), 0, [IN_REVIEW], [("not-departed", [0, 960])], []),
    Row(
        "it arrives twice",
        lambda w: w.left("1").there("1").there("2"),
        *(960, [DONE, DONE, IN_REVIEW], [("not-departed", [0, 960])], []),
    ),
    Row(
        "it departs twice, and arrives once",
        lambda w: w.left("1").left("2").there("1"),
        *(960, [DONE, IN_REVIEW, DONE], [("departed-twice", [0, 960])], []),
    ),
    Row(
        "less arrives than departed",
        lambda w: w.left("1").there("1", quantity=39),
        *(0, [DONE, IN_REVIEW], [("other-quantity", [0, 936, 960])], []),
    ),
    Row("no container", lambda w: w.left("1", None), 0, [FAILED], [("failed-check", [0, 960])], []),
    Row(
        "a departure that fails a check sets nothing out",
        lambda w: w.left("1", quantity=0).there("1"),
        *(0, [FAILED, IN_REVIEW], [("failed-check", [0]), ("not-departed", [0, 960])], []),
    ),
    Row(
        "it is late: said once, and it may arrive yet",
        lambda w: w.left("1").after(4 * 3600 + 1).tick().rest(2),
        *(0, [DONE], [], ["P"], 1),
    ),
    Row(
        "late, and there after all",
        lambda w: w.left("1").late().there("1"),
        *(960, [DONE, DONE], [], [], 1),
    ),
    Row("not late yet", lambda w: w.left("1").after(4 * 3600 - 2).tick(), 0, [DONE], [], ["P"]),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_table(row: Row) -> None:
    way = Way()
    row.script(way)
    assert (way.booked, way.results, way.doubts(), way.under_way) == (row.moved, row.results, row.doubts, row.under_way)
    assert way.holes() == [("not-arrived", 0, 960)] * row.late
    assert way.journal.counts["arrived"] == sum(m.line.key.rule == "there" for m in way.journal.lines.values()) - sum(
        cause == "not-departed" for cause, _ in row.doubts
    )
    before = way.booked
    way.left("last", "Z", 1).there("last", "Z", 1)
    assert way.booked == before + 24, "whatever came before"


def test_it_is_one_movement_with_both_times() -> None:
    way = Way().left("1", age=0, order="4711", lot="L7")
    way.after(600)
    way.there("1", age=0)
    (event,) = way.material_events()
    (line,) = event.lines
    assert (event.type, line.key.from_, line.key.to) == (EventType.MOVED, "L3-OUT", "WH-01")
    assert (line.start_time, line.time) == (NOON, NOON + timedelta(seconds=600))
    assert (line.evidence.first_time, line.evidence.last_time) == (line.start_time, line.time)
    assert (line.key.order, line.key.lot, line.key.container) == ("4711", "L7", "P")
    departures = [mark for mark in way.journal.lines.values() if mark.line.key.rule == "left"]
    assert [mark.state for mark in departures] == [LineState.EXCLUDED]


def test_what_a_person_decides_is_one_movement_too() -> None:
    way = Way().left("1").left("2")
    way.decide(1)
    assert way.booked == 960
    way.there("1")
    assert way.booked == 1920, "the first one had arrived unconfirmed, as the person says; the second one arrives now"


def test_a_restart_forgets_nothing() -> None:
    way = Way().left("1")
    again = Way()
    again.state, again.now, again.journal = copy.deepcopy(way.state), way.now, way.journal
    again.there("1")
    assert (again.booked, again.under_way) == (960, [])


def test_a_handshake_may_confirm_the_departure() -> None:
    pallet = replace(handshake(), name="pallet_out", departs=True)
    talk = Talk(pallet, confirmed("there", arrival=Arrival("pallet_out", timedelta(hours=1))))
    talk.block(6, 6).block(7, 6, sscc="P1").block(7, 6, sscc="P1")
    assert talk.booked == 0
    talk.confirm("1", rule="there", container="P1")
    assert talk.booked == 960
    talk.block(8, 7, sscc="P2").block(9, 8, sscc="P2")
    assert [(one.number, one.result) for one in talk.journal.acknowledgements] == [
        (7, DONE),
        (7, DONE),
        (8, DONE),
        (9, IN_REVIEW),
    ]


def test_it_belongs_to_the_order_it_departed_for() -> None:
    order = TagRef("mes", "order_no")
    talk = Talk(replace(LEFT, order=order), replace(THERE, order=order)).tell(order_no="A")
    talk.after(10)
    talk.confirm("1", rule="left", container="P", age=0).after(10)
    talk.tell(order_no="B").after(10)
    talk.confirm("2", rule="there", container="P", age=0)
    assert (talk.of("A"), talk.of("B")) == (960, 0)


def _shift(seed: int) -> None:
    """Pallets go, one after the other or together; the truth is how many cases reached the warehouse."""
    chance = random.Random(seed)
    way, moved = Way(), 0
    on_the_road: dict[str, int] = {}
    for number in range(200):
        way.after(chance.randrange(1, 600)).tick()
        if on_the_road and chance.random() < 0.5:
            container = chance.choice(sorted(on_the_road))
            cases = on_the_road.pop(container)
            moved += cases
            way.there(str(number), container, cases)
        else:
            container, cases = f"P{number}", chance.randrange(1, 41)
            on_the_road[container] = cases
            way.left(str(number), container, cases)
    assert way.booked == moved * 24
    assert sorted(way.under_way) == sorted(on_the_road)
    assert way.doubts() == []


@pytest.mark.parametrize("seed", range(3))
def test_a_shift_moves_what_arrived(seed: int) -> None:
    _shift(seed)


def books_the_departure_too(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Books, "exclude", lambda self, rule, line, _why: self.book(rule, line))


def pairs_with_any(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(transport, "_under_way", lambda work, name, _container: next(iter(work.rule(name).transit[:1]), None))


def leaves_it_on_its_way(patch: pytest.MonkeyPatch) -> None:
    def put(work: Any, name: str, before: Any, after: Any) -> None:
        if after is not None:
            right(work, name, before, after)

    right = transport._put
    patch.setattr(transport, "_put", put)


@pytest.mark.parametrize("plant", [books_the_departure_too, pairs_with_any, leaves_it_on_its_way])
def test_a_planted_bug_is_found(plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        _shift(0)


def test_the_state_of_a_way_is_values() -> None:
    way = Way().left("1")
    assert isinstance(way.state, State)
    (known,) = way.state.rules["left"].transit
    assert (known.quantity, known.unit, known.late) == (Decimal(960), "pcs", False)
