"""What cannot be read is counted and kept, and stops nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from edge_agent_receiver import Accepted, Busy, Rejected
from edge_agent_receiver.event import read_event
from edge_agent_receiver.strict_json import Malformed, read_object
from tests.receiver.agent_log import PREFIX, AgentLog, evidence, line
from tests.receiver.plant import Plant

TOPIC = f"{PREFIX}/_material/consumed"


def _with(**changes: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda event: {**event, **changes}


BAD_ENVELOPES = {
    "id of another place": _with(id="5f1cbc4c-6f0b-5c3a-8d6a-000000000000"),
    "short sequence": _with(sequence="1"),
    "sequence 0": _with(sequence="0" * 20),
    "sequence as a number": _with(sequence=1),
    "arabic digits": _with(sequence="\u0660" * 19 + "\u0661"),
    "source of nobody": _with(source="urn:edgeagent:l3"),
    "source with a slash": _with(source="urn:edgeagent:a/b:c:d"),
    "no data": _with(data=None),
    "no prevhash": _with(prevhash=None),
    "another specversion": _with(specversion="0.3"),
    "lone surrogate": _with(type="\ud800"),
    "NUL": _with(type="a\0b"),
}
BAD_PAYLOADS = {
    "nothing": b"",
    "not JSON": b"{",
    "not UTF-8": b'{"a": "\xff"}',
    "a list": b"[]",
    "NaN": b'{"specversion": NaN}',
    "a name twice": b'{"specversion": "1.0", "specversion": "1.0"}',
    "5,000 digits": b'{"a": ' + b"9" * 5000 + b"}",
    "huge exponent": b'{"a": 1e' + b"9" * 100 + b"}",
    "200,000 levels": b"[" * 200_000,
    "a megabyte": b'{"a": "' + b"x" * (1 << 20) + b'"}',
}


@pytest.mark.parametrize("name", BAD_PAYLOADS)
def test_bad_payloads_are_kept_and_stop_nothing(plant: Plant, log: AgentLog, name: str) -> None:
    plant.deliver((TOPIC, BAD_PAYLOADS[name]), (TOPIC, BAD_PAYLOADS[name]), log.consumed())
    plant.deliver((f"{PREFIX}/_gateway/l3-edge/heartbeat", BAD_PAYLOADS[name]))
    plant.post()

    assert plant.inbox.counts["malformed"] == 3
    assert plant.ledger.sums == {"silo/PET/Consumed": Decimal(1)}
    with plant.store.transaction() as db:
        assert [bytes(kept) for (kept,) in db.rows("SELECT payload FROM malformed")] == [BAD_PAYLOADS[name]]


@pytest.mark.parametrize("name", BAD_ENVELOPES)
def test_bad_envelopes_are_kept_and_healed(plant: Plant, log: AgentLog, name: str) -> None:
    sent = log.consumed()
    broken = json.dumps(BAD_ENVELOPES[name](json.loads(sent.payload))).encode()

    plant.deliver((sent.topic, broken), log.heartbeat())
    assert plant.inbox.counts["malformed"] == 1

    plant.settle(5)
    assert plant.ledger.sums == {"silo/PET/Consumed": Decimal(1)}


@pytest.mark.parametrize("topic", ["mat/v1/too/short", "other/v1/a/b/c/d/e/_material/consumed", "", f"{PREFIX}/a\nb"])
def test_foreign_topics_are_malformed(plant: Plant, log: AgentLog, topic: str) -> None:
    plant.deliver((topic, log.consumed().payload))

    assert plant.inbox.counts["malformed"] == 1


BAD_LINES = {
    "float": line() | {"quantity": {"quantityString": 1.5, "unitOfMeasure": "KGM"}},
    "exponent": line(quantity="1e5"),
    "sign": line(quantity="-1"),
    "blank": line(quantity=" 1"),
    "10 decimals": line(quantity="0.1234567890"),
    "no unit": line() | {"quantity": {"quantityString": "1"}},
    "no material": line() | {"materialDefinitionID": ""},
    "a list as place": line() | {"storageLocation": []},
    "NUL in a lot": line(materialLotID="L\0"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_bad_data_is_rejected_as_malformed_once_it_is_proven_to_be_the_original(
    plant: Plant, log: AgentLog, name: str
) -> None:
    data = {"postingDate": "2025-03-01", "materialActual": [BAD_LINES[name], line(2)]}
    plant.deliver(log.put("material.consumed", "_material/consumed", data))
    plant.step()
    assert plant.states(log) == {1: "received"}

    plant.deliver(log.consumed())
    plant.settle(5)

    assert plant.states(log) == {1: "rejected", 2: "accepted"}
    assert log.answers["erp", log.source()].single[1]["code"] == "malformed"
    assert len(plant.ledger.posted) == 1


def test_other_systems_commands_and_our_own_discrepancies_are_let_be(plant: Plant) -> None:
    gateway = f"{PREFIX}/_gateway/l3-edge"
    plant.deliver((f"{gateway}/cmd/ack", b"junk"), (f"{gateway}/cmd/count/reply", b"junk"))
    plant.deliver((f"{PREFIX}/_recon/discrepancy", b"junk"))
    plant.deliver((f"{gateway}/cmd/ack/reply", b'{"nonce": "x", "system": "mes", "source": "y", "upTo": 1}'))
    plant.deliver((f"{gateway}/cmd/replay/reply", b'{"id": "x", "unavailable": [[1, 5]]}'))
    plant.settle(3)

    assert plant.inbox.counts["malformed"] == 0
    assert plant.commands == []


def test_numbers_are_exact() -> None:
    assert read_object(b'{"a": 0.1, "b": 100000000000000000}') == {"a": Decimal("0.1"), "b": 10**17}


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', '{"a": {"b": 1, "b": 2}}', '{"a": Infinity}', '"a"'])
def test_loose_json_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        read_object(text.encode())


def test_an_event_says_what_a_team_needs(log: AgentLog) -> None:
    lines = [
        line(1, quantity="1.50", materialLotID="L1", evidence=evidence(0, 3)),
        line(2, posting="backflush"),
        line(3, posting="information", location=None),
    ]
    data = {"postingDate": "2025-03-01", "jobOrderID": "4711", "materialActual": lines}
    event = read_event(*log.put("material.consumed", "_material/consumed", data).wire)

    (posted,) = event.lines
    assert (posted.use, posted.material, posted.lot, posted.unit) == ("Consumed", "PET", "L1", "KGM")
    assert (posted.quantity, posted.location, posted.pair) == (Decimal("1.50"), "silo", None)
    assert posted.data["evidence"]["rule"] == "pet_used"
    assert (event.name, event.order, str(event.posting_date)) == ("material.consumed", "4711", "2025-03-01")
    assert tuple(event.urn) == ("l3-edge", "11111111", "routine")
    assert event.again is False
    assert event.reverses is None


@pytest.mark.parametrize(
    "answer",
    [
        lambda: Rejected("no_such_code"),
        lambda: Accepted(document=""),
        lambda: Accepted(document="x" * 501),
        lambda: Busy(retry_after=0),
        lambda: Busy(retry_after=86_401),
    ],
)
def test_answers_that_the_agent_would_refuse_cannot_be_made(answer: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"is no code|characters|seconds"):
        answer()
