"""All handshakes of one source: which is looked at when, what is acknowledged, what the status board says of them.

The source lends what its protocol can do: `Read`, coherently in one go, and `Write`, in this order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence

from edge_agent.clock import Clock
from edge_agent.config.signals import Handshake
from edge_agent.errors import SourceError
from edge_agent.model.confirmation import Acknowledge, Block, Released
from edge_agent.model.reading import Reading, TagRef
from edge_agent.sources.handshake import NEVER, Read, Watch
from edge_agent.telemetry.metrics import Counts
from edge_agent.telemetry.status import Health, Status

Write = Callable[[Sequence[tuple[TagRef, int]]], Awaitable[None]]
"""Writes whole numbers to tags, in this order; raises SourceError where one of them was not taken."""


class Handshakes:
    """A source's handshakes by rule. Times are seconds of the event loop's clock."""

    def __init__(self, handshakes: Mapping[str, Handshake], clock: Clock, status: Status, counts: Counts) -> None:
        self._watches = {rule: Watch(rule, handshake) for rule, handshake in handshakes.items()}
        self._by_trigger: dict[TagRef, list[Watch]] = defaultdict(list)
        for watch in self._watches.values():
            self._by_trigger[watch.handshake.trigger].append(watch)
        self._clock = clock
        self._status = status
        self._counts = counts
        self._released: list[Released] = []

    @property
    def due(self) -> float:
        """When `look` has something to do."""
        return min((watch.due for watch in self._watches.values()), default=NEVER)

    def connected(self, now: float) -> None:
        """A connection or subscription is new: every handshake is looked at."""
        for watch in self._watches.values():
            watch.connected(now)

    def triggered(self, readings: Sequence[Reading], now: float) -> None:
        """Readings have arrived; those of a trigger may call for a look."""
        for reading in readings:
            for watch in self._by_trigger.get(reading.tag, ()):
                watch.seen(reading, now)

    def take_released(self) -> list[Released]:
        """What has been acknowledged and not yet been delivered as such."""
        released, self._released = self._released, []
        return released

    async def look(self, read: Read, now: float) -> list[Block]:
        """Read the block of the first handshake that is due; empty where nothing is to be said. Raises SourceError."""
        watch = next((watch for watch in self._watches.values() if watch.due <= now), None)
        if watch is None:
            return []
        torn = watch.torn
        block = await watch.look(read, now)
        self._counts.add("torn_blocks", watch.torn - torn, rule=watch.rule)
        component = f"handshake {watch.rule}"
        if watch.unreadable is not None:
            self._status.lost(component, watch.unreadable)
        else:
            self._recovered(component, "the block can be read again")
        if block is None:
            return []
        if block.acknowledged == block.number:
            self._recovered(_acknowledgements(watch.rule), f"number {block.number} is acknowledged")
        return [block]

    async def acknowledge(self, ack: Acknowledge, write: Write) -> None:
        """Write the result, then the acknowledgement; a `Released` is due then.

        Raises SourceError where the device did not take both. The block is then read and delivered again.
        """
        watch = self._watches[ack.rule]
        result = watch.handshake.result
        values = [(result, int(ack.result))] if result is not None else []
        try:
            await write([*values, (watch.handshake.ack, ack.number)])
        except SourceError as error:
            self._status.lost(_acknowledgements(ack.rule), f"number {ack.number}: {error}")
            raise
        self._recovered(_acknowledgements(ack.rule), f"number {ack.number} is acknowledged")
        watch.acknowledged(ack.number)
        self._released.append(Released(ack.rule, ack.number, self._clock.now()))

    def _recovered(self, component: str, detail: str) -> None:
        """What was never lost need not stand on the board."""
        if self._status.health(component) is Health.LOST:
            self._status.up(component, detail)


def _acknowledgements(rule: str) -> str:
    """Their name on the status board."""
    return f"acknowledgements of {rule}"
