"""Events without lines: decisions, voided numbers, what is overdue, snapshots."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from edge_agent.errors import EventInvalid
from edge_agent.model.ack import Overdue
from edge_agent.model.event import (
    FIRST_PREVHASH,
    About,
    EventDraft,
    Figure,
    Snapshot,
    Stock,
    StockKey,
    Voided,
    Watermark,
)
from edge_agent.model.movement import Candidate, Carried, Cause, Decision, EventType, Notice, Review, Verdict
from edge_agent.publishing.encoding import event_id
from tests.publishing.rendered import data_of, event_of, render
from tests.publishing.samples import NOON, key, line, source, tag_map

REVIEW = Review(
    "preforms_used/1/3",
    Cause.RESET_OR_WRAP,
    replace(key(), lot="B7"),
    (Candidate(Decimal(9), "wrap", key()),),
    line(Decimal(0)),
    True,
    NOON,
    "fell",
)
CAUSE = "0d7d2f4e-7f0c-5a0a-9a38-6f3f0a1b2c3d"


def _draft(event: EventType, about: About | None) -> EventDraft:
    return EventDraft(event, "ops", NOON, about=about)


@pytest.mark.parametrize(("verdict", "candidate"), [(Verdict.ACCEPTED, 1), (Verdict.REJECTED, None)])
def test_a_decision_is_an_event_of_its_own(verdict: Verdict, candidate: int | None) -> None:
    decision = Decision(REVIEW, verdict, candidate, "a.smith", "checked the meter", NOON)
    event = event_of(_draft(EventType.DECIDED, decision), source("ops"))
    opened = event_of(_draft(EventType.IN_REVIEW, REVIEW), source("ops"))

    assert "materialActual" not in event["data"]
    assert event["data"]["decision"] == {
        "reviewID": "preforms_used/1/3",
        "verdict": verdict.value,
        "candidate": candidate,
        "by": "a.smith",
        "at": "2026-03-04T12:00:00.000Z",
    }
    assert event["correlationid"] == opened["correlationid"]
    assert event["subject"] == opened["subject"] == "300017/B7"
    assert opened["data"]["key"]["materialLotID"] == "B7"
    assert render(_draft(EventType.DECIDED, decision)).topic.endswith("/_ops/decided")


def test_what_a_person_found_is_said_with_the_decision() -> None:
    found = Decision(REVIEW, Verdict.ACCEPTED, 1, "a.smith", "counted", NOON, Decimal(93))
    said = data_of(_draft(EventType.DECIDED, found))["decision"]

    assert (said["candidate"], said["quantity"]) == (1, {"quantityString": "93", "unitOfMeasure": "H87"})
    assert "quantity" not in data_of(_draft(EventType.DECIDED, replace(found, quantity=None)))["decision"]


def test_a_voided_number_is_accounted_for() -> None:
    voided = Voided(
        source("routine"), 17, CAUSE, "io.edgeagent.material.consumed.v1", "ab" * 32, "too large", "cd" * 32
    )
    made = render(_draft(EventType.VOIDED, voided))

    assert data_of(_draft(EventType.VOIDED, voided))["voided"] == {
        "source": source("routine"),
        "sequence": 17,
        "id": CAUSE,
        "type": "io.edgeagent.material.consumed.v1",
        "sha256": "ab" * 32,
        "prevhash": "cd" * 32,
        "reason": "too large",
    }
    assert made.topic.endswith("/_ops/voided")
    assert made.stock == ()


@pytest.mark.parametrize(("count", "which"), [(1, "event 17 of"), (4, "4 events from 17 on of")])
def test_overdue_answers_are_raised(count: int, which: str) -> None:
    overdue = Overdue("erp", source("routine"), 17, 20, count, NOON - timedelta(hours=1))
    data = data_of(_draft(EventType.EXCEPTION, overdue))

    assert data["exception"] == {
        "id": "overdue/erp/routine/17",
        "cause": "overdue",
        "message": f"erp has not answered {which} stream routine in time",
        "since": "2026-03-04T11:00:00.000Z",
        "system": "erp",
        "source": source("routine"),
        "sequence": 17,
        "count": count,
    }
    assert data["startTime"] == "2026-03-04T11:00:00.000Z"
    assert "postingDate" not in data


def test_what_is_booked_in_doubt_is_said() -> None:
    span = (NOON - timedelta(seconds=5), NOON)
    notice = Notice("syrup/notice/1", Cause.LOT_UNKNOWN, key(), Decimal("1.5"), *span, "no known lot")
    event = event_of(_draft(EventType.EXCEPTION, notice), source("ops"))

    assert event["data"]["noticeID"] == "syrup/notice/1"
    assert (event["data"]["cause"], event["data"]["quantity"]["quantityString"]) == ("lot-unknown", "1.5")
    assert (event["data"]["since"], event["data"]["until"]) == ("2026-03-04T11:59:55.000Z", "2026-03-04T12:00:00.000Z")
    assert event["subject"] == "300017"


def test_what_was_sent_and_belongs_elsewhere_is_named_by_its_events() -> None:
    first, second = (event_id(source("routine"), sequence) for sequence in (17, 18))
    parts = ((0, "100", first), (100, "50", second), (150, "7", None), (157, "20", first))
    carried = tuple(Carried(1, place, Decimal(quantity), event) for place, quantity, event in parts)
    notice = Notice("syrup/notice/1", Cause.BACKDATED, key(), Decimal(177), NOON, NOON, "reverse it", carried)
    data = event_of(_draft(EventType.EXCEPTION, notice), source("ops"))["data"]

    assert [(one["id"], one["quantity"]["quantityString"]) for one in data["events"]] == [
        (first, "120"),
        (second, "50"),
    ]
    assert data["message"] == f"reverse it: 120 in event {first}; 50 in event {second}"


def test_a_line_says_who_worked_and_where_its_context_was_known_from() -> None:
    booked = line()
    booked = replace(booked, key=replace(booked.key, operator="anna"))
    (sent,) = data_of(EventDraft(EventType.CONSUMED, "routine", NOON, (booked,)))["materialActual"]

    assert sent["properties"] == [{"id": "operator", "value": "anna"}, *_origin(booked.key.rule)]


def test_what_is_consumed_says_what_was_made_of_it() -> None:
    booked = line()
    known = replace(booked, key=replace(booked.key, into_lot="B77"))
    sent = data_of(EventDraft(EventType.CONSUMED, "routine", NOON, (known, booked)))["materialActual"]

    assert [one.get("intoMaterialLotID") for one in sent] == ["B77", None]


def _origin(rule: str) -> list[dict[str, str]]:
    order = tag_map().rules[rule].order
    return [] if order is None else [{"id": "orderFrom", "value": str(order)}]


def test_a_snapshot_states_gross_figures_at_the_watermarks() -> None:
    stocks = (
        Stock(
            StockKey("TANK", "100100", "B7", "available", "LTR"),
            {Figure.CONSUMED: Decimal("1E+3"), Figure.PRODUCED: Decimal("0.00")},
            {Figure.CONSUMED: Decimal("17.50")},
        ),
        Stock(StockKey(None, "300017", None, "available", "H87"), {Figure.SCRAPPED: Decimal(3)}, {}),
    )
    marks = (Watermark(source("routine"), 41, "ab" * 32), Watermark(source("ops"), 0, FIRST_PREVHASH))
    snapshot = Snapshot("s-1", 1, 2, marks, 41, (7, "cd" * 32), stocks)
    data = data_of(_draft(EventType.SNAPSHOT, snapshot))

    assert {name: data[name] for name in ("snapshotID", "part", "parts", "asOf", "eventCount", "auditHead")} == {
        "snapshotID": "s-1",
        "part": 1,
        "parts": 2,
        "asOf": "2026-03-04T12:00:00.000Z",
        "eventCount": 41,
        "auditHead": {"sequence": 7, "hash": "cd" * 32},
    }
    assert data["watermarks"] == [
        {"source": source("routine"), "sequence": 41, "hash": "ab" * 32},
        {"source": source("ops"), "sequence": 0, "hash": "0" * 64},
    ]
    assert data["stock"] == [
        {
            "storageLocation": {"location": "TANK", "locationType": "OperationalLocation"},
            "materialDefinitionID": "100100",
            "materialLotID": "B7",
            "stockType": "available",
            "unitOfMeasure": "LTR",
            "cumulative": {"consumed": "1000"},
            "cumulativeReversed": {"consumed": "17.5"},
            "openingBalance": None,
            "onHand": {"basis": "none"},
        },
        {
            "materialDefinitionID": "300017",
            "stockType": "available",
            "unitOfMeasure": "H87",
            "cumulative": {"scrapped": "3"},
            "cumulativeReversed": {},
            "openingBalance": None,
            "onHand": {"basis": "none"},
        },
    ]


def test_a_full_part_of_a_snapshot_can_be_sent() -> None:
    booked: list[Figure] = [
        figure for figure in Figure if figure not in {Figure.RECEIVED, Figure.ADJUSTED_UP, Figure.ADJUSTED_DOWN}
    ]
    figures = dict.fromkeys(booked, Decimal("123456789012345678.123456789"))
    stocks = tuple(
        Stock(StockKey(f"LOCATION-{n:03}" + "x" * 20, f"MATERIAL-{n}", "L" * 20, "available", "KGM"), figures, figures)
        for n in range(60)
    )
    marks = tuple(Watermark(source(f"stream{n}"), 10**18, "ab" * 32) for n in range(8))
    made = render(_draft(EventType.SNAPSHOT, Snapshot("s-1", 1, 1, marks, 10**18, (10**9, "ab" * 32), stocks)))

    assert len(made.payload) <= 65_536


@pytest.mark.parametrize(
    ("event", "about"),
    [(EventType.EXCEPTION, None), (EventType.DECIDED, REVIEW), (EventType.REVERSED, None), (EventType.CONSUMED, None)],
)
def test_a_type_that_is_about_something_else_is_refused(event: EventType, about: About | None) -> None:
    with pytest.raises(EventInvalid, match="cannot be about"):
        render(_draft(event, about))
