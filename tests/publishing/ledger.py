"""Checks of what went over the wire against what the outbox holds: the same ones for the relay and for planted bugs."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from tests.publishing.fakes import MemoryOutbox


def identity(payload: bytes) -> tuple[str, int]:
    """(stream, sequence) of an event's bytes."""
    event: dict[str, Any] = json.loads(payload)
    return event["source"].rpartition(":")[2], int(event["sequence"])


def sequences(payloads: Iterable[bytes]) -> dict[str, list[int]]:
    """Sequences per stream as they came."""
    found: dict[str, list[int]] = defaultdict(list)
    for payload in payloads:
        stream, sequence = identity(payload)
        found[stream].append(sequence)
    return dict(found)


def check_bytes(outbox: MemoryOutbox, payloads: Iterable[bytes]) -> None:
    """Whatever went out, duplicates included, is what is stored, byte for byte."""
    for payload in payloads:
        stream, sequence = identity(payload)
        assert payload == outbox.events[stream][sequence - 1].payload


def check_order(payloads: Iterable[bytes]) -> None:
    """Per stream contiguous from 1 once duplicates are taken out."""
    for stream, seen in sequences(payloads).items():
        assert list(dict.fromkeys(seen)) == list(range(1, max(seen) + 1)), stream


def check_marks(outbox: MemoryOutbox, acknowledged: Iterable[bytes]) -> None:
    """Nothing is marked that the broker has not acknowledged."""
    known = sequences(acknowledged)
    for stream in outbox.events:
        delivered = outbox.delivered(stream)
        missing = set(range(1, delivered + 1)) - set(known.get(stream, ()))
        assert not missing, f"{stream} is marked up to {delivered}, but {sorted(missing)} were never acknowledged"


def all_marked(outbox: MemoryOutbox) -> bool:
    return all(outbox.delivered(stream) == outbox.head(stream) for stream in outbox.events)
