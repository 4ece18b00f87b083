"""The relay: drains the outbox into the broker, in order per stream, at least once, and marks what was acknowledged.

An event is marked only after its PUBACK, published only while connected and only up to the anchor; whatever was not
acknowledged when a session is lost is sent again from the store, byte for byte (reliability.md, invariants 2, 8, 12).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from edge_agent.broker import Broker, Loss, Message, OnMessage, Session
from edge_agent.clock import Clock
from edge_agent.errors import BrokerError
from edge_agent.model.event import StoredEvent
from edge_agent.publishing.drain import Held
from edge_agent.publishing.ports import Latency, LinkStatus, Outbox, Probe, Void, no_latency
from edge_agent.publishing.presence import Presence, Vitals
from edge_agent.publishing.pump import Pump

COMPONENT = "broker"
"""The connection's name on the status board."""
_FAREWELL = 2.0
_STEADY = 5.0
"""Seconds a session must have lasted for the next attempt to come at once: two clients of one id would flap."""
_SUSPICION = "again and again: does another client have the agent's id?"
_MARK_PERIOD = 0.1
"""Seconds between marks: each costs the store a durable commit; what is not marked is sent again after a kill."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds between attempts to connect: doubling, with jitter.

    Where another client has our id, from `takeover` to `truce`: each that comes back ends the other's session. Where
    that is only suspected, after more than `patience` sessions in a row that the other side closed without a word, to
    `suspicion`.
    """

    first: float = 0.2
    longest: float = 2.0
    takeover: float = 5.0
    truce: float = 300.0
    patience: int = 8
    suspicion: float = 30.0

    def seconds(self, failures: int, jitter: float) -> float:
        """How long to wait after `failures` (from 1) in a row; `jitter` in [0, 1) adds up to half."""
        return min(self.first * 2.0 ** min(failures - 1, 16), self.longest) * (1 + jitter / 2)

    def after_takeover(self, takeovers: int, jitter: float, *, sure: bool) -> float:
        """How long to wait after `takeovers` (from 1) without a session in between that lasted longer than the last
        wait; `jitter` in [0, 1) adds up to as much again."""
        longest = self.truce if sure else self.suspicion
        return min(self.takeover * 2.0 ** min(takeovers - 1, 16), longest) * (1 + jitter)


@dataclass(frozen=True, slots=True)
class StreamReport:
    """How one stream stands."""

    head: int
    acknowledged: int
    in_flight: int
    held: Held | None


@dataclass(frozen=True, slots=True)
class RelayReport:
    """How the relay stands; `counts` run since the start of the process."""

    connected: bool
    streams: Mapping[str, StreamReport]
    counts: Mapping[str, int]


