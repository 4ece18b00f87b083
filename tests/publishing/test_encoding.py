"""Every event that can be rendered is a CloudEvent by the official package and valid by the shipped schemas."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import NAMESPACE_URL, uuid5

import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import EventInvalid
from edge_agent.model.event import EventDraft, Place
from edge_agent.model.movement import (
    Candidate,
    Cause,
    Decision,
    EventType,
    Gap,
    Review,
    Verdict,
)
from edge_agent.publishing.encoding import Renderer, event_id
from edge_agent.publishing.scalars import decimal_string, timestamp
from tests.publishing.drafts import drafts, places
from tests.publishing.rendered import PLACE, RENDERER, data_of, event_of
from tests.publishing.samples import NOON, draft, key, line, source, tag_map
from tests.publishing.schemas import ENVELOPE, validator


@given(drafts, places)
def test_every_event_is_valid_by_the_shipped_schemas(event: EventDraft, place: Place) -> None:
    rendered = RENDERER.render(event, place)
    ENVELOPE.validate(json.loads(rendered.payload))


@given(drafts, places)
def test_the_official_package_reads_every_event(event: EventDraft, place: Place) -> None:
    rendered = RENDERER.render(event, place)
    ours = json.loads(rendered.payload)
    theirs = JSONFormat().read(CloudEvent, rendered.payload)

    assert theirs.get_data() == ours.pop("data")
    time = theirs.get_attributes().pop("time")
    assert timestamp(time) == ours.pop("time") == timestamp(event.time)
    assert theirs.get_attributes() == ours
    assert (rendered.id, rendered.type) == (theirs.get_id(), theirs.get_type())


@given(drafts, places)
def test_rendering_is_deterministic(event: EventDraft, place: Place) -> None:
    assert RENDERER.render(event, place) == Renderer(tag_map(), "1.0.0").render(event, place)


DATA = {
    "operationsType": "Production",
    "hierarchyScope": [
        {"equipmentID": "acme", "equipmentLevel": "Enterprise"},
        {"equipmentID": "berlin", "equipmentLevel": "Site"},
        {"equipmentID": "filling", "equipmentLevel": "Area"},
        {"equipmentID": "L3", "equipmentLevel": "ProductionLine"},
    ],
    "jobOrderID": "4711",
    "postingDate": "2026-03-04",
    "startTime": "2026-03-04T11:59:55.000Z",
    "utcOffset": "+01:00",
    "timeZone": "Europe/Berlin",
    "originSystem": "l3-edge",
    "agentVersion": "1.0.0",
    "materialActual": [
        {
            "id": "1",
            "materialUse": "Consumed",
            "materialDefinitionID": "300017",
            "quantity": {
                "quantityString": "17.5",
                "unitOfMeasure": "H87",
                "sourceQuantityString": "17",
                "sourceUnit": "H87",
            },
            "storageLocation": {"location": "L3-HOPPER", "locationType": "OperationalLocation"},
            "posting": "actual",
            "evidence": {
                "rule": "preforms_used",
                "source": "filler",
                "node": "nsu=urn:example:bottling-line;s=::preforms_in",
                "configHash": "c0" * 32,
                "epoch": 1,
                "fromPosition": 100,
                "toPosition": 117,
                "firstSourceTime": "2026-03-04T11:59:55.000Z",
                "lastSourceTime": "2026-03-04T12:00:00.000Z",
                "statusCodes": [0],
                "rawBefore": "100",
                "rawAfter": "117",
                "sampleCount": 50,
                "flags": ["wrapped"],
            },
        }
    ],
}


def test_the_envelope_is_as_designed() -> None:
    rendered = RENDERER.render(draft(Decimal("17.50")), PLACE)
    event = json.loads(rendered.payload)
    data = event.pop("data")

    assert event == {
        "specversion": "1.0",
        "id": str(uuid5(uuid5(NAMESPACE_URL, PLACE.source), "00000000000000000042")),
        "source": PLACE.source,
        "type": "io.edgeagent.material.consumed.v1",
        "time": "2026-03-04T12:00:00.000Z",
        "recordedtime": "2026-03-04T12:00:00.007Z",
        "sequence": "00000000000000000042",
        "subject": "300017",
        "partitionkey": "berlin|300017|",
        "prevhash": "ab" * 32,
        "dataschema": "urn:edgeagent:schema:material.consumed:1",
        "datacontenttype": "application/json",
    }
    assert rendered.id == event["id"] == event_id(PLACE.source, 42)
    assert rendered.topic == "mat/v1/acme/berlin/filling/L3/_/_material/consumed"
    assert data == DATA


def test_a_move_is_a_pair_of_lines() -> None:
    pallet = line(Decimal(504), key("pallet_out", None, "340123450000000018"))
    data = data_of(EventDraft(EventType.MOVED, "critical", NOON, (pallet, pallet)))

    assert data["operationsType"] == "Inventory"
    assert "jobOrderID" not in data
    assert [
        (entry["id"], entry["pairID"], entry["materialUse"], entry["storageLocation"]["location"])
        for entry in data["materialActual"]
    ] == [
        ("1", "1", "Consumed", "L3-OUT"),
        ("2", "1", "Produced", "WH-01"),
        ("3", "2", "Consumed", "L3-OUT"),
        ("4", "2", "Produced", "WH-01"),
    ]
    first = data["materialActual"][0]
    assert first["containerID"] == "340123450000000018"
    assert first["quantity"]["sourceUnit"] == "XCS"
    assert first["evidence"]["node"].endswith("s=::pal_seq")


def test_a_modbus_rule_names_its_register() -> None:
    data = data_of(EventDraft(EventType.CONSUMED, "routine", NOON, (line(Decimal("1.7"), key("water_used")),)))

    assert data["materialActual"][0]["evidence"]["register"] == "hr104"
    assert data["materialActual"][0]["quantity"]["unitOfMeasure"] == "LTR"


def _review() -> Review:
    ways = (Candidate(Decimal(65526), "wrap", key()), Candidate(Decimal(0), "restored", key(order=None)))
    return Review(
        "preforms_used/1/3", Cause.RESET_OR_WRAP, key(), ways, line(Decimal(0)), True, NOON, "fell from 9 to 4"
    )


def test_a_review_numbers_its_candidates_and_books_nothing() -> None:
    event = event_of(EventDraft(EventType.IN_REVIEW, "ops", NOON, about=_review()))
    data = event["data"]

    assert "materialActual" not in data
    assert (data["reviewID"], data["cause"], data["message"]) == (
        "preforms_used/1/3",
        "reset-or-wrap",
        "fell from 9 to 4",
    )
    assert [(way["number"], way["quantity"], way["why"]) for way in data["candidates"]] == [
        (1, {"quantityString": "65526", "unitOfMeasure": "H87"}, "wrap"),
        (2, {"quantityString": "0", "unitOfMeasure": "H87"}, "restored"),
    ]
    assert data["key"] == {
        "rule": "preforms_used",
        "event": "material.consumed",
        "materialDefinitionID": "300017",
        "jobOrderID": "4711",
        "fromLocation": "L3-HOPPER",
        "postingDate": "2026-03-04",
    }
    assert data["evidence"]["rawBefore"] == "100"
    assert event["subject"] == "300017"


def test_a_decision_carries_who_why_and_what_it_settles() -> None:
    decision = Decision(_review(), Verdict.ACCEPTED, 1, "a.smith", "checked the meter", NOON)
    place = replace(PLACE, causation="0d7d2f4e-7f0c-5a0a-9a38-6f3f0a1b2c3d")
    booked = json.loads(RENDERER.render(replace(draft(), about=decision), place).payload)
    opened = event_of(EventDraft(EventType.IN_REVIEW, "ops", NOON, about=_review()), source("ops"))

    assert booked["causationid"] == "0d7d2f4e-7f0c-5a0a-9a38-6f3f0a1b2c3d"
    assert booked["correlationid"] == opened["correlationid"]
    assert booked["data"]["reason"] == {"code": "reset-or-wrap", "text": "checked the meter"}
    assert booked["data"]["decision"] == {
        "reviewID": "preforms_used/1/3",
        "verdict": "accepted",
        "candidate": 1,
        "by": "a.smith",
        "at": "2026-03-04T12:00:00.000Z",
    }


def test_a_gap_has_bounds() -> None:
    gap = Gap(
        "preforms_used/1/4", Cause.RESET, key(), Decimal(0), None, NOON - timedelta(seconds=9), NOON, "unseen before"
    )
    data = data_of(EventDraft(EventType.EXCEPTION, "ops", NOON, about=gap))
    bounded = data_of(EventDraft(EventType.EXCEPTION, "ops", NOON, about=replace(gap, maximum=Decimal("225.0"))))

    assert data["minimum"] == {"quantityString": "0", "unitOfMeasure": "H87"}
    assert data["maximum"] is None
    assert bounded["maximum"] == {"quantityString": "225", "unitOfMeasure": "H87"}
    assert (data["gapID"], data["since"], data["until"]) == (
        "preforms_used/1/4",
        "2026-03-04T11:59:51.000Z",
        "2026-03-04T12:00:00.000Z",
    )


def test_lines_of_several_materials_go_by_their_order() -> None:
    mixed = (line(), line(Decimal(1), replace(key(), material="100100")))
    event = event_of(EventDraft(EventType.CONSUMED, "routine", NOON, mixed))

    assert (event["subject"], event["partitionkey"]) == ("4711", "berlin|4711|")


def test_summer_time_shows_in_the_offset() -> None:
    july = datetime(2026, 7, 1, 12, tzinfo=UTC)

    assert data_of(replace(draft(), time=july))["utcOffset"] == "+02:00"


@given(st.decimals(0, 10**18 - 1, allow_nan=False, places=9))
def test_decimal_strings_are_exact(value: Decimal) -> None:
    text = decimal_string(value)

    assert Decimal(text) == value
    assert re.fullmatch(r"\d{1,18}(\.\d{1,9})?", text)
    assert not re.search(r"\.\d*0$", text)


@pytest.mark.parametrize(
    ("value", "text"),
    [("0E+3", "0"), ("-0", "0"), ("1E+3", "1000"), ("12.500", "12.5"), ("100", "100"), ("1E-9", "0.000000001")],
)
def test_decimal_strings_have_one_form(value: str, text: str) -> None:
    assert decimal_string(Decimal(value)) == text


@pytest.mark.parametrize("value", ["-1", "NaN", "Infinity", "1E+18", "1E-10", "sNaN"])
def test_what_no_event_can_carry_is_refused(value: str) -> None:
    with pytest.raises(EventInvalid, match="no quantity an event can carry"):
        decimal_string(Decimal(value))


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(EventInvalid, match="no time zone"):
        timestamp(datetime(2026, 1, 1))  # noqa: DTZ001 - the fault under test


def test_a_new_map_and_version_change_new_bytes_only() -> None:
    old = RENDERER.render(draft(), PLACE)
    new = Renderer(tag_map(config_hash="d1" * 32), "2.0.0").render(draft(), PLACE)

    assert new.payload != old.payload
    assert new.id == old.id


_GOOD = json.loads(RENDERER.render(draft(), PLACE).payload)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("sequence", "42"),
        ("sequence", 42),
        ("time", "2026-03-04T12:00:00Z"),
        ("time", "2026-03-04T13:00:00.000+01:00"),
        ("prevhash", "AB" * 32),
        ("source", "urn:edgeagent:l3"),
        ("type", "io.edgeagent.material.produced.v1"),
        ("id", "42"),
        ("extra", 1),
        ("data.extra", 1),
        ("data.postingDate", None),
        ("data.materialActual", []),
        ("data.materialActual.0.materialUse", "Produced"),
        ("data.materialActual.0.posting", "maybe"),
        ("data.materialActual.0.pairID", "1"),
        ("data.materialActual.0.quantity.quantityString", 17),
        ("data.materialActual.0.quantity.quantityString", "-1"),
        ("data.materialActual.0.quantity.quantityString", "1e3"),
        ("data.materialActual.0.evidence.register", "hr104"),
        ("data.materialActual.0.evidence.epoch", "1"),
        ("data.hierarchyScope.0.equipmentLevel", "Line"),
    ],
)
def test_the_schemas_are_strict(path: str, value: object) -> None:
    event = json.loads(json.dumps(_GOOD))
    ENVELOPE.validate(event)
    *parents, last = path.split(".")
    target = event
    for name in parents:
        target = target[int(name) if name.isdigit() else name]
    target[int(last) if last.isdigit() else last] = value

    assert list(ENVELOPE.iter_errors(event))


def test_a_material_event_has_lines() -> None:
    assert list(validator("urn:edgeagent:schema:material.moved:1").iter_errors(_GOOD["data"]))
