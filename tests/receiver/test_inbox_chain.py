"""The chain: what was changed on its way is found, asked for again, and healed where it is not posted."""

from __future__ import annotations

from decimal import Decimal

import pytest

from edge_agent_receiver.answers import Busy
from edge_agent_receiver.store import Store
from tests.receiver.agent_log import AgentLog, Sent, changed
from tests.receiver.plant import Plant, reject


@pytest.fixture
def proving(store: Store, log: AgentLog) -> Plant:
    return Plant(store, log, prove=True)


def test_a_changed_event_is_healed_before_it_is_posted(proving: Plant, log: AgentLog) -> None:
    first, second, third = (log.consumed(str(number)) for number in (1, 2, 3))
    proving.deliver(first, changed(second), third, log.heartbeat())
    proving.post()
    assert proving.states(log) == {1: "accepted", 2: "received", 3: "received"}

    proving.settle(5)

    assert proving.ledger.contents == {sent.id: sent.payload for sent in (first, second, third)}
    assert proving.inbox.counts["healed"] == 1
    assert proving.open_discrepancies() == []


def test_nothing_is_posted_before_it_is_proven(proving: Plant, log: AgentLog) -> None:
    proving.deliver(log.consumed(), log.consumed())
    proving.post()
    assert proving.states(log) == {1: "accepted", 2: "received"}

    proving.deliver(log.heartbeat())
    proving.post()
    assert proving.states(log) == {1: "accepted", 2: "accepted"}


def test_a_snapshot_proves_too(proving: Plant, log: AgentLog) -> None:
    proving.deliver(log.consumed())
    proving.post()
    assert proving.states(log) == {1: "received"}

    proving.deliver(*log.snapshot())
    proving.post()
    assert proving.states(log) == {1: "accepted"}


def test_a_changed_last_event_is_known_from_the_heartbeat(proving: Plant, log: AgentLog) -> None:
    sent = log.consumed()
    proving.deliver(changed(sent), log.heartbeat())

    proving.settle(5)

    assert proving.ledger.contents == {sent.id: sent.payload}


def test_without_proving_a_change_known_in_time_is_healed(plant: Plant, log: AgentLog) -> None:
    first, second, third = (log.consumed() for _ in range(3))
    plant.deliver(first, changed(second), third)  # both come before anything is posted

    plant.settle(5)

    assert plant.ledger.contents == {sent.id: sent.payload for sent in (first, second, third)}
    assert plant.published == []


def test_a_change_known_too_late_says_what_was_posted_and_what_is_right(plant: Plant, log: AgentLog) -> None:
    first, second = log.consumed("1"), log.consumed("1")
    plant.deliver(first, changed(second))
    plant.post()
    third = log.consumed()
    plant.deliver(third)

    plant.settle(10)

    assert [sequence for sequence, _ in plant.ledger.calls] == [1, 2, 3]
    assert plant.ledger.sums == {"silo/PET/Consumed": Decimal(1 + 91 + 1)}
    (said,) = [one for one in plant.published if one["sequence"] == 2]
    assert said["cause"] == "changed"
    assert second.sha256 in said["message"]
    assert plant.open_discrepancies() == ["changed"]


def test_a_changed_prevhash_accuses_nobody_else(plant: Plant, log: AgentLog) -> None:
    first, second, third = (log.consumed() for _ in range(3))
    plant.deliver(first)
    plant.post()
    plant.deliver(_prevhash_changed(second))
    plant.post()
    assert plant.states(log) == {1: "accepted", 2: "received"}

    plant.deliver(third)
    plant.settle(5)

    assert plant.ledger.contents == {sent.id: sent.payload for sent in (first, second, third)}
    assert plant.open_discrepancies() == []


def _prevhash_changed(sent: Sent) -> tuple[str, bytes]:
    payload = sent.payload
    at = payload.index(b'"prevhash": "') + len(b'"prevhash": "')
    other = b"0" if payload[at : at + 1] != b"0" else b"1"
    return sent.topic, payload[:at] + other + payload[at + 1 :]


def test_two_contents_of_one_number_wait_for_the_chain(plant: Plant, log: AgentLog) -> None:
    first, second = log.consumed(), log.consumed()
    plant.deliver(first)
    plant.deliver_all([changed(second), second])
    plant.step()
    assert plant.states(log) == {1: "accepted", 2: "received"}
    assert plant.inbox.counts["conflicts"] == 1
    assert plant.open_discrepancies() == ["changed"]

    plant.deliver(log.heartbeat())
    plant.settle(5)

    assert plant.ledger.contents == {sent.id: sent.payload for sent in (first, second)}
    assert plant.open_discrepancies() == []
    assert [one["cause"] for one in plant.published] == ["changed", "changed"]
    assert "closed" in plant.published[-1]


def test_a_false_content_that_comes_later_changes_nothing(plant: Plant, log: AgentLog) -> None:
    first, second = log.consumed(), log.consumed()
    plant.deliver(first, second, changed(first), changed(first))
    plant.settle(5)

    assert plant.ledger.contents == {sent.id: sent.payload for sent in (first, second)}
    assert (plant.inbox.counts["conflicts"], plant.inbox.counts["duplicates"]) == (1, 1)
    assert plant.published == []
    with plant.store.transaction() as db:
        assert [bytes(kept) for (kept,) in db.rows("SELECT payload FROM version")] == [changed(first)[1]]


