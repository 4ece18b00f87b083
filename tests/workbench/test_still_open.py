"""What stands open at the end of a recording, though no review and no gap says so yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.workbench.deriving import derive
from edge_agent.workbench.maps import load_map, load_recording
from tests.workbench.recordings import CONFIG, MAP, Line, at, read, text_of

COUNTERS = CONFIG / "examples" / "counters.yaml"
SYRUP = CONFIG / "examples" / "syrup-room.yaml"
GLUE_TO_9000 = COUNTERS.read_text("utf-8").replace("wraps_at: 10000", "wraps_at: 9000")


def _open(folder: Path, tag_map: Path | str, lines: list[Line]) -> list[tuple[str, str]]:
    recording = folder / "taken.jsonl"
    recording.write_text(text_of(lines), encoding="utf-8")
    if isinstance(tag_map, str):
        (folder / "map.yaml").write_text(tag_map, encoding="utf-8")
    checked = load_map([folder / "map.yaml" if isinstance(tag_map, str) else tag_map])
    return derive(checked, load_recording(recording, checked).deliveries).open


def _of(tag: str, *values: tuple[float, object]) -> list[Line]:
    return [at(seconds, tag=tag, v=value) for seconds, value in values]


CASES = [
    (
        "a counter at the count it stops at",
        COUNTERS,
        _of("plc.rinse", (0, 9990), (5, 9999), (60, 9999)),
        "rinse_water has stood at 9999, where it stops, since 2026-03-02T11:00:05Z",
    ),
    (
        "a counter beyond wraps_at",
        GLUE_TO_9000,
        _of("meter.glue", (0, 8990), (5, 9020), (60, 9100)),
        "glue_used has shown 9100, beyond `wraps_at`: what ran since 2026-03-02T11:00:00Z",
    ),
    (
        "a value held, out of sight since",
        MAP,
        [
            read(0, "order_no", "4711"),
            read(0, "preforms_in", 500),
            read(1, "preforms_in", 0),
            at(1.5, source="filler", state="lost"),
        ],
        "preforms_used has shown 0, which is held: what ran since 2026-03-02T11:00:00Z",
    ),
    (
        "a level at the end of its sensor",
        SYRUP,
        [*_of("tanks.order_no", (0, "A")), *_of("tanks.syrup_level", (0, 4), (60, 4), (90, 4.5))],
        "syrup_used has been beyond what can be measured since 2026-03-02T11:01:30Z",
    ),
    (
        "a level that is not seen",
        SYRUP,
        [*_of("tanks.order_no", (0, "A")), *_of("tanks.syrup_level", (0, 4), (60, 4), (90, None))],
        "syrup_used has not been seen since 2026-03-02T11:01:00Z",
    ),
    (
        "a flow in a gap",
        SYRUP,
        [
            *_of("tanks.order_no", (0, "A")),
            *_of("skid.flow", (0, 40), (5, 40), (6, None)),
            *_of("tanks.syrup_level", (60, 4)),
        ],
        "flavour_used has not been measured since 2026-03-02T11:00:05Z",
    ),
]


@pytest.mark.parametrize(("tag_map", "lines", "said"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_it_is_said(tmp_path: Path, tag_map: Path | str, lines: list[Line], said: str) -> None:
    ((name, how),) = _open(tmp_path, tag_map, lines)
    assert f"{name} {how}".startswith(said)


def test_where_all_is_over_nothing_is_said(tmp_path: Path) -> None:
    assert _open(tmp_path, COUNTERS, _of("plc.rinse", (0, 9990), (3, 9995))) == []
    lines = _of("skid.flow", *((n, 40) for n in range(30)))
    assert _open(tmp_path, SYRUP, [*_of("tanks.order_no", (0, "A")), *lines]) == []
