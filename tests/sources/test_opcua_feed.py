"""The feed keeps what comes, in order, and says when it can no longer be sure that everything came."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import pytest
from asyncua import ua
from asyncua.ua.status_codes import StatusCodes

from edge_agent.clock import SystemClock
from edge_agent.config.devices import OpcUaSource
from edge_agent.errors import SourceError
from edge_agent.model.reading import TagRef
from edge_agent.sources.opcua_feed import BUFFER_VALUES, Arrived, Feed
from edge_agent.sources.opcua_notifications import Published, decoded
from edge_agent.sources.opcua_security import Security
from edge_agent.sources.opcua_session import Session, SubscriptionBroken
from edge_agent.telemetry.metrics import Counts
from tests.sources.conftest import eventually

COUNT, TEXT = TagRef("plc", "count"), TagRef("plc", "text")
NODES = {tag: ua.NodeId(ua.String(tag.tag), ua.Int16(2)) for tag in (COUNT, TEXT)}
SUBSCRIPTION = 77


class ScriptedSession(Session):
    """A session whose publish answers are scripted; each request's acknowledgements are kept."""

    def __init__(self) -> None:
        source = OpcUaSource("plc", "opc.tcp://127.0.0.1:1", {}, timedelta(milliseconds=100))
        super().__init__(source, Security(source, None))
        self.answers: asyncio.Queue[Published | Exception] = asyncio.Queue()
        self.acknowledged: list[list[int]] = []
        self.patience: list[float] = []
        self.subscriptions: list[int] = []
        self.deleted: list[int] = []
        self.requested: list[ua.MonitoredItemCreateRequest] = []
        self.refuse: dict[ua.NodeId, int] = {}

    async def create_subscription(self, parameters: ua.CreateSubscriptionParameters) -> ua.CreateSubscriptionResult:
        self.subscriptions.append(SUBSCRIPTION + len(self.subscriptions))
        return ua.CreateSubscriptionResult(
            SubscriptionId=ua.IntegerId(self.subscriptions[-1]),
            RevisedPublishingInterval=parameters.RequestedPublishingInterval,
            RevisedLifetimeCount=parameters.RequestedLifetimeCount,
            RevisedMaxKeepAliveCount=parameters.RequestedMaxKeepAliveCount,
        )

    async def delete_subscription(self, identifier: int) -> None:
        self.deleted.append(identifier)

    async def create_items(
        self, subscription: int, items: Sequence[ua.MonitoredItemCreateRequest]
    ) -> list[ua.MonitoredItemCreateResult]:
        self.requested += items
        statuses = [self.refuse.get(item.ItemToMonitor.NodeId, 0) for item in items]
        return [ua.MonitoredItemCreateResult(StatusCode=ua.StatusCode(ua.UInt32(status))) for status in statuses]

    async def delete_items(self, subscription: int, items: Sequence[int]) -> None:
        pass

    async def publish(self, acknowledge: list[ua.SubscriptionAcknowledgement], seconds: float) -> Published:
        self.acknowledged.append([int(one.SequenceNumber) for one in acknowledge])
        self.patience.append(seconds)
        answer = await self.answers.get()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def pulse(self) -> None:
        pass

    def notify(self, sequence: int, *values: int, handle: int = 1, subscription: int = SUBSCRIPTION) -> None:
        items = [
            ua.MonitoredItemNotification(ClientHandle=ua.IntegerId(handle), Value=ua.DataValue(ua.Variant(value)))
            for value in values
        ]
        self.answer(sequence, [ua.DataChangeNotification(MonitoredItems=items)], subscription)

    def answer(self, sequence: int, notifications: Sequence[object], subscription: int = SUBSCRIPTION) -> None:
        message = ua.NotificationMessage(SequenceNumber=ua.Counter(sequence), NotificationData=list(notifications))
        self.answers.put_nowait(decoded(ua.PublishResult(ua.IntegerId(subscription), NotificationMessage=message)))


@pytest.fixture
def session() -> ScriptedSession:
    return ScriptedSession()


@pytest.fixture
def counts() -> Counts:
    return Counts()


@pytest.fixture
async def feed(session: ScriptedSession, counts: Counts) -> AsyncIterator[Feed]:
    feed = Feed(session, timedelta(milliseconds=100), SystemClock(), counts, "plc")
    assert await feed.subscribe(NODES) == {}
    yield feed
    await feed.stop()


async def _next(feed: Feed) -> Arrived:
    async with asyncio.timeout(10):
        while (arrived := await feed.next(math.inf)) is None:
            pass
    return arrived


async def _broken(feed: Feed) -> str:
    with pytest.raises(SubscriptionBroken) as raised:
        await _next(feed)
    return str(raised.value)


def _values(arrived: Arrived) -> list[object]:
    return [change.data.value for change in arrived.changes]


async def test_items_are_asked_for_with_a_queue_that_keeps_the_newest(feed: Feed, session: ScriptedSession) -> None:
    for item in session.requested:
        asked = item.RequestedParameters
        assert asked.QueueSize >= 10
        assert asked.DiscardOldest
        assert asked.SamplingInterval == 100.0
    assert len({int(item.RequestedParameters.ClientHandle) for item in session.requested}) == 2


async def test_notifications_come_in_order_and_are_acknowledged(feed: Feed, session: ScriptedSession) -> None:
    session.notify(1, 10, 11)
    session.answer(2, [])  # a keep-alive: it carries the next number and is not acknowledged
    session.notify(2, 12)
    first, second = await _next(feed), await _next(feed)
    assert [_values(first), _values(second)] == [[10, 11], [12]]
    assert [change.first for change in (*first.changes, *second.changes)] == [True, False, False]
    assert {change.tag for change in first.changes} == {COUNT}
    assert feed.silent == {TEXT}
    await eventually(lambda: len(session.acknowledged) == 4)
    assert session.acknowledged == [[], [1], [], [2]]


