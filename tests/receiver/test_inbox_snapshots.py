"""Snapshots: compared at the watermark, once everything up to it is here."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from edge_agent_receiver.store import Store
from tests.receiver.agent_log import AgentLog, Sent, changed, line
from tests.receiver.plant import Plant, reject


def _everything(log: AgentLog) -> list[Sent]:
    """One event of every kind that moves a stock, and some that move none."""
    produced = {"materialActual": [line(use="Produced", material="bottle", location="hopper", materialLotID="L1")]}
    returned = {"materialActual": [line(quantity="0.5", location="silo")]}
    scrapped = {"scrapOrigin": "stock", "materialActual": [line(use="Other", quantity="0.25")]}
    in_process = {"scrapOrigin": "process", "materialActual": [line(use="Other", quantity="2")]}
    sampled = {"materialActual": [line(use="Other", material="bottle", location="hopper", materialLotID="L1")]}
    made = [
        log.consumed("1.5"),
        log.consumed("3", posting="backflush"),
        log.consumed("2", location=None),
        log.moved("4"),
        log.put("material.produced", "_material/produced", produced),
        log.put("material.returned", "_material/returned", returned, "critical"),
        log.put("material.scrapped", "_material/scrapped", scrapped),
        log.put("material.scrapped", "_material/scrapped", in_process),
        log.put("material.sampled", "_material/sampled", sampled),
        log.review(),
    ]
    return [*made, log.reverse(made[3])]


def test_figures_agree(plant: Plant, log: AgentLog) -> None:
    plant.deliver(*_everything(log), *log.snapshot(parts=3))
    plant.settle(5)

    assert plant.inbox.counts["snapshots compared"] == 1
    assert plant.published == []
    with plant.store.transaction() as db:
        totals = db.rows(
            "SELECT location, material, lot, unit, figure, amount FROM total ORDER BY location, figure, material"
        )
        assert db.rows("SELECT count(*) FROM move") == [(0,)]
    assert totals == [
        ("", "PET", "", "KGM", "consumed", "2"),
        ("", "PET", "", "KGM", "scrapped", "2"),
        ("hopper", "PET", "", "KGM", "movedIn", "4"),
        ("hopper", "PET", "", "KGM", "movedInReversed", "4"),
        ("hopper", "bottle", "L1", "KGM", "produced", "1"),
        ("hopper", "bottle", "L1", "KGM", "sampled", "1"),
        ("silo", "PET", "", "KGM", "consumed", "1.5"),
        ("silo", "PET", "", "KGM", "movedOut", "4"),
        ("silo", "PET", "", "KGM", "movedOutReversed", "4"),
        ("silo", "PET", "", "KGM", "returned", "0.5"),
        ("silo", "PET", "", "KGM", "scrapped", "0.25"),
    ]


def test_it_is_compared_at_the_watermark_whatever_comes_before_and_after(plant: Plant, log: AgentLog) -> None:
    events = [log.consumed() for _ in range(5)]
    snapshot = log.snapshot()
    later = [log.consumed() for _ in range(5)]
    plant.deliver(*snapshot, *later, *events[3:])
    plant.step()
    assert plant.inbox.counts["snapshots compared"] == 0

    plant.deliver(*events[:3])

    assert plant.inbox.counts["snapshots compared"] == 1
    assert plant.published == []


def test_what_is_missing_below_the_watermark_is_asked_for(plant: Plant, log: AgentLog) -> None:
    for _ in range(5):
        log.consumed()
    log.consumed(stream="critical")
    plant.deliver(*log.snapshot())

    plant.settle(5)

    assert {body["source"] for name, body in log.commands if name == "replay"} == {log.source(), log.source("critical")}
    assert plant.inbox.counts["snapshots compared"] == 1
    assert plant.published == []


def _altered(sent: Sent, **figures: str) -> tuple[str, bytes]:
    """The snapshot as an agent whose books are wrong would write it."""
    event = json.loads(sent.payload)
    for entry in event["data"]["stock"]:
        entry["cumulative"] |= figures
    return sent.topic, json.dumps(event).encode()


def test_a_difference_is_published_once_per_change_and_closed(plant: Plant, log: AgentLog) -> None:
    plant.deliver(log.consumed("1"))

    def compare(**figures: str) -> list[Any]:
        (sent,) = log.snapshot()
        log.streams["ops"][-1] = Sent(sent.source, sent.sequence, *_altered(sent, **figures))
        plant.deliver(log.at(sent.sequence, "ops"))
        plant.settle(3)
        said, plant.published = plant.published, []
        return said

    (opened,) = compare(consumed="1.5")
    assert opened.items() >= {"cause": "unexplained", "expected": "1.5", "found": "1", "system": "erp"}.items()
    assert opened["key"] == {"location": "silo", "material": "PET", "unit": "KGM", "figure": "consumed"}

    assert compare(consumed="1.5") == []
    plant.deliver(log.consumed("1"))
    assert compare(consumed="2.5") == []
    (widened,) = compare(consumed="3")
    assert (widened["expected"], widened["found"]) == ("3", "2")
    (closed,) = compare()
    assert (closed["expected"], closed["found"]) == ("2", "2")
    assert closed["opened"] <= closed["closed"]
    assert plant.open_discrepancies() == []


def test_a_figure_that_only_one_side_knows_is_a_difference(plant: Plant, log: AgentLog) -> None:
    plant.deliver(log.consumed("1"))
    (sent,) = log.snapshot()
    event = json.loads(sent.payload)
    event["data"]["stock"] = [{"materialDefinitionID": "caps", "unitOfMeasure": "H87", "cumulative": {"produced": "7"}}]
    plant.deliver((sent.topic, json.dumps(event).encode()))
    plant.settle(3)

    said = {(one["key"]["material"], one["expected"], one["found"]) for one in plant.published}
    assert said == {("PET", "0", "1"), ("caps", "7", "0")}


def test_pruned_events_explain_a_difference(plant: Plant, log: AgentLog) -> None:
    events = [log.consumed() for _ in range(3)]
    log.gone.add((log.source(), 1))
    plant.deliver(*events[1:], *log.snapshot(), log.heartbeat())
    plant.settle(10)

    (said,) = [one for one in plant.published if "key" in one]
    assert (said["cause"], said["expected"], said["found"]) == ("pruned", "3", "2")

    plant.deliver(events[0], *log.snapshot())
    plant.settle(10)
    assert plant.open_discrepancies() == []


def test_events_posted_as_they_were_changed_explain_a_difference(plant: Plant, log: AgentLog) -> None:
    first = log.consumed("1")
    plant.deliver(changed(first))
    plant.post()
    plant.deliver(log.consumed("1"), *log.snapshot())
    plant.settle(10)

    (said,) = [one for one in plant.published if "key" in one]
    assert (said["cause"], said["expected"], said["found"]) == ("changed", "2", "92")


def test_an_event_that_could_not_be_published_explains_a_difference(plant: Plant, log: AgentLog) -> None:
    lost = log.consumed("1")
    plant.deliver(log.void(lost), *log.snapshot())
    plant.settle(10)

    (said,) = plant.published
    assert (said["cause"], said["expected"], said["found"]) == ("lost", "1", "0")

    plant.deliver(log.retry(lost), *log.snapshot())
    plant.settle(10)
    assert plant.open_discrepancies() == []


def test_of_many_snapshots_that_wait_the_last_is_compared(plant: Plant, log: AgentLog) -> None:
    first = log.consumed()
    snapshots = []
    for _ in range(5):
        plant.deliver(log.consumed())
        snapshots += log.snapshot()
    plant.deliver_all(snapshots)
    plant.deliver(first)

    assert plant.inbox.counts["snapshots compared"] == 1
    with plant.store.transaction() as db:
        assert db.rows("SELECT count(*) FROM snapshot_part") == [(0,)]


def test_a_snapshot_that_comes_after_a_later_one_is_let_be(plant: Plant, log: AgentLog) -> None:
    plant.deliver(log.consumed())
    early = log.snapshot()
    plant.deliver(log.consumed())
    late = log.snapshot()
    log.gone.add((early[0].source, early[0].sequence))
    plant.deliver(*late, log.heartbeat())
    plant.settle(5)
    plant.deliver(*early)
    plant.settle(5)

    assert plant.inbox.counts["snapshots compared"] == 1
    assert [one for one in plant.published if "key" in one] == []


def test_a_snapshot_in_parts_waits_for_all_of_them_over_a_restart(plant: Plant, log: AgentLog) -> None:
    plant.deliver(*_everything(log))
    parts = log.snapshot(parts=2)
    plant.deliver(parts[0])
    plant.open()
    assert plant.inbox.counts["snapshots compared"] == 0
    plant.deliver(parts[1])

    assert plant.inbox.counts["snapshots compared"] == 1
    assert plant.published == []


def test_each_store_has_stocks_of_its_own(store: Store) -> None:
    old, new = AgentLog(store="old"), AgentLog(store="new")
    plant = Plant(store, old, new)
    plant.deliver(old.consumed("1"), new.consumed("2"), *old.snapshot(), *new.snapshot())
    plant.settle(3)

    assert plant.inbox.counts["snapshots compared"] == 2
    assert plant.published == []


def test_rejected_and_reversed_events_count_as_the_agent_counts_them(plant: Plant, log: AgentLog) -> None:
    plant.ledger.answer = lambda event: reject()
    original = log.consumed("1")
    plant.deliver(original)
    plant.settle(3)
    plant.deliver(log.reverse(original), *log.snapshot())
    plant.settle(3)

    assert plant.inbox.counts["snapshots compared"] == 1
    assert plant.published == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data.pop("watermarks"),
        lambda data: data.update(part=0),
        lambda data: data.update(part=2, parts=1),
        lambda data: data.update(stock=[{"materialDefinitionID": "PET"}]),
        lambda data: data["stock"][0]["cumulative"].update(consumed=1.0),
        lambda data: data["stock"][0]["cumulative"].update(invented="1"),
        lambda data: data["watermarks"][0].update(source="urn:edgeagent:other:s:routine"),
        lambda data: data["watermarks"][0].update(hash="short"),
    ],
)
def test_a_malformed_snapshot_is_rejected_and_compared_never(plant: Plant, log: AgentLog, spoil: Any) -> None:
    plant.deliver(log.consumed())
    (sent,) = log.snapshot()
    event = json.loads(sent.payload)
    spoil(event["data"])
    log.streams["ops"][-1] = Sent(sent.source, sent.sequence, sent.topic, json.dumps(event).encode())
    plant.deliver(log.at(1, "ops"), log.heartbeat())
    plant.settle(5)

    assert plant.states(log, "ops") == {1: "rejected"}
    assert plant.inbox.counts["snapshots compared"] == 0


def test_sums_are_exact(plant: Plant, log: AgentLog) -> None:
    plant.deliver(log.consumed("999999999999999999.999999999"), log.consumed("0.000000001"), *log.snapshot())
    plant.settle(3)

    assert plant.published == []
    with plant.store.transaction() as db:
        ((amount,),) = db.rows("SELECT amount FROM total")
    assert Decimal(amount) == 10**18
