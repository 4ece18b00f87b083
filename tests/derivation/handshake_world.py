"""A PLC, the wire and the agent, each of which may stop at any instant; the PLC's ledger of movements is the truth.

The source's watches and the engine are the real ones. The wire never waits, so a walk is a list of steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Coroutine, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any, TypeVar

from edge_agent.clock import SystemClock
from edge_agent.config.signals import Handshake, Kind
from edge_agent.config.tagmap import Rule
from edge_agent.derivation.engine import Engine, Input
from edge_agent.errors import SourceError
from edge_agent.model.confirmation import Acknowledge
from edge_agent.model.movement import LineState
from edge_agent.model.outcome import Outcome
from edge_agent.model.reading import Instant, Link, Quality, Reading, Scalar, SourceChange, TagRef
from edge_agent.model.state import State
from edge_agent.sources.handshake_ring import slot
from edge_agent.sources.handshakes import Handshakes
from edge_agent.store import checkpoint
from edge_agent.telemetry.metrics import Counts
from edge_agent.telemetry.status import Status
from tests.derivation.plant import ACK, BOOTED, CASES, NOON, SEQ, SSCC, Journal, handshake, tag_map

T = TypeVar("T")
SLOTS = 4


def rule_of(kind: Kind, *, named: bool) -> Rule:
    """Pallets confirmed in that way; `named`: each block carries its container."""
    rule = handshake(container=SSCC if named else None)
    assert isinstance(rule.signal, Handshake)
    modulus = 2 if kind is Kind.BITS else SLOTS
    return replace(rule, signal=replace(rule.signal, kind=kind, modulus=modulus, result=None))


class Plc:
    """What both kinds of PLC do: pallets move, wait in a queue that survives, and are confirmed one after the other."""

    def __init__(self) -> None:
        self.memory: dict[TagRef, Scalar] = {SEQ: 0, ACK: 0, CASES: 0, SSCC: ""}
        self.moved: list[str] = []
        self.queue: list[str] = []
        self.confirmed: list[str] = []
        self.booted = BOOTED
        self.image: tuple[dict[TagRef, Scalar], list[str]] = ({}, [])
        self.save()

    def move(self) -> None:
        """A pallet leaves: whatever becomes of its message, it is gone."""
        self.moved.append(f"P{len(self.moved)}")
        self.queue.append(self.moved[-1])

    def save(self) -> None:
        """Keep an image of everything but the ledger, as a controller does that saves now and then."""
        self.image = (dict(self.memory), list(self.queue))

    def restart(self, how: str) -> None:
        """Power off and on; `how` says what the memory holds then. No pallet is ever forgotten."""
        self.booted += timedelta(seconds=1)
        if how == "clear":
            self.clear()
        elif how == "stale":
            memory, queue = deepcopy(self.image)
            self.memory, self.queue = memory, [*queue, *(one for one in self.queue if one not in queue)]

    def clear(self) -> None:
        """Nothing but the queue is kept."""
        self.memory |= {SEQ: 0, ACK: 0, CASES: 0, SSCC: ""}

    def scan(self) -> None:
        raise NotImplementedError

    def withdraw(self) -> None:
        """The time is out: a PLC in bits takes its request back."""


class BitsPlc(Plc):
    """Raises its request while our bit is low, and takes it back when it is high."""

    withdrawn = False

    def scan(self) -> None:
        memory = self.memory
        if memory[ACK]:
            if (memory[SEQ] or self.withdrawn) and self.queue:
                self.confirmed.append(self.queue.pop(0))
            self.withdrawn, memory[SEQ] = False, 0
        elif not memory[SEQ] and self.queue:
            memory |= {CASES: 40, SSCC: self.queue[0]}
            self.withdrawn, memory[SEQ] = False, 1

    def withdraw(self) -> None:
        if self.memory[SEQ] and not self.memory[ACK]:
            self.withdrawn, self.memory[SEQ] = True, 0

    def restart(self, how: str) -> None:
        self.withdrawn = False
        super().restart(how)


class RingPlc(Plc):
    """The queue's first entries stand in the ring until the tail has passed them."""

    _in_ring = 0
    _tail = 0

    def scan(self) -> None:
        memory = self.memory
        for _ in range((int(memory[ACK]) - self._tail) % SLOTS):
            if self._in_ring:
                self.confirmed.append(self.queue.pop(0))
                self._in_ring -= 1
        self._tail = int(memory[ACK])
        head = int(memory[SEQ])
        if self._in_ring < len(self.queue) and (head + 1) % SLOTS != memory[ACK]:
            memory |= {slot(CASES, head): 40, slot(SSCC, head): self.queue[self._in_ring]}
            memory[SEQ] = (head + 1) % SLOTS
            self._in_ring += 1

    def clear(self) -> None:
        super().clear()
        self._in_ring = self._tail = 0

    def save(self) -> None:
        super().save()
        self._ends = self._in_ring, self._tail

    def restart(self, how: str) -> None:
        super().restart(how)
        if how == "stale":
            self._in_ring, self._tail = self._ends


