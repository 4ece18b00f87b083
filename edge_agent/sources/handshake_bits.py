"""The source's side of a handshake in bits (derivation.md, Handshakes): four phases, all of them levels.

Nothing is lost between two looks, as long as the PLC takes its request back only after our bit and raises the next one
only after our bit is low again. What a PLC does that does not keep to this is looked for, and told to the engine.
"""

from __future__ import annotations

from dataclasses import replace

from edge_agent.model.confirmation import Acknowledge, Block
from edge_agent.model.reading import Quality, Reading, TagRef
from edge_agent.sources.handshake import NEVER, Read, UnnumberedWatch

_PULSE_SECONDS = 0.2
"""How long our bit stands at least: a PLC that takes its request back at the same moment must see it."""


class BitsWatch(UnnumberedWatch):
    """Number 1 is the request, 0 its end; either is open while our bit differs."""

    _fell = False
    _stands_until = 0.0

    @property
    def watched(self) -> tuple[TagRef, ...]:
        """The block too: a request whose low phase nobody saw may show in it."""
        return (self.handshake.trigger, *self.handshake.contents)

    def connected(self, now: float) -> None:
        """Nothing is known of the time in between."""
        super().connected(now)
        self._fell = False

    def seen(self, reading: Reading, now: float) -> None:
        """A change of the request, or of the block while the request stands."""
        if reading.tag == self.handshake.trigger:
            self._fell = self._fell or (self._delivered == 1 and self._number(reading) == 0)
            super().seen(reading, now)
        elif self._delivered == 1 and self._last is not None and reading.value != self._last.values[reading.tag].value:
            self.due = min(self.due, now)

    def answer(self, ack: Acknowledge) -> list[tuple[TagRef, int]]:
        """The result belongs to the request; when our bit is reset it stays."""
        return super().answer(ack)[-1 if not ack.number else 0 :]

    def acknowledged(self, number: int, now: float) -> None:
        """Our bit was written. After it the PLC's turn is to take the request back."""
        super().acknowledged(number, now)
        if number:
            self._stands_until = now + _PULSE_SECONDS
            self._turn_ends(now + self._within)

    def late(self) -> str:
        """Either side can be the one that waits."""
        if self._delivered == 1 and not self._open:
            self.late_at, self.is_late = NEVER, True
            return f"the PLC has not taken its request back for {self._within:g} s after the acknowledgement"
        return super().late()

    def _number(self, reading: Reading) -> int | None:
        is_bit = reading.quality is Quality.GOOD and reading.value in {0, 1} and not isinstance(reading.value, str)
        return int(bool(reading.value)) if is_bit else None

    def _judge(self, block: Block, now: float) -> Block | None:
        if not block.number and block.acknowledged and now < self._stands_until:
            self.due = self._stands_until
            return None
        fell, self._fell = self._fell and block.number == 1, False
        return super()._judge(replace(block, fell=fell), now)

    def _is_new(self, block: Block) -> bool:
        return super()._is_new(block) or block.fell or (block.number == 1 and not self._is_last(block))

    def _waits(self, block: Block) -> bool:
        return bool(block.number or block.acknowledged)

    async def _read(self, read: Read) -> Block | str | None:
        found = await super()._read(read)
        # without a request the PLC fills its block: what stands there says nothing yet
        return replace(found, values={}) if isinstance(found, Block) and not found.number else found
