"""How totals are named: `<event>/<material>/<order>/<location>`."""

from __future__ import annotations

from edge_agent.model.movement import EventType, Key


def total_key(key: Key) -> str:
    """Moved and consumed quantities count at `from`, produced ones at `to`; the order is empty where none runs."""
    location = key.to if key.event is EventType.PRODUCED else key.from_
    return f"{key.event.removeprefix('material.')}/{key.material}/{key.order or ''}/{location or ''}"
