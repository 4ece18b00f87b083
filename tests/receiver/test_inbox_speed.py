"""How many events a second are received, posted and answered for; a figure, not a verdict."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from edge_agent_receiver import Accepted
from edge_agent_receiver.store import Store
from tests.receiver.agent_log import AgentLog, evidence
from tests.receiver.plant import Plant

_EVENTS = 4_000
_BATCH = 200


@pytest.mark.parametrize("document", [None, "D1"])
def test_events_a_second(
    store: Store, log: AgentLog, record_property: Callable[[str, object], None], document: str | None
) -> None:
    wires = [log.consumed("1.5", evidence=evidence(number, number + 1)).wire for number in range(_EVENTS)]
    plant = Plant(store, log)
    posted = 0
    began = time.perf_counter()
    for start in range(0, _EVENTS, _BATCH):
        plant.inbox.receive_all(wires[start : start + _BATCH], plant.now)
        while events := plant.inbox.offer(plant.now, _BATCH):
            plant.inbox.settle([(event, Accepted(document)) for event in events], plant.now)
            posted += len(events)
        plant.inbox.step(plant.now)
    seconds = time.perf_counter() - began

    assert posted == _EVENTS
    name = f"{type(store).__name__}, {'single' if document else 'cumulative'} answers"
    record_property(name, f"{_EVENTS / seconds:.0f} events/s in batches of {_BATCH}")
