"""The source's side of a ring buffer (derivation.md, Handshakes): the entry at the tail, one after the other.

The entry is read once the head has passed it and while the tail stands before it, so it is whole. The next one is
looked at when the tail has been written: so what is committed and not acknowledged is one entry at the most.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from edge_agent.config.devices import Tag
from edge_agent.model.confirmation import Block
from edge_agent.model.reading import Quality, Reading, TagRef
from edge_agent.sources.handshake import Read, UnnumberedWatch, why


def slot(tag: TagRef, number: int) -> TagRef:
    """The tag of one slot, counted from 0, of a tag that a ring has many of."""
    return TagRef(tag.source, f"{tag.tag}[{number}]")


def readable(tags: Iterable[Tag]) -> Iterator[Tag]:
    """The tags that a device can be asked for: each slot of a ring is one."""
    for tag in tags:
        if not tag.slots and not tag.comes_with_events:
            yield tag
        for number, address in enumerate(tag.slots):
            yield replace(tag, ref=slot(tag.ref, number), address=address, slots=(), on_demand=True)


class RingWatch(UnnumberedWatch):
    """Number: the tail once the entry is taken; equal to the tail where none waits."""

    def seen(self, reading: Reading, now: float) -> None:
        """A reading of the head: while an entry is being taken, the others wait anyway."""
        if not self._open:
            super().seen(reading, now)

    def acknowledged(self, number: int, now: float) -> None:
        """The tail was written: the next entry may wait already."""
        super().acknowledged(number, now)
        self.due = now

    async def _read(self, read: Read) -> Block | str | None:
        spec = self.handshake
        ends = await read((spec.trigger, spec.ack))
        for reading in ends:
            if self._number(reading) is None:
                return f"{reading.tag} {why(reading)}: no slot of 0 to {spec.modulus - 1}"
        head, tail = (self._number(reading) or 0 for reading in ends)
        waiting = (head - tail) % spec.modulus
        self.unreadable = None
        if not waiting:
            return Block(self.rule, tail, tail, {}, ends[0].received)
        readings = await read((spec.trigger, *(slot(tag, tail) for tag in spec.contents), spec.ack, spec.trigger))
        if self._number(readings[-2]) != tail or self._number(readings[0]) is None:
            return None
        values = {tag: replace(reading, tag=tag) for tag, reading in zip(spec.contents, readings[1:-2], strict=True)}
        return Block(self.rule, (tail + 1) % spec.modulus, tail, values, readings[0].received, waiting=waiting)

    def _number(self, reading: Reading) -> int | None:
        """A slot's number; anything else is none."""
        value = super()._number(reading)
        is_slot = reading.quality is Quality.GOOD and value is not None and 0 <= value < self.handshake.modulus
        return value if is_slot else None
