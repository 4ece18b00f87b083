"""Numbers without an event: voided by the agent, pruned, or only not there yet."""

from __future__ import annotations

from decimal import Decimal

from edge_agent_receiver.store import Store
from tests.receiver.agent_log import AgentLog, changed
from tests.receiver.plant import Plant


def test_a_voided_number_fills_its_hole(plant: Plant, log: AgentLog) -> None:
    first, lost, third = (log.consumed() for _ in range(3))
    plant.deliver(first, third, log.void(lost), log.heartbeat())

    plant.settle(10)

    assert plant.states(log) == {1: "accepted", 3: "accepted"}
    assert log.answers["erp", log.source()].up_to == 3
    assert [name for name, _ in log.commands if name == "replay"] == []
    assert plant.open_discrepancies() == []


def test_the_chain_goes_through_a_voided_number(plant: Plant, log: AgentLog) -> None:
    first, lost, third = (log.consumed() for _ in range(3))
    plant.deliver(first, log.void(lost), changed(third, old=lost.sha256.encode(), new=b"0" * 64))
    plant.step()
    assert plant.states(log) == {1: "accepted", 3: "received"}

    plant.settle(5)
    assert plant.ledger.contents[third.id] == third.payload


def test_a_voided_event_that_comes_after_a_retry_is_taken_and_answered(plant: Plant, log: AgentLog) -> None:
    first, lost, third = (log.consumed() for _ in range(3))
    plant.deliver(first, log.void(lost), third)
    plant.settle(10)
    assert log.answers["erp", log.source()].up_to == 3

    plant.deliver(log.retry(lost))
    plant.settle(10)

    assert plant.states(log) == {1: "accepted", 2: "accepted", 3: "accepted"}
    assert plant.ledger.sums == {"silo/PET/Consumed": Decimal(3)}
    assert log.answers["erp", log.source()].single[2]["status"] == "accepted"


def test_other_bytes_under_a_voided_number_are_not_posted(plant: Plant, log: AgentLog) -> None:
    first, lost, third = (log.consumed() for _ in range(3))
    plant.deliver(first, log.void(lost), third, changed(lost), log.heartbeat())
    plant.settle(20)

    assert plant.states(log) == {1: "accepted", 2: "withheld", 3: "accepted"}

    plant.deliver(log.retry(lost))
    plant.settle(20)
    assert plant.ledger.contents[lost.id] == lost.payload


def test_a_word_about_a_number_that_came_all_the_same_changes_nothing(plant: Plant, log: AgentLog) -> None:
    first = log.consumed()
    plant.deliver(first, log.void(first))
    plant.settle(5)

    assert plant.states(log) == {1: "accepted"}
    assert plant.inbox.counts["voided"] == 0


def test_a_voided_number_spoilt_on_its_way_is_righted(store: Store, log: AgentLog) -> None:
    plant = Plant(store, log, prove=True)
    first, lost, third = (log.consumed() for _ in range(3))
    void = log.void(lost)
    topic, payload = void.topic, void.payload.replace(b'"sequence": 2,', b'"sequence": 4,')
    assert payload != void.payload
    plant.deliver(first, third, (topic, payload), log.heartbeat())
    plant.settle(20)

    assert plant.states(log) == {1: "accepted", 3: "accepted"}
    fourth = log.consumed()
    plant.deliver(fourth, log.heartbeat())
    plant.settle(20)
    assert plant.states(log) == {1: "accepted", 3: "accepted", 4: "accepted"}


def test_pruned_numbers_become_a_discrepancy_and_the_stream_goes_on(plant: Plant, log: AgentLog) -> None:
    events = [log.consumed() for _ in range(6)]
    log.gone |= {(log.source(), sequence) for sequence in (1, 2, 4)}
    plant.deliver(events[5], log.heartbeat())

    plant.settle(10)

    assert plant.states(log) == {3: "accepted", 5: "accepted", 6: "accepted"}
    assert plant.open_discrepancies() == ["pruned"] * len(plant.open_discrepancies())
    assert {one["sequence"] for one in plant.published} == {1, 2, 4}
    assert log.answers["erp", log.source()].up_to == 6


def test_what_is_not_brought_to_the_broker_yet_is_not_pruned(plant: Plant, log: AgentLog) -> None:
    events = [log.consumed() for _ in range(4)]
    log.delivered["routine"] = 2
    plant.deliver(events[0], events[3], log.heartbeat())  # the fourth went out, nobody has marked that yet

    plant.settle(30)
    assert plant.states(log) == {1: "accepted", 2: "accepted", 4: "received"}
    assert plant.open_discrepancies() == []

    del log.delivered["routine"]
    plant.deliver(log.heartbeat())
    plant.settle(60)
    assert plant.states(log) == dict.fromkeys(range(1, 5), "accepted")


