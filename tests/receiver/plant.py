"""An inbox between an agent's log and a ledger, driven by hand: virtual time, and every message under control."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from decimal import Decimal
from itertools import count
from typing import Any

from edge_agent_receiver import Accepted, Busy, Event, Rejected
from edge_agent_receiver.answers import Outcome, Raised
from edge_agent_receiver.inbox import Inbox
from edge_agent_receiver.store import Store
from edge_agent_receiver.timing import Timing
from tests.receiver.agent_log import AgentLog, Sent

START = 1_740_000_000.0
_runs = count(1)

Post = Callable[[Event], Outcome]
Wire = tuple[str, bytes]


class Ledger:
    """The books of a receiving system: idempotent by event id, as `post` has to be."""

    def __init__(self) -> None:
        self.posted: dict[str, Event] = {}
        self.calls: list[tuple[int, str]] = []
        """(sequence, id) of each call."""
        self.again: list[str] = []
        self.answer: Callable[[Event], Outcome] = lambda event: Accepted()

    def post(self, event: Event) -> Outcome:
        self.calls.append((event.sequence, event.id))
        if event.again:
            self.again.append(event.id)
        if event.id in self.posted:
            return Accepted(duplicate=True)
        answer = self.answer(event)
        if isinstance(answer, Accepted):
            self.posted[event.id] = event
        return answer

    @property
    def sums(self) -> dict[str, Decimal]:
        """What is on the books: by location, material and use; reversals taken off."""
        sums: dict[str, Decimal] = defaultdict(Decimal)
        for event in self.posted.values():
            sign = -1 if event.reverses else 1
            for line in event.lines:
                sums[f"{line.location}/{line.material}/{line.use}"] += sign * line.quantity
        return {key: value for key, value in sums.items() if value}

    @property
    def contents(self) -> dict[str, bytes]:
        return {identity: event.payload for identity, event in self.posted.items()}


class Plant:
    """Agents, an inbox and a ledger."""

    def __init__(self, store: Store, *logs: AgentLog, inbox: type[Inbox] = Inbox, **options: Any) -> None:
        self.store = store
        self.logs = list(logs)
        self.ledger = Ledger()
        self.now = START
        self.published: list[dict[str, Any]] = []
        """The data of the discrepancies."""
        self.mute: set[str] = set()
        """Commands that get lost on their way to the agent."""
        self.deaf: set[str] = set()
        """Commands whose replies get lost."""
        self.commands: list[tuple[str, dict[str, Any]]] = []
        self._options = {"timing": Timing(hello=0), **options}
        self._class = inbox
        self.inbox = self.open()

    def open(self) -> Inbox:
        """A new run of the receiver over the same store."""
        self.inbox = self._class(self.store, "erp", run=f"run{next(_runs):05d}", now=self.now, **self._options)
        return self.inbox

    def deliver(self, *messages: Wire | Sent) -> None:
        """One message after the other."""
        for message in messages:
            self.inbox.receive(*(message.wire if isinstance(message, Sent) else message), self.now)

    def deliver_all(self, messages: Iterable[Wire | Sent]) -> None:
        """All in one transaction."""
        wires = [message.wire if isinstance(message, Sent) else message for message in messages]
        self.inbox.receive_all(wires, self.now)

    def post(self, limit: int = 100) -> None:
        """Post what is ready."""
        while events := self.inbox.offer(self.now, limit):
            self.inbox.settle(self.answers(events), self.now)

    def answers(self, events: list[Event]) -> list[tuple[Event, Outcome]]:
        """As the shell does: after a busy one nothing more of its source."""
        held: set[str] = set()
        outcomes: list[tuple[Event, Outcome]] = []
        for event in events:
            outcome = None if event.source in held else self.ledger.post(event)
            if isinstance(outcome, Busy | Raised):
                held.add(event.source)
            outcomes.append((event, outcome))
        return outcomes

    def step(self, seconds: float = 1.0) -> None:
        """Time passes; commands go to the agents and their answers come back; what is ready is posted."""
        self.now += seconds
        self.post()
        for message in self.inbox.step(self.now):
            if message.key is not None:
                self.published.append(json.loads(message.payload)["data"])
                self.inbox.sent(message.key, self.now)
                continue
            name = message.topic.rpartition("/")[2]
            self.commands.append((name, json.loads(message.payload)))
            if name in self.mute:
                continue
            for log in self.logs:
                wires = log.command(message.topic, message.payload)
                self.deliver_all(wire for wire in wires if name not in self.deaf or not wire[0].endswith("/reply"))
        self.post()

    def settle(self, seconds: int = 200) -> None:
        """Let everything come to rest."""
        for _ in range(seconds):
            self.step()

    def source(self, log: AgentLog, stream: str = "routine") -> Any:
        return self.inbox.sources.known(log.source(stream))

    def states(self, log: AgentLog, stream: str = "routine") -> dict[int, str]:
        with self.store.transaction() as db:
            rows = db.rows(
                "SELECT sequence, state FROM event WHERE source = ? ORDER BY sequence", self.source(log, stream).number
            )
        return dict(rows)

    def open_discrepancies(self) -> list[str]:
        with self.store.transaction() as db:
            return [cause for (cause,) in db.rows("SELECT cause FROM discrepancy WHERE closed IS NULL ORDER BY number")]


def reject(code: str = "unknown_product") -> Outcome:
    return Rejected(code, "no such product")
