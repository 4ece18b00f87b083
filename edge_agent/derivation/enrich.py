"""When a value arose (derivation.md, Time)."""

from __future__ import annotations

from datetime import datetime, timedelta

from edge_agent.model.reading import Reading
from edge_agent.model.state import SourceState


def event_time(reading: Reading, source: SourceState | None, max_skew: timedelta) -> tuple[datetime, bool]:
    """When the value arose, and whether the device's time had to be refused.

    Source time is used if within `max_skew` of our clock, or between the last receipt and now (queued values); else
    the time of receipt.
    """
    now, claimed = reading.received.wall, reading.source_time
    if claimed is None:
        return now, False
    if abs(now - claimed) <= max_skew:
        return claimed, False
    before = source.before if source is not None else None
    if before is not None and before.wall <= claimed <= now:
        return claimed, False
    return now, True
