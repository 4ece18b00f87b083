"""A broker in memory on a virtual clock that loses, doubles, delays, reorders and alters single messages on demand."""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

_QUANTITY = re.compile(rb'"quantityString":"(\d*?)(\d)((?:\.\d+)?)"')


@dataclass(frozen=True)
class Noise:
    """How likely each mishap is for one message to one subscriber; `alter` is for events alone."""

    lose: float = 0.0
    double: float = 0.0
    delay: float = 0.0
    reorder: float = 0.0
    alter: float = 0.0

    @property
    def quiet(self) -> bool:
        return not any((self.lose, self.double, self.delay, self.reorder, self.alter))


@dataclass(order=True)
class _Waiting:
    due: datetime
    place: float
    topic: str = field(compare=False)
    payload: bytes = field(compare=False)


@dataclass(frozen=True)
class Mishap:
    what: str
    to: str
    at: datetime
    topic: str
    payload: bytes


class Bus:
    """Every subscriber gets everything; those who are `away` keep a session, those who are `gone` lose it all."""

    def __init__(self, seed: int, now: Callable[[], datetime]) -> None:
        self._rng = random.Random(seed)
        self._now = now
        self._queues: dict[str, list[_Waiting]] = {}
        self._number = 0
        self.noise: dict[str, Noise] = defaultdict(Noise)
        self.up = True
        self.gone: set[str] = set()
        self.retained: dict[str, bytes] = {}
        self.mishaps: Counter[str] = Counter()
        self.altered: list[Mishap] = []
        self.record: list[tuple[datetime, str, bytes]] | None = None
        """Everything that is published, once it is a list."""

    def subscribe(self, name: str) -> None:
        self._queues[name] = []

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """To everybody. Raises ConnectionError while the broker is down."""
        if not self.up:
            msg = "there is no broker"
            raise ConnectionError(msg)
        if retain:
            self.retained[topic] = payload
        if self.record is not None:
            self.record.append((self._now(), topic, payload))
        for name in self._queues:
            if name not in self.gone:
                self._route(name, topic, payload)

    def take(self, name: str) -> list[tuple[str, bytes]]:
        """What has arrived at a subscriber by now."""
        now, queue = self._now(), self._queues[name]
        due = sorted(one for one in queue if one.due <= now)
        self._queues[name] = [one for one in queue if one.due > now]
        return [(one.topic, one.payload) for one in due]

    def forget(self, name: str) -> None:
        """A subscriber's session is lost, with what waited in it."""
        self._queues[name] = []

    def in_flight(self, name: str) -> int:
        """How many messages are on their way to a subscriber."""
        return len(self._queues[name])

    def quieten(self) -> None:
        """No more mishaps."""
        self.noise.clear()

    def _route(self, name: str, topic: str, payload: bytes) -> None:
        noise, queue = self.noise[name], self._queues[name]
        self._number += 1
        one = _Waiting(self._now(), self._number, topic, payload)
        if noise.quiet:
            queue.append(one)
            return
        if self._happens(noise.lose, "lost", name, one):
            return
        if self._happens(noise.delay, "delayed", name, one):
            one.due += timedelta(seconds=self._rng.randrange(30, 3_000))
        if self._happens(noise.reorder, "reordered", name, one):
            one.place -= self._rng.randrange(1, 8) + 0.5
        if self._happens(noise.alter, "altered", name, one):
            one = self._alter(name, one)
        queue.append(one)
        if self._happens(noise.double, "doubled", name, one):
            queue.append(
                replace(one, due=one.due + timedelta(seconds=self._rng.choice((0, 0, 60, 600))), place=one.place + 0.3)
            )

    def _happens(self, likely: float, what: str, name: str, one: _Waiting) -> bool:
        if self._rng.random() >= likely or (what == "altered" and not _QUANTITY.search(one.payload)):
            return False
        self.mishaps[what] += 1
        return True

    def _alter(self, name: str, one: _Waiting) -> _Waiting:
        changed = replace(one, payload=altered(one.payload, self._rng))
        self.altered.append(Mishap("altered", name, one.due, one.topic, changed.payload))
        return changed


def altered(payload: bytes, rng: random.Random) -> bytes:
    """The event with another last digit before the point in one of its quantities."""
    found = rng.choice(list(_QUANTITY.finditer(payload)))
    digit = rng.choice([one for one in b"123456789" if one != found[2][0]])
    start, end = found.span(2)
    return payload[:start] + bytes([digit]) + payload[end:]
