"""All handshakes of one source: which is looked at when, what is acknowledged, what the status board says of them.

The source lends what its protocol can do: `Read`, coherently in one go, and `Write`, in this order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from edge_agent.clock import Clock
from edge_agent.config.signals import Handshake, Kind
from edge_agent.errors import SourceError
from edge_agent.model.confirmation import Acknowledge, Block, Released
from edge_agent.model.reading import Reading, TagRef
from edge_agent.sources.handshake import NEVER, Read, Watch, Write
from edge_agent.sources.handshake_bits import BitsWatch
from edge_agent.sources.handshake_ring import RingWatch
from edge_agent.telemetry.metrics import Counts
from edge_agent.telemetry.status import Health, Status

_WATCHES: dict[Kind, type[Watch]] = {
    Kind.TRANSACTION_COUNTER: Watch,
    Kind.BITS: BitsWatch,
    Kind.RING: RingWatch,
}


class Handshakes:
    """A source's handshakes by rule. Times are seconds of the event loop's clock."""

    def __init__(self, handshakes: Mapping[str, Handshake], clock: Clock, status: Status, counts: Counts) -> None:
        self._watches = {rule: _WATCHES[handshake.kind](rule, handshake) for rule, handshake in handshakes.items()}
        self._by_tag: dict[TagRef, list[Watch]] = defaultdict(list)
        for watch in self._watches.values():
            for tag in watch.watched:
                self._by_tag[tag].append(watch)
        self._clock = clock
        self._status = status
        self._counts = counts
        for rule in self._watches:
            counts.add("handshakes_late", 0, rule=rule)  # known from the start, so that the first one is an increase
        self._released: list[Released] = []

    @property
    def due(self) -> float:
        """When `look` has something to do."""
        return min((min(watch.due, watch.late_at) for watch in self._watches.values()), default=NEVER)

    def connected(self, now: float) -> None:
        """A connection or subscription is new: every handshake is looked at."""
        for watch in self._watches.values():
            watch.connected(now)

    def triggered(self, readings: Sequence[Reading], now: float) -> None:
        """Readings have arrived; those of a trigger may call for a look."""
        for reading in readings:
            for watch in self._by_tag.get(reading.tag, ()):
                watch.seen(reading, now)

    def take_released(self) -> list[Released]:
        """What has been acknowledged and not yet been delivered as such."""
        released, self._released = self._released, []
        return released

    async def look(self, read: Read, now: float) -> list[Block]:
        """Read the block of the first handshake that is due; empty where nothing is to be said. Raises SourceError."""
        self._tell_late(now)
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
        if not watch.is_late:
            self._recovered(_turn(watch.rule), "nobody waits any longer")
        if block is None:
            return []
        if block.acknowledged == block.number:
            self._recovered(_acknowledgements(watch.rule), f"number {block.number} is acknowledged")
        return [block]

    async def acknowledge(self, ack: Acknowledge, read: Read, write: Write, now: float) -> None:
        """Write the result, then the acknowledgement; a `Released` is due then.

        Raises SourceError where the device did not take both, or does not wait for it any more. The block is then read
        and delivered again.
        """
        watch = self._watches[ack.rule]
        try:
            await watch.acknowledge(ack, read, write, now)
        except SourceError as error:
            self._status.lost(_acknowledgements(ack.rule), f"number {ack.number}: {error}")
            raise
        self._recovered(_acknowledgements(ack.rule), f"number {ack.number} is acknowledged")
        self._recovered(_turn(ack.rule), "nobody waits any longer")
        self._released.append(Released(ack.rule, ack.number, self._clock.now()))

    def _tell_late(self, now: float) -> None:
        """Whoever has waited for too long is shown, and counted once."""
        for watch in self._watches.values():
            if watch.late_at <= now:
                self._status.lost(_turn(watch.rule), watch.late())
                self._counts.add("handshakes_late", rule=watch.rule)

    def _recovered(self, component: str, detail: str) -> None:
        """What was never lost need not stand on the board."""
        if self._status.health(component) is Health.LOST:
            self._status.up(component, detail)


def _turn(rule: str) -> str:
    """The name on the status board of a wait for the other side."""
    return f"turn of {rule}"


def _acknowledgements(rule: str) -> str:
    """Their name on the status board."""
    return f"acknowledgements of {rule}"
