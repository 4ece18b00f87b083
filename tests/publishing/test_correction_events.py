"""Reversals, and what takes the place of reversed events: made of the original's bytes, whatever the map is now."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given

from edge_agent.config.tagmap import Line
from edge_agent.errors import EventInvalid
from edge_agent.model.event import Change, Correction, Entry, EventDraft, Figure, Reversal, StoredEvent
from edge_agent.model.movement import EventType
from edge_agent.publishing.encoding import Renderer
from tests.publishing.drafts import places
from tests.publishing.drafts import stored as any_stored
from tests.publishing.rendered import PLACE, RENDERER, render, stored
from tests.publishing.samples import NOON, draft, key, line, tag_map

LATER = NOON + timedelta(hours=3)
OLD = Renderer(replace(tag_map(config_hash="d1" * 32), line=Line("acme", "potsdam", "old", "L9")), "0.9.0")
CAUSE = "0d7d2f4e-7f0c-5a0a-9a38-6f3f0a1b2c3d"
CORRELATION = PLACE.source.rpartition(":")[0] + ":correction:"


def _reversal(original: StoredEvent) -> Any:
    return EventDraft(EventType.REVERSED, "routine", LATER, about=Reversal(original, "a.smith", "wrong order", LATER))


def _correction(original: StoredEvent, lines: Mapping[str, Change], order: str | None = None) -> EventDraft:
    about = Correction(original, lines, order, "a.smith", "wrong order", LATER)
    event = EventType(original.type.removeprefix("io.edgeagent.").removesuffix(".v1"))
    return EventDraft(event, "routine", NOON, about=about)


def _pallet() -> EventDraft:
    return EventDraft(EventType.MOVED, "critical", NOON, (line(Decimal(504), key("pallet_out", None)),) * 2)


def test_a_reversal_stands_where_its_original_stood() -> None:
    original = stored(draft(Decimal("17.5")), OLD)
    was, made = json.loads(original.payload), render(_reversal(original))
    event = json.loads(made.payload)
    data = event["data"]

    assert made.topic == "mat/v1/acme/potsdam/old/L9/_/_material/reversed"
    assert data["materialActual"] == was["data"]["materialActual"]
    assert {name: data[name] for name in ("reversesSource", "reversesSequence", "reversesId", "reversesType")} == {
        "reversesSource": original.source,
        "reversesSequence": 42,
        "reversesId": original.id,
        "reversesType": "io.edgeagent.material.consumed.v1",
    }
    assert data["reason"] == {"code": "correction", "text": "wrong order"}
    assert data["correction"] == {"by": "a.smith", "at": "2026-03-04T15:00:00.000Z"}
    for name in ("hierarchyScope", "jobOrderID", "postingDate", "startTime", "operationsType"):
        assert data[name] == was["data"][name]
    assert data["agentVersion"] == "1.0.0"
    assert (event["subject"], event["partitionkey"]) == ("300017", "potsdam|300017|")
    assert event["correlationid"] == CORRELATION + original.id


@pytest.mark.parametrize("process", [True, False])
def test_reversed_scrap_says_where_it_came_from(process: bool) -> None:
    scrapped = line(Decimal(3), replace(key(), event=EventType.SCRAPPED))
    entry = Entry("f-1", "a.smith", "burst", NOON, process=process)
    made = render(_reversal(stored(EventDraft(EventType.SCRAPPED, "routine", NOON, (scrapped,), about=entry))))

    assert json.loads(made.payload)["data"]["scrapOrigin"] == ("process" if process else "stock")
    assert [move.key.location for move in made.stock] == [None if process else "L3-HOPPER"]


@given(any_stored(), places)
def test_a_reversal_moves_what_its_original_moved(original: StoredEvent, place: Any) -> None:
    before = RENDERER.render(_correction(original, {}), place).stock

    assert RENDERER.render(_reversal(original), place).stock == tuple(move._replace(reversed=True) for move in before)


def test_a_correction_is_its_original_but_for_what_changed() -> None:
    original = stored(replace(draft(Decimal("17.5")), lines=(line(Decimal("17.5")), line(Decimal(2)))), OLD)
    made = render(_correction(original, {"2": Change(Decimal("3.50"), "B8")}, "4712"), replace(PLACE, causation=CAUSE))
    event, was = json.loads(made.payload), json.loads(original.payload)
    expected = was["data"] | {
        "jobOrderID": "4712",
        "agentVersion": "1.0.0",
        "reason": {"code": "correction", "text": "wrong order"},
        "correction": {"by": "a.smith", "at": "2026-03-04T15:00:00.000Z"},
    }
    second = expected["materialActual"][1]
    second["materialLotID"] = "B8"
    second["quantity"] |= {"quantityString": "3.5", "sourceQuantityString": "3.5"}

    assert event["data"] == expected
    assert (made.type, made.topic) == (original.type, original.topic)
    assert event["time"] == was["time"]
    assert event["causationid"] == CAUSE
    assert event["correlationid"] == json.loads(render(_reversal(original)).payload)["correlationid"]
    assert (event["subject"], event["partitionkey"]) == ("4712", "potsdam|4712|")
    assert [(move.key.lot, move.figure, move.quantity) for move in made.stock] == [
        (None, Figure.CONSUMED, Decimal("17.5")),
        ("B8", Figure.CONSUMED, Decimal("3.5")),
    ]


@pytest.mark.parametrize("named", ["3", "4"])
def test_both_lines_of_a_move_change_together(named: str) -> None:
    made = render(_correction(stored(_pallet()), {named: Change(Decimal(480), "B7")}))
    lines = json.loads(made.payload)["data"]["materialActual"]

    assert [(entry["quantity"]["quantityString"], entry.get("materialLotID")) for entry in lines] == [
        ("504", None),
        ("504", None),
        ("480", "B7"),
        ("480", "B7"),
    ]
    assert [(move.figure, move.quantity) for move in made.stock[2:]] == [
        (Figure.MOVED_OUT, Decimal(480)),
        (Figure.MOVED_IN, Decimal(480)),
    ]


def test_the_source_of_a_corrected_quantity_is_the_person() -> None:
    made = render(_correction(stored(_pallet()), {"1": Change(Decimal("12.5"))}))
    first = json.loads(made.payload)["data"]["materialActual"][0]

    assert first["quantity"] == {
        "quantityString": "12.5",
        "unitOfMeasure": "H87",
        "sourceQuantityString": "12.5",
        "sourceUnit": "H87",
    }
    assert first["evidence"]["rawAfter"] == "117"


def test_a_lot_alone_leaves_the_quantity_and_its_source_alone() -> None:
    original = stored(_pallet())
    made = render(_correction(original, {"1": Change(lot="B7")}))
    quantities = [
        [entry["quantity"] for entry in json.loads(payload)["data"]["materialActual"]]
        for payload in (original.payload, made.payload)
    ]

    assert quantities[0] == quantities[1]
    assert quantities[0][0]["sourceUnit"] == "XCS"


def test_a_correction_can_be_corrected() -> None:
    first = stored(_correction(stored(draft()), {"1": Change(Decimal(3))}))
    again = json.loads(render(_correction(first, {"1": Change(Decimal(4))})).payload)

    assert again["data"]["materialActual"][0]["quantity"]["quantityString"] == "4"
    assert again["correlationid"] == CORRELATION + first.id


def test_a_line_that_is_not_there_is_refused() -> None:
    with pytest.raises(EventInvalid, match="has no line 7"):
        render(_correction(stored(draft()), {"7": Change(Decimal(3))}))


def test_what_is_no_movement_is_not_reversed() -> None:
    reversal = stored(_reversal(stored(draft())))

    with pytest.raises(EventInvalid, match="cannot be reversed"):
        render(_reversal(reversal))


def test_a_quantity_that_no_event_can_carry_is_refused() -> None:
    with pytest.raises(EventInvalid, match="no quantity an event can carry"):
        render(_correction(stored(draft()), {"1": Change(Decimal("1E-10"))}))
