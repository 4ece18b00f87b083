"""Removing any one message at random is found and healed: a thousand times."""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from edge_agent_receiver.store import open_store
from tests.receiver.agent_log import AgentLog, Sent, line
from tests.receiver.plant import Plant

_TRIALS = 1_000
_PATIENCE = 120
"""Most seconds of virtual time until the books are right."""
_FAST = "/dev/shm" if Path("/dev/shm").is_dir() else None


def _shift(chance: random.Random) -> AgentLog:
    """Forty-odd events in three streams, of every kind."""
    log = AgentLog()
    for _ in range(30):
        stream = chance.choice(["routine", "routine", "critical"])
        kind = chance.randrange(10)
        if kind < 6:
            log.consumed(str(chance.randrange(1, 100)), stream=stream)
        elif kind == 6:
            log.moved(str(chance.randrange(1, 100)), stream=stream)
        elif kind == 7:
            log.review()
        elif kind == 8 and (originals := _reversible(log)):
            log.reverse(chance.choice(originals))
        else:
            data = {"materialActual": [line(use="Produced", material="bottle", unit="H87")]}
            log.put("material.produced", "_material/produced", data, stream)
    lost = log.consumed()
    log.void(lost)
    log.consumed()
    log.snapshot(parts=2)
    return log


def _reversible(log: AgentLog) -> list[Sent]:
    taken = {json.loads(sent.payload)["data"].get("reversesId") for sent in log.all}
    return [
        sent
        for sent in log.all
        if "/_material/" in sent.topic and "reversed" not in sent.topic and sent.id not in taken
    ]


def _expected(log: AgentLog) -> dict[str, Decimal]:
    """The books: what was neither taken back nor lost to the broker for good."""
    events = [json.loads(sent.payload) for sent in log.all if (sent.source, sent.sequence) not in log.unpublishable]
    taken = {event["data"].get("reversesId") for event in events}
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for event in events:
        if event["id"] not in taken and event["type"].startswith("io.edgeagent.material."):
            for each in event["data"]["materialActual"]:
                place = f"{each['storageLocation']['location']}/{each['materialDefinitionID']}/{each['materialUse']}"
                sums[place] += Decimal(each["quantity"]["quantityString"])
    return dict(sums)


def _wire(log: AgentLog) -> list[Sent]:
    """What the broker gets: everything but what cannot be published, streams mixed."""
    sent = [one for one in log.all if (one.source, one.sequence) not in log.unpublishable]
    return sorted(sent, key=lambda one: (one.sequence, one.source))


def _trial(number: int, make: Callable[..., Plant] = Plant) -> tuple[bool, int | None]:
    """Whether the loss of one message was noticed, and after how many seconds it was healed."""
    chance = random.Random(number)
    log = _shift(chance)
    messages = _wire(log)
    removed = chance.choice(messages)
    with tempfile.TemporaryDirectory(dir=_FAST) as folder:
        store = open_store(str(Path(folder) / "inbox.db"))
        plant = make(store, log)
        plant.deliver_all(message for message in messages if message is not removed)
        plant.post()
        found = False
        healed = None
        for second in range(_PATIENCE):
            plant.deliver(log.heartbeat())
            plant.step()
            asked = [body for name, body in log.commands if name == "replay" and body["source"] == removed.source]
            found = found or any(body["from"] <= removed.sequence <= body["to"] for body in asked)
            if healed is None and _is_whole(plant, log):
                healed = second + 1
                break
        store.close()
    return found, healed


def _is_whole(plant: Plant, log: AgentLog) -> bool:
    """The books are right, each number settled, the snapshot agrees but for what the agent could not publish."""
    streams = [plant.source(log, stream) for stream in log.streams]
    if plant.ledger.sums != _expected(log) or any(
        stream is None or stream.settled < len(sent) for stream, sent in zip(streams, log.streams.values(), strict=True)
    ):
        return False
    return plant.inbox.counts["snapshots compared"] == 1 and plant.open_discrepancies() in ([], ["lost"])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_loss_of_any_one_message_is_found_and_healed(record_property: Callable[[str, object], None]) -> None:
    started = time.monotonic()
    outcomes = [_trial(number) for number in range(_TRIALS)]

    found = sum(found for found, _ in outcomes)
    seconds = [healed for _, healed in outcomes if healed is not None]
    assert found == _TRIALS
    assert len(seconds) == _TRIALS
    took = f"{time.monotonic() - started:.0f} s"
    figures = (
        f"{found} found and {len(seconds)} healed of {_TRIALS}, within {max(seconds)} s of virtual time, in {took}"
    )
    record_property("one message removed at random", figures)


class _NeverAsks(Plant):
    """Planted: the requests for what is missing are forgotten."""

    def step(self, seconds: float = 1.0) -> None:
        self.mute.add("replay")
        super().step(seconds)


def test_an_inbox_that_does_not_ask_is_caught() -> None:
    outcomes = [_trial(number, _NeverAsks) for number in range(3)]

    assert [healed for _, healed in outcomes] == [None, None, None]