def test_a_pruned_event_that_turns_up_closes_its_discrepancy(plant: Plant, log: AgentLog) -> None:
    events = [log.consumed() for _ in range(4)]
    log.gone |= {(log.source(), 2), (log.source(), 3)}
    plant.deliver(events[0], events[3], log.heartbeat())
    plant.settle(10)
    assert set(plant.open_discrepancies()) == {"pruned"}

    plant.deliver(events[1], events[2])
    plant.settle(10)

    assert plant.open_discrepancies() == []
    assert plant.ledger.sums == {"silo/PET/Consumed": Decimal(4)}


def test_a_voided_number_that_was_thought_pruned_is_only_voided(plant: Plant, log: AgentLog) -> None:
    first, lost, third = (log.consumed() for _ in range(3))
    log.unpublishable.add((lost.source, 2))
    plant.deliver(first, third, log.heartbeat())
    plant.settle(5)
    assert plant.open_discrepancies() == ["pruned"]

    plant.deliver(log.void(lost))
    plant.settle(5)
    assert plant.open_discrepancies() == []


def test_an_old_store_that_cannot_send_its_tail_does_not_wait_for_ever(store: Store) -> None:
    old, new = AgentLog(store="old"), AgentLog(store="new")
    plant = Plant(store, old, new)
    first = old.consumed()
    old.consumed()
    plant.deliver(first, old.heartbeat())
    plant.logs = [new]
    new.consumed()
    plant.deliver(*new.all, new.heartbeat())
    old.gone.add((old.source(), 2))
    plant.logs = [old, new]

    plant.settle(70)

    assert plant.source(old).filled.contiguous == 2
    assert "pruned" in plant.open_discrepancies()


def test_requests_are_small_and_ever_more_seldom(plant: Plant, log: AgentLog) -> None:
    for _ in range(2500):
        log.consumed()
    plant.deliver(log.heartbeat())
    plant.mute.add("replay")
    plant.settle(300)

    asked = [body for name, body in plant.commands if name == "replay"]
    assert {(body["from"], body["to"]) for body in asked} == {(1, 1000)}
    assert len({body["id"] for body in asked}) == len(asked)
    assert 6 <= len(asked) <= 12

    plant.mute.clear()
    plant.settle(150)
    assert plant.source(log).filled.contiguous == 2500
    assert len(plant.ledger.posted) == 2500


def test_an_event_before_a_voided_number_is_proven_by_coming_again(store: Store, log: AgentLog) -> None:
    plant = Plant(store, log, prove=True)
    first, lost, third = (log.consumed() for _ in range(3))
    plant.deliver(changed(first), changed(first), log.void(lost, prevhash=False), third, log.heartbeat())
    plant.step(0.1)
    assert plant.ledger.calls == []

    plant.settle(20)

    assert plant.ledger.contents == {sent.id: sent.payload for sent in (first, third)}
    assert plant.open_discrepancies() == []


def test_an_event_before_a_voided_number_is_proven_by_what_voids_it(store: Store, log: AgentLog) -> None:
    plant = Plant(store, log, prove=True)
    first, lost, third = (log.consumed() for _ in range(3))
    plant.deliver(first, log.void(lost), third, log.heartbeat())
    plant.settle(5)

    assert plant.states(log) == {1: "accepted", 3: "accepted"}
    assert [name for name, _ in log.commands if name == "replay"] == []


def test_a_change_before_a_voided_number_is_known(plant: Plant, log: AgentLog) -> None:
    first, lost, third = (log.consumed() for _ in range(3))
    plant.deliver_all([changed(first), log.void(lost), third])
    plant.settle(5)

    assert plant.ledger.contents == {sent.id: sent.payload for sent in (first, third)}


def test_a_voided_number_that_names_a_wrong_one_before_it_is_overruled(plant: Plant, log: AgentLog) -> None:
    first, lost, third = (log.consumed() for _ in range(3))
    void = log.void(lost)
    spoilt = (void.topic, void.payload.replace(first.sha256.encode(), first.sha256[::-1].encode()))
    assert spoilt[1] != void.payload
    plant.deliver_all([first, spoilt, third, log.heartbeat()])
    plant.settle(60)

    assert plant.states(log) == {1: "accepted", 3: "accepted"}
    assert plant.ledger.contents == {sent.id: sent.payload for sent in (first, third)}


def test_an_event_that_nobody_can_prove_or_deny_any_more_is_posted(store: Store, log: AgentLog) -> None:
    plant = Plant(store, log, prove=True)
    first, lost, third = (log.consumed() for _ in range(3))
    log.gone.add((log.source(), 1))
    plant.deliver(first, log.void(lost, prevhash=False), third, log.heartbeat())
    plant.settle(20)

    assert plant.states(log) == {1: "accepted", 3: "accepted"}


def test_a_changed_heartbeat_about_an_event_before_a_voided_number_is_overruled(store: Store, log: AgentLog) -> None:
    plant = Plant(store, log, prove=True)
    first = log.consumed()
    topic, payload = log.heartbeat()
    plant.deliver(first, (topic, payload.replace(first.sha256.encode(), first.sha256[::-1].encode())))
    lost = log.consumed()
    plant.deliver(log.void(lost, prevhash=False), log.heartbeat())

    plant.settle(60)

    assert plant.ledger.contents == {first.id: first.payload}
    assert plant.open_discrepancies() == []
