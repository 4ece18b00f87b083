"""Handshakes by OPC UA events: a session of their own, whose notifications are acknowledged after the commit.

Events do not heal by reading, so a notification is acknowledged (OPC 10000-4, 5.14.5) only when all its events are
committed, and until then no further one is asked for, at most for half the subscription's lifetime (derivation.md,
Handshakes). A session that is lost, or a notification that is missing, is said in a block without an event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds

from edge_agent.clock import Clock
from edge_agent.config.devices import OpcUaAddress, OpcUaField, OpcUaSource, Tag
from edge_agent.config.signals import Handshake
from edge_agent.errors import SourceError
from edge_agent.model.confirmation import Acknowledge, Block
from edge_agent.model.reading import Instant, Reading, TagRef
from edge_agent.sources.opcua_notifications import Published
from edge_agent.sources.opcua_security import Security
from edge_agent.sources.opcua_session import REQUEST_SECONDS, LoginRefused, Session
from edge_agent.sources.opcua_values import Sample, decode, node_id, status_name
from edge_agent.sources.pause import Pause
from edge_agent.telemetry.status import Status

_QUEUE: Final = 10_000
_KEEPALIVE_SECONDS: Final = 1.0
_LIFETIME_SECONDS: Final = 30.0
_PULSE_SECONDS: Final = 5.0
_LONGEST_PAUSE: Final = 10.0
"""Seconds; also after a login that was refused: more wrong passwords a minute lock accounts."""
_MOST_WAITING: Final = 10_000
_LAST_SEQUENCE: Final = 0xFFFF_FFFF
_OWN_FIELDS: Final = ("EventId", "Time")
_BYTE_STRING: Final = 15
_DATE_TIME: Final = 13

Deliver = Callable[[Sequence[Block]], None]


@dataclass(frozen=True, slots=True)
class _Listened:
    """A subscription: what it hears for which rule, by client handle."""

    identifier: int
    patience: float
    """Seconds until something comes, if only a keep-alive."""
    lifetime: float
    """Seconds after which the server gives it up unless something is asked for."""
    rules: Mapping[int, str]


class Events:
    """The event handshakes of one source, by rule."""

    def __init__(
        self,
        source: OpcUaSource,
        security: Security,
        tags: Mapping[TagRef, Tag],
        handshakes: Mapping[str, Handshake],
        *,
        clock: Clock,
        status: Status,
    ) -> None:
        self.rules = frozenset(handshakes)
        self._source = source
        self._security = security
        self._tags = tags
        self._handshakes = handshakes
        self._clock = clock
        self._status = status
        self._pause = Pause(_LONGEST_PAUSE)
        self._delivered = self._committed = 0
        self._grew = asyncio.Event()

    async def run(self, deliver: Deliver) -> None:
        """Listen for ever, session after session; `deliver` must not wait."""
        component = f"events of {self._source.name}"
        while True:
            session, is_refused = Session(self._source, self._security), False
            try:
                await session.open()
                listened = await self._listen(session)
                now = self._clock.now()
                deliver([Block(rule, 0, 0, {}, now) for rule in self._handshakes])
                self._status.up(component, f"{len(listened.rules)} rules at {self._source.url}")
                await self._hear(session, listened, deliver)
            except SourceError as error:
                is_refused = isinstance(error, LoginRefused)
                self._status.lost(component, str(error))
            finally:
                await session.close()
            await asyncio.sleep(_LONGEST_PAUSE if is_refused else self._pause.next())

    def committed(self, ack: Acknowledge) -> None:
        """The event of this number, and all before it, are in the store."""
        self._committed = max(self._committed, ack.number)
        self._grew.set()

    async def _listen(self, session: Session) -> _Listened:
        """Subscribe to the events of every rule. Raises SourceError where the server refuses one."""
        indices = await session.namespaces()
        milliseconds = 1000 * self._source.sample.total_seconds()
        keepalive = max(1, round(1000 * _KEEPALIVE_SECONDS / milliseconds))
        made = await session.create_subscription(
            ua.CreateSubscriptionParameters(
                RequestedPublishingInterval=ua.Duration(milliseconds),
                RequestedLifetimeCount=ua.Counter(max(3 * keepalive, round(1000 * _LIFETIME_SECONDS / milliseconds))),
                RequestedMaxKeepAliveCount=ua.Counter(keepalive),
                MaxNotificationsPerPublish=ua.Counter(100),
                PublishingEnabled=True,
            )
        )
        rules = dict(enumerate(self._handshakes, 1))
        wanted = [self._request(handle, self._handshakes[rule], indices) for handle, rule in rules.items()]
        results = await session.create_items(int(made.SubscriptionId), wanted)
        for rule, result in zip(rules.values(), results, strict=True):
            if not result.StatusCode.is_good():
                spec = self._handshakes[rule]
                raise SourceError(f"{spec.trigger} emits no events: {status_name(int(result.StatusCode.value))}")
        interval = made.RevisedPublishingInterval / 1000
        return _Listened(
            int(made.SubscriptionId),
            (made.RevisedMaxKeepAliveCount + 2) * interval + REQUEST_SECONDS,
            made.RevisedLifetimeCount * interval,
            rules,
        )

    async def _hear(self, session: Session, listened: _Listened, deliver: Deliver) -> None:
        """Take notifications one after the other, each once the one before is committed. Raises SourceError."""
        loop = asyncio.get_running_loop()
        self._committed = self._delivered  # what came by a former session is not waited for
        open_until: list[tuple[int, int]] = []
        expected, pulse_at = 1, loop.time() + _PULSE_SECONDS
        while True:
            await self._until_committed(listened.lifetime / 2)
            done = [sequence for sequence, number in open_until if number <= self._committed]
            open_until = open_until[len(done) :]
            acknowledge = [
                ua.SubscriptionAcknowledgement(ua.IntegerId(listened.identifier), ua.Counter(one)) for one in done
            ]
            published = await session.publish(acknowledge, listened.patience)
            if published.brings:
                expected = _following(published, expected)
                deliver(self._blocks(published, listened.rules))
                open_until.append((published.sequence, self._delivered))
                self._pause.works()
            if self._delivered - self._committed > _MOST_WAITING:
                raise SourceError(f"{self._delivered - self._committed} events wait for the store")
            if loop.time() >= pulse_at:
                await session.pulse()
                pulse_at = loop.time() + _PULSE_SECONDS

    async def _until_committed(self, seconds: float) -> None:
        """Wait until all that was delivered is in the store, or no longer than the subscription bears."""
        try:
            async with asyncio.timeout(seconds):
                while self._committed < self._delivered:
                    self._grew.clear()
                    await self._grew.wait()
        except TimeoutError:
            return

    def _blocks(self, published: Published, rules: Mapping[int, str]) -> list[Block]:
        received = self._clock.now()
        return [self._block(rules[handle], fields, received) for handle, fields in published.events if handle in rules]

    def _block(self, rule: str, fields: Sequence[Sample], received: Instant) -> Block:
        """An event as a block. One without an EventId cannot be told from another: it has one of its own."""
        spec = self._handshakes[rule]
        self._delivered += 1
        identity, time, *others = fields
        event = bytes(identity.value or b"").hex() if identity.kind == _BYTE_STRING else ""
        values: dict[TagRef, Reading] = {}
        for tag, field in zip(spec.contents, others, strict=True):
            stamped = field._replace(source_time=time.value if time.kind == _DATE_TIME else None)
            values[tag] = decode(self._tags[tag], stamped, received)
        return Block(rule, self._delivered, 0, values, received, event=event or f"none{received.monotonic_ns}")

    def _request(self, handle: int, spec: Handshake, indices: Mapping[str, int]) -> ua.MonitoredItemCreateRequest:
        emitter = self._tags[spec.trigger]
        if not isinstance(emitter.address, OpcUaAddress) or emitter.of_type is None:
            raise SourceError(f"{spec.trigger} is no node that emits events")
        of_type = _node(emitter.of_type, indices)
        base = ua.NodeId(ua.Int32(ObjectIds.BaseEventType), ua.Int16(0))
        clauses = [_operand(base, ua.QualifiedName(name, 0)) for name in _OWN_FIELDS]
        for tag in spec.contents:
            field = self._tags[tag].address
            if not isinstance(field, OpcUaField):
                raise SourceError(f"{tag} is no field of an event")
            clauses.append(_operand(of_type, ua.QualifiedName(field.name, _index(field.namespace_uri, indices))))
        meant = ua.ContentFilterElement(
            FilterOperator=ua.FilterOperator.OfType,
            FilterOperands=[ua.LiteralOperand(Value=ua.Variant(of_type))],
        )
        return ua.MonitoredItemCreateRequest(
            ItemToMonitor=ua.ReadValueId(
                NodeId=_node(emitter.address, indices), AttributeId=AttributeIds.EventNotifier
            ),
            MonitoringMode=ua.MonitoringMode.Reporting,
            RequestedParameters=ua.MonitoringParameters(
                ClientHandle=ua.IntegerId(handle),
                SamplingInterval=ua.Duration(0),
                Filter=ua.EventFilter(SelectClauses=clauses, WhereClause=ua.ContentFilter(Elements=[meant])),
                QueueSize=ua.Counter(_QUEUE),
                DiscardOldest=True,
            ),
        )


def _following(published: Published, expected: int) -> int:
    """The sequence number after this one. Raises SourceError where one is missing, or the subscription has ended."""
    if published.ended is not None:
        raise SourceError(f"the server ended the subscription to events: {status_name(published.ended)}")
    if published.sequence != expected:
        raise SourceError(f"notification {expected} of events is missing, {published.sequence} came")
    return 1 if published.sequence == _LAST_SEQUENCE else published.sequence + 1


def _operand(of_type: ua.NodeId, name: ua.QualifiedName) -> ua.SimpleAttributeOperand:
    return ua.SimpleAttributeOperand(TypeDefinitionId=of_type, BrowsePath=[name], AttributeId=AttributeIds.Value)


def _node(address: OpcUaAddress, indices: Mapping[str, int]) -> ua.NodeId:
    try:
        return node_id(address, _index(address.namespace_uri, indices))
    except ValueError as error:
        raise SourceError(str(error)) from error


def _index(uri: str, indices: Mapping[str, int]) -> int:
    if uri not in indices:
        raise SourceError(f"the server has no namespace {uri}")
    return indices[uri]
