"""Movements of material: their lines, lots, entries, and what they add to the stocks."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from edge_agent.config.signals import Handshake
from edge_agent.config.tagmap import Posting
from edge_agent.errors import EventInvalid
from edge_agent.model.event import Entry, EventDraft, Figure, StockKey, StockMove
from edge_agent.model.movement import EventType, Line
from edge_agent.model.reading import TagRef
from edge_agent.publishing.encoding import Renderer
from tests.publishing.rendered import data_of, event_of, render
from tests.publishing.samples import MATERIALS, NOON, PREFORM, draft, key, line, tag_map

ENTRY = Entry("f-17", "a.smith", "split bag", NOON, barcode="]C1…", process=False)


def _line(event: EventType, *, from_: str | None = None, to: str | None = None, lot: str | None = None) -> Line:
    return line(Decimal(12), replace(key(), event=event, from_=from_, to=to, lot=lot))


def _move(figure: Figure, location: str | None, lot: str | None = None, quantity: int = 12) -> StockMove:
    return StockMove(StockKey(location, "300017", lot, "available", "H87"), figure, Decimal(quantity))


def test_what_is_returned_goes_back_to_its_location() -> None:
    back = EventDraft(EventType.RETURNED, "routine", NOON, (_line(EventType.RETURNED, from_="L3", to="WH-01"),))
    (entry,) = data_of(back)["materialActual"]

    assert (entry["materialUse"], entry["storageLocation"]["location"]) == ("Consumed", "WH-01")
    assert render(back).topic == "mat/v1/acme/berlin/filling/L3/_/_material/returned"
    assert render(back).stock == (_move(Figure.RETURNED, "WH-01"),)


@pytest.mark.parametrize(
    ("from_", "entry", "origin", "operations", "location"),
    [
        ("L3-HOPPER", None, "stock", "Inventory", "L3-HOPPER"),
        (None, None, "process", "Production", None),
        ("L3-HOPPER", ENTRY, "stock", "Inventory", "L3-HOPPER"),
        ("L3-HOPPER", replace(ENTRY, process=True), "process", "Production", None),
        (None, ENTRY, "stock", "Inventory", None),
    ],
)
def test_scrap_says_whether_stock_falls(
    from_: str | None, entry: Entry | None, origin: str, operations: str, location: str | None
) -> None:
    scrap = EventDraft(EventType.SCRAPPED, "routine", NOON, (_line(EventType.SCRAPPED, from_=from_),), about=entry)
    data = data_of(scrap)

    assert (data["scrapOrigin"], data["operationsType"]) == (origin, operations)
    assert data["materialActual"][0]["materialUse"] == "Other"
    assert data["materialActual"][0]["materialUseOther"] == "Scrapped"
    assert render(scrap).stock == (_move(Figure.SCRAPPED, location),)


def test_a_sample_is_of_a_lot() -> None:
    sample = EventDraft(EventType.SAMPLED, "routine", NOON, (_line(EventType.SAMPLED, from_="LAB", lot="B7"),))
    event = event_of(sample)
    (entry,) = event["data"]["materialActual"]

    assert (entry["materialUse"], entry["materialUseOther"], entry["materialLotID"]) == ("Other", "Sampled", "B7")
    assert (event["subject"], event["partitionkey"]) == ("300017/B7", "berlin|300017|B7")
    assert event["data"]["operationsType"] == "Quality"
    assert render(sample).stock == (_move(Figure.SAMPLED, "LAB", "B7"),)


def test_lines_of_several_lots_go_by_their_order() -> None:
    lots = tuple(_line(EventType.CONSUMED, from_="L3", lot=lot) for lot in ("B7", "B8", None))
    event = event_of(EventDraft(EventType.CONSUMED, "routine", NOON, lots))

    assert (event["subject"], event["partitionkey"]) == ("4711", "berlin|4711|")
    assert ["materialLotID" in entry for entry in event["data"]["materialActual"]] == [True, True, False]


def test_an_entry_says_who_and_why() -> None:
    data = data_of(replace(draft(), about=ENTRY))

    assert data["entry"] == {"by": "a.smith", "form": "f-17", "at": "2026-03-04T12:00:00.000Z"}
    assert data["reason"] == {"code": "manual-entry", "text": "split bag"}


def test_a_move_falls_at_one_location_and_rises_at_the_other() -> None:
    pallet = line(Decimal(504), key("pallet_out", None))
    key_out = StockKey("L3-OUT", "900001", None, "available", "H87")

    assert render(EventDraft(EventType.MOVED, "critical", NOON, (pallet,))).stock == (
        StockMove(key_out, Figure.MOVED_OUT, Decimal(504)),
        StockMove(key_out._replace(location="WH-01"), Figure.MOVED_IN, Decimal(504)),
    )


def test_a_move_without_a_location_is_refused() -> None:
    pallet = line(Decimal(504), replace(key("pallet_out", None), to=None))

    with pytest.raises(EventInvalid, match="a move needs the location"):
        render(EventDraft(EventType.MOVED, "critical", NOON, (pallet,)))


@pytest.mark.parametrize("posting", [Posting.BACKFLUSH, Posting.INFORMATION])
def test_only_what_is_posted_moves_a_stock(posting: Posting) -> None:
    informed = replace(PREFORM, posting=posting)
    renderer = Renderer(replace(tag_map(), materials={**MATERIALS, informed.number: informed}), "1.0.0")
    water = line(Decimal("1.7"), key("water_used"))
    both = EventDraft(EventType.CONSUMED, "routine", NOON, (line(), water))

    assert render(both, renderer=renderer).stock == (
        StockMove(StockKey("TANK", "100100", None, "available", "LTR"), Figure.CONSUMED, Decimal("1.7")),
    )


@pytest.mark.parametrize("event", [EventType.VOIDED, EventType.IN_REVIEW, EventType.REVERSED])
def test_what_has_no_lines_of_its_own_gets_none(event: EventType) -> None:
    with pytest.raises(EventInvalid, match="no lines of its own"):
        render(EventDraft(event, "ops", NOON, (line(),)))


def test_what_a_block_says_is_known_from_there() -> None:
    made = tag_map()
    rule = made.rules["pallet_out"]
    assert isinstance(rule.signal, Handshake)
    order, operator = (TagRef("filler", f"pal_{part}") for part in ("order", "operator"))
    says = replace(rule, signal=replace(rule.signal, order=order, operator=operator))
    renderer = Renderer(replace(made, rules={**made.rules, "pallet_out": says}), "1.0.0")
    pallet = line(Decimal(960), replace(key("pallet_out", container="P1"), operator="anna"))
    event = json.loads(render(EventDraft(EventType.MOVED, "critical", NOON, (pallet,)), renderer=renderer).payload)

    origins = [{"id": f"{part}From", "value": f"filler.pal_{part}"} for part in ("order", "operator")]
    found = event["data"]["materialActual"][0]["properties"]
    assert found == [
        {"id": "operator", "value": "anna"},
        origins[0],
        {"id": "containerFrom", "value": "filler.pal_sscc"},
        origins[1],
    ]
