"""The shipped recording: the simulated line in virtual time, as a subscription with acknowledged pallets shows it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from edge_agent.model.reading import Link, Quality, Reading, SourceChange, TagRef
from edge_agent.sources.base import Input
from edge_agent.workbench.values import instant
from edge_agent.workbench.writing import written_line
from edge_agent_simulators.plc import (
    FILLER,
    INFEED,
    ORDER,
    PAL_ACK,
    PAL_CASES,
    PAL_RESULT,
    PAL_SEQ,
    PAL_SSCC,
)
from edge_agent_simulators.virtual import Change, Event, Lost, Up, VirtualLine
from tests.workbench.recordings import CONFIG

SEED, SECONDS = 7, 45
SHIPPED = CONFIG / "examples" / "bottling-line" / "line.jsonl"
START = datetime(2026, 3, 2, 8, tzinfo=UTC)
_STEP = timedelta(milliseconds=100)
_TAGS = {
    ORDER: "order_no",
    INFEED: "preforms_in",
    FILLER: "bottles_out",
    PAL_SSCC: "pal_sscc",
    PAL_CASES: "pal_cases",
    PAL_SEQ: "pal_seq",
    PAL_ACK: "pal_ack",
    PAL_RESULT: "pal_result",
}


def recorded(seed: int = SEED, seconds: int = SECONDS) -> tuple[VirtualLine, str]:
    """The line after its script, and its recording. Pallets are acknowledged 200 ms after they are raised."""
    line = VirtualLine(seed, timedelta(seconds=seconds), START)
    lines = [*_connected(line, line.start_time)]
    line.start()
    waited = 0
    while not (line.at_rest and line.done):
        before = line.now
        events = line.advance(_STEP)
        lines += [text for event in events for text in _written(line, event)]
        assert line.now > before
        if line.online:
            block = line.read_block()
            waited = waited + 1 if block[PAL_SEQ].value != block[PAL_ACK].value else 0
            if waited == 3:
                line.write_ack(int(block[PAL_SEQ].value), 0)
                lines += [_reading(line.snapshot()[name], line.now) for name in (PAL_RESULT, PAL_ACK)]
    return line, "".join(f"{text}\n" for text in lines)


def _connected(line: VirtualLine, now: datetime) -> Iterator[str]:
    yield _line(SourceChange("filler", Link.UP, instant(now), line.start_time), now)
    shown = line.snapshot()
    yield from (_reading(shown[name], now, continuous=False) for name in _TAGS)


def _written(line: VirtualLine, event: Event) -> Iterator[str]:
    match event:
        case Lost():
            yield _line(SourceChange("filler", Link.LOST, instant(line.now)), line.now)
        case Up():
            yield from _connected(line, line.now)
        case Change():
            yield _reading(event, line.now)


def _reading(change: Change, now: datetime, *, continuous: bool = True) -> str:
    tag = TagRef("filler", _TAGS[change.name])
    source_time, at = change.timestamp, instant(now)
    return _line(Reading(tag, change.value, Quality.GOOD, at, source_time=source_time, continuous=continuous), now)


def _line(item: Input, now: datetime) -> str:
    return written_line(item, now)


def main() -> None:
    """Write the shipped recording: `python -m tests.workbench.example`, at the top of the project."""
    SHIPPED.write_text(recorded()[1], encoding="utf-8")


if __name__ == "__main__":
    main()
