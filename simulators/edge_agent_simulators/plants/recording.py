"""What an agent, or a historian, would have kept of a plant's signals: JSON Lines, one reading a line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

BEGIN = datetime(2026, 3, 2, 11, 0, tzinfo=UTC)
"""A Monday, noon in Berlin."""
Value = int | Decimal | bool | str | None


@dataclass(frozen=True)
class Confirmed:
    """A block as the agent read it, and whether its answer was written; `more` are the line's other members.

    `number` is the trigger's, `acknowledged` the answer that stood; `values` are by tag.
    """

    movement: str
    number: int
    acknowledged: int
    values: Mapping[str, Value] = field(default_factory=dict)
    more: Mapping[str, Value] = field(default_factory=dict)
    answered: bool = False


class Recording:
    """Lines in the order of their time; `now` is seconds since `BEGIN`."""

    def __init__(self, source: str) -> None:
        self.now = Decimal(0)
        self._source = source
        self._lines: list[str] = []
        self._written: dict[str, tuple[Value, str]] = {}

    @property
    def text(self) -> str:
        """The whole file."""
        return "".join(f"{line}\n" for line in self._lines)

    def read(self, tag: str, value: Value, quality: str = "good") -> None:
        """One reading of a tag, now; the device has stamped it when the value changed, or when it started."""
        self.write(tag, value)
        shown = "null" if value is None else f"{value:f}" if isinstance(value, Decimal) else json.dumps(value)
        head = f'{{"t": "{self._stamp()}", "st": "{self._written[tag][1]}", "tag": "{self._source}.{tag}"'
        self._lines.append(f'{head}, "v": {shown}, "q": "{quality}"}}')

    def write(self, tag: str, value: Value) -> None:
        """The device has this value now, whether anybody looks or not."""
        if tag not in self._written or self._written[tag][0] != value:
            self._written[tag] = value, self._stamp()

    def confirm(self, block: Confirmed) -> None:
        """A block was read, now, and answered unless something came in between."""
        values = {f"{self._source}.{tag}": value for tag, value in block.values.items()}
        head = {"t": self._stamp(), "block": block.movement, "number": block.number}
        self._lines.append(json.dumps({**head, "acknowledged": block.acknowledged, "values": values, **block.more}))
        if block.answered:
            self._lines.append(json.dumps({"t": self._stamp(), "released": block.movement, "number": block.number}))

    def lost(self) -> None:
        """The session ends."""
        self._lines.append(json.dumps({"t": self._stamp(), "source": self._source, "state": "lost"}))

    def up(self, started: Decimal) -> None:
        """A session begins, with a device that was started `started` seconds after `BEGIN`."""
        self._written = {tag: (value, max(at, _stamp(started))) for tag, (value, at) in self._written.items()}
        line = {"t": self._stamp(), "source": self._source, "state": "up", "start_time": _stamp(started)}
        self._lines.append(json.dumps(line))

    def _stamp(self) -> str:
        return _stamp(self.now)


def _stamp(seconds: Decimal) -> str:
    moment = BEGIN + timedelta(microseconds=int(seconds * 1_000_000))
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
