"""What the week has found in the receiver kit, each in its smallest form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from edge_agent_receiver import Accepted
from edge_agent_receiver.store import open_store
from tests.receiver.agent_log import ZEROS, AgentLog, Json, Sent, changed, stocks
from tests.receiver.plant import Plant, reject


@pytest.fixture
def log() -> AgentLog:
    return AgentLog(store="old")


@pytest.fixture
def plant(tmp_path: Path, log: AgentLog) -> Iterator[Plant]:
    store = open_store(str(tmp_path / "inbox.db"))
    yield Plant(store, log)
    store.close()


class Restored(AgentLog):
    """The agent on a backup of its database: of the store it was it has `routine` up to `last`, the rest is new."""

    def __init__(self, old: AgentLog, last: int) -> None:
        super().__init__(store="new")
        self.former = [old.at(number) for number in range(1, last + 1)]

    def snapshot(self, *, parts: int = 1) -> list[Sent]:
        """All stocks: watermarks and figures of the former store's part are among them."""
        marks = [
            {"source": self.source(name), "sequence": len(log), "hash": log[-1].sha256 if log else ZEROS}
            for name, log in sorted(self.streams.items())
        ]
        if self.former:
            last = self.former[-1]
            marks.append({"source": last.source, "sequence": last.sequence, "hash": last.sha256})
        data: Json = {
            "snapshotID": f"{self.store}-{len(self.streams['ops'])}",
            "part": 1,
            "parts": parts,
            "asOf": "2025-03-01T12:00:00.000Z",
            "eventCount": sum(mark["sequence"] for mark in marks),
            "watermarks": marks,
            "auditHead": {"sequence": 0, "hash": ZEROS},
            "stock": stocks([*self.former, *self.all]),
        }
        return [self.put("stock.snapshot", "_recon/snapshot", data, "ops")]

    def _replay(self, topic: str, body: Json, payload: bytes) -> list[tuple[str, bytes]]:
        if body["source"] == self.source(body["source"].split(":")[4]):
            return super()._replay(topic, body, payload)
        numbers = range(body["from"], body["to"] + 1)
        found = [one for one in self.former if one.source == body["source"] and one.sequence in numbers]
        missing = [[number, number] for number in numbers if number > len(self.former)]
        reply = {**body, "sent": len(found), "unavailable": missing, "reason": "some are not here" if missing else None}
        return [*(one.wire for one in found), (topic, json.dumps(reply).encode())]


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
    new = Restored(log, 2)
    plant.logs.append(new)
    plant.deliver(new.consumed("5"), *new.snapshot())
    plant.settle(5)
    assert plant.inbox.counts["snapshots compared"] == compared + 1
    assert plant.open_discrepancies() == []
    plant.deliver(new.consumed("7"), *new.snapshot())
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
    new = Restored(log, 3)
    plant.logs.append(new)
    plant.deliver(new.consumed("1"), *new.snapshot())
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
    new = Restored(log, 2)
    plant.logs.append(new)
    plant.deliver(new.consumed("1"), *new.snapshot())
    plant.settle(5)
    plant.deliver(log.at(1))
    plant.settle(5)
    _, singles = answers_to(plant, log.source(), said)
    assert singles.get(1) == "accepted"
    assert json.loads(log.at(1).payload)["id"]


@pytest.mark.parametrize("prove", [True, False])
def test_what_is_withheld_is_not_told_as_accepted(tmp_path: Path, log: AgentLog, prove: bool) -> None:
    """Nobody can send its original any more: it is not posted, so the cumulative word must not cover it."""
    store = open_store(str(tmp_path / "other.db"))
    plant = Plant(store, log, prove=prove)
    plant.deliver(log.consumed("1"))
    two, three = log.consumed("1"), log.consumed("1")
    log.gone.add((two.source, 2))
    plant.inbox.receive_all([changed(two), three.wire, log.heartbeat()], plant.now)
    plant.settle(300)
    assert plant.states(log)[2] == "withheld"
    assert plant.ledger.sums == {"silo/PET/Consumed": Decimal(2)}
    up_to, singles = answers_to(plant, log.source(), 0)
    assert up_to < 2 or singles.get(2) == "rejected"
    store.close()


def test_the_last_event_of_a_lost_store_is_posted_though_nothing_follows_it(tmp_path: Path, log: AgentLog) -> None:
    """Its positions are stated as held, so the restored agent does not book them: nobody else will ever prove it."""
    store = open_store(str(tmp_path / "proving.db"))
    plant = Plant(store, log, prove=True)
    plant.deliver(log.consumed("1"), log.consumed("1"), log.heartbeat(), log.consumed("4"))
    plant.settle(5)
    assert plant.ledger.sums == {"silo/PET/Consumed": Decimal(2)}
    new = Restored(log, 1)
    plant.logs = [new]
    plant.deliver(new.consumed("10"), *new.snapshot(), new.heartbeat())
    plant.settle(300)
    assert plant.ledger.sums == {"silo/PET/Consumed": Decimal(16)}
    assert plant.open_discrepancies() == []
    store.close()
