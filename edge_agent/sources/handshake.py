"""The source's side of a handshake: when to look at the block, and whether what was read belongs together.

Nothing here knows a protocol: the source lends `Read`, which reads tags in one request. What a block means is decided
by the engine. This is the transaction counter's; bits and rings differ in `handshake_bits` and `handshake_ring`.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence

from edge_agent.config.signals import Handshake
from edge_agent.errors import SourceError
from edge_agent.model.confirmation import Acknowledge, Block
from edge_agent.model.reading import Quality, Reading, TagRef

Read = Callable[[Sequence[TagRef]], Awaitable[Sequence[Reading]]]
"""Reads tags in one request, in this order, a tag twice if asked; raises SourceError."""
Write = Callable[[Sequence[tuple[TagRef, int]]], Awaitable[None]]
"""Writes whole numbers to tags, in this order; raises SourceError where one of them was not taken."""

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
        self.late_at = NEVER
        """When one side will have waited longer than the handshake allows."""
        self.is_late = False
        """Whether one has, and still waits."""
        self._delivered: int | None = None
        self._open = False
        self._pause = _OPEN_SECONDS
        self._since: int | None = None
        """The monotonic clock when the first block of this connection was read; None before."""

    @property
    def watched(self) -> tuple[TagRef, ...]:
        """Tags whose readings `seen` wants."""
        return (self.handshake.trigger,)

    def connected(self, now: float) -> None:
        """A connection, or a subscription, is new: the block is delivered whatever was delivered before."""
        self._delivered, self._open, self._pause, self.due = None, False, _OPEN_SECONDS, now
        self.late_at, self._since = NEVER, None

    def seen(self, reading: Reading, now: float) -> None:
        """A reading of the trigger: a number not delivered yet is looked at now."""
        number = self._number(reading)
        if number is not None and number != self._delivered:
            self.due = now

    async def acknowledge(self, ack: Acknowledge, read: Read, write: Write, now: float) -> None:
        """Write it, if the device still waits for it. Raises SourceError."""
        if not await self.asks(ack, read):
            self.due = now
            raise SourceError(f"{self.handshake.trigger} has moved on, so it is not acknowledged")
        await write(self.answer(ack))
        self.acknowledged(ack.number, now)

    async def asks(self, ack: Acknowledge, _read: Read) -> bool:
        """Whether the device still waits for this acknowledgement: the number says what it is for, in one connection.

        Before it the PLC may have restarted: the same number of a count that began anew is another transaction.
        """
        if ack.received is None:
            return True
        return self._since is not None and ack.received.monotonic_ns >= self._since

    def answer(self, ack: Acknowledge) -> list[tuple[TagRef, int]]:
        """What is written to acknowledge, in this order."""
        result = self.handshake.result
        return [*([(result, int(ack.result))] if result is not None else []), (self.handshake.ack, ack.number)]

    def acknowledged(self, number: int, _now: float) -> None:
        """Our acknowledgement of `number` was written: it is over, unless a later number is open already."""
        if number == self._delivered:
            self._open, self.due = False, NEVER
            self._turn_ends(NEVER)

    def late(self) -> str:
        """Who has waited for too long; said once."""
        self.late_at, self.is_late = NEVER, True
        return f"the PLC has waited for the acknowledgement for {self._within:g} s"

    async def look(self, read: Read, now: float) -> Block | None:
        """Read the block, coherently. None where there is nothing to say."""
        self.due = now + _TORN_SECONDS
        for _ in range(_ATTEMPTS):
            found = await self._read(read)
            if isinstance(found, Block):
                return self._judge(found, now)
            if found is not None:
                self.unreadable = found
                self._wait(now)
                return None
            self.torn += 1
        return None

    @property
    def _within(self) -> float:
        return self.handshake.within.total_seconds()

    def _number(self, reading: Reading) -> int | None:
        value = reading.value
        if reading.quality is not Quality.GOOD or isinstance(value, bool) or not isinstance(value, int):
            return None
        return value

    async def _read(self, read: Read) -> Block | str | None:
        """The block, the trigger first and last in one request; what cannot be read; None where it was torn."""
        spec = self.handshake
        readings = await read((spec.trigger, *spec.contents, spec.ack, spec.trigger))
        number = self._number(readings[0])
        if number is None:
            return f"{spec.trigger} {why(readings[0])}"
        if number != self._number(readings[-1]):
            return None
        values = dict(zip(spec.contents, readings[1:-2], strict=True))
        acknowledged = self._number(readings[-2])
        self.unreadable = None if acknowledged is not None else f"{spec.ack} {why(readings[-2])}"
        return Block(self.rule, number, acknowledged, values, readings[0].received)

    def _judge(self, block: Block, now: float) -> Block | None:
        self._since = block.received.monotonic_ns if self._since is None else self._since
        is_new, was_open = self._is_new(block), self._open
        self._delivered, self._open = block.number, block.acknowledged != block.number
        if self._open:
            self._pause = _OPEN_SECONDS if is_new else self._pause
            self._wait(now)
        else:
            self.due, self._pause = NEVER, _OPEN_SECONDS
        if is_new or was_open is not self._open:
            self._turn_ends(now + self._within if self._waits(block) else NEVER)
        return block if is_new or was_open or self._open else None

    def _is_new(self, block: Block) -> bool:
        return block.number != self._delivered

    def _waits(self, block: Block) -> bool:
        """Whether one side waits for the other."""
        return block.acknowledged != block.number

    def _turn_ends(self, late_at: float) -> None:
        self.late_at, self.is_late = late_at, False

    def _wait(self, now: float) -> None:
        self.due = now + self._pause
        self._pause = min(2 * self._pause, _LONGEST_SECONDS)


class UnnumberedWatch(Watch):
    """A handshake whose acknowledgement does not say what it is for: it is written only to the block that it answers.

    Between the block's delivery and the commit the PLC may have restarted, and show another one.
    """

    _last: Block | None = None
    _first: int | None = None
    """The monotonic clock when the block was read first that was read last."""

    def connected(self, now: float) -> None:
        """Nothing is known of the time in between."""
        super().connected(now)
        self._last = self._first = None

    async def asks(self, ack: Acknowledge, read: Read) -> bool:
        """Whether the block that was committed still stands, and is still the one asked about."""
        if ack.received is None or self._first is None or ack.received.monotonic_ns < self._first:
            return False
        found = await self._read(read)
        return isinstance(found, Block) and found.number == ack.number and self._is_last(found)

    def _judge(self, block: Block, now: float) -> Block | None:
        told = super()._judge(block, now)
        if not self._is_last(block) or block.fell:
            self._first = block.received.monotonic_ns
        self._last = block
        return told

    def _is_last(self, block: Block) -> bool:
        """Whether the block says what the last one said."""
        last = self._last
        return last is not None and last.number == block.number and _said(last) == _said(block)


def _said(block: Block) -> dict[TagRef, object]:
    return {tag: (reading.value, reading.quality) for tag, reading in block.values.items()}


def why(reading: Reading) -> str:
    """What is wrong with a reading that was to be a number, for people."""
    return f"cannot be read (status 0x{reading.status:08X})" if reading.value is None else f"is {reading.value!r}"