async def test_refused_items_are_told_and_are_not_waited_for(session: ScriptedSession, counts: Counts) -> None:
    session.refuse[NODES[TEXT]] = StatusCodes.BadNodeIdUnknown
    feed = Feed(session, timedelta(milliseconds=100), SystemClock(), counts, "plc")
    assert await feed.subscribe(NODES) == {TEXT: StatusCodes.BadNodeIdUnknown}
    assert feed.silent == {COUNT}
    await feed.stop()


async def test_the_bound_for_a_publish_response_follows_from_the_keep_alive(
    feed: Feed, session: ScriptedSession
) -> None:
    await eventually(lambda: session.patience)
    assert session.patience[0] == pytest.approx(12 * 0.1 + 4.0)


async def test_a_missing_notification_breaks_the_subscription(feed: Feed, session: ScriptedSession) -> None:
    session.notify(1, 10)
    session.notify(3, 12)
    assert _values(await _next(feed)) == [10]
    assert await _broken(feed) == "notification 2 is missing, 3 came"


async def test_sequence_numbers_wrap_to_one(feed: Feed, session: ScriptedSession) -> None:
    feed._expected = 0xFFFF_FFFF
    session.notify(0xFFFF_FFFF, 1)
    session.notify(1, 2)
    assert [_values(await _next(feed)), _values(await _next(feed))] == [[1], [2]]


async def test_a_subscription_that_the_server_ended_is_broken(feed: Feed, session: ScriptedSession) -> None:
    status = ua.StatusCode(ua.UInt32(StatusCodes.BadTimeout))
    session.answer(1, [ua.StatusChangeNotification(Status=status)])
    assert await _broken(feed) == "the server ended it: BadTimeout"


async def test_a_notification_that_cannot_be_decoded_breaks_the_subscription(
    feed: Feed, session: ScriptedSession
) -> None:
    session.answers.put_nowait(SubscriptionBroken("a notification cannot be decoded"))
    assert await _broken(feed) == "a notification cannot be decoded"


async def test_a_full_buffer_breaks_the_subscription_and_loses_nothing_it_took(
    feed: Feed, session: ScriptedSession
) -> None:
    half = BUFFER_VALUES // 2 + 1
    session.notify(1, *range(half))
    session.notify(2, *range(half, 2 * half))
    session.notify(3, 999_999)
    await eventually(lambda: session.answers.qsize() == 1)
    assert _values(await _next(feed)) + _values(await _next(feed)) == list(range(2 * half))
    assert "wait for the store" in await _broken(feed)
    assert session.answers.qsize() == 1  # nobody asked for more


async def test_after_a_break_nothing_is_published_until_it_is_subscribed_anew(
    feed: Feed, session: ScriptedSession
) -> None:
    session.notify(5, 10)
    await _broken(feed)
    asked = len(session.acknowledged)
    session.notify(1, 20, handle=3, subscription=SUBSCRIPTION + 1)
    await asyncio.sleep(0)
    assert len(session.acknowledged) == asked
    await feed.subscribe(NODES)
    assert session.deleted == [SUBSCRIPTION]
    arrived = await _next(feed)
    assert _values(arrived) == [20]
    assert arrived.changes[0].first


async def test_answers_for_a_former_subscription_or_item_are_not_taken(
    feed: Feed, session: ScriptedSession, counts: Counts
) -> None:
    session.notify(9, 1, subscription=SUBSCRIPTION - 1)
    session.notify(1, 2, handle=55)
    session.notify(2, 3)
    assert _values(await _next(feed)) == [3]
    assert counts.get("values_discarded", source="plc", why="no longer monitored") == 1


async def test_a_lost_session_is_told_after_what_came_before(feed: Feed, session: ScriptedSession) -> None:
    session.notify(1, 10)
    session.answers.put_nowait(SourceError("plc: publish: no answer in time"))
    assert _values(await _next(feed)) == [10]
    with pytest.raises(SourceError, match="no answer in time") as raised:
        await _next(feed)
    assert not isinstance(raised.value, SubscriptionBroken)


async def test_a_bug_is_not_swallowed(feed: Feed, session: ScriptedSession) -> None:
    session.answers.put_nowait(ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        await _next(feed)


async def test_next_returns_at_its_time_and_when_woken(feed: Feed) -> None:
    now = asyncio.get_running_loop().time()
    assert await feed.next(now + 0.02) is None
    asyncio.get_running_loop().call_later(0.02, feed.wake)
    assert await feed.next(math.inf) is None


async def test_a_stopped_feed_says_so(feed: Feed) -> None:
    await feed.stop()
    with pytest.raises(SourceError, match="closed"):
        await _next(feed)


async def test_forgotten_items_are_strays_and_may_be_monitored_again(
    feed: Feed, session: ScriptedSession, counts: Counts
) -> None:
    await feed.forget([COUNT])
    assert feed.silent == {TEXT}
    session.notify(1, 1, handle=1)
    await feed.monitor({COUNT: NODES[COUNT]})
    session.notify(2, 2, handle=3)
    arrived = await _next(feed)
    assert (_values(arrived), arrived.changes[0].first) == ([2], True)
    assert counts.get("values_discarded", source="plc", why="no longer monitored") == 1
