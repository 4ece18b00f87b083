"""Commands to the agent (events.md, Topics): `cmd/replay` is answered with the stored bytes, on their own topics.

Commands are taken one at a time; what is refused is counted and, where that cannot be abused, answered. Retained
commands are never obeyed: nobody knows how old they are.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import orjson

from edge_agent.broker import Message, Received
from edge_agent.clock import Clock
from edge_agent.inbound.payload import PayloadRefused
from edge_agent.inbound.replay import HIGHEST, Replay, parse
from edge_agent.model.event import StoredEvent

Resend = Callable[[Sequence[StoredEvent]], Awaitable[int]]
"""Publishes stored events again and gives how many of them the broker took."""

_CHUNK = 100
_WAITING = 32
_REMEMBERED = 1000
_BURST = 20
_PER_SECOND = 2.0


class Found(Protocol):
    """What the store still has of a range, in order."""

    @property
    def events(self) -> Sequence[StoredEvent]:
        """At most `limit` of them."""
        ...


class Shelf(Protocol):
    """The stored events, as far as replays need them."""

    def delivered(self, stream: str) -> int:
        """Up to where the broker has acknowledged a stream; what lies above comes by itself."""
        ...

    def source(self, stream: str) -> str:
        """The CloudEvents source of a stream."""
        ...

    async def replay(self, source: str, first: int, last: int, limit: int) -> Found:
        """The stored events of `source` from `first` to `last`, at most `limit`."""
        ...


@dataclass(frozen=True, slots=True)
class Handled:
    """For the audit: which command came, when, and what became of it. `content` is the command as text."""

    at: datetime
    command: str
    content: str
    outcome: str


class Commands:
    """Takes `replay` commands on `topic` and answers on `<topic>/reply`. `streams` are those of the agent's store."""

    def __init__(
        self,
        agent: str,
        topic: str,
        streams: Sequence[str],
        shelf: Shelf,
        *,
        resend: Resend,
        reply: Callable[[Message], None],
        clock: Clock,
        audit: Callable[[Handled], None],
    ) -> None:
        self._own = f"urn:edgeagent:{agent}:"
        self._reply_topic = f"{topic}/reply"
        self._streams = tuple(streams)
        self._shelf = shelf
        self._resend = resend
        self._reply = reply
        self._clock = clock
        self._audit = audit
        self._waiting: asyncio.Queue[Replay] = asyncio.Queue(_WAITING)
        self._seen: OrderedDict[str, Replay] = OrderedDict()
        self._rate = _Bucket(_BURST, _PER_SECOND)
        self._hushed = False
        self.counts: Counter[str] = Counter()

    def received(self, message: Received) -> None:
        """Take a message in: to be given to the relay's `subscribe`. Never raises, never blocks."""
        if message.retained:
            self.counts["retained"] += 1
            return
        if not self._rate.take(self._clock.now().monotonic_ns):
            self.counts["limited"] += 1
            if not self._hushed:
                self._answer({"reason": f"too many commands: {_PER_SECOND:g} a second are taken"})
            self._hushed = True
            return
        self._hushed = False
        try:
            identity, command = parse(message.payload)
        except PayloadRefused as error:
            self._refuse(None, str(error))
            return
        self._admit(identity, command)

    async def run(self) -> None:
        """Carry the commands out, one after the other, for ever. Raises StoreError where the store fails."""
        while True:
            await self._carry_out(await self._waiting.get())

    def _admit(self, identity: str | None, command: Replay) -> None:
        former = None if identity is None else self._seen.get(identity)
        if former == command:
            self.counts["repeated"] += 1
            return
        if former is not None:
            self._refuse(command, "its id was used for another command")
        elif not command.source.startswith(self._own):
            self._refuse(command, "its source is not one of this agent")
        elif command.expires is not None and command.expires <= self._clock.now().wall:
            self._refuse(command, "it has expired")
        elif self._waiting.full():
            self._refuse(command, f"{_WAITING} commands are waiting already; send it again later")
        else:
            self._remember(identity, command)
            self._waiting.put_nowait(command)

    def _remember(self, identity: str | None, command: Replay) -> None:
        if identity is None:
            return
        self._seen[identity] = command
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)

    async def _carry_out(self, command: Replay) -> None:
        last = min(command.last, self._highest(command.source))
        sent, found, missing = 0, 0, []
        at = command.first
        while at <= last:
            events = (await self._shelf.replay(command.source, at, last, _CHUNK)).events
            for event in events:
                if event.sequence > at:
                    missing.append((at, event.sequence - 1))
                at = event.sequence + 1
            if not events:
                missing.append((at, last))
                break
            found += len(events)
            sent += await self._resend(events)
        if last < command.last:
            missing.append((max(last + 1, command.first), command.last))
        reason = _reason(command, last, found - sent, missing)
        self.counts["done"] += 1
        self._answer(_about(command) | {"sent": sent, "unavailable": missing, "reason": reason})
        self._note(command, f"sent {sent}, unavailable {missing}")

    def _highest(self, source: str) -> int:
        """Up to where a replay may go: never past what was delivered, which would overtake the live stream."""
        current = {self._shelf.source(stream): stream for stream in self._streams}
        stream = current.get(source)
        return self._shelf.delivered(stream) if stream is not None else HIGHEST

    def _refuse(self, command: Replay | None, why: str) -> None:
        self.counts["refused"] += 1
        about = {} if command is None else _about(command)
        self._answer(about | {"sent": 0, "unavailable": [], "reason": f"refused: {why}"})
        self._note(command, f"refused: {why}")

    def _answer(self, body: dict[str, Any]) -> None:
        self._reply(Message(self._reply_topic, orjson.dumps(body), content_type="application/json"))

    def _note(self, command: Replay | None, outcome: str) -> None:
        content = "unreadable" if command is None else orjson.dumps(_about(command)).decode()
        self._audit(Handled(self._clock.now().wall, "replay", content, outcome))


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


def _about(command: Replay) -> dict[str, Any]:
    identity = {} if command.id is None else {"id": command.id}
    return {**identity, "source": command.source, "from": command.first, "to": command.last}


def _reason(command: Replay, last: int, refused: int, missing: Sequence[tuple[int, int]]) -> str | None:
    """Why not everything was sent; None if everything was."""
    reasons = []
    if refused:
        reasons.append(f"the broker refused {refused}")
    if any(first <= last for first, _ in missing):
        reasons.append("some are no longer, or never were, in the store")
    if last < command.last:
        reasons.append(f"from {max(last + 1, command.first)} on nothing is delivered yet; it comes by itself")
    return "; ".join(reasons) or None
