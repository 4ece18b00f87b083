"""The pump: gives a session's window to own messages, streams by priority, and replays; keeps account of the answers.

It lives as long as the relay; sessions come and go. Everything between choosing an event and handing it to the socket
happens without awaiting, so an answer that comes meanwhile cannot change what was chosen.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache, partial

from edge_agent.broker import Message, PubAck, Session
from edge_agent.model.event import StoredEvent
from edge_agent.model.movement import EventType
from edge_agent.publishing.drain import Drain, Turns
from edge_agent.publishing.encoding import CONTENT_TYPE, EVENT_BYTES, cloudevents_type, sequence_string
from edge_agent.publishing.lanes import Caution, OwnMessages, Replays
from edge_agent.publishing.ports import Latency, LinkStatus, Outbox, Probe, Void, no_latency
from edge_agent.publishing.topics import topic_fault

_REPLAY = "replay"
_FETCH = 200
_UNFIT_PAUSE = 60.0
_VOIDED = cloudevents_type(EventType.VOIDED)


class Pump:
    """Sends what the streams of `outbox` hold. `counts` are for people and metrics; nothing decides by them."""

    def __init__(
        self, outbox: Outbox, status: LinkStatus, streams: Sequence[str], probe: Probe, latency: Latency = no_latency
    ) -> None:
        self._outbox = outbox
        self._status = status
        self._probe = probe
        self._latency = latency
        self._turns = Turns([*streams, _REPLAY])
        self._wake = asyncio.Event()
        self._caution = Caution()
        self._suspects: set[tuple[str, int]] = set()
        self.drains = {stream: Drain(stream, outbox.delivered(stream)) for stream in streams}
        self.counts: Counter[str] = Counter()
        self.own = OwnMessages(self.counts)
        self.replays = Replays()
        self.acknowledged = asyncio.Event()
        self._condemned: asyncio.Queue[tuple[Drain, StoredEvent, str]] = asyncio.Queue()

    def wake(self) -> None:
        """There may be something new to send."""
        self._wake.set()

    async def run(self, session: Session) -> None:
        """Fill the session's window for ever. Raises BrokerError when it is lost, StoreError when the store fails."""
        while True:
            self._wake.clear()
            while session.room > 0 and await self._send_one(session):
                pass
            await self._rest()

    async def settle(self, session: Session) -> None:
        """Send the agent's own messages and wait until everything in flight is answered."""
        while self.own or session.room < session.window:
            self._wake.clear()
            while self.own and session.room > 0:
                self._send_own(session)
            if session.room < session.window:
                await self._wake.wait()

    def lost(self) -> None:
        """The session is gone: what was in flight will be sent again."""
        in_flight = [(drain.stream, sequence) for drain in self.drains.values() for sequence in drain.in_flight]
        self.counts["lost in flight"] += len(in_flight)
        culprit = self._caution.lost(in_flight)
        for drain in self.drains.values():
            drain.rewind()
        self.replays.rewind()
        self.own.rewind()
        if culprit is not None:
            self._suspects.add(culprit)

    def marks(self) -> dict[str, int]:
        """Cursors not yet marked in the store."""
        return {drain.stream: drain.cursor for drain in self.drains.values() if drain.cursor > drain.marked}

    def marked(self, marks: dict[str, int]) -> None:
        """The store has them."""
        for stream, cursor in marks.items():
            self.drains[stream].marked = cursor
        self._probe("after-mark")

    async def _send_one(self, session: Session) -> bool:
        """Send the next message, whatever it is; False if there is none."""
        if self.own:
            self._send_own(session)
            return True
        await self._prepare()
        lanes = self._ready()
        if not lanes:
            return False
        lane = self._turns.pick(lanes)
        if lane == _REPLAY:
            self._send_replay(session)
        else:
            self._send_event(session, self.drains[lane])
        return True

    async def _prepare(self) -> None:
        """Have the next event of each stream at hand, and the anchor above it."""
        now = self._now()
        anchored = True
        for stream, drain in self.drains.items():
            after = drain.fetch_after
            if after is not None and drain.ready(now) and self._outbox.head(stream) > after:
                drain.feed(await self._outbox.unsent(stream, after, _FETCH))
            anchored = anchored and (drain.next is None or drain.next.sequence <= self._outbox.anchored(stream))
        if not anchored:
            await self._outbox.anchor()

    def _ready(self) -> list[str]:
        now = self._now()
        if self._caution.alone and any(drain.in_flight for drain in self.drains.values()):
            return []
        lanes = [
            stream
            for stream, drain in self.drains.items()
            if drain.ready(now) and drain.next is not None and drain.next.sequence <= self._outbox.anchored(stream)
        ]
        return lanes if self.replays.next is None else [*lanes, _REPLAY]

    def _send_own(self, session: Session) -> None:
        message = self.own.next
        self.own.sent()
        session.publish(message, partial(self._own_answered, message))

    def _send_event(self, session: Session, drain: Drain) -> None:
        event = drain.next
        if event is None:
            return
        message = event_message(event)
        fault = unfit(event, message, session.max_packet)
        if fault is None and (drain.stream, event.sequence) in self._suspects:
            self._suspects.remove((drain.stream, event.sequence))
            fault = "the connection ends whenever it is sent"
        if fault is not None:
            self._condemn(drain, event, fault)
            return
        drain.sent()  # before: where handing over ends the session, it counts as in flight
        session.publish(message, partial(self._event_answered, drain, event.sequence, self._now()))
        self.counts["published"] += 1
        self._probe("after-publish")

    def _send_replay(self, session: Session) -> None:
        event = self.replays.next
        if event is None:
            return
        message = event_message(event)
        if unfit(event, message, session.max_packet) is not None:
            self.replays.skip()
            return
        self.replays.sent()
        session.publish(message, partial(self._replay_answered, event))
        self.counts["replayed"] += 1

    def _event_answered(self, drain: Drain, sequence: int, sent: float, puback: PubAck) -> None:
        self._caution.answered()
        self._latency(self._now() - sent)
        self._wake.set()
        if not puback.accepted:
            why = f"the broker refuses it: {puback.text} ({puback.code})"
            self._hold(drain, sequence, why)
            return
        self._probe("after-puback")
        was_held = drain.held is not None
        drain.accepted(sequence)
        self.counts["acknowledged"] += 1
        self.acknowledged.set()
        if was_held and drain.held is None:
            self._status.up(component(drain.stream), f"event {sequence} is out")

    def _hold(self, drain: Drain, sequence: int, why: str, pause: float | None = None) -> None:
        """Keep the event and pause its stream; the others go on."""
        self.counts["held"] += 1
        drain.hold(sequence, why, self._now(), pause=pause)
        self._status.lost(component(drain.stream), f"event {sequence} waits: {why}")

    def _condemn(self, drain: Drain, event: StoredEvent, why: str) -> None:
        """It cannot be published: its stream waits for no longer than it takes to account for it."""
        self._hold(drain, event.sequence, why, pause=_UNFIT_PAUSE)
        self._condemned.put_nowait((drain, event, why))

    async def condemn(self, void: Void) -> None:
        """Have `void` account for what cannot be published, for ever. What says so of another event is only held."""
        while True:
            drain, event, why = await self._condemned.get()
            if event.type == _VOIDED:
                continue
            await void(event, why)
            drain.accepted(event.sequence)
            self.counts["unpublishable"] += 1
            self.acknowledged.set()
            self._status.up(component(drain.stream), f"event {event.sequence} is a dead letter: {why}")
            self.wake()

    def _replay_answered(self, event: StoredEvent, puback: PubAck) -> None:
        self._wake.set()
        self.replays.answered(event, accepted=puback.accepted)

    def _own_answered(self, message: Message, puback: PubAck) -> None:
        self._wake.set()
        self.own.answered(message)
        self.counts["own acknowledged" if puback.accepted else "own refused"] += 1

    async def _rest(self) -> None:
        """Wait for something new, an answer, or the end of a pause."""
        held = [drain.held.resume_at for drain in self.drains.values() if drain.held and not drain.in_flight]
        pause = max(0.0, min(held) - self._now()) if held else None
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._wake.wait()

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def component(stream: str) -> str:
    """The name of a stream on the status board."""
    return f"stream {stream}"


def event_message(event: StoredEvent) -> Message:
    """A stored event as it goes out: its bytes as they are, the user properties beside them; never retained."""
    properties = (
        ("type", event.type),
        ("source", event.source),
        ("id", event.id),
        ("sequence", sequence_string(event.sequence)),
    )
    return Message(event.topic, event.payload, content_type=CONTENT_TYPE, properties=properties)


def unfit(event: StoredEvent, message: Message, max_packet: int) -> str | None:
    """Why this event must not reach the MQTT client: brokers close the connection over such messages."""
    fault = _topic_fault(event.topic)
    if fault is not None:
        return f"its topic is unfit: {fault}"
    if len(event.payload) > EVENT_BYTES:
        return f"it has {len(event.payload)} bytes, more than {EVENT_BYTES}"
    if message.packet_size > max_packet:
        return f"its packet of {message.packet_size} bytes exceeds the broker's maximum of {max_packet}"
    return None


_topic_fault = lru_cache(maxsize=64)(topic_fault)
