"""`cmd/replay` (events.md, States): answered with the stored bytes, on their own topics."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from edge_agent.inbound.intake import Done, Repeated
from edge_agent.inbound.replay import HIGHEST, Replay, parse
from edge_agent.model.event import StoredEvent

Resend = Callable[[Sequence[StoredEvent]], Awaitable[int]]
"""Publishes stored events again and gives how many of them the broker took."""

_CHUNK = 100
_REMEMBERED = 1000
_NAMED = 10


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

    async def unpublishable(self, source: str, first: int, last: int) -> frozenset[int]:
        """Which of `first` to `last` no broker takes: a `sequence.voided` accounts for them."""
        ...


class Asked(NamedTuple):
    """A replay and what tells it from another: None where nothing does."""

    identity: str | None
    replay: Replay


class Replaying:
    """The verb. `streams` are those of the agent's store."""

    def __init__(self, agent: str, streams: Sequence[str], shelf: Shelf, resend: Resend) -> None:
        self._own = f"urn:edgeagent:{agent}:"
        self._streams = tuple(streams)
        self._shelf = shelf
        self._resend = resend
        self._seen: OrderedDict[str, Replay] = OrderedDict()

    def parse(self, payload: bytes) -> Asked:
        """The command in `payload`. Raises PayloadRefused."""
        return Asked(*parse(payload))

    def about(self, command: Asked) -> dict[str, Any]:
        """What an answer repeats of it."""
        asked = command.replay
        identity = {} if asked.id is None else {"id": asked.id}
        return {**identity, "source": asked.source, "from": asked.first, "to": asked.last}

    def refused(self, why: str) -> dict[str, Any]:
        """What a refusal says."""
        return {"sent": 0, "unavailable": [], "reason": f"refused: {why}"}

    def admit(self, command: Asked, now: datetime) -> str | None:
        """Why it is not taken; None if it is. Raises Repeated."""
        former = None if command.identity is None else self._seen.get(command.identity)
        if former == command.replay:
            raise Repeated
        if former is not None:
            return "its id was used for another command"
        if not command.replay.source.startswith(self._own):
            return "its source is not one of this agent"
        if command.replay.expires is not None and command.replay.expires <= now:
            return "it has expired"
        if command.identity is not None:
            self._seen[command.identity] = command.replay
            while len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)
        return None

    async def carry_out(self, command: Asked) -> Done:
        """Send what there is, and say what is not there.

        Of a range, what no broker takes is left out: it would end the session of all others (reliability.md, invariant
        9). Asked for by itself it is sent.
        """
        asked = command.replay
        last = min(asked.last, self._highest(asked.source))
        sent, found, missing = 0, 0, []
        withheld: frozenset[int] = frozenset()
        if asked.first < asked.last:
            withheld = await self._shelf.unpublishable(asked.source, asked.first, last)
        at = asked.first
        while at <= last:
            events = (await self._shelf.replay(asked.source, at, last, _CHUNK)).events
            for event in events:
                if event.sequence > at:
                    missing.append((at, event.sequence - 1))
                if event.sequence in withheld:
                    missing.append((event.sequence, event.sequence))
                at = event.sequence + 1
            if not events:
                missing.append((at, last))
                break
            fit = [event for event in events if event.sequence not in withheld]
            found += len(fit)
            sent += await self._resend(fit)
        if last < asked.last:
            missing.append((max(last + 1, asked.first), asked.last))
        gone = [part for part in missing if part[0] not in withheld]
        reason = _reason(asked, last, found - sent, gone, sorted(withheld))
        return Done({"sent": sent, "unavailable": missing, "reason": reason}, f"sent {sent}, unavailable {missing}")

    def _highest(self, source: str) -> int:
        """Up to where a replay may go: never past what was delivered, which would overtake the live stream."""
        current = {self._shelf.source(stream): stream for stream in self._streams}
        stream = current.get(source)
        return self._shelf.delivered(stream) if stream is not None else HIGHEST


def _reason(
    command: Replay, last: int, refused: int, missing: Sequence[tuple[int, int]], withheld: Sequence[int]
) -> str | None:
    """Why not everything was sent; None if everything was."""
    reasons = []
    if refused:
        reasons.append(f"the broker refused {refused}")
    if withheld:
        numbers = ", ".join(map(str, withheld[:_NAMED])) + (" and more" if len(withheld) > _NAMED else "")
        reasons.append(f"no broker takes {numbers}: see sequence.voided, or ask for it alone")
    if any(first <= last for first, _ in missing):
        reasons.append("some are no longer, or never were, in the store")
    if last < command.last:
        reasons.append(f"from {max(last + 1, command.first)} on nothing is delivered yet; it comes by itself")
    return "; ".join(reasons) or None
