"""The port to a device: what a source promises, whoever keeps the promise (opcua.py, memory.py)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Protocol

from edge_agent.model.confirmation import Acknowledge, Block, Released
from edge_agent.model.reading import Reading, SourceChange, TagRef

Input = Reading | SourceChange | Block | Released
"""What a source may deliver."""


class Source(Protocol):
    """A device, or a gateway to some."""

    name: str

    def deliveries(self) -> AsyncIterator[Sequence[Input]]:
        """What the device says, for ever; one item is what arrived together, readings in the order of event time.

        A lost connection does not end it: a `SourceChange` says so, and the source reconnects by itself. To cancel the
        consumer, then `close`, releases everything. One consumer at a time.
        """
        ...

    async def acknowledge(self, ack: Acknowledge) -> None:
        """Write the result, then the acknowledgement, to the device; to be called after the commit only.

        A `Released` is delivered afterwards. Raises SourceError where the device did not take it: the block is then
        delivered again by itself.
        """
        ...

    async def close(self) -> None:
        """Leave the device and release everything; may be called again."""
        ...


def by_event_time(readings: Iterable[Reading]) -> list[Reading]:
    """Readings that arrived together, in the order in which they arose.

    The device's time decides between tags; among readings of one tag the device's queue does, even where its clock was
    set back. A reading without a time of its own arose when it was received.
    """
    latest: dict[TagRef, datetime] = {}
    timed: list[tuple[datetime, Reading]] = []
    for reading in readings:
        claimed = reading.source_time or reading.received.wall
        latest[reading.tag] = max(claimed, latest.get(reading.tag, claimed))
        timed.append((latest[reading.tag], reading))
    timed.sort(key=itemgetter(0))
    return [reading for _, reading in timed]