@dataclass
class Faults:
    """Bugs to plant, by name; and what the wire is told to do to the next acknowledgement."""

    planted: str = ""
    refuse: bool = False
    late: bool = False


@dataclass
class Agent:
    """One life of the agent after the other. What is durable is held as the store holds it."""

    plc: Plc
    rule: Rule
    tells_restarts: bool
    faults: Faults
    journal: Journal = field(default_factory=Journal)
    stored: list[tuple[str, str, str, bytes]] = field(default_factory=list)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.engine = Engine(tag_map(self.rule))
        self.start()

    def start(self) -> None:
        """A new process: only what is stored is known."""
        rows: dict[str, dict[str, Any]] = {"rule": {}, "source": {}}
        for kind, name, body, _ in self.stored:
            if kind in rows:
                rows[kind][name] = checkpoint.decoded(kind, body)
        self.state = State(rules=rows["rule"], sources=rows["source"])
        assert isinstance(self.rule.signal, Handshake)
        self.watches = Handshakes({self.rule.name: self.rule.signal}, SystemClock(), Status(), Counts())
        self.waiting: list[Sequence[Input]] = []
        self.answers: list[Acknowledge] = []
        if "plc" in self.state.sources:
            self._commit(self.engine.fold(self.state, [SourceChange("plc", Link.LOST, self._now())]))
        self.connect()

    def connect(self) -> None:
        """A new session with the PLC."""
        booted: datetime | None = self.plc.booted if self.tells_restarts else None
        self.waiting.append([SourceChange("plc", Link.UP, self._now(), booted)])
        self.watches.connected(self.seconds)

    def disconnect(self) -> None:
        self.waiting.append([SourceChange("plc", Link.LOST, self._now())])
        self.connect()

    def look(self) -> None:
        """What a source does between two deliveries."""
        self.seconds += 1
        trigger = run(self.read([SEQ, CASES, SSCC]))
        self.watches.triggered(trigger, self.seconds)
        if released := self.watches.take_released():
            self.waiting.append(released)
        elif blocks := run(self.watches.look(self.read, self.seconds)):
            self.waiting.append(blocks)

    def process(self, *, killed: str = "") -> None:
        """Fold what arrived first, commit, and hand the acknowledgements on. `killed` in between."""
        if not self.waiting:
            return
        outcome = self.engine.fold(self.state, self.waiting.pop(0))
        if self.faults.planted == "acknowledges before the commit":
            self.answers += outcome.acknowledgements
            self.answer()
        if killed != "before the commit":
            self._commit(outcome)
            self.answers += outcome.acknowledgements
        if killed:
            self.start()

    def answer(self, *, killed: bool = False) -> None:
        """Write one acknowledgement; `killed` before anybody knows that it was written."""
        if not self.answers:
            return
        try:
            run(self.watches.acknowledge(self.answers.pop(0), self.read, self.write, self.seconds))
        except SourceError:
            self.faults.refuse = False
        if killed:
            self.start()

    async def read(self, tags: Sequence[TagRef]) -> list[Reading]:
        now = self._now()
        return [Reading(tag, self.plc.memory.get(tag, 0), Quality.GOOD, now, source_time=now.wall) for tag in tags]

    async def write(self, values: Sequence[tuple[TagRef, int]]) -> None:
        if self.faults.refuse:
            raise SourceError("the PLC does not answer")
        if self.faults.late:
            self.faults.late = False
            self.plc.scan()
        self.plc.memory |= dict(values)

    def _commit(self, outcome: Outcome) -> None:
        if outcome.changed is not None:
            self.state.adopt(outcome.changed)
        self.stored = list(checkpoint.rows(self.state))
        self.journal.take(outcome)
        self.journal.check()

    def _now(self) -> Instant:
        return Instant(NOON + timedelta(seconds=self.seconds), round(self.seconds * 10**9), "boot-1")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run what never waits."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    raise AssertionError("it waits")


