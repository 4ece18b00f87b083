"""How commands come in: what is retained, too much, unreadable or not allowed is refused, counted and visible.

Commands are carried out one at a time. What is refused is answered where that cannot be abused, and audited.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

import orjson

from edge_agent.broker import Message, Received
from edge_agent.clock import Clock
from edge_agent.inbound.payload import PayloadRefused

_AUDIT_BURST = 100
_AUDITS_PER_SECOND = 2.0
"""The audit log is never pruned: a flood is counted in it, not copied into it."""


@dataclass(frozen=True, slots=True)
class Handled:
    """For the audit: which command came, when, and what became of it. `content` is the command as text."""

    at: datetime
    command: str
    content: str
    outcome: str


@dataclass(frozen=True, slots=True)
class Limit:
    """How many commands are taken: `burst` at once, `per_second` in the long run; `waiting` may wait."""

    burst: int = 20
    per_second: float = 2.0
    waiting: int = 32


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a command: the answer's body, and what the audit says of it (None: nothing)."""

    answer: Mapping[str, Any]
    audit: str | None = None


class Repeated(Exception):
    """The command was taken before and is being carried out, or was: nothing happens."""


C = TypeVar("C")


class Verb(Protocol[C]):
    """One command: how it is read, whether it is allowed, what it does."""

    def parse(self, payload: bytes) -> C:
        """The command in `payload`. Raises PayloadRefused."""
        ...

    def about(self, command: C) -> dict[str, Any]:
        """What an answer repeats of it."""
        ...

    def admit(self, command: C, now: datetime) -> str | None:
        """Why it is not taken at `now`; None if it is. Raises Repeated."""
        ...

    def refused(self, why: str) -> dict[str, Any]:
        """What a refusal's answer says beside `about`."""
        ...

    async def carry_out(self, command: C) -> Done:
        """Do it. Raises StoreError where the store fails."""
        ...


class Intake(Generic[C]):
    """Takes commands on `topic`, answers on `<topic>/reply`. `counts` are for people and metrics."""

    def __init__(
        self,
        topic: str,
        verb: Verb[C],
        *,
        reply: Callable[[Message], None],
        clock: Clock,
        audit: Callable[[Handled], None],
        limit: Limit | None = None,
        counted: Callable[[str], None] = lambda _outcome: None,
    ) -> None:
        self._name = topic.rpartition("/")[2]
        self._reply_topic = f"{topic}/reply"
        self._verb = verb
        self._reply = reply
        self._clock = clock
        self._audit = audit
        self._limit = limit or Limit()
        self._waiting: asyncio.Queue[C] = asyncio.Queue(self._limit.waiting)
        self._rate = _Bucket(self._limit.burst, self._limit.per_second)
        self._noting = _Bucket(_AUDIT_BURST, _AUDITS_PER_SECOND)
        self._unnoted = 0
        self._hushed = False
        self._counted = counted
        self.counts: Counter[str] = Counter()

    def received(self, message: Received) -> None:
        """Take a message in: to be given to the relay's `subscribe`. Never raises, never blocks."""
        if message.retained:  # nobody knows how old it is
            self._count("retained")
            return
        if not self._rate.take(self._clock.now().monotonic_ns):
            self._count("limited")
            if not self._hushed:
                self._answer({"reason": f"too many commands: {self._limit.per_second:g} a second are taken"})
            self._hushed = True
            return
        self._hushed = False
        try:
            command = self._verb.parse(message.payload)
        except PayloadRefused as error:
            self._refuse(None, str(error))
            return
        if self._waiting.full():
            self._refuse(command, f"{self._limit.waiting} commands are waiting already; send it again later")
            return
        try:
            why = self._verb.admit(command, self._clock.now().wall)
        except Repeated:
            self._count("repeated")
            return
        if why is None:
            self._waiting.put_nowait(command)
        else:
            self._refuse(command, why)

    async def run(self) -> None:
        """Carry the commands out, one after the other, for ever. Raises StoreError where the store fails."""
        while True:
            command = await self._waiting.get()
            done = await self._verb.carry_out(command)
            self._count("done")
            self._answer({**self._verb.about(command), **done.answer})
            if done.audit is not None:
                self._note(command, done.audit)

    def _count(self, outcome: str) -> None:
        self.counts[outcome] += 1
        self._counted(outcome)

    def _refuse(self, command: C | None, why: str) -> None:
        self._count("refused")
        about = {} if command is None else self._verb.about(command)
        self._answer(about | self._verb.refused(why))
        self._note(command, f"refused: {why}")

    def _answer(self, body: Mapping[str, Any]) -> None:
        self._reply(Message(self._reply_topic, orjson.dumps(body), content_type="application/json"))

    def _note(self, command: C | None, outcome: str) -> None:
        if not self._noting.take(self._clock.now().monotonic_ns):
            self._unnoted += 1
            return
        more = f" ({self._unnoted} more before it were not noted)" if self._unnoted else ""
        self._unnoted = 0
        content = "unreadable" if command is None else orjson.dumps(self._verb.about(command)).decode()
        self._audit(Handled(self._clock.now().wall, self._name, content, outcome + more))


class _Bucket:
    """A token bucket: `burst` at once, `per_second` in the long run."""

    def __init__(self, burst: int, per_second: float) -> None:
        self._burst = burst
        self._per_nanosecond = per_second / 1e9
        self._tokens = float(burst)
        self._last: int | None = None

    def take(self, now: int) -> bool:
        """Whether there is a token at `now` (monotonic nanoseconds)."""
        elapsed = 0 if self._last is None else max(0, now - self._last)
        self._last = now
        self._tokens = min(self._burst, self._tokens + elapsed * self._per_nanosecond)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
