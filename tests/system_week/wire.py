"""The wire of one day, recorded; and what answers an inbox from the record, as the agent would."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from edge_agent_receiver import Accepted
from edge_agent_receiver.inbox import Inbox
from edge_agent_receiver.store import Store, open_store
from edge_agent_receiver.timing import Timing
from edge_agent_simulators.erp_books import Books, Stock
from tests.system_week.plant import BOTTLES, PREFORMS
from tests.system_week.script import MONDAY, Scenario, local

_TIMING = Timing(hello=0.0, gather=30.0, longest=60.0)
_BATCH = timedelta(minutes=20)
"""How long messages gather before the inbox takes them in: its transactions are what a trial costs."""
_AFTER = 20
"""Steps of half a minute for everything to come to rest."""


@dataclass(frozen=True)
class Message:
    """One message on the wire; `source` and `sequence` of an event, None of a heartbeat."""

    at: datetime
    topic: str
    payload: bytes
    source: str | None = None
    sequence: int = 0

    @property
    def place(self) -> tuple[str | None, int]:
        return self.source, self.sequence


@dataclass
class Wire:
    """Everything of a day in its order."""

    messages: list[Message]

    @property
    def events(self) -> list[Message]:
        return [one for one in self.messages if one.source is not None]

    @property
    def voided(self) -> set[tuple[str, int]]:
        """What could not be sent at first."""
        said = [json.loads(one.payload)["data"]["voided"] for one in self.events if one.topic.endswith("/voided")]
        return {(one["source"], one["sequence"]) for one in said}

    @property
    def last_of_each_stream(self) -> list[Message]:
        return list({one.source: one for one in self.events}.values())


async def record_a_day(folder: Path) -> Wire:
    """Some hours of production and the rest of the day: corrections, entries, snapshots, what could not be sent."""
    day = Scenario(folder, 5, [(MONDAY, "4711"), (local(1, "08:30"), "4712")])
    day.plant.working = lambda at: 6 <= at.hour < 11
    people, world = day.people, day.world
    world.at(local(1, "07:10"), lambda: people.enter("consumed", "300017", "120", typed="210", from_="L3-STORE"))
    world.at(local(1, "07:40"), day.miscount("preforms_used", PREFORMS, 7))
    world.at(local(1, "09:10"), day.poison("correct", "preforms_used"), day.miscount("bottles_made", BOTTLES, 3))
    world.at(local(1, "10:10"), day.poison("retry", "pallet_out"))
    world.at(local(1, "10:40"), lambda: people.enter("scrapped", "900001", "12", from_="L3-OUT"))
    day.bus.record = []
    await world.start()
    try:
        await world.run(local(2, "06:00"))
        return Wire(list(_kept(day.bus.record)))
    finally:
        await world.stop()


def _kept(record: Iterable[tuple[datetime, str, bytes]]) -> Iterator[Message]:
    """Events, and what the agent says of itself twice an hour."""
    last = datetime.min.replace(tzinfo=MONDAY.tzinfo)
    for at, topic, payload in record:
        if topic.endswith(("/heartbeat", "/state")):
            if at - last >= timedelta(minutes=30):
                last = at
                yield Message(at, topic, payload)
        elif "/_gateway/" not in topic and "/_recon/discrepancy" not in topic:
            event = json.loads(payload)
            yield Message(at, topic, payload, event["source"], int(event["sequence"]))


class Bench:
    """A fresh inbox of the kit, books of its own, and an agent that answers from the record."""

    def __init__(self, wire: Wire, store: str, *, prove: bool) -> None:
        self._wire = wire
        self._store: Store = open_store(store)
        self.books = Books()
        self.asked: Counter[tuple[str, int]] = Counter()
        """(source, sequence) of everything that a replay was asked for."""
        self.now = wire.messages[0].at.timestamp()
        self._sent_up_to = wire.messages[0].at
        self.inbox = Inbox(self._store, "erp", run="trial-0001", now=self.now, prove=prove, timing=_TIMING)

    def close(self) -> None:
        self._store.close()
        self.books.close()

    def deliver(self, messages: Iterable[Message]) -> None:
        """All of them, some minutes' worth at a time, and then wait until nothing happens any more."""
        batch: list[tuple[str, bytes]] = []
        begun: datetime | None = None
        for one in messages:
            if begun is not None and one.at - begun >= _BATCH:
                self._take(batch, begun)
                batch, begun = [], None
            begun = begun or one.at
            self._sent_up_to = one.at
            batch.append((one.topic, one.payload))
        if begun is not None:
            self._take(batch, begun)
        self._sent_up_to = self._wire.messages[-1].at
        for _ in range(_AFTER):
            self.now += 30
            self._step()

    def open_discrepancies(self) -> list[tuple[str, dict[str, Any]]]:
        with self._store.transaction() as db:
            rows = db.rows("SELECT cause, body FROM discrepancy WHERE closed IS NULL ORDER BY number")
        return [(cause, json.loads(body)) for cause, body in rows]

    def _take(self, batch: list[tuple[str, bytes]], at: datetime) -> None:
        self.now = max(self.now, at.timestamp())
        self.inbox.receive_all(batch, self.now)
        self._step()

    def _step(self) -> None:
        self._post()
        answers = [one for message in self.inbox.step(self.now) for one in self._answer(message)]
        if answers:
            self.inbox.receive_all(answers, self.now)
            self._post()

    def _post(self) -> None:
        while events := self.inbox.offer(self.now):
            for event in events:
                self.books.post(event.payload, event.sha256)
            self.inbox.settle([(event, Accepted()) for event in events], self.now)

    def _answer(self, message: Any) -> Iterator[tuple[str, bytes]]:
        """What the agent says to a command."""
        if message.key is not None:
            self.inbox.sent(message.key, self.now)
            return
        asked = json.loads(message.payload)
        if message.topic.endswith("/cmd/replay"):
            source, numbers = asked["source"], range(asked["from"], asked["to"] + 1)
            self.asked.update((source, number) for number in numbers)
            sent = {
                one.sequence: one for one in self._wire.events if one.source == source and one.at <= self._sent_up_to
            }
            found = [sent[number] for number in numbers if number in sent]
            yield from ((one.topic, one.payload) for one in found)
            missing = [[number, number] for number in numbers if number > max(sent, default=0)]
            reply = {**asked, "sent": len(found), "unavailable": missing, "reason": None}
        else:
            about = {name: asked[name] for name in ("nonce", "system", "source")}
            reply = {**about, "upTo": asked.get("upTo", 0), "taken": 1, "repeated": 0, "refused": [], "reason": None}
        yield f"{message.topic}/reply", json.dumps(reply).encode()


def differs(one: dict[Stock, Decimal], other: dict[Stock, Decimal]) -> dict[Stock, Decimal]:
    """What the first has more than the second."""
    sums: dict[Stock, Decimal] = defaultdict(Decimal, one)
    for stock, amount in other.items():
        sums[stock] -= amount
    return {stock: amount for stock, amount in sums.items() if amount}
