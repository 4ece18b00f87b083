"""What the recorder writes is read again as it was; it only looks, and never leaves half a delivery."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal
from io import FileIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.clock import ManualClock
from edge_agent.config.devices import TagType
from edge_agent.config.tagmap import TagMap
from edge_agent.model.confirmation import Acknowledge, Block, Released, Result
from edge_agent.model.reading import Link, Quality, Reading, Scalar, SourceChange, TagRef
from edge_agent.sources.base import Input
from edge_agent.sources.memory import Memory
from edge_agent.workbench.json_text import parse
from edge_agent.workbench.lines import decode
from edge_agent.workbench.maps import load_map, load_recording
from edge_agent.workbench.recorder import Recorder, record
from edge_agent.workbench.values import instant
from edge_agent.workbench.writing import written_line
from tests.workbench.recordings import CONFIG, MAP, NOON

PREFORMS, CASES = TagRef("filler", "preforms_in"), TagRef("filler", "pal_cases")
_MOMENTS = st.datetimes(min_value=NOON.replace(tzinfo=None), max_value=NOON.replace(year=2099, tzinfo=None)).map(
    lambda naive: naive.replace(tzinfo=NOON.tzinfo)
)
_VALUES: dict[TagType, st.SearchStrategy[Scalar]] = {
    TagType.STRING: st.text(),
    TagType.BOOL: st.booleans(),
    TagType.INT16: st.integers(-(1 << 15), (1 << 15) - 1),
    TagType.UINT16: st.integers(0, (1 << 16) - 1),
    TagType.UINT32: st.integers(0, (1 << 32) - 1),
    TagType.FLOAT32: st.floats(width=32, allow_nan=False, allow_infinity=False).map(lambda found: Decimal(repr(found))),
}


@pytest.fixture(scope="module")
def line_map() -> TagMap:
    return load_map([MAP, CONFIG / "dosing-skid.yaml"])


@st.composite
def readings(draw: st.DrawFn, tag_map: TagMap) -> Reading:
    tag = draw(st.sampled_from([*tag_map.tags.values()]))
    value = draw(st.none() | _VALUES[tag.type])
    quality = draw(st.sampled_from([one for one in Quality if value is not None or one is not Quality.GOOD]))
    return Reading(
        tag.ref,
        value,
        quality,
        instant(draw(_MOMENTS)),
        draw(st.integers(0, (1 << 32) - 1)),
        draw(st.none() | _MOMENTS),
        continuous=draw(st.booleans()),
    )


@given(data=st.data())
def test_a_reading_is_read_again_as_it_was(data: st.DataObject, line_map: TagMap) -> None:
    reading = data.draw(readings(line_map))

    text = written_line(reading, reading.received.wall)

    assert "\n" not in text
    assert decode(parse(text), line_map) == (reading,)


def test_so_is_everything_else(line_map: TagMap) -> None:
    at = instant(NOON)
    items: list[Input] = [
        SourceChange("filler", Link.UP, at, NOON - timedelta(days=1)),
        SourceChange("filler", Link.UP, at),
        SourceChange("filler", Link.LOST, at),
        Block("pallet_out", 7, None, {CASES: Reading(CASES, 40, Quality.GOOD, at, 3, NOON)}, at),
        Block("pallet_out", 7, 6, {CASES: Reading(CASES, None, Quality.BAD, at)}, at),
        Released("pallet_out", 7, at),
    ]

    assert [decode(parse(written_line(item, NOON)), line_map) for item in items] == [(item,) for item in items]


async def test_it_only_looks(tmp_path: Path, line_map: TagMap) -> None:
    clock, path = ManualClock(NOON), tmp_path / "line.jsonl"
    source, stop, told = Memory("filler", clock), asyncio.Event(), asyncio.Event()
    source.push([SourceChange("filler", Link.UP, clock.now()), Reading(PREFORMS, 1, Quality.GOOD, clock.now())])
    later = clock.advance(timedelta(seconds=5))
    source.push([Block("pallet_out", 7, 6, {}, later)])
    with FileIO(path, "x") as file:
        recorder = Recorder(file, clock.now())
        recording = asyncio.create_task(record({"filler": source}, recorder, stop, None, told.set))
        async with asyncio.timeout(30):
            while recorder.written["filler"] < 3:
                await asyncio.sleep(0.01)
        stop.set()
        await recording

    assert source.acknowledgements == []
    assert load_recording(path, line_map).lines == 3


async def test_a_clock_that_is_set_back_turns_nothing_round(tmp_path: Path, line_map: TagMap) -> None:
    path = tmp_path / "line.jsonl"
    began = ManualClock(NOON).now()
    back = instant(NOON - timedelta(hours=1))
    with FileIO(path, "x") as file:
        recorder = Recorder(file, began)
        for seconds in (1, 3, 2):  # the third delivery waited behind the second
            received = type(began)(back.wall, began.monotonic_ns + seconds * 10**9, began.boot_id)
            recorder.take("filler", [Reading(PREFORMS, seconds, Quality.GOOD, received)])

    walls = [delivery.at.wall for delivery in load_recording(path, line_map).deliveries]
    assert walls == [NOON + timedelta(seconds=1), NOON + timedelta(seconds=3)]


class SmallDisk(FileIO):
    """A file that has room for so many bytes, and takes a few at a time."""

    room = 300

    def write(self, data: object, /) -> int:
        wanted = bytes(data)[:50]  # type: ignore[call-overload]  # whatever FileIO takes
        if self.tell() + len(wanted) > self.room:
            raise OSError(28, "No space left on device")
        return super().write(wanted)


async def test_a_full_disk_leaves_whole_deliveries(tmp_path: Path, line_map: TagMap) -> None:
    clock, path = ManualClock(NOON), tmp_path / "line.jsonl"
    source = Memory("filler", clock)
    for number in range(10):
        source.push([Reading(PREFORMS, number, Quality.GOOD, clock.advance(timedelta(seconds=1)))])
    with SmallDisk(path, "x") as file, pytest.raises(OSError, match="No space"):
        await record({"filler": source}, Recorder(file, clock.now()), asyncio.Event(), 30, lambda: None)

    assert load_recording(path, line_map).lines == 4
    with pytest.raises(Exception, match="closed"):
        await source.acknowledge(Acknowledge("pallet_out", 1, Result.DONE))
