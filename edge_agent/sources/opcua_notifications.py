"""What a publish response brings (OPC 10000-4, 5.14.5; its bytes: OPC 10000-6, 5.2.2).

The usual response, plain values with their status and times, is taken apart here, in a third of the time that asyncua
takes and without an object per field; every length in it is checked. Whatever is unusual, asyncua decodes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple

from asyncua import ua

from edge_agent.sources.opcua_values import Sample, sample

_EPOCH: Final = datetime(1601, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
_MOST_TICKS: Final = 10 * ((_LAST - _EPOCH) // timedelta(microseconds=1))
"""Hundreds of nanoseconds from 1601 on: the first and the last moment mean "none" (OPC 10000-6, 5.2.2.5)."""
_RESPONSE: Final = b"\x01\x00\x3d\x03"
"""The NodeId i=829 in four bytes: PublishResponse_Encoding_DefaultBinary."""
_DATA_CHANGE: Final = b"\x01\x00\x2b\x03\x01"
"""i=811, DataChangeNotification, and that its body is binary."""
_PLAIN_HEADERS: Final = (b"\x00\xff\xff\xff\xff\x00\x00\x00", b"\x00\x00\x00\x00\x00\x00\x00\x00")
"""No diagnostics, no texts (null or empty), no additional header."""
_LENGTH: Final = struct.Struct("<i")
_RESULT: Final = struct.Struct("<qII")
_SUBSCRIPTION: Final = struct.Struct("<Ii")
_MESSAGE: Final = struct.Struct("<?Iqi")
_ITEM: Final = struct.Struct("<IBB")
_HAS_VALUE, _HAS_STATUS, _HAS_SOURCE_TIME, _HAS_SERVER_TIME = 1, 2, 4, 8
_GOOD: Final = _HAS_VALUE | _HAS_SOURCE_TIME | _HAS_SERVER_TIME
"""A status that is good is left out."""
_STRING: Final = 12
_NONE: Final = struct.Struct("")
_FIXED: Final = {1: "?", 2: "b", 3: "B", 4: "h", 5: "H", 6: "i", 7: "I", 8: "q", 9: "Q", 10: "f", 11: "d"}
"""Built-in types of a fixed size (OPC 10000-6, 5.1.2), as `struct` writes them."""


def _times_and_status(mask: int) -> str:
    parts = ((_HAS_STATUS, "I"), (_HAS_SOURCE_TIME, "q"), (_HAS_SERVER_TIME, "q"))
    return "".join(letter for bit, letter in parts if mask & bit)


_AFTER: Final = {mask: struct.Struct("<" + _times_and_status(mask)) for mask in range(16)}
_LAYOUTS: Final = {
    (mask << 8) | kind: struct.Struct(f"<{letter}{_times_and_status(mask)}")
    for mask in range(16)
    if mask & _HAS_VALUE
    for kind, letter in _FIXED.items()
}


class Published(NamedTuple):
    """One response: `changes` and the fields of `events` by client handle.

    `ended` is the status that the server ended the subscription with.

    A keep-alive `brings` nothing.
    """

    subscription: int
    sequence: int
    brings: bool
    changes: Sequence[tuple[int, Sample]] = ()
    ended: int | None = None
    events: Sequence[tuple[int, Sequence[Sample]]] = ()


def usual(data: bytes) -> Published | None:
    """The response in `data`; None where it is anything but usual, which does not mean that it is wrong."""
    try:
        return _response(data)
    except (struct.error, IndexError, _Unusual):
        return None


def decoded(result: ua.PublishResult) -> Published:
    """The response that asyncua has decoded."""
    message = result.NotificationMessage
    notifications = message.NotificationData or []
    changes: list[tuple[int, Sample]] = []
    events: list[tuple[int, Sequence[Sample]]] = []
    ended = None
    for notification in notifications:
        if isinstance(notification, ua.DataChangeNotification):
            items = notification.MonitoredItems or []
            changes += [(int(item.ClientHandle), sample(item.Value)) for item in items]
        elif isinstance(notification, ua.EventNotificationList):
            for event in notification.Events or []:
                fields = [sample(ua.DataValue(field)) for field in event.EventFields or []]
                events.append((int(event.ClientHandle), fields))
        elif isinstance(notification, ua.StatusChangeNotification):
            ended = int(notification.Status.value)
    return Published(
        int(result.SubscriptionId), int(message.SequenceNumber), bool(notifications), changes, ended, events or ()
    )


class _Unusual(Exception):
    """asyncua shall decode it."""


def _response(data: bytes) -> Published:
    _, _, result = _RESULT.unpack_from(data, 4)
    if data[:4] != _RESPONSE or result or data[20:28] not in _PLAIN_HEADERS:
        raise _Unusual
    subscription, available = _SUBSCRIPTION.unpack_from(data, 28)
    at = 36 + 4 * max(available, 0)
    _, sequence, _, notifications = _MESSAGE.unpack_from(data, at)
    at += _MESSAGE.size
    if notifications < 1:
        return Published(subscription, sequence, brings=False)
    if notifications > 1 or data[at : at + 5] != _DATA_CHANGE:
        raise _Unusual
    at += 5
    end = at + 4 + _LENGTH.unpack_from(data, at)[0]
    changes, at = _changes(data, at + 4)
    if not at <= end <= len(data):
        raise _Unusual
    return Published(subscription, sequence, brings=True, changes=changes)


def _changes(data: bytes, at: int) -> tuple[list[tuple[int, Sample]], int]:
    """Items and where they end. The loop ends with the data at the latest: each item takes bytes of it."""
    count = _LENGTH.unpack_from(data, at)[0]
    at += 4
    changes: list[tuple[int, Sample]] = []
    for _ in range(count):
        handle, mask, kind = _ITEM.unpack_from(data, at)
        at += 6
        layout = _LAYOUTS.get((mask << 8) | kind)
        if mask == _GOOD and layout is not None:  # of the usual ones the usual one
            value, source, server = layout.unpack_from(data, at)
            change = Sample(kind, value, 0, _time(source), _time(server))
            at += layout.size
        else:
            change, at = _change(data, at, mask, kind)
        changes.append((handle, change))
    return changes, at


def _change(data: bytes, at: int, mask: int, kind: int) -> tuple[Sample, int]:
    if kind == _STRING and mask in _AFTER and mask & _HAS_VALUE:
        value, at = _text(data, at)
        layout = _AFTER[mask]
        rest = iter(layout.unpack_from(data, at))
    else:
        layout = _LAYOUTS.get((mask << 8) | kind, _NONE)
        if layout is _NONE:
            raise _Unusual
        rest = iter(layout.unpack_from(data, at))
        value = next(rest)
    status = next(rest) if mask & _HAS_STATUS else 0
    source = _time(next(rest)) if mask & _HAS_SOURCE_TIME else None
    server = _time(next(rest)) if mask & _HAS_SERVER_TIME else None
    return Sample(kind, value, status, source, server), at + layout.size


def _text(data: bytes, at: int) -> tuple[Any, int]:
    """A string and where it ends; what is no UTF-8 becomes lone surrogates, as with asyncua."""
    length = _LENGTH.unpack_from(data, at)[0]
    at += 4
    if length == -1:
        return None, at
    if not 0 <= length <= len(data) - at:
        raise _Unusual
    return data[at : at + length].decode("utf-8", "surrogateescape"), at + length


@lru_cache(maxsize=64)
def _time(ticks: int) -> datetime | None:
    """Many values of a response share their time: the scan's, and the server's."""
    return _EPOCH + timedelta(microseconds=ticks // 10) if 10 <= ticks < _MOST_TICKS else None
