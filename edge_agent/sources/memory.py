"""A source without a device, for virtual time: deliveries are pushed in, acknowledgements come out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from edge_agent.clock import Clock
from edge_agent.errors import SourceError
from edge_agent.model.confirmation import Acknowledge, Released
from edge_agent.model.reading import Reading
from edge_agent.sources.base import Input, by_event_time

OnAcknowledge = Callable[[Acknowledge], None]


class Memory:
    """The in-memory `Source`. `acknowledgements` are those the device took, in their order.

    `on_acknowledge` is the device's side: it is called for each acknowledgement and may raise SourceError to refuse it.
    """

    def __init__(self, name: str, clock: Clock, on_acknowledge: OnAcknowledge | None = None) -> None:
        self.name = name
        self.acknowledgements: list[Acknowledge] = []
        self._clock = clock
        self._on_acknowledge = on_acknowledge
        self._arrived: asyncio.Queue[Sequence[Input]] = asyncio.Queue()
        self._closed = False

    def push(self, inputs: Sequence[Input]) -> None:
        """One delivery: what arrived together. Readings are put in the order of event time, after everything else."""
        readings = [one for one in inputs if isinstance(one, Reading)]
        others = [one for one in inputs if not isinstance(one, Reading)]
        self._arrived.put_nowait([*others, *by_event_time(readings)])

    async def deliveries(self) -> AsyncIterator[Sequence[Input]]:
        """What was pushed, for ever."""
        while True:
            yield await self._arrived.get()

    async def acknowledge(self, ack: Acknowledge) -> None:
        """Hand it to the device; raises SourceError where it refuses, or after `close`."""
        if self._closed:
            raise SourceError(f"{self.name}: closed; number {ack.number} of {ack.rule} is not acknowledged")
        if self._on_acknowledge is not None:
            self._on_acknowledge(ack)
        self.acknowledgements.append(ack)
        self.push([Released(ack.rule, ack.number, self._clock.now())])

    async def close(self) -> None:
        """Nothing to release; acknowledgements are refused from now on."""
        self._closed = True
