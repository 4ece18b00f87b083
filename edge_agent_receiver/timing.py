"""When to do something again: ever more seldom while nothing comes of it. Pure; all times are seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """Pauses in seconds. `hello`: how long posting waits at the start for an agent's word on what it knows accepted."""

    first: float = 1.0
    longest: float = 60.0
    refused: float = 300.0
    gather: float = 2.0
    hello: float = 5.0
    valid: float = 12 * 3600.0


class Backoff:
    """Doubles its pause from `first` to `longest` with each try. A clock set back makes it due, never late."""

    def __init__(self, first: float, longest: float) -> None:
        self._first, self._longest = first, longest
        self._pause = first
        self._since: float | None = None

    def due(self, now: float) -> bool:
        """Whether it is time; the first time is at once."""
        return self._since is None or now < self._since or now >= self._since + self._pause

    def start(self, now: float) -> None:
        """Begin anew, with the first pause from now on."""
        self._since, self._pause = now, self._first

    def tried(self, now: float) -> None:
        """It was done now: the next pause is twice as long."""
        self._pause = self._first if self._since is None else min(2 * self._pause, self._longest)
        self._since = now

    def wait(self, now: float, pause: float) -> None:
        """Not before `pause` has passed."""
        self._since, self._pause = now, pause
