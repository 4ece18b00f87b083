"""Handshakes of a recording that holds plain readings only, as a historian exports them (docs/workbench.md). Pure.

A source reads a block when its trigger has changed; here it is put together from the latest values of its tags. A rule
whose blocks the recording holds is left alone. Rings and OPC UA events are told by blocks only: what a slot or an event
held is in no reading.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from edge_agent.config.signals import Handshake, Kind
from edge_agent.config.tagmap import TagMap
from edge_agent.model.confirmation import Block, Released
from edge_agent.model.reading import Instant, Link, Quality, Reading, SourceChange, TagRef
from edge_agent.workbench.lines import Recorded
from edge_agent.workbench.recording import Delivery


def confirmed(tag_map: TagMap, deliveries: Sequence[Delivery]) -> Iterator[Delivery]:
    """The deliveries, each followed by the blocks and acknowledgements that its readings amount to."""
    watched = _watched(tag_map, deliveries)
    for delivery in deliveries:
        found = [item for one in watched if one.source == delivery.source for item in one.see(delivery)]
        yield Delivery(delivery.at, delivery.source, [*delivery.inputs, *found]) if found else delivery


def _watched(tag_map: TagMap, deliveries: Sequence[Delivery]) -> list[_Watched]:
    """The handshakes whose blocks have to be put together."""
    recorded: set[str] = set()
    tags: set[TagRef] = set()
    for item in _inputs(deliveries):
        if isinstance(item, Block):
            recorded.add(item.rule)
        elif isinstance(item, Reading):
            tags.add(item.tag)
    return [
        _KINDS[rule.signal.kind](rule.name, rule.signal, ack_is_recorded=rule.signal.ack in tags)
        for rule in tag_map.rules.values()
        if isinstance(rule.signal, Handshake) and rule.signal.kind in _KINDS
        if rule.name not in recorded and rule.signal.trigger in tags
    ]


def _inputs(deliveries: Iterable[Delivery]) -> Iterator[Recorded]:
    return (item for delivery in deliveries for item in delivery.inputs)


@dataclass(slots=True)
class _Watched:
    """One transaction-counter handshake: the latest readings of its tags.

    `looked` is the number whose block was read in this session, `delivered` the latest of all.
    """

    rule: str
    handshake: Handshake
    ack_is_recorded: bool
    latest: dict[TagRef, Reading] = field(default_factory=dict)
    looked: int | None = None
    delivered: int | None = None
    released: bool = False

    @property
    def source(self) -> str:
        """Where it is confirmed."""
        return self.handshake.trigger.source

    def see(self, delivery: Delivery) -> Iterator[Recorded]:
        """Take a delivery in; answers what has to follow it, for order within a delivery says nothing."""
        for item in delivery.inputs:
            if isinstance(item, Reading):
                self.latest[item.tag] = item
            elif isinstance(item, SourceChange) and item.link is Link.UP:
                self.latest.pop(self.handshake.trigger, None)
                self.looked = None
        number, ack = self._number(self.handshake.trigger), self._acknowledged()
        if number is None or ack is None:
            return
        if number != self.looked:
            yield self._block(number, ack, delivery.at)
        elif ack == number and not self.released:
            self.released = True
            yield Released(self.rule, number, delivery.at)

    def _block(self, number: int, ack: int, at: Instant) -> Block:
        self.looked = self.delivered = number
        self.released = ack == number
        return Block(self.rule, number, ack, self._values(), at)

    def _values(self) -> dict[TagRef, Reading]:
        return {tag: self.latest[tag] for tag in self.handshake.contents if tag in self.latest}

    def _acknowledged(self) -> int | None:
        """What the ack tag shows; where it is not recorded, the number before, for the PLC went on from it."""
        if self.ack_is_recorded:
            return self._number(self.handshake.ack)
        return self.delivered if self.delivered is not None else self._number(self.handshake.trigger)

    def _number(self, tag: TagRef) -> int | None:
        reading = self.latest.get(tag)
        if reading is None or reading.quality is not Quality.GOOD or not isinstance(reading.value, int):
            return None
        return reading.value


@dataclass(slots=True)
class _Bits(_Watched):
    """A handshake in bits. Where our bit is not recorded, it is taken to have followed the request at once."""

    fell: bool = False
    said: tuple[object, ...] = ()
    """The values of the block that was read last."""

    def see(self, delivery: Delivery) -> Iterator[Recorded]:
        """Take a delivery in; the request may have gone down and up again in it."""
        for item in delivery.inputs:
            if isinstance(item, Reading):
                self.latest[item.tag] = item
                self.fell |= item.tag == self.handshake.trigger and self.looked == 1 and self._number(item.tag) == 0
            elif isinstance(item, SourceChange) and item.link is Link.UP:
                self.latest.pop(self.handshake.trigger, None)
                self.looked, self.fell = None, False
        number = self._number(self.handshake.trigger)
        if number is None:
            return
        ack = self._number(self.handshake.ack) if self.ack_is_recorded else 1 - number
        values = self._values() if number else {}
        said = tuple(one.value for one in values.values())
        is_new = number != self.looked or bool(number and (self.fell or said != self.said))
        if ack is not None and is_new:
            self.released, self.said = ack == number, said
            yield Block(self.rule, number, ack, values, delivery.at, fell=self.fell and number == 1)
            self.looked, self.fell = number, False
        if ack is not None and not self.released and (ack == number or not self.ack_is_recorded):
            self.released = True
            yield Released(self.rule, number, delivery.at)

    def _number(self, tag: TagRef) -> int | None:
        reading = self.latest.get(tag)
        if reading is None or reading.quality is not Quality.GOOD or isinstance(reading.value, str):
            return None
        return int(bool(reading.value)) if reading.value in {0, 1} else None


_KINDS: dict[Kind, type[_Watched]] = {Kind.TRANSACTION_COUNTER: _Watched, Kind.BITS: _Bits}