STEPS = {
    "move": 4,
    "scan": 12,
    "look": 12,
    "process": 10,
    "answer": 8,
    "withdraw": 1,
    "save": 1,
    "keep": 1,
    "clear": 1,
    "stale": 1,
    "disconnect": 1,
    "rest": 1,
    "refuse": 1,
    "late": 1,
    "killed before the commit": 1,
    "killed after the commit": 1,
    "killed after the answer": 1,
}
"""What may happen next, and how often."""


class World:
    """A walk through a plant's bad day."""

    def __init__(
        self,
        kind: Kind,
        seed: int,
        *,
        named: bool = True,
        tells: bool = True,
        planted: str = "",
        plc: Plc | None = None,
        rule: Rule | None = None,
    ) -> None:
        self.named = named
        self._random = Random(seed)
        self.plc = plc or (BitsPlc() if kind is Kind.BITS else RingPlc())
        self.faults = Faults(planted)
        self.agent = Agent(self.plc, rule or rule_of(kind, named=named), tells, self.faults)
        self.trace: list[str] = []

    def walk(self, steps: int, without: frozenset[str] = frozenset()) -> None:
        """So many steps, then calm until everything is over. AssertionError: one is lost, or booked twice."""
        names = [name for name in STEPS if name not in without]
        for name in self._random.choices(names, [STEPS[name] for name in names], k=steps):
            self.trace.append(name)
            self._step(name)
            self.check()
        self._calm()
        self.check(at_the_end=True)

    def _step(self, name: str) -> None:
        agent, plc = self.agent, self.plc
        match name:
            case "move":
                plc.move()
            case "look":
                agent.look()
            case "process":
                agent.process()
            case "answer":
                agent.answer()
            case "rest":
                agent.seconds += 100
            case "disconnect":
                agent.disconnect()
            case "keep" | "clear" | "stale":
                plc.restart(name)
                agent.disconnect()
            case "refuse" | "late":
                setattr(self.faults, name, True)
            case "killed after the answer":
                agent.answer(killed=True)
            case "killed before the commit" | "killed after the commit":
                agent.process(killed=name.removeprefix("killed "))
            case _:
                getattr(plc, name)()

    def _calm(self) -> None:
        for _ in range(40 * (len(self.plc.moved) + 2)):
            for name in ("scan", "rest", "look", "process", "process", "answer"):
                self._step(name)
        assert not self.plc.queue, f"the PLC waits for ever: {self.plc.memory}"

    def check(self, *, at_the_end: bool = False) -> None:
        """Every movement is booked once at the most; what the PLC holds for confirmed is booked or in review."""
        journal = self.agent.journal
        lines = [mark.line for mark in journal.lines.values() if mark.state is not LineState.IN_REVIEW]
        reviews = [review.line for review in journal.reviews.values()]
        confirmed = self.plc.moved if at_the_end else self.plc.confirmed
        if not self.named:
            booked = sum(int(line.source_quantity) // 40 for line in lines)
            assert booked <= len(self.plc.moved), f"{booked} booked, {len(self.plc.moved)} moved"
            unsure = len(reviews) + sum(gap.maximum is None for gap in journal.gaps)
            assert booked + unsure >= len(set(confirmed)), f"{booked} booked, {len(confirmed)} confirmed"
            return
        booked_by = Counter(line.key.container for line in lines)
        twice = {container for container, times in booked_by.items() if times > 1}
        assert not twice, f"booked twice: {twice}"
        lost = set(confirmed) - booked_by.keys() - {line.key.container for line in reviews}
        assert not lost, f"neither booked nor in review: {lost}"
