"""What a source delivers, as a line of a recording (docs/workbench.md, Lines); `lines` reads it again. Pure."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal

from edge_agent.model.confirmation import Block, Released
from edge_agent.model.reading import Reading, SourceChange
from edge_agent.sources.base import Input
from edge_agent.workbench.lines import default_quality
from edge_agent.workbench.values import written


def written_line(item: Input, at: datetime) -> str:
    """`item` as a line of a recording, ingested `at`, without its end."""
    members: dict[str, object] = {"t": written(at)}
    match item:
        case Reading():
            if item.source_time is not None:
                members["st"] = written(item.source_time)
            members |= {"tag": str(item.tag), **_value_of(item)}
            if item.continuous:
                members["c"] = True
        case SourceChange():
            members |= {"source": item.source, "state": item.link.value}
            if item.start_time is not None:
                members["start_time"] = written(item.start_time)
        case Block():
            values = {str(tag): _shown(one) for tag, one in item.values.items()}
            members |= {"block": item.rule, "number": item.number, "acknowledged": item.acknowledged, "values": values}
            members |= {"fell": True} if item.fell else {}
            members |= {"waiting": item.waiting} if item.waiting else {}
            members |= {"event": item.event} if item.event else {}
        case Released():
            members |= {"released": item.rule, "number": item.number}
    return _json(members)


def _json(value: object) -> str:
    """Compact JSON; a Decimal as the number it is."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_json(key)}: {_json(each)}' for key, each in value.items())}}}"
    if isinstance(value, Decimal):
        return str(value) if value.is_finite() else "null"
    return json.dumps(value, ensure_ascii=False)


def _value_of(reading: Reading) -> dict[str, object]:
    """Value, quality and status of a reading, what goes without saying left out."""
    value: dict[str, object] = {"v": reading.value}
    if reading.quality is not default_quality(reading.value):
        value["q"] = reading.quality.value
    if reading.status:
        value["status"] = reading.status
    return value


def _shown(reading: Reading) -> dict[str, object]:
    stamp = {} if reading.source_time is None else {"st": written(reading.source_time)}
    return {**stamp, **_value_of(reading)}
