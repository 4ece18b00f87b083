"""One stream on its way to the broker, and whose turn it is. State without I/O or clock: `now` is loop time in seconds.

A stream's *cursor* is the sequence up to which the broker has acknowledged everything, without a hole. What was
acknowledged beyond it is remembered and not sent again while this process lives; the store only knows the cursor.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edge_agent.errors import StoreCorrupt
from edge_agent.model.event import StoredEvent

_PAUSE_FIRST = 1.0
_PAUSE_LONGEST = 60.0


@dataclass(frozen=True, slots=True)
class Held:
    """An event that cannot be published for now: its stream waits, the others go on."""

    sequence: int
    why: str
    attempts: int
    resume_at: float


class Drain:
    """What of one stream was acknowledged, is in flight, comes next, or is held."""

    def __init__(self, stream: str, delivered: int) -> None:
        self.stream = stream
        self.cursor = delivered
        self.marked = delivered
        self.held: Held | None = None
        self._fetched = delivered
        self._buffer: deque[StoredEvent] = deque()
        self._in_flight: set[int] = set()
        self._acknowledged: set[int] = set()

    @property
    def in_flight(self) -> frozenset[int]:
        """Sequences published and not yet answered."""
        return frozenset(self._in_flight)

    @property
    def fetch_after(self) -> int | None:
        """The sequence after which more events are wanted; None while some are at hand."""
        return None if self._buffer else self._fetched

    def feed(self, events: Sequence[StoredEvent]) -> None:
        """Take what the store has after `fetch_after`. Raises StoreCorrupt where a sequence is missing."""
        for event in events:
            if event.sequence != self._fetched + 1:
                raise StoreCorrupt(
                    f"stream {self.stream}: event {event.sequence} follows {self._fetched}; "
                    "restore the database from a backup, or start a new one"
                )
            self._fetched = event.sequence
            if event.sequence not in self._acknowledged:
                self._buffer.append(event)

    def ready(self, now: float) -> bool:
        """Whether this stream may send at `now`: a held event goes alone, after its pause, before anything else."""
        return self.held is None or (not self._in_flight and now >= self.held.resume_at)

    @property
    def next(self) -> StoredEvent | None:
        """The event to be sent next, if it is at hand."""
        return self._buffer[0] if self._buffer else None

    def sent(self) -> None:
        """`next` is in flight."""
        self._in_flight.add(self._buffer.popleft().sequence)

    def accepted(self, sequence: int) -> None:
        """The broker has acknowledged `sequence`: move the cursor as far as there is no hole."""
        self._in_flight.discard(sequence)
        self._acknowledged.add(sequence)
        while self.cursor + 1 in self._acknowledged:
            self.cursor += 1
            self._acknowledged.remove(self.cursor)
        self._fetched = max(self._fetched, self.cursor)
        if self.held is not None and self.held.sequence == sequence:
            self.held = None

    def hold(self, sequence: int, why: str, now: float, *, pause: float | None = None) -> None:
        """`sequence` cannot be published: pause (1 s), twice as long each time up to 60 s, then begin again with it."""
        self._in_flight.discard(sequence)
        held = self.held
        if held is None or sequence <= held.sequence:
            attempts = held.attempts + 1 if held is not None and held.sequence == sequence else 1
            wait = min((pause or _PAUSE_FIRST) * 2 ** min(attempts - 1, 10), _PAUSE_LONGEST)
            self.held = Held(sequence, why, attempts, now + wait)
        self._from_cursor()

    def rewind(self) -> None:
        """The session is lost: whatever was in flight is sent again, from the cursor, in order."""
        self._in_flight.clear()
        self._from_cursor()

    def _from_cursor(self) -> None:
        self._buffer.clear()
        self._fetched = self.cursor


class Turns:
    """Whose turn it is: by priority, and yet everybody's. In each round the first of n lanes has 2**(n-1) turns, the
    next half of that, the last one; a round ends when none that is ready has a turn left.
    """

    def __init__(self, lanes: Iterable[str]) -> None:
        names = list(lanes)
        self._shares = {name: 1 << (len(names) - 1 - rank) for rank, name in enumerate(names)}
        self._left = dict(self._shares)

    def pick(self, ready: Sequence[str]) -> str:
        """Take a turn for one of `ready` (by priority, not empty)."""
        if not any(self._left[name] for name in ready):
            self._left = dict(self._shares)
        chosen = next(name for name in ready if self._left[name])
        self._left[chosen] -= 1
        return chosen
