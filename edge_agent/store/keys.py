"""How totals are named: `<event>/<material>/<order>/<location>`."""

from __future__ import annotations

from edge_agent.model.movement import EventType, Key


def total_key(key: Key) -> str:
    """Produced and returned quantities count at `to`, all others at `from`; the order is empty where none runs."""
    location = key.to if key.event in {EventType.PRODUCED, EventType.RETURNED} else key.from_
    return f"{key.event.removeprefix('material.')}/{key.material}/{key.order or ''}/{location or ''}"