class Relay:
    """One relay per store. `run` it as a task; cancelling that is the clean end."""

    def __init__(
        self,
        broker: Broker,
        outbox: Outbox,
        presence: Presence,
        *,
        status: LinkStatus,
        clock: Clock,
        streams: Sequence[str],
        probe: Probe = lambda _point: None,
        latency: Latency = no_latency,
        void: Void | None = None,
        backoff: Backoff | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._broker = broker
        self._outbox = outbox
        self._presence = presence
        self._status = status
        self._clock = clock
        self._pump = Pump(outbox, status, streams, probe, latency)
        self._void = void
        self._backoff = backoff or Backoff()
        self._jitter = jitter
        self._subscriptions: list[tuple[str, OnMessage]] = []
        self._failures = 0
        self._hangups = 0
        self._takeovers = 0
        self._waited = 0.0
        self._connected = False

    def subscribe(self, topic_filter: str, received: OnMessage) -> None:
        """Receive messages on every session from the next one on; to be called before `run`."""
        self._subscriptions.append((topic_filter, received))

    async def introduce(self, presence: Presence) -> None:
        """The agent is another from now on: say so at once, if anybody listens."""
        self._presence = presence
        if self._connected:
            self.send(presence.birth(await self._vitals()))

    def send(self, message: Message) -> None:
        """Queue a message of the agent's own: an answer to a command."""
        self._pump.own.add(message)
        self._pump.wake()

    async def resend(self, events: Sequence[StoredEvent]) -> int:
        """Publish stored events again, on their own topics, behind everything else; return how many the broker took.

        Marks and cursors stay as they are. It waits as long as there is no broker.
        """
        done = self._pump.replays.add(events)
        self._pump.wake()
        try:
            return await done
        finally:
            self._pump.replays.forget(done)

    def report(self) -> RelayReport:
        """How the relay stands."""
        streams = {
            stream: StreamReport(self._outbox.head(stream), drain.cursor, len(drain.in_flight), drain.held)
            for stream, drain in self._pump.drains.items()
        }
        return RelayReport(self._connected, streams, dict(self._pump.counts))

    async def run(self) -> None:
        """Relay until cancelled: answers in flight are then awaited for a moment, and the death is said.

        Raises StoreError where the store fails: the relay cannot go on without it.
        """
        try:
            condemning = () if self._void is None else (self._pump.condemn(self._void),)
            await _first_of(self._sessions(), self._mark_always(), self._watch(), *condemning)
        except asyncio.CancelledError:
            await self._mark()
            raise

    async def _sessions(self) -> None:
        """Session after session."""
        while True:
            try:
                session = await self._broker.connect(self._presence.death(await self._vitals(), "lost"))
                loss = await self._serve(session)
            except BrokerError as error:
                loss = Loss(str(error))
            await self._pause(loss)

    async def _serve(self, session: Session) -> Loss:
        """Use a session until it is lost."""
        began = asyncio.get_running_loop().time()
        try:
            await self._subscribe(session)
            self.send(self._presence.birth(await self._vitals()))
            self._connected = True
            self._status.up(COMPONENT, f"{session.about}, up to {session.window} publishes in flight")
            await _first_of(self._pump.run(session), self._heartbeats(), session.lost())
        except asyncio.CancelledError:
            await self._farewell(session)
            raise
        except BrokerError as error:
            session.abort(str(error))
        finally:
            self._connected = False
            session.abort()
            self._pump.lost()
            lasted = asyncio.get_running_loop().time() - began
            if lasted > max(_STEADY, 2 * self._waited):  # a rival waits as long as we do, and jitter up to doubles it
                self._failures = self._hangups = self._takeovers = 0
        return await session.lost()

    async def _subscribe(self, session: Session) -> None:
        """A refused subscription leaves the agent without that command; events go out all the same."""
        for topic_filter, received in self._subscriptions:
            try:
                await session.subscribe(topic_filter, received)
            except BrokerError as error:
                self._status.lost(f"subscription {topic_filter}", str(error))
            else:
                self._status.up(f"subscription {topic_filter}")

    async def _farewell(self, session: Session) -> None:
        """Say the death on purpose; the broker then drops the will."""
        with suppress(TimeoutError, BrokerError):
            async with asyncio.timeout(_FAREWELL):
                self.send(self._presence.death(await self._vitals(), "stopped"))
                await self._pump.settle(session)
        await session.close()

    async def _pause(self, loss: Loss) -> None:
        """Say what happened and wait: the longer, the more it looks like another client with our id."""
        self._failures += 1
        self._hangups = self._hangups + 1 if loss.hung_up else 0
        suspected = self._hangups > self._backoff.patience
        self._status.lost(COMPONENT, f"{loss.why}; {_SUSPICION}" if suspected else loss.why)
        jitter = self._jitter()
        if loss.taken_over or suspected:
            self._takeovers += 1
            self._waited = self._backoff.after_takeover(self._takeovers, jitter, sure=loss.taken_over)
        else:
            self._waited = self._backoff.seconds(self._failures, jitter)
        await asyncio.sleep(self._waited)

    async def _heartbeats(self) -> None:
        while True:
            await asyncio.sleep(self._presence.interval)
            self.send(self._presence.heartbeat(await self._vitals()))

    async def _vitals(self) -> Vitals:
        reports = self.report().streams
        oldest = [await self._outbox.oldest_undelivered(stream) for stream in reports]
        return Vitals(
            self._clock.now(),
            {self._outbox.source(stream): report.head for stream, report in reports.items()},
            {stream: report.head - report.acknowledged for stream, report in reports.items()},
            min((moment for moment in oldest if moment is not None), default=None),
            hashes={self._outbox.source(stream): self._outbox.head_hash(stream) for stream in reports},
        )

    async def _watch(self) -> None:
        """Commits wake the pump."""
        while True:
            await self._outbox.wait()
            self._pump.wake()

    async def _mark_always(self) -> None:
        """Mark what was acknowledged, a batch at a time."""
        while True:
            await self._pump.acknowledged.wait()
            await asyncio.sleep(_MARK_PERIOD)
            self._pump.acknowledged.clear()
            await self._mark()

    async def _mark(self) -> None:
        marks = self._pump.marks()
        if marks:
            await self._outbox.mark(marks)
            self._pump.marked(marks)


async def _first_of(*coroutines: Coroutine[object, object, object]) -> None:
    """Run all until the first ends, cancel the others, and raise what any of them raised."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        if not task.cancelled():
            task.result()