def test_a_flood_of_contents_is_counted_not_kept(plant: Plant, log: AgentLog) -> None:
    sent = log.consumed()
    plant.deliver(sent, *(changed(sent, new=b'"quantityString": "%d' % number) for number in range(50)))

    assert plant.inbox.counts["conflicts"] == 50
    with plant.store.transaction() as db:
        assert db.rows("SELECT count(*) FROM version") == [(10,)]


def test_a_changed_heartbeat_is_righted_by_the_next(proving: Plant, log: AgentLog) -> None:
    sent = log.consumed()
    topic, payload = log.heartbeat()
    proving.deliver(sent, (topic, payload.replace(sent.sha256.encode(), sent.sha256[::-1].encode())))
    proving.step()
    assert proving.states(log) == {1: "received"}

    proving.deliver((topic, payload))
    proving.settle(5)

    assert proving.states(log) == {1: "accepted"}
    assert proving.open_discrepancies() == []


def test_an_event_changed_while_it_was_with_post_is_not_posted_twice(plant: Plant, log: AgentLog) -> None:
    sent, after = log.consumed("1"), log.consumed("1")
    plant.deliver(changed(sent))
    (offered,) = plant.inbox.offer(plant.now)
    plant.deliver(sent, after)
    plant.inbox.settle([(offered, plant.ledger.post(offered))], plant.now)

    plant.settle(5)

    assert [sequence for sequence, _ in plant.ledger.calls] == [1, 2]
    assert plant.open_discrepancies() == ["changed"]


def test_an_event_changed_while_a_busy_system_had_it_is_healed(plant: Plant, log: AgentLog) -> None:
    sent, after = log.consumed("1"), log.consumed("1")
    plant.deliver(changed(sent))
    (offered,) = plant.inbox.offer(plant.now)
    plant.deliver(sent, after)
    plant.inbox.settle([(offered, Busy())], plant.now)

    plant.settle(5)

    assert plant.ledger.contents == {one.id: one.payload for one in (sent, after)}
    assert plant.open_discrepancies() == []


def test_a_rejected_content_is_replaced_by_the_original(plant: Plant, log: AgentLog) -> None:
    sent = log.consumed(material="PET")
    topic, payload = changed(sent, old=b'"PET"', new=b'"PXT"')
    accept = plant.ledger.answer
    plant.ledger.answer = lambda event: reject() if event.lines[0].material == "PXT" else accept(event)
    plant.deliver((topic, payload))
    plant.settle(3)
    assert plant.states(log) == {1: "rejected"}

    plant.deliver(log.consumed())
    plant.settle(5)

    assert plant.ledger.contents[sent.id] == sent.payload


def test_what_nobody_can_send_any_more_is_not_posted(proving: Plant, log: AgentLog) -> None:
    first, second, third = (log.consumed() for _ in range(3))
    proving.deliver(first, changed(second), third, log.heartbeat())
    log.gone.add((second.source, 2))

    proving.settle(5)

    assert proving.states(log) == {1: "accepted", 2: "withheld", 3: "accepted"}
    assert proving.open_discrepancies() == ["changed"]

    proving.deliver(second)  # it turns up after all
    proving.settle(5)
    assert proving.states(log)[2] == "accepted"
    assert proving.ledger.contents[second.id] == second.payload
    assert proving.open_discrepancies() == []


def test_an_agent_that_sends_what_its_own_chain_denies_does_not_stop_the_stream_for_ever(
    proving: Plant, log: AgentLog
) -> None:
    first, second, third = (log.consumed() for _ in range(3))
    log.streams["routine"][1] = type(second)(second.source, 2, *changed(second))
    proving.deliver(first, log.at(2), third, log.heartbeat(hashes=False))

    proving.settle(200)

    assert proving.states(log) == {1: "accepted", 2: "withheld", 3: "received"}
    assert proving.open_discrepancies() == ["changed"]


def test_healing_rights_the_stocks_and_positions(proving: Plant, log: AgentLog) -> None:
    first, second = log.consumed("1"), log.consumed("1")
    proving.deliver(changed(first), second, *log.snapshot(), log.heartbeat())

    proving.settle(10)

    assert proving.inbox.counts["snapshots compared"] == 1
    assert proving.open_discrepancies() == []


def test_doubts_outlive_a_restart(proving: Plant, log: AgentLog) -> None:
    first, second, third = (log.consumed() for _ in range(3))
    proving.deliver(first, changed(second), third)
    proving.open()
    proving.post()
    assert proving.states(log) == {1: "accepted", 2: "received", 3: "received"}

    proving.deliver(log.heartbeat())
    proving.settle(5)
    assert proving.ledger.contents == {sent.id: sent.payload for sent in (first, second, third)}


def test_a_changed_first_event_is_known_by_its_prevhash(plant: Plant, log: AgentLog) -> None:
    sent = log.consumed()
    plant.deliver(_prevhash_changed(sent))
    plant.post()
    assert plant.ledger.calls == []

    plant.settle(5)
    assert plant.ledger.contents == {sent.id: sent.payload}
