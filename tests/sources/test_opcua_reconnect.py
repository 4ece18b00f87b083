"""Everything that goes wrong between us and a server, with the data asserted afterwards.

Each protection of ours has its planted bug: the same fault without it, which the same assertion must catch.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from asyncua import ua
from asyncua.ua.status_codes import StatusCodes

from edge_agent.config.devices import TagType
from edge_agent.model.confirmation import Block
from edge_agent.model.reading import Link as LinkState
from edge_agent.model.reading import Quality, Reading, SourceChange
from edge_agent.sources import opcua_feed, opcua_link, opcua_values
from edge_agent.sources.opcua_feed import Feed
from edge_agent.sources.opcua_link import Link
from edge_agent.sources.opcua_notifications import Published
from edge_agent.sources.opcua_session import Session
from tests.sources.conftest import NAME, TAGS, Bench, Consumer, eventually, tag
from tests.sources.opcua_device import OTHER_URI, URI, Device
from tests.sources.tcp_wire import Wire, wire

NOTICED_SECONDS = 15.0
"""Longer than a silence can go unnoticed (keep-alive, pulse and their time limits), for what must not be noticed."""


def _links(consumer: Consumer) -> list[LinkState]:
    return [one.link for one in consumer.of(SourceChange)]


async def _never(consumer: Consumer, condition: Callable[[], object]) -> None:
    """The planted bug is caught: without the protection the condition does not come about."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(NOTICED_SECONDS):
            await consumer.until(condition)


