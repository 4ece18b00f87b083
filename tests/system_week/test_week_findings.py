"""What the week has found in the receiver kit, each in its smallest form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from edge_agent_receiver import Accepted
from edge_agent_receiver.store import open_store
from tests.receiver.agent_log import ZEROS, AgentLog, Sent, changed, stocks
from tests.receiver.plant import Plant, reject


@pytest.fixture
def log() -> AgentLog:
    return AgentLog(store="old")


@pytest.fixture
def plant(tmp_path: Path, log: AgentLog) -> Iterator[Plant]:
    store = open_store(str(tmp_path / "inbox.db"))
    yield Plant(store, log)
    store.close()


def restored(old: AgentLog, up_to: int, *, store: str = "new") -> AgentLog:
    """The agent on a backup of its database: of the old store it has `routine` up to there, the rest is new."""
    new = AgentLog(store=store)
    new.former = [(old.source(), up_to, old.at(up_to).sha256)]  # type: ignore[attr-defined]
    new.former_events = [old.at(number) for number in range(1, up_to + 1)]  # type: ignore[attr-defined]
    return new


def snapshot(new: AgentLog) -> Sent:
    """All stocks of a restored store: watermarks and figures of the former store's part are among them."""
    marks = [{"source": source, "sequence": last, "hash": sha256} for source, last, sha256 in new.former]  # type: ignore[attr-defined]
    marks += [
        {"source": new.source(name), "sequence": len(log), "hash": log[-1].sha256 if log else ZEROS}
        for name, log in sorted(new.streams.items())
    ]
    data: dict[str, Any] = {
        "snapshotID": f"{new.store}-{len(new.streams['ops'])}",
        "part": 1,
        "parts": 1,
        "asOf": "2025-03-01T12:00:00.000Z",
        "eventCount": sum(mark["sequence"] for mark in marks),
        "watermarks": marks,
        "auditHead": {"sequence": 0, "hash": ZEROS},
        "stock": stocks([*new.former_events, *new.all]),  # type: ignore[attr-defined]
    }
    return new.put("stock.snapshot", "_recon/snapshot", data, "ops")


def test_the_last_event_changed_and_posted_stays_a_discrepancy(plant: Plant, log: AgentLog) -> None:
    """The next heartbeat closed it: the altered content was taken for the proven one."""
    plant.deliver(log.consumed("1"))
    plant.deliver(changed(log.consumed("1")))
    plant.settle(3)
    assert plant.ledger.sums == {"silo/PET/Consumed": Decimal(92)}
    for _ in range(3):
        plant.deliver(log.heartbeat())
        plant.settle(20)
    assert plant.open_discrepancies() == ["changed"]


def test_snapshots_of_a_restored_agent_are_compared(plant: Plant, log: AgentLog) -> None:
    """Its figures count the former store up to the backup only; that store's later events are in no snapshot."""
    plant.deliver(*(log.consumed("1") for _ in range(3)), *log.snapshot())
    plant.deliver(*(log.consumed("1") for _ in range(2)), *log.snapshot())
    plant.settle(5)
    compared = plant.inbox.counts["snapshots compared"]
    new = restored(log, 2)
    plant.logs.append(new)
    plant.deliver(new.consumed("5"), snapshot(new))
    plant.settle(5)
    assert plant.inbox.counts["snapshots compared"] == compared + 1
    assert plant.open_discrepancies() == []
    plant.deliver(new.consumed("7"), snapshot(new))
    plant.settle(5)
    assert plant.inbox.counts["snapshots compared"] == compared + 2
    assert plant.open_discrepancies() == []


