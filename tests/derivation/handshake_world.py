"""A PLC, the wire and the agent, each of which may stop at any instant; the PLC's ledger of movements is the truth.

The source's watches and the engine are the real ones. The wire never waits, so a walk is a list of steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Coroutine, Sequence
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
from edge_agent.model.movement import Cause, LineState
from edge_agent.model.outcome import Outcome
from edge_agent.model.reading import Instant, Link, Quality, Reading, SourceChange, TagRef
from edge_agent.model.signal_state import HandshakeState
from edge_agent.model.state import State
from edge_agent.sources.handshakes import Handshakes
from edge_agent.store import checkpoint
from edge_agent.telemetry.metrics import Counts
from edge_agent.telemetry.status import Status
from tests.derivation.confirming_plcs import NUMBER, SLOTS, BitsPlc, CounterPlc, Plc, RingPlc
from tests.derivation.plant import CASES, NOON, SEQ, SSCC, Journal, handshake, tag_map

T = TypeVar("T")


def rule_of(kind: Kind, *, named: bool) -> Rule:
    """Pallets confirmed in that way; `named`: each block carries its container."""
    rule = handshake(container=SSCC if named else None)
    assert isinstance(rule.signal, Handshake)
    modulus = {Kind.BITS: 2, Kind.RING: SLOTS}.get(kind, 1 << 32)
    return replace(rule, signal=replace(rule.signal, kind=kind, modulus=modulus, result=None))


def numbered(kind: Kind) -> Rule:
    """The same, with the PLC's own number of each pallet in the block."""
    rule = rule_of(kind, named=True)
    assert isinstance(rule.signal, Handshake)
    return replace(rule, signal=replace(rule.signal, number=NUMBER))


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

    @property
    def knows(self) -> bool:
        """Whether it has seen a number that another one can follow."""
        state = self.state.rules[self.rule.name].signal if self.rule.name in self.state.rules else None
        assert isinstance(self.rule.signal, Handshake)
        by_number = self.rule.signal.number is not None
        return isinstance(state, HandshakeState) and not (by_number and state.sequence is None)

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
    "forget": 1,
    "disconnect": 1,
    "rest": 1,
    "refuse": 1,
    "late": 1,
    "killed before the commit": 1,
    "killed after the commit": 1,
    "killed after the answer": 1,
}
"""What may happen next, and how often."""


KEEPS = frozenset({"clear", "stale", "forget"})
"""Without these the PLC holds after a restart what it held before."""


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
        self.plc = plc or {Kind.BITS: BitsPlc, Kind.RING: RingPlc}.get(kind, CounterPlc)()
        self.faults = Faults(planted)
        self.agent = Agent(self.plc, rule or rule_of(kind, named=named), tells, self.faults)
        self.trace: list[str] = []
        self.anew = 0
        """How often the PLC's count may have begun anew: it did, or stood where it begins when a session did."""
        self.forgot: list[tuple[int, frozenset[str]]] = []
        """Each time that the PLC forgot its queue: how many gaps were stated by then, and what it forgot.

        What it forgot before the agent had ever seen a number is before where the agent begins.
        """

    def walk(self, steps: int, without: frozenset[str] = frozenset()) -> None:
        """So many steps, then calm until everything is over. AssertionError: one is lost, or booked twice."""
        names = [name for name in STEPS if name not in without]
        for name in self._random.choices(names, [STEPS[name] for name in names], k=steps):
            self.trace.append(name)
            begins = name in KEEPS or int(self.plc.memory[SEQ]) <= 1
            self.anew += begins and name.startswith(("keep", "disconnect", "killed", *KEEPS))
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
            case "keep" | "clear" | "stale" | "forget":
                self._restart(name)
            case "refuse" | "late":
                setattr(self.faults, name, True)
            case "killed after the answer":
                agent.answer(killed=True)
            case "killed before the commit" | "killed after the commit":
                agent.process(killed=name.removeprefix("killed "))
            case _:
                getattr(plc, name)()

    def _restart(self, how: str) -> None:
        agent, plc = self.agent, self.plc
        before = len(plc.forgotten)
        plc.restart(how)
        if how == "forget" and agent.knows:
            self.forgot.append((len(agent.journal.gaps), frozenset(plc.forgotten[before:])))
        agent.disconnect()

    def _calm(self) -> None:
        self.plc.move()  # what a PLC has forgotten shows in what comes next
        for _ in range(40 * (len(self.plc.moved) + 2)):
            for name in ("scan", "rest", "look", "process", "process", "answer"):
                self._step(name)
        assert not self.plc.queue, f"the PLC waits for ever: {self.plc.memory}"

    def check(self, *, at_the_end: bool = False) -> None:
        """Every movement is booked once at the most; what the PLC holds for confirmed is booked or in review.

        What it forgot may be in a gap instead, stated since, whose amount is open.
        """
        journal = self.agent.journal
        fell = sum(gap.cause is Cause.NUMBER_FELL for gap in journal.gaps)
        assert fell <= self.anew, f"{fell} gaps, and the count can have begun anew {self.anew} times only"
        lines = [mark.line for mark in journal.lines.values() if mark.state is not LineState.IN_REVIEW]
        reviews = [review.line for review in journal.reviews.values()]
        confirmed = set(self.plc.moved if at_the_end else self.plc.confirmed)
        if not self.named:
            booked = sum(int(line.source_quantity) // 40 for line in lines)
            assert booked <= len(self.plc.moved), f"{booked} booked, {len(self.plc.moved)} moved"
            unsure = len(reviews) + sum(gap.maximum is None for gap in journal.gaps)
            known = frozenset[str]().union(*(pallets for _, pallets in self.forgot))
            confirmed -= {*self.plc.forgotten} - known  # forgotten before the agent began
            if not (known and self._is_open(known)):
                assert booked + unsure >= len(confirmed), f"{booked} booked, {len(confirmed)} confirmed"
            return
        booked_by = Counter(line.key.container for line in lines)
        twice = {container for container, times in booked_by.items() if times > 1}
        assert not twice, f"booked twice: {twice}"
        lost = confirmed - booked_by.keys() - {line.key.container for line in reviews}
        assert self._is_open(lost & {*self.plc.forgotten}), f"neither booked, nor in review, nor in a gap: {lost}"
        lost -= {*self.plc.forgotten}
        assert not lost, f"neither booked nor in review: {lost}"

    def _is_open(self, lost: Collection[str]) -> bool:
        """Whether a gap without an upper bound was stated after the PLC had forgotten each of them."""
        gaps = self.agent.journal.gaps
        return all(
            any(gap.maximum is None for gap in gaps[known:]) for known, forgotten in self.forgot if forgotten & {*lost}
        )