def _without_watching(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted bug: nobody minds that a server says nothing."""

    async def publish(self: Session, acknowledge: Any, seconds: float) -> Published:
        return await real(self, acknowledge, 3600.0)

    async def pulse(self: Session) -> None:
        """Look at nothing."""

    real = Session.publish
    monkeypatch.setattr(Session, "publish", publish)
    monkeypatch.setattr(Session, "pulse", pulse)


async def _black_hole(between: Wire, device: Device) -> None:
    between.is_hole = True
    await device.set(Infeed_Total=110)
    await eventually(lambda: between.swallowed)


async def _half_open(between: Wire, device: Device) -> None:
    between.is_half_open = True
    await device.stop()
    await device.start()
    await device.set(Infeed_Total=110)


Fault = Callable[[Wire, Device], Awaitable[None]]


@pytest.mark.slow
@pytest.mark.parametrize("fault", [_black_hole, _half_open])
async def test_a_server_that_is_silently_gone_is_noticed_and_read_again(fault: Fault, device: Device) -> None:
    async with wire(device.port) as between:
        bench = Bench(between.url)
        async with bench.consumed() as consumer:
            await consumer.until(lambda: consumer.of(Block))
            await fault(between, device)
            await consumer.until(lambda: _links(consumer)[:2] == [LinkState.UP, LinkState.LOST])
            between.is_hole = False
            await consumer.until(lambda: consumer.values("preforms_in")[-1:] == [110])
            await device.set(Infeed_Total=120)
            await consumer.until(lambda: consumer.values("preforms_in")[-1:] == [120])
            await eventually(lambda: bench.state(NAME) == "up")
    told = [(one.value, one.continuous) for one in consumer.readings("preforms_in")]
    assert told == [(100, False), (110, False), (120, True)]


@pytest.mark.slow
@pytest.mark.parametrize("fault", [_black_hole, _half_open])
async def test_unwatched_a_server_that_is_silently_gone_is_waited_for_in_vain(
    fault: Fault, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    _without_watching(monkeypatch)
    async with wire(device.port) as between, Bench(between.url).consumed() as consumer:
        await consumer.until(lambda: consumer.of(Block))
        await fault(between, device)
        between.is_hole = False
        await _never(consumer, lambda: consumer.values("preforms_in")[-1:] == [110])


@pytest.mark.slow
async def test_after_a_black_hole_data_is_back_at_once(device: Device, record_property: Any) -> None:
    """However the end of the hole meets the attempts to connect: the hole ends at another moment each time."""
    took = []
    async with wire(device.port) as between, Bench(between.url).consumed() as consumer:
        await consumer.until(lambda: consumer.of(Block))
        for number in range(1, 6):
            between.is_hole = True
            await consumer.until(lambda number=number: _links(consumer).count(LinkState.LOST) == number)  # type: ignore[misc]  # bound now
            await device.set(Infeed_Total=100 + number)
            await asyncio.sleep(0.3 * number)
            between.is_hole = False
            before = asyncio.get_running_loop().time()
            await consumer.until(lambda number=number: consumer.values("preforms_in")[-1:] == [100 + number])  # type: ignore[misc]  # bound now
            took.append(asyncio.get_running_loop().time() - before)
    record_property("seconds to data after a black hole, median of five", f"{statistics.median(took):.2f}")
    assert consumer.values("preforms_in") == [100, 101, 102, 103, 104, 105]


async def test_a_node_that_is_lost_stops_no_other_and_heals(device: Device) -> None:
    bench = Bench(device.url)
    async with bench.consumed() as consumer:
        await consumer.until(lambda: consumer.of(Block))
        await device.remove("Infeed.Total")
        await consumer.until(lambda: consumer.readings("preforms_in")[-1].quality is Quality.BAD)
        await eventually(lambda: bench.state(f"{NAME} tags") == "lost")
        detail = bench.status.snapshot()[f"{NAME} tags"]["detail"]
        assert detail == f"1 of {len(TAGS)} tags: filler.preforms_in BadNodeIdUnknown"
        await device.set(Filler_Total=1001)
        await consumer.until(lambda: consumer.values("bottles_out") == [1000, 1001])
        await device.add("Infeed.Total")
        await consumer.until(lambda: consumer.values("preforms_in")[-1] == 100)
        await device.set(Infeed_Total=103)
        await consumer.until(lambda: consumer.values("preforms_in")[-1] == 103)
        await eventually(lambda: bench.state(f"{NAME} tags") == "up")
        assert _links(consumer) == [LinkState.UP]
    told = [(one.value, one.status, one.continuous) for one in consumer.readings("preforms_in")]
    gone = StatusCodes.BadNodeIdUnknown
    assert told == [(100, 0, False), (None, gone, True), (100, 0, False), (103, 0, True)]


@pytest.mark.slow
async def test_without_trying_again_a_lost_node_stays_lost(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Link, "_judge", lambda self, reading, first: None)  # the planted bug
    async with Bench(device.url).consumed() as consumer:
        await consumer.until(lambda: consumer.of(Block))
        await device.remove("Infeed.Total")
        await consumer.until(lambda: consumer.readings("preforms_in")[-1].quality is Quality.BAD)
        await device.add("Infeed.Total")
        await _never(consumer, lambda: consumer.values("preforms_in")[-1] == 100)


async def _replaced_silently(device: Device, condition: Callable[[Consumer], object], *, caught: bool) -> Bench:
    """A node is deleted and made anew, and the server forgets the item without a word."""
    bench = Bench(device.url)
    async with bench.consumed() as consumer:
        await consumer.until(lambda: consumer.of(Block))
        await device.set(Infeed_Total=110)
        await consumer.until(lambda: consumer.values("preforms_in")[-1] == 110)
        await device.remove("Infeed.Total", silently=True)
        await device.add("Infeed.Total")
        await device.set(Infeed_Total=115, Filler_Total=1001)
        await consumer.until(lambda: consumer.values("bottles_out")[-1] == 1001)
        if caught:
            await _never(consumer, lambda: condition(consumer))
        else:
            await consumer.until(lambda: condition(consumer))
            await device.set(Infeed_Total=116)
            await consumer.until(lambda: consumer.values("preforms_in")[-1] == 116)
            told = [(one.value, one.continuous) for one in consumer.readings("preforms_in")]
            assert told == [(100, False), (110, True), (115, False), (116, True)]
            await eventually(lambda: bench.state(f"{NAME} tags") == "up")
            assert _links(consumer) == [LinkState.UP]
    return bench


@pytest.mark.slow
async def test_an_item_that_the_server_forgot_is_found_by_reading(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_read(consumer: Consumer) -> bool:
        return consumer.values("preforms_in")[-1] == 115

    monkeypatch.setattr(opcua_link, "_AUDIT_SECONDS", 0.3)
    await _replaced_silently(device, is_read, caught=False)
    monkeypatch.setattr(opcua_link, "_AUDIT_SECONDS", 3600.0)  # the planted bug: the server is believed
    await _replaced_silently(device, is_read, caught=True)


@pytest.mark.slow
async def test_values_that_change_all_the_time_are_no_dead_items(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opcua_link, "_AUDIT_SECONDS", 0.05)
    bench = Bench(device.url)
    async with bench.consumed() as consumer:
        await consumer.until(lambda: consumer.of(Block))
        for count in range(101, 400):
            await device.set(Infeed_Total=count)
            await asyncio.sleep(0.02)
        await consumer.until(lambda: consumer.values("preforms_in")[-1] == 399)
        assert bench.state(f"{NAME} tags") is None
    assert consumer.values("preforms_in") == list(range(100, 400))
    assert [one.continuous for one in consumer.readings("preforms_in")] == [False] + [True] * 299


@pytest.mark.parametrize(
    ("value", "kind"),
    [("7 of 9", ua.VariantType.String), (100.5, ua.VariantType.Double), ([1, 2], ua.VariantType.UInt16)],
)
async def test_a_counter_that_changes_its_type_is_bad_and_heals(
    value: object, kind: ua.VariantType, device: Device
) -> None:
    bench = Bench(device.url)
    async with bench.consumed() as consumer:
        await consumer.until(lambda: consumer.of(Block))
        await device.put("Infeed.Total", ua.Variant(value, kind))
        await eventually(lambda: bench.state(f"{NAME} tags") == "lost")
        detail = bench.status.snapshot()[f"{NAME} tags"]["detail"]
        assert detail == f"1 of {len(TAGS)} tags: filler.preforms_in BadTypeMismatch (not uint16)"
        await device.set(Filler_Total=1001)
        await consumer.until(lambda: consumer.values("bottles_out") == [1000, 1001])
        await device.set(Infeed_Total=120)
        await consumer.until(lambda: consumer.values("preforms_in")[-1] == 120)
        await eventually(lambda: bench.state(f"{NAME} tags") == "up")
        assert bench.counts.get("tags_failed", source=NAME) == 0
    told = [(one.value, one.status) for one in consumer.readings("preforms_in")]
    assert told == [(100, 0), (None, StatusCodes.BadTypeMismatch), (120, 0)]


async def test_a_counter_of_another_type_from_the_first_on_is_told_of(device: Device) -> None:
    bench = Bench(device.url, [*TAGS, tag("twice", "Infeed.Total", TagType.FLOAT64)])
    async with bench.consumed() as consumer:
        await consumer.until(lambda: consumer.of(Block))
        await eventually(lambda: bench.state(f"{NAME} tags") == "lost")
        detail = bench.status.snapshot()[f"{NAME} tags"]["detail"]
        assert detail.endswith("filler.twice BadTypeMismatch (not float64)")
        assert [one.quality for one in consumer.readings("twice")] == [Quality.BAD]


async def test_a_type_that_is_not_looked_at_would_be_booked(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opcua_values, "_value", lambda wanted, data: (data.value, 0))  # the planted bug
    async with Bench(device.url).consumed() as consumer:
        await consumer.until(lambda: consumer.of(Block))
        await device.put("Infeed.Total", ua.Variant("7 of 9", ua.VariantType.String))
        await consumer.until(lambda: consumer.values("preforms_in")[-1] == "7 of 9")


async def _restarted_in_another_order(port: int, condition: Callable[[Consumer], object], *, caught: bool) -> None:
    async with Bench(f"opc.tcp://127.0.0.1:{port}").consumed() as consumer:
        first = Device(port, uris=(URI, OTHER_URI))
        await first.start()
        await consumer.until(lambda: consumer.of(Block))
        await first.stop()
        second = Device(port, uris=(OTHER_URI, URI))
        await second.start()
        await second.set(Filler_Total=1500)
        await consumer.until(lambda: _links(consumer) == [LinkState.UP, LinkState.LOST, LinkState.UP])
        if caught:
            await consumer.until(lambda: consumer.readings("bottles_out")[-1].quality is Quality.BAD)
            assert not condition(consumer)
        else:
            await consumer.until(lambda: condition(consumer))
        await second.stop()


async def test_after_a_restart_uris_are_resolved_anew(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def is_read(consumer: Consumer) -> bool:
        return consumer.values("bottles_out")[-1:] == [1500]

    await _restarted_in_another_order(port, is_read, caught=False)
    real, known = Session.namespaces, dict[str, int]()

    async def once(self: Session) -> dict[str, int]:
        known.update(known or await real(self))
        return known

    monkeypatch.setattr(Session, "namespaces", once)  # the planted bug: an index is kept
    await _restarted_in_another_order(port, is_read, caught=True)


@pytest.mark.slow
async def test_a_subscription_that_the_server_deletes_is_made_anew(device: Device) -> None:
    bench = Bench(device.url)
    async with bench.consumed() as consumer:
        await consumer.until(lambda: consumer.of(Block))
        await device.set(Infeed_Total=105)
        await consumer.until(lambda: consumer.values("preforms_in")[-1:] == [105])
        await device.delete_subscriptions()
        await device.set(Infeed_Total=110, Pal_Cases=50, Pal_Seq=8)
        await consumer.until(lambda: consumer.values("preforms_in")[-1:] == [110])
        await consumer.until(lambda: consumer.of(Block)[-1].number == 8)
        await device.set(Infeed_Total=111)
        await consumer.until(lambda: consumer.values("preforms_in")[-1:] == [111])
    told = [(one.value, one.continuous) for one in consumer.readings("preforms_in")]
    assert told == [(100, False), (105, True), (110, False), (111, True)]


@pytest.mark.slow
async def test_unwatched_a_deleted_subscription_is_waited_for_in_vain(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    _without_watching(monkeypatch)
    monkeypatch.setattr(Feed, "_break", lambda self, why: None)
    async with Bench(device.url).consumed() as consumer:
        await consumer.until(lambda: consumer.of(Block))
        await device.delete_subscriptions()
        await device.set(Infeed_Total=110)
        await _never(consumer, lambda: consumer.values("preforms_in")[-1:] == [110])


async def _overflowed(device: Device) -> tuple[list[Reading], float]:
    bench = Bench(device.url)
    async with bench.consumed() as consumer:
        await consumer.until(lambda: consumer.of(Block))
        await device.put("Infeed.Total", 120, opcua_values.OVERFLOW)
        await device.put("Infeed.Total", 121)
        await consumer.until(lambda: consumer.values("preforms_in")[-1] == 121)
        return consumer.readings("preforms_in"), bench.counts.get("overflows", source=NAME)


async def test_a_queue_that_overflowed_in_the_server_ends_continuity(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings, counted = await _overflowed(device)
    assert [(one.value, one.continuous) for one in readings] == [(100, False), (120, False), (121, True)]
    assert counted == 1
    await device.set(Infeed_Total=100)
    decode = opcua_values.decode
    monkeypatch.setattr(
        "edge_agent.sources.opcua_link.decode",
        lambda tag, data, received, *, continuous=False: decode(
            tag, data._replace(status=0), received, continuous=continuous
        ),
    )  # the planted bug: the status is not looked at
    readings, counted = await _overflowed(device)
    assert [(one.value, one.continuous) for one in readings] != [(100, False), (120, False), (121, True)]
    assert counted == 0


async def test_a_notification_that_is_missing_is_noticed(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second notification is lost on the way: what it brought is read again."""
    real = Feed._take
    lost: list[int] = []

    def take(self: Feed, published: Published) -> list[ua.SubscriptionAcknowledgement]:
        if published.brings and consumer.values("preforms_in")[-1:] == [101] and not lost:
            lost.append(published.sequence)
            return []
        return real(self, published)

    monkeypatch.setattr(opcua_feed.Feed, "_take", take)
    bench = Bench(device.url)
    async with bench.consumed() as consumer:
        await consumer.until(lambda: consumer.of(Block))
        await device.set(Infeed_Total=101)
        await consumer.until(lambda: consumer.values("preforms_in")[-1:] == [101])
        await device.set(Infeed_Total=105)
        await eventually(lambda: lost)
        await device.set(Filler_Total=1001)
        await consumer.until(lambda: consumer.values("preforms_in")[-1:] == [105])
        assert bench.counts.get("subscribed_anew", source=NAME) == 1
    assert [one.continuous for one in consumer.readings("preforms_in")] == [False, True, False]
