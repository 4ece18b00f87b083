"""What `post` answers, and what the agent hears of it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from edge_agent_receiver import Accepted, Busy
from edge_agent_receiver.answers import Raised
from edge_agent_receiver.store import Store
from tests.receiver.agent_log import AgentLog, line
from tests.receiver.plant import Plant, reject


def _told(log: AgentLog) -> Any:
    return log.answers["erp", log.source()]


def test_without_documents_one_cumulative_answer_says_it_all(plant: Plant, log: AgentLog) -> None:
    plant.deliver(*(log.consumed() for _ in range(50)))

    plant.settle(10)

    assert _told(log).up_to == 50
    assert _told(log).single == {}
    assert [name for name, _ in log.commands] == ["ack"]


def test_document_numbers_go_singly_and_in_batches(plant: Plant, log: AgentLog) -> None:
    plant.ledger.answer = lambda event: Accepted(document=f"D{event.sequence}", posted_on=event.posting_date)
    plant.deliver_all([log.consumed() for _ in range(450)])

    plant.settle(20)

    assert {sequence: answer["document"] for sequence, answer in _told(log).single.items()} == {
        sequence: f"D{sequence}" for sequence in range(1, 451)
    }
    assert _told(log).single[7]["postedOn"] == "2025-03-01"
    sizes = [len(body.get("answers", [])) for name, body in log.commands if name == "ack"]
    assert max(sizes) == 200
    assert sum(sizes) == 450


def test_a_rejected_event_holds_up_nobody_and_no_cumulative_answer_covers_it(plant: Plant, log: AgentLog) -> None:
    plant.ledger.answer = lambda event: reject() if event.sequence == 2 else Accepted()
    plant.deliver(*(log.consumed() for _ in range(4)))

    plant.settle(10)

    assert plant.states(log) == {1: "accepted", 2: "rejected", 3: "accepted", 4: "accepted"}
    assert _told(log).up_to == 4
    assert _told(log).single[2].items() >= {"status": "rejected", "code": "unknown_product"}.items()


def test_more_rejections_than_a_message_holds_are_never_covered_by_up_to(plant: Plant, log: AgentLog) -> None:
    plant.ledger.answer = lambda event: reject()
    plant.deliver_all([log.consumed() for _ in range(450)])
    plant.mute.add("ack")
    plant.settle(5)
    plant.mute.clear()
    plant.settle(120)

    for name, body in log.commands:
        assert name == "ack"
        singly = {answer["sequence"] for answer in body["answers"]}
        assert set(range(1, body["upTo"] + 1)) <= singly | _before(log, body)
    assert len(_told(log).single) == 450


def _before(log: AgentLog, message: Any) -> set[int]:
    found: set[int] = set()
    for _, body in log.commands:
        if body is message:
            break
        found |= {answer["sequence"] for answer in body["answers"]}
    return found


def test_the_agents_retry_is_offered_again(plant: Plant, log: AgentLog) -> None:
    ready: list[bool] = []
    plant.ledger.answer = lambda event: Accepted() if ready or event.sequence != 1 else reject()
    events = [log.consumed() for _ in range(3)]
    plant.deliver(*events)
    plant.settle(5)
    assert plant.states(log)[1] == "rejected"

    ready.append(True)
    plant.deliver(log.retry(events[0]))
    plant.settle(5)

    assert plant.states(log)[1] == "accepted"
    assert _told(log).single[1]["status"] == "accepted"
    assert plant.ledger.sums == {"silo/PET/Consumed": Decimal(3)}


def test_an_answer_that_the_agent_refused_is_said_again_when_the_event_comes_again(plant: Plant, log: AgentLog) -> None:
    first = log.consumed()
    plant.ledger.answer = lambda event: reject()
    plant.deliver(first)
    plant.settle(5)
    plant.ledger.answer = lambda event: Accepted(document="D1")
    plant.deliver(first)  # somebody else's replay, not the agent's retry
    plant.settle(5)
    assert _told(log).refused == [{"sequence": 1, "reason": "it was rejected before"}]

    plant.deliver(log.retry(first))
    plant.settle(5)

    assert _told(log).single[1]["document"] == "D1"
    assert len(plant.ledger.calls) == 2


def test_a_busy_event_holds_up_its_source_and_no_other(plant: Plant, log: AgentLog) -> None:
    until = plant.now + 30
    plant.ledger.answer = lambda event: Busy() if event.source == log.source() and plant.now < until else Accepted()
    plant.deliver(log.consumed(), log.consumed(), log.consumed(stream="critical"), log.consumed(stream="critical"))

    plant.settle(5)
    assert plant.states(log) == {1: "received", 2: "received"}
    assert plant.states(log, "critical") == {1: "accepted", 2: "accepted"}
    assert _told(log).single[1] == {"sequence": 1, "id": log.at(1).id, "status": "busy"}

    plant.settle(60)
    assert plant.states(log) == {1: "accepted", 2: "accepted"}
    calls = [sequence for sequence, identity in plant.ledger.calls if identity in {log.at(1).id, log.at(2).id}]
    assert calls[-2:] == [1, 2]
    assert 4 <= calls.count(1) <= 10
    assert plant.ledger.again == []
    assert _told(log).single[1]["status"] == "accepted"


def test_a_busy_system_says_when(plant: Plant, log: AgentLog) -> None:
    plant.ledger.answer = lambda event: Busy(retry_after=40)
    plant.deliver(log.consumed())

    plant.settle(39)
    assert len(plant.ledger.calls) == 1
    assert _told(log).single[1]["retryAfter"] == 40

    plant.settle(3)
    assert len(plant.ledger.calls) == 2


def test_what_post_raises_counts_as_busy_and_is_noted_once(plant: Plant, log: AgentLog) -> None:
    plant.ledger.answer = lambda event: (
        Raised("ConnectionError: no route") if len(plant.ledger.calls) < 4 else Accepted()
    )
    plant.deliver(log.consumed(), log.consumed())

    plant.settle(30)

    assert plant.states(log) == {1: "accepted", 2: "accepted"}
    assert [sequence for sequence, _ in plant.ledger.calls] == [1, 1, 1, 1, 2]
    assert plant.ledger.again == [log.at(1).id] * 3
    notices = [notice for notice in plant.inbox.notices() if "post raised" in notice]
    assert len(notices) == 1
    assert "no route" in notices[0]


def test_events_without_actual_lines_are_accepted_without_post(plant: Plant, log: AgentLog) -> None:
    plant.deliver(log.review("routine"), log.consumed(posting="backflush"), log.consumed(posting="information"))

    plant.settle(5)

    assert plant.ledger.calls == []
    assert _told(log).up_to == 3


def test_only_actual_lines_are_posted(plant: Plant, log: AgentLog) -> None:
    data = {"materialActual": [line(1), line(2, posting="backflush"), line(3)]}
    plant.deliver(log.put("material.consumed", "_material/consumed", data))

    plant.post()

    (event,) = plant.ledger.posted.values()
    assert [each.id for each in event.lines] == ["1", "3"]


def test_lost_answers_are_sent_again_unchanged_until_confirmed(plant: Plant, log: AgentLog) -> None:
    plant.ledger.answer = lambda event: Accepted(document="D")
    plant.mute.add("ack")
    plant.deliver(log.consumed())
    plant.settle(200)
    lost = [body for name, body in plant.commands if name == "ack"]
    assert 5 <= len(lost) <= 12
    assert all(body == lost[0] for body in lost)
    assert _told(log).single == {}

    plant.mute.clear()
    plant.settle(60)
    assert _told(log).single[1]["document"] == "D"
    count = len(plant.commands)
    plant.settle(60)
    assert len(plant.commands) == count


def test_lost_replies_change_nothing(plant: Plant, log: AgentLog) -> None:
    plant.deaf.add("ack")
    plant.deliver(log.consumed())
    plant.settle(20)
    first = [body for name, body in plant.commands if name == "ack"]
    assert len(first) > 1

    plant.open()
    plant.deaf.clear()
    plant.settle(10)

    after = [body for name, body in plant.commands if name == "ack"][len(first) :]
    assert after == first[:1]
    assert _told(log).up_to == 1


def test_answers_that_are_about_to_expire_are_made_anew(plant: Plant, log: AgentLog) -> None:
    plant.mute.add("ack")
    plant.deliver(log.consumed())
    plant.settle(5)
    plant.step(11.5 * 3600)

    (first, last) = (plant.commands[0][1], plant.commands[-1][1])
    assert first["nonce"] != last["nonce"]
    assert first["expires"] < last["expires"]
    assert first["upTo"] == last["upTo"] == 1


def test_an_agent_that_does_not_want_our_word_is_not_pestered(plant: Plant, log: AgentLog) -> None:
    log.systems.clear()
    plant.deliver(log.consumed())

    plant.settle(280)

    assert len(log.commands) == 1
    assert [notice for notice in plant.inbox.notices() if "no event needs the word" in notice]
    log.systems.add("erp")
    plant.settle(60)
    assert _told(log).up_to == 1


def test_an_answer_to_what_was_not_offered_is_an_error(store: Store, log: AgentLog) -> None:
    plant = Plant(store, log)
    plant.deliver(log.consumed())
    (event,) = plant.inbox.offer(plant.now)
    plant.inbox.settle([(event, Accepted())], plant.now)

    with pytest.raises(ValueError, match="was not offered"):
        plant.inbox.settle([(event, Accepted())], plant.now)
    plant.deliver(log.consumed())
    plant.post()
    assert plant.states(log) == {1: "accepted", 2: "accepted"}


def test_a_crash_between_post_and_its_record_offers_the_event_again_as_such(plant: Plant, log: AgentLog) -> None:
    plant.deliver(log.consumed(), log.consumed())
    events = plant.inbox.offer(plant.now)
    for event in events:
        plant.ledger.post(event)

    plant.open()  # the answers were never written down
    plant.settle(5)

    assert plant.ledger.again == [log.at(1).id, log.at(2).id]
    assert plant.ledger.sums == {"silo/PET/Consumed": Decimal(2)}
    assert plant.states(log) == {1: "accepted", 2: "accepted"}


def test_a_batch_taken_back_is_offered_as_if_nothing_had_been(plant: Plant, log: AgentLog) -> None:
    plant.deliver(log.consumed(), log.consumed())
    events = plant.inbox.offer(plant.now)
    plant.inbox.settle([(event, None) for event in events], plant.now)
    plant.post()

    assert plant.ledger.again == []
    assert [sequence for sequence, _ in plant.ledger.calls] == [1, 2]
