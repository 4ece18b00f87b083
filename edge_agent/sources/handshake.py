"""The source's side of a transaction-counter handshake: trigger → coherent block (derivation.md, Handshakes).

Nothing here knows a protocol: the source lends `Read`, which reads tags in one request. What a block means is decided
by the engine; when to look, and whether what was read belongs together, is decided here.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence

from edge_agent.config.signals import Handshake
from edge_agent.model.confirmation import Block
from edge_agent.model.reading import Quality, Reading, TagRef

Read = Callable[[Sequence[TagRef]], Awaitable[Sequence[Reading]]]
"""Reads tags in one request, in this order, a tag twice if asked; raises SourceError."""

NEVER = math.inf
_ATTEMPTS = 3
_TORN_SECONDS = 1.0
_OPEN_SECONDS = 5.0
_LONGEST_SECONDS = 60.0


class Watch:
    """One rule's handshake during one connection. Times are seconds of the event loop's clock.

    `due` is when to look at the device: at once after a connect and when the trigger has changed; while trigger and
    acknowledgement differ, again after 5 s, doubling to 60 s, so that a lost acknowledgement heals by reading.
    """

    def __init__(self, rule: str, handshake: Handshake) -> None:
        self.rule = rule
        self.handshake = handshake
        self.due = NEVER
        self.unreadable: str | None = None
        """What is wrong with the device's side, for people; None while it can be read."""
        self.torn = 0
        """Times the trigger moved on while the block was read."""
        self._delivered: int | None = None
        self._open = False
        self._pause = _OPEN_SECONDS
        self._values = handshake.content
        self._asked = (handshake.trigger, *self._values, handshake.ack, handshake.trigger)

    def connected(self, now: float) -> None:
        """A connection, or a subscription, is new: the block is delivered whatever was delivered before."""
        self._delivered, self._open, self._pause, self.due = None, False, _OPEN_SECONDS, now

    def seen(self, reading: Reading, now: float) -> None:
        """A reading of the trigger: a number not delivered yet is looked at now."""
        number = _number(reading)
        if number is not None and number != self._delivered:
            self.due = now

    def acknowledged(self, number: int) -> None:
        """Our acknowledgement of `number` was written: it is over, unless a later number is open already."""
        if number == self._delivered:
            self._open, self.due = False, NEVER

    async def look(self, read: Read, now: float) -> Block | None:
        """Read the block, coherently: the trigger first and last in one request. None where there is nothing to say."""
        self.due = now + _TORN_SECONDS
        for _ in range(_ATTEMPTS):
            readings = await read(self._asked)
            number, again = _number(readings[0]), _number(readings[-1])
            if number is not None and number == again:
                return self._judge(number, readings, now)
            if number is None:
                self.unreadable = f"{self.handshake.trigger} {_why(readings[0])}"
                self._wait(now)
                return None
            self.torn += 1
        return None

    def _judge(self, number: int, readings: Sequence[Reading], now: float) -> Block | None:
        ack = readings[-2]
        acknowledged = _number(ack)
        self.unreadable = None if acknowledged is not None else f"{self.handshake.ack} {_why(ack)}"
        is_new, was_open = number != self._delivered, self._open
        self._delivered, self._open = number, acknowledged != number
        if self._open:
            self._pause = _OPEN_SECONDS if is_new else self._pause
            self._wait(now)
        else:
            self.due, self._pause = NEVER, _OPEN_SECONDS
        if not (is_new or was_open or self._open):
            return None
        values = dict(zip(self._values, readings[1:-2], strict=True))
        return Block(self.rule, number, acknowledged, values, readings[0].received)

    def _wait(self, now: float) -> None:
        self.due = now + self._pause
        self._pause = min(2 * self._pause, _LONGEST_SECONDS)


def _number(reading: Reading) -> int | None:
    value = reading.value
    return value if reading.quality is Quality.GOOD and isinstance(value, int) and not isinstance(value, bool) else None


def _why(reading: Reading) -> str:
    return f"cannot be read (status 0x{reading.status:08X})" if reading.value is None else f"is {reading.value!r}"