def test_what_could_not_be_sent_and_is_corrected_agrees_again(plant: Plant, log: AgentLog) -> None:
    """The reversal says what the original had: gross figures of both agree then."""
    plant.deliver(log.consumed("1"))
    lost = log.consumed("4")
    plant.deliver(log.void(lost), *log.snapshot())
    plant.settle(3)
    assert plant.open_discrepancies() == ["lost"]
    plant.deliver(log.reverse(lost), log.consumed("3"), *log.snapshot())
    plant.settle(5)
    assert plant.open_discrepancies() == []
    assert plant.ledger.sums == {"silo/PET/Consumed": Decimal(4)}
    plant.deliver(lost)  # the bytes come all the same
    plant.deliver(*log.snapshot())
    plant.settle(5)
    assert plant.open_discrepancies() == []
    assert plant.ledger.sums == {"silo/PET/Consumed": Decimal(4)}


def test_an_event_sent_after_all_that_gets_lost_is_asked_for(plant: Plant, log: AgentLog) -> None:
    """Its number is accounted for, so nobody misses it: but the stocks do not agree."""
    plant.deliver(log.consumed("1"))
    lost = log.consumed("4")
    plant.deliver(log.void(lost))
    plant.settle(3)
    log.retry(lost)  # the broker has it now, and loses it on its way to us
    plant.deliver(*log.snapshot())
    plant.settle(120)
    plant.deliver(*log.snapshot())
    plant.settle(5)
    assert plant.ledger.sums == {"silo/PET/Consumed": Decimal(5)}
    assert plant.open_discrepancies() == []


def answers_to(plant: Plant, source: str, since: int) -> tuple[int, dict[int, str]]:
    """The highest upTo and the single answers to a source among the commands after the first `since`."""
    acks = [body for name, body in plant.commands[since:] if name == "ack" and body["source"] == source]
    singles = {one["sequence"]: one["status"] for ack in acks for one in ack.get("answers", [])}
    return max((ack.get("upTo", 0) for ack in acks), default=0), singles


def test_a_restored_agent_is_told_again_what_it_has_forgotten(plant: Plant, log: AgentLog) -> None:
    """Answers that came after the backup are lost with the disk; a rejection among them must not become accepted."""
    plant.ledger.answer = lambda event: reject() if event.sequence == 2 else Accepted()
    plant.deliver(*(log.consumed("1") for _ in range(5)))
    plant.settle(10)
    said = len(plant.commands)
    new = restored(log, 3)
    plant.logs.append(new)
    plant.deliver(new.consumed("1"), snapshot(new))
    plant.settle(10)
    assert answers_to(plant, log.source(), said) == (3, {2: "rejected"})


def test_after_its_own_restart_a_receiver_says_rejections_again_with_its_cumulative_word(
    plant: Plant, log: AgentLog
) -> None:
    """Else an agent that has forgotten the rejection takes it for accepted."""
    plant.ledger.answer = lambda event: reject() if event.sequence == 2 else Accepted()
    plant.deliver(*(log.consumed("1") for _ in range(3)))
    plant.settle(10)
    said = len(plant.commands)
    plant.open()
    plant.settle(10)
    assert answers_to(plant, log.source(), said) == (3, {2: "rejected"})


def test_an_event_that_comes_again_because_a_person_retried_it_is_answered_again(plant: Plant, log: AgentLog) -> None:
    """A restored agent has it as rejected; what it was told since is lost."""
    plant.ledger.answer = lambda event: reject() if not plant.ledger.again else Accepted()
    plant.deliver(log.consumed("1"), log.consumed("1"))
    plant.settle(5)
    plant.ledger.answer = lambda event: Accepted()
    plant.deliver(log.retry(log.at(1)), log.retry(log.at(2)))
    plant.settle(5)
    said = len(plant.commands)
    new = restored(log, 2)
    plant.logs.append(new)
    plant.deliver(new.consumed("1"), snapshot(new))
    plant.settle(5)
    plant.deliver(log.at(1))
    plant.settle(5)
    _, singles = answers_to(plant, log.source(), said)
    assert singles.get(1) == "accepted"
    assert json.loads(log.at(1).payload)["id"]
