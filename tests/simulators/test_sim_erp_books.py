"""The books: what an event posts, what takes it back, and what they refuse."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from edge_agent_simulators.erp_books import Books, Stock, Unpostable


def event(name: str = "consumed", quantity: str = "12", number: int = 1, **data: Any) -> dict[str, Any]:
    use, place = {"produced": ("Produced", "OUT"), "scrapped": ("Other", "IN"), "sampled": ("Other", "IN")}.get(
        name, ("Consumed", "IN")
    )
    lines = [_line(1, use, place, quantity)]
    if name == "moved":
        lines = [_line(1, "Consumed", "OUT", quantity), _line(2, "Produced", "WH", quantity)]
    return {
        "id": f"event-{number}",
        "source": "urn:edgeagent:l3:0000:routine",
        "sequence": f"{number:020d}",
        "type": f"io.edgeagent.material.{name}.v1",
        "time": "2026-03-02T08:00:00.000Z",
        "data": {"jobOrderID": "4711", "postingDate": "2026-03-02", "materialActual": lines, **data},
    }


def _line(number: int, use: str, place: str, quantity: str) -> dict[str, Any]:
    return {
        "id": str(number),
        "materialUse": use,
        "materialDefinitionID": "300017",
        "quantity": {"quantityString": quantity, "unitOfMeasure": "H87"},
        "storageLocation": {"location": place},
        "posting": "actual",
    }


def reversal(original: dict[str, Any], number: int) -> dict[str, Any]:
    data = {**original["data"], "reversesId": original["id"], "reversesType": original["type"]}
    changed = {"id": f"event-{number}", "type": "io.edgeagent.event.reversed.v1", "sequence": f"{number:020d}"}
    return {**original, **changed, "data": data}


def post(books: Books, one: dict[str, Any]) -> int:
    return books.post(json.dumps(one).encode(), "00")


@pytest.mark.parametrize(
    ("name", "stocks"),
    [
        ("consumed", {("consumed", "IN"): 12}),
        ("returned", {("returned", "IN"): 12}),
        ("produced", {("produced", "OUT"): 12}),
        ("moved", {("moved out", "OUT"): 12, ("moved in", "WH"): 12}),
        ("scrapped", {("scrapped", "IN"): 12}),
        ("sampled", {("sampled", "IN"): 12}),
    ],
)
def test_each_type_counts_where_it_belongs(name: str, stocks: dict[tuple[str, str], int]) -> None:
    books = Books()
    assert post(books, event(name)) == 1
    assert {(one.figure, one.location): q for one, q in books.balances().items()} == stocks
    books.close()


def test_scrap_of_the_process_is_at_no_location() -> None:
    books = Books()
    post(books, event("scrapped", scrapOrigin="process"))
    assert [stock.location for stock in books.balances()] == [""]
    books.close()


def test_decimals_are_exact_and_what_is_not_posted_counts_nothing() -> None:
    books = Books()
    for number in range(1, 11):
        post(books, event(quantity="0.100000001", number=number))
    stock = Stock("consumed", "300017", "4711", "IN", "", "H87")
    assert books.balances() == {stock: Decimal("1.000000010")}
    backflushed = event(number=11)
    backflushed["data"]["materialActual"][0]["posting"] = "backflush"
    with pytest.raises(Unpostable, match="no line"):
        post(books, backflushed)
    assert books.highest == 10
    books.close()


def test_a_reversal_takes_its_original_back_and_nothing_else() -> None:
    books = Books()
    first, other = event(), event(quantity="5", number=2)
    post(books, first)
    post(books, other)
    post(books, reversal(first, 3))
    assert list(books.balances().values()) == [5]
    assert [(one.number, one.reverses, one.day) for one in books.documents()][-1] == (3, 1, "2026-03-02")
    with pytest.raises(Unpostable, match="never posted"):
        post(books, reversal(event(number=9), 4))
    wrong = reversal(other, 4)
    wrong["data"]["materialActual"] = [_line(1, "Consumed", "IN", "6")]
    with pytest.raises(Unpostable, match="not those of document 2"):
        post(books, wrong)
    assert books.posted_twice() == []
    post(books, reversal(first, 5))
    assert books.posted_twice() == ["event-3"], "reversed twice"
    books.close()


@pytest.mark.parametrize(
    "payload",
    [
        b"no json",
        b"[]",
        json.dumps({"id": "x", "data": {}}).encode(),
        json.dumps({**event(), "type": "io.edgeagent.movement.inreview.v1"}).encode(),
        json.dumps(event(quantity="1e3")).encode(),
        json.dumps(event(quantity="-3")).encode(),
    ],
)
def test_what_is_no_event_of_material_is_refused(payload: bytes) -> None:
    books = Books()
    with pytest.raises(Unpostable):
        books.post(payload)
    assert books.documents() == []
    books.close()


def test_they_say_when_something_was_posted_twice_and_survive_their_end(tmp_path: Path) -> None:
    books = Books(tmp_path / "books.db")
    post(books, event())
    books.backup(tmp_path / "backup.db")
    post(books, event())
    books.close()
    again, backup = Books(tmp_path / "books.db"), Books(tmp_path / "backup.db")
    assert (again.highest, again.posted_twice(), again.document_of("event-1")) == (2, ["event-1"], 1)
    assert (backup.highest, backup.posted_twice(), backup.document_of("event-7")) == (1, [], None)
    again.close()
    backup.close()


def test_a_container_is_known_by_its_number() -> None:
    books = Books()
    moved = event("moved")
    for line in moved["data"]["materialActual"]:
        line["containerID"] = "00340123450000000017"
    post(books, moved)
    assert books.holds_container("00340123450000000017")
    assert not books.holds_container("other")
    post(books, reversal(moved, 2))
    assert not books.holds_container("00340123450000000017")
    books.close()
