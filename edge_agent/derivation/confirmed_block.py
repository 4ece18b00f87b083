"""What a confirmed block says: its content, what of it can be read, how people find it in the PLC. Pure."""

from __future__ import annotations

import hashlib
from decimal import Decimal

from edge_agent.config.signals import Handshake, Kind
from edge_agent.model.confirmation import Block
from edge_agent.model.reading import Quality, Reading

_COUNTED = {Kind.BITS: "request", Kind.RING: "entry", Kind.EVENT: "event"}


def fingerprint(handshake: Handshake, block: Block) -> str:
    """SHA-256 (hex) over what the block says: equal contents of one number are the same transaction."""
    parts = [f"{tag}={_shown(block.values.get(tag))}" for tag in handshake.contents]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def legible(handshake: Handshake, block: Block) -> bool:
    """Whether every tag of the block could be read; what could not proves no other content."""
    readings = [block.values.get(tag) for tag in handshake.contents]
    return all(reading is not None and reading.quality is Quality.GOOD for reading in readings)


def own_number(handshake: Handshake, block: Block) -> int | None:
    """The PLC's own number of a block; None where it has none, or none that can be read."""
    reading = None if handshake.number is None else block.values.get(handshake.number)
    return reading.value if reading is not None and isinstance(reading.value, int) else None


def called(handshake: Handshake, block: Block, count: int) -> str:
    """The movement as people find it in the PLC: by its own number, else by ours of requests, entries, events."""
    counted = handshake.kind is Kind.TRANSACTION_COUNTER
    number = block.number if counted else own_number(handshake, block)
    return f"{_COUNTED[handshake.kind]} {count}" if number is None else f"number {number}"


def read(handshake: Handshake, block: Block) -> tuple[int | Decimal | None, str | None, str | None]:
    """(quantity, container, what is wrong): a quantity only where it can be read as a positive number."""
    reading = block.values.get(handshake.quantity)
    container, fault = _container(handshake, block)
    value = reading.value if reading is not None and reading.quality is Quality.GOOD else None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None, container, f"{handshake.quantity} is not a good number{_said(reading)}"
    counts = handshake.counts(value)
    if counts <= 0:
        return None, container, f"{handshake.quantity} is {value}, not a positive quantity"
    return counts, container, fault


def _container(handshake: Handshake, block: Block) -> tuple[str | None, str | None]:
    if handshake.container is None:
        return None, None
    reading = block.values.get(handshake.container)
    if reading is None or reading.quality is not Quality.GOOD or not isinstance(reading.value, str):
        return None, f"{handshake.container} is not good text{_said(reading)}"
    return reading.value.strip() or None, None


def _said(reading: Reading | None) -> str:
    """What stands there instead, for people. What the tag's `range` refuses is marked bad as well."""
    if reading is None:
        return ": not read"
    number = isinstance(reading.value, int | Decimal) and not isinstance(reading.value, bool)
    if number and reading.quality is Quality.BAD:
        return f": {reading.value}, of bad quality or beyond its range"
    shown = "no value" if reading.value is None else reading.value if number else repr(reading.value)
    return f": {shown}, {reading.quality}"


def _shown(reading: Reading | None) -> str:
    return "?" if reading is None or reading.quality is not Quality.GOOD else repr(reading.value)
