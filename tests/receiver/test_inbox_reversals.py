"""Reversals in every state of their original."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from edge_agent_receiver import Accepted, Busy
from edge_agent_receiver.answers import Raised
from edge_agent_receiver.store import Store
from tests.receiver.agent_log import AgentLog
from tests.receiver.plant import Plant, reject

NOTHING: dict[str, Decimal] = {}


def test_the_original_is_posted_so_the_reversal_is(plant: Plant, log: AgentLog) -> None:
    original = log.consumed("5")
    plant.deliver(original)
    plant.post()
    reversal = log.reverse(original)
    plant.deliver(reversal)
    plant.settle(5)

    posted = plant.ledger.posted[reversal.id]
    assert posted.reverses is not None
    assert (posted.reverses.id, posted.reverses.payload) == (original.id, original.payload)
    assert [line.quantity for line in posted.lines] == [Decimal(5)]
    assert plant.ledger.sums == NOTHING
    assert plant.states(log) == {1: "accepted", 2: "accepted"}


def test_both_come_before_anything_is_posted_so_nothing_is(plant: Plant, log: AgentLog) -> None:
    original = log.consumed("5")
    plant.deliver_all([original, log.reverse(original), log.consumed("3")])

    plant.settle(5)

    assert [sequence for sequence, _ in plant.ledger.calls] == [3]
    assert plant.states(log) == {1: "voided", 2: "accepted", 3: "accepted"}
    assert log.answers["erp", log.source()].up_to == 3


def test_the_original_was_rejected_so_nothing_is_posted(plant: Plant, log: AgentLog) -> None:
    original = log.consumed("5")
    plant.ledger.answer = lambda event: reject() if event.sequence == 1 else Accepted()
    plant.deliver(original)
    plant.settle(5)
    plant.deliver(log.reverse(original))
    plant.settle(5)
    plant.deliver(original)
    plant.settle(5)

    assert [sequence for sequence, _ in plant.ledger.calls] == [1]
    assert plant.states(log) == {1: "voided", 2: "accepted"}


def test_a_busy_system_need_not_post_what_is_taken_back(plant: Plant, log: AgentLog) -> None:
    original = log.consumed("5")
    plant.ledger.answer = lambda event: Busy(retry_after=3600) if event.sequence == 1 else Accepted()
    plant.deliver(original)
    plant.settle(5)
    plant.deliver(log.reverse(original), log.consumed())
    plant.settle(5)

    assert plant.states(log) == {1: "voided", 2: "accepted", 3: "accepted"}
    assert log.answers["erp", log.source()].single[1]["status"] == "accepted"


def test_what_may_have_been_posted_is_settled_before_it_is_taken_back(plant: Plant, log: AgentLog) -> None:
    original = log.consumed("5")
    raised = iter([Raised("TimeoutError"), Raised("TimeoutError")])
    plant.ledger.answer = lambda event: next(raised, Accepted())
    plant.deliver(original)
    plant.post()
    plant.deliver(log.reverse(original))

    plant.settle(20)

    assert [sequence for sequence, _ in plant.ledger.calls] == [1, 1, 1, 2]
    assert plant.ledger.sums == NOTHING
    assert plant.states(log) == {1: "accepted", 2: "accepted"}


def test_the_original_is_with_post_when_the_reversal_comes(plant: Plant, log: AgentLog) -> None:
    original = log.consumed("5")
    plant.deliver(original)
    (offered,) = plant.inbox.offer(plant.now)
    plant.deliver(log.reverse(original))
    assert plant.inbox.offer(plant.now) == []
    plant.inbox.settle([(offered, plant.ledger.post(offered))], plant.now)

    plant.settle(5)

    assert [sequence for sequence, _ in plant.ledger.calls] == [1, 2]
    assert plant.ledger.sums == NOTHING


def test_the_original_comes_after_its_reversal(plant: Plant, log: AgentLog) -> None:
    original = log.consumed("5")
    plant.deliver(log.reverse(original))
    plant.post()
    assert plant.ledger.calls == []

    plant.deliver(original)
    plant.settle(5)

    assert plant.ledger.calls == []
    assert plant.states(log) == {1: "voided", 2: "accepted"}


def test_the_original_was_voided_by_the_agent_and_comes_later(plant: Plant, log: AgentLog) -> None:
    original = log.consumed("5")
    plant.deliver(log.void(original), log.reverse(original))
    plant.settle(5)
    assert plant.states(log) == {2: "accepted"}

    plant.deliver(log.retry(original))
    plant.settle(5)

    assert plant.ledger.calls == []
    assert plant.states(log) == {1: "voided", 2: "accepted"}
    assert log.answers["erp", log.source()].single[1]["status"] == "accepted"


def test_the_original_is_in_another_store(store: Store) -> None:
    old, new = AgentLog(store="old"), AgentLog(store="new")
    plant = Plant(store, old, new)
    first, original = old.consumed("1"), old.consumed("5")
    plant.deliver(first, original)
    plant.settle(3)
    reversal = new.reverse(original, stream="routine")
    plant.deliver(reversal)
    plant.settle(3)

    assert plant.ledger.posted[reversal.id].reverses is not None
    assert plant.ledger.sums == {"silo/PET/Consumed": Decimal(1)}


def test_an_original_in_another_store_is_waited_for_and_asked_for(store: Store) -> None:
    old, new = AgentLog(store="old"), AgentLog(store="new")
    plant = Plant(store, old, new)
    old.consumed("1")
    original = old.consumed("5")
    plant.mute.add("replay")
    plant.deliver(new.reverse(original, stream="routine"), new.consumed("2"))
    plant.settle(10)
    assert plant.ledger.calls == []

    plant.mute.clear()
    plant.settle(70)

    assert plant.ledger.sums == {"silo/PET/Consumed": Decimal(3)}
    assert plant.states(new) == {1: "accepted", 2: "accepted"}
    assert len(plant.ledger.posted) in {2, 4}


def test_an_original_that_a_lost_store_took_with_it_was_never_posted(store: Store) -> None:
    old, new = AgentLog(store="old"), AgentLog(store="new")
    plant = Plant(store, new)
    original = old.consumed("5")
    plant.deliver(new.reverse(original, stream="routine"), new.heartbeat())
    for _ in range(10):
        plant.step()
        for name, body in plant.commands:
            if name == "replay" and body["source"] == old.source():
                reply = {**body, "sent": 0, "unavailable": [[body["from"], body["to"]]], "reason": "not in the store"}
                topic = new.heartbeat()[0].replace("heartbeat", "cmd/replay/reply")
                plant.deliver((topic, json.dumps(reply).encode()))

    assert plant.states(new) == {1: "accepted"}
    assert plant.ledger.calls == []
    plant.deliver(original)
    plant.settle(3)
    assert plant.ledger.calls == []
    assert plant.states(old) == {1: "voided"}


@pytest.mark.parametrize("state", ["posted", "rejected"])
def test_a_correction_replaces_the_original(plant: Plant, log: AgentLog, state: str) -> None:
    original = log.consumed("5")
    plant.ledger.answer = lambda event: reject() if state == "rejected" and event.sequence == 1 else Accepted()
    plant.deliver(original)
    plant.settle(5)
    reversal = log.reverse(original, envelope={"correlationid": "c"})
    corrected = log.consumed("4", envelope={"correlationid": "c", "causationid": reversal.id})
    plant.deliver(reversal, corrected)
    plant.settle(5)

    assert plant.ledger.sums == {"silo/PET/Consumed": Decimal(4)}


def test_a_second_reversal_and_a_reversal_of_one_are_refused(plant: Plant, log: AgentLog) -> None:
    original = log.consumed("5")
    reversal = log.reverse(original)
    second = log.reverse(original)
    backwards = log.reverse(reversal)
    plant.deliver(original)
    plant.post()
    plant.deliver(reversal, second, backwards, log.consumed("1"))
    plant.settle(5)

    assert plant.states(log) == {1: "accepted", 2: "accepted", 3: "rejected", 4: "rejected", 5: "accepted"}
    assert plant.ledger.sums == {"silo/PET/Consumed": Decimal(1)}
    assert log.answers["erp", log.source()].single[3]["code"] == "malformed"


@pytest.mark.parametrize("member", ["reversesSource", "reversesSequence", "reversesId"])
def test_a_reversal_of_nothing_is_malformed(plant: Plant, log: AgentLog, member: str) -> None:
    original = log.consumed("5")
    data = json.loads(log.reverse(original).payload)["data"]
    del log.streams["routine"][1]
    data[member] = {"reversesSource": "urn:edgeagent:other:s:routine", "reversesSequence": 0, "reversesId": "x"}[member]
    plant.deliver(original, log.put("event.reversed", "_material/reversed", data), log.consumed("1"))
    plant.settle(5)

    assert plant.states(log) == {1: "accepted", 2: "rejected", 3: "accepted"}


def test_a_reversal_of_what_was_not_to_be_posted_is_not_posted(plant: Plant, log: AgentLog) -> None:
    original = log.consumed("5", posting="backflush")
    plant.deliver(original, log.reverse(original))
    plant.settle(5)

    assert plant.ledger.calls == []
    assert plant.states(log) == {1: "accepted", 2: "accepted"}


def test_undecided_reversals_outlive_a_restart(plant: Plant, log: AgentLog) -> None:
    original = log.consumed("5")
    plant.deliver(log.reverse(original))
    plant.open()
    plant.deliver(original)
    plant.settle(5)

    assert plant.ledger.calls == []


def test_reversals_wait_until_they_are_proven_where_that_is_wanted(store: Store, log: AgentLog) -> None:
    plant = Plant(store, log, prove=True)
    original = log.consumed("5")
    plant.deliver(original, log.reverse(original))
    plant.post()

    assert plant.states(log) == {1: "accepted", 2: "received"}  # nothing proves the reversal yet
    plant.deliver(log.heartbeat())
    plant.settle(5)
    assert plant.ledger.sums == NOTHING
    assert [sequence for sequence, _ in plant.ledger.calls] == [1, 2]
