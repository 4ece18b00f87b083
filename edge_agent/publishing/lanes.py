"""What goes out beside the streams: the agent's own messages, first of all, and replayed events, last of all."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from edge_agent.broker import Message
from edge_agent.model.event import StoredEvent

_MOST_OWN = 1000
_STRIKES = 3
_SINGLES = 200


class OwnMessages:
    """Birth, heartbeat, answers to commands: sent before anything else. What waits through a loss is sent after it."""

    def __init__(self, counts: Counter[str]) -> None:
        self._queue: deque[Message] = deque()
        self._in_flight: list[Message] = []
        self._counts = counts

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def next(self) -> Message:
        """The message whose turn it is; there must be one."""
        return self._queue[0]

    def add(self, message: Message) -> None:
        """Queue a message in the place of an older one on its topic if it is about the present state; else behind."""
        if _passing(message):
            self._queue = deque(other for other in self._queue if other.topic != message.topic)
        if len(self._queue) >= _MOST_OWN:
            self._queue.popleft()
            self._counts["own dropped"] += 1
        self._queue.append(message)

    def sent(self) -> None:
        """`next` is in flight."""
        self._in_flight.append(self._queue.popleft())

    def answered(self, message: Message) -> None:
        """The broker has answered it."""
        self._in_flight = [other for other in self._in_flight if other is not message]

    def rewind(self) -> None:
        """The session is lost: unanswered replies are sent again; what was true of that session only is not."""
        self._queue.extendleft(reversed([message for message in self._in_flight if not _passing(message)]))
        self._in_flight.clear()


def _passing(message: Message) -> bool:
    """Whether a message tells the present state: only the newest of its topic matters."""
    return message.retain or message.expiry is not None


@dataclass(slots=True)
class _Batch:
    open: int
    done: asyncio.Future[int]
    accepted: int = 0


@dataclass(slots=True)
class Replays:
    """Events asked for again, in the order asked; what is in flight when a session is lost is sent again.

    One over which three sessions were lost is given up: it may be the one that the broker ends them for. Whoever asked
    is told, and asks again.
    """

    _todo: deque[tuple[StoredEvent, _Batch]] = field(default_factory=deque)
    _in_flight: deque[tuple[StoredEvent, _Batch]] = field(default_factory=deque)
    _losses: Counter[str] = field(default_factory=Counter)

    @property
    def next(self) -> StoredEvent | None:
        """The event whose turn it is."""
        return self._todo[0][0] if self._todo else None

    def add(self, events: Sequence[StoredEvent]) -> asyncio.Future[int]:
        """Queue events; the future gives how many of them the broker took, once it has answered all."""
        batch = _Batch(len(events), asyncio.get_running_loop().create_future())
        if not events:
            batch.done.set_result(0)
        self._todo.extend((event, batch) for event in events)
        return batch.done

    def forget(self, done: asyncio.Future[int]) -> None:
        """Nobody waits for this batch any more: what of it is not yet sent stays unsent."""
        self._todo = deque(item for item in self._todo if item[1].done is not done)

    def sent(self) -> None:
        """`next` is in flight."""
        self._in_flight.append(self._todo.popleft())

    def skip(self) -> None:
        """`next` cannot be sent to this broker."""
        _settle(self._todo.popleft()[1], accepted=False)

    def answered(self, event: StoredEvent, *, accepted: bool) -> None:
        """The broker has answered one of them."""
        item = next(item for item in self._in_flight if item[0] is event)
        self._in_flight.remove(item)
        self._losses.pop(event.id, None)
        _settle(item[1], accepted=accepted)

    def rewind(self) -> None:
        """The session is lost."""
        self._losses.update(event.id for event, _ in self._in_flight)
        again = [item for item in self._in_flight if self._losses[item[0].id] < _STRIKES]
        for event, batch in [item for item in self._in_flight if self._losses[item[0].id] >= _STRIKES]:
            del self._losses[event.id]
            _settle(batch, accepted=False)
        self._todo.extendleft(reversed(again))
        self._in_flight.clear()


def _settle(batch: _Batch, *, accepted: bool) -> None:
    batch.open -= 1
    batch.accepted += accepted
    if not batch.open and not batch.done.done():
        batch.done.set_result(batch.accepted)


class Caution:
    """Finds the event over which a broker ends the connection (reliability.md, invariant 9).

    After three sessions in a row lost with events in flight and none acknowledged, events go one at a time for a while;
    the one over which three such sessions ended is named, so that it can be held and the others go on.
    """

    def __init__(self) -> None:
        self._barren = 0
        self._alone = 0
        self._fruitful = False
        self._strikes: Counter[tuple[str, int]] = Counter()

    @property
    def alone(self) -> bool:
        """Whether only one event may be in flight."""
        return self._alone > 0

    def answered(self) -> None:
        """An event was answered on this session."""
        self._fruitful = True
        self._alone = max(0, self._alone - 1)

    def lost(self, in_flight: Sequence[tuple[str, int]]) -> tuple[str, int] | None:
        """The session ended with these (stream, sequence) in flight: the culprit, once it is sure."""
        suspicious = self.alone
        self._barren = self._barren + 1 if in_flight and not self._fruitful else 0
        self._fruitful = False
        if self._barren >= _STRIKES:
            self._alone = _SINGLES
        if not suspicious or len(in_flight) != 1:
            return None
        suspect = in_flight[0]
        self._strikes[suspect] += 1
        if self._strikes[suspect] < _STRIKES:
            return None
        self._strikes.clear()
        self._barren = 0
        return suspect
