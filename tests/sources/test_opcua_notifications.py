"""Publish responses: what is taken apart here is what asyncua decodes, and nothing is believed of a length."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua import ua_binary
from asyncua.ua.status_codes import StatusCodes
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.sources.opcua_notifications import Published, decoded, usual

NOW = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)
KINDS = {
    ua.VariantType.Boolean: st.booleans(),
    ua.VariantType.SByte: st.integers(-128, 127),
    ua.VariantType.Byte: st.integers(0, 255),
    ua.VariantType.Int16: st.integers(-(1 << 15), (1 << 15) - 1),
    ua.VariantType.UInt16: st.integers(0, (1 << 16) - 1),
    ua.VariantType.Int32: st.integers(-(1 << 31), (1 << 31) - 1),
    ua.VariantType.UInt32: st.integers(0, (1 << 32) - 1),
    ua.VariantType.Int64: st.integers(-(1 << 63), (1 << 63) - 1),
    ua.VariantType.UInt64: st.integers(0, (1 << 64) - 1),
    ua.VariantType.Float: st.floats(width=32, allow_nan=False),
    ua.VariantType.Double: st.floats(allow_nan=False),
    ua.VariantType.String: st.none() | st.text(max_size=20) | st.just("\udcff"),
}
TIMES = st.none() | st.just(datetime(1601, 1, 1, tzinfo=UTC)) | st.just(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
TIMES |= st.datetimes(datetime(1601, 1, 2), datetime(9999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - as hypothesis wants it


def value(variant: ua.Variant, status: int | None = 0, **times: Any) -> ua.DataValue:
    return ua.DataValue(variant, None if status is None else ua.StatusCode(ua.UInt32(status)), **times)


def variants() -> st.SearchStrategy[ua.Variant]:
    kinds = st.sampled_from(list(KINDS))
    return kinds.flatmap(lambda kind: KINDS[kind].map(lambda held: ua.Variant(held, kind)))


VALUES = st.builds(
    lambda variant, status, source, server: value(variant, status, SourceTimestamp=source, ServerTimestamp=server),
    variants(),
    st.none() | st.integers(0, (1 << 32) - 1),
    TIMES,
    TIMES,
)


def response(values: Sequence[ua.DataValue], *more: Any, available: Sequence[int] = (), result: int = 0) -> bytes:
    items = [ua.MonitoredItemNotification(ua.IntegerId(at), one) for at, one in enumerate(values, 1)]
    notifications = [ua.DataChangeNotification(MonitoredItems=items), *more] if items else list(more)
    made = ua.PublishResponse()
    made.ResponseHeader.ServiceResult = ua.StatusCode(ua.UInt32(result))
    made.Parameters.SubscriptionId = ua.IntegerId(77)
    made.Parameters.AvailableSequenceNumbers = [ua.Counter(one) for one in available]
    made.Parameters.NotificationMessage = ua.NotificationMessage(ua.Counter(5), NOW, notifications)
    return ua_binary.struct_to_binary(made)


def by_asyncua(data: bytes) -> Published:
    return decoded(ua_binary.struct_from_binary(ua.PublishResponse, Buffer(data)).Parameters)


@given(st.lists(VALUES, min_size=1, max_size=8), st.lists(st.integers(0, 9), max_size=3))
def test_the_usual_response_is_what_asyncua_makes_of_it(values: list[ua.DataValue], available: list[int]) -> None:
    data = response(values, available=available)
    found = usual(data)
    assert found is not None
    assert found == by_asyncua(data)
    assert (found.subscription, found.sequence, found.brings, len(found.changes)) == (77, 5, True, len(values))


def test_a_value_that_is_no_number_stays_one() -> None:
    data = response([value(ua.Variant(math.nan, ua.VariantType.Double))])
    found = usual(data)
    assert found is not None
    assert math.isnan(found.changes[0][1].value)


def test_a_keep_alive_brings_nothing() -> None:
    data = response([])
    assert usual(data) == Published(77, 5, brings=False)
    assert by_asyncua(data) == Published(77, 5, False, [])


ENDED = ua.StatusChangeNotification(Status=ua.StatusCode(ua.UInt32(StatusCodes.BadTimeout)))
COUNT = value(ua.Variant(7, ua.VariantType.UInt16), SourceTimestamp=NOW)


@pytest.mark.parametrize(
    "data",
    [
        response([value(ua.Variant([1, 2], ua.VariantType.UInt16))]),
        response([value(ua.Variant(None, ua.VariantType.Null), StatusCodes.BadSensorFailure)]),
        response([value(ua.Variant(NOW, ua.VariantType.DateTime))]),
        response([value(ua.Variant(7, ua.VariantType.UInt16), SourcePicoseconds=ua.UInt16(10), SourceTimestamp=NOW)]),
        response([COUNT], ENDED),
        response([], ENDED),
        response([COUNT], result=StatusCodes.BadNoSubscription),
        b"",
        response([COUNT])[:-20],
    ],
    ids=["array", "null", "DateTime", "picoseconds", "two", "ended", "fault", "nothing", "cut off"],
)
def test_what_is_unusual_is_left_to_asyncua(data: bytes) -> None:
    assert usual(data) is None


def test_what_asyncua_decodes_says_what_ended_a_subscription() -> None:
    found = by_asyncua(response([COUNT], ENDED))
    assert (found.ended, len(found.changes), found.brings) == (StatusCodes.BadTimeout, 1, True)
    assert by_asyncua(response([], ENDED)).brings


def test_whatever_comes_is_taken_or_left_in_time() -> None:
    """The run's own time limit is the judge."""
    chance = random.Random(4711)
    text = value(ua.Variant("Order 4711", ua.VariantType.String), SourceTimestamp=NOW + timedelta(seconds=1))
    whole = response([COUNT, text, COUNT], available=[5])
    for _ in range(20_000):
        spoiled = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            spoiled[chance.randrange(len(spoiled))] = chance.choice([0, 0x7F, 0x80, 0xFF, chance.randrange(256)])
        usual(bytes(spoiled[: chance.randint(1, len(spoiled))] if chance.random() < 0.2 else spoiled))
