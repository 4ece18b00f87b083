"""Taken once, in order, answered: whatever comes twice, late or not at all."""

from __future__ import annotations

from decimal import Decimal

from tests.receiver.agent_log import AgentLog
from tests.receiver.plant import Plant


def test_events_are_posted_once_and_in_order(plant: Plant, log: AgentLog) -> None:
    events = [log.consumed(str(number)) for number in range(1, 6)]

    plant.deliver(*events, *reversed(events))
    plant.post()
    plant.deliver(*events)
    plant.post()

    assert [sequence for sequence, _ in plant.ledger.calls] == [1, 2, 3, 4, 5]
    assert plant.ledger.sums == {"silo/PET/Consumed": Decimal(15)}
    assert plant.inbox.counts["duplicates"] == 10


def test_a_late_event_is_waited_for(plant: Plant, log: AgentLog) -> None:
    first, second, third = (log.consumed() for _ in range(3))

    plant.deliver(third, first)
    plant.post()
    assert [sequence for sequence, _ in plant.ledger.calls] == [1]

    plant.deliver(second)
    plant.post()
    assert [sequence for sequence, _ in plant.ledger.calls] == [1, 2, 3]


def test_a_missing_event_is_asked_for(plant: Plant, log: AgentLog) -> None:
    events = [log.consumed() for _ in range(5)]
    plant.deliver(*events[:1], *events[3:])

    plant.settle(5)

    assert next(body for name, body in log.commands if name == "replay").items() >= {"from": 2, "to": 3}.items()
    assert [sequence for sequence, _ in plant.ledger.calls] == [1, 2, 3, 4, 5]
    assert log.answers["erp", log.source()].up_to == 5


def test_a_missing_last_event_is_known_from_the_heartbeat(plant: Plant, log: AgentLog) -> None:
    events = [log.consumed() for _ in range(3)]
    plant.deliver(events[0], log.heartbeat())

    plant.settle(5)

    assert plant.ledger.sums == {"silo/PET/Consumed": Decimal(3)}
