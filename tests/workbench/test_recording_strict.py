"""A faulty recording is refused whole, each fault where it stands; nothing that a file holds ends in a traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.config.findings import MOST_FINDINGS
from edge_agent.config.tagmap import TagMap
from edge_agent.errors import Faulty
from edge_agent.workbench.maps import load_map, load_recording
from edge_agent.workbench.recording import read as read_file
from tests.workbench.recordings import MAP, at, read, text_of

GOOD = [
    at(0, source="filler", state="up", start_time="2026-03-01T05:00:00.5+01:00"),
    read(0, "order_no", "4711"),
    read(0, "preforms_in", 65_530, st="2026-03-02T11:00:00.1234567Z", c=True),
    read(1, "preforms_in", 12.0, st=None, q="uncertain", status=0x40920000),
    at(
        2, block="pallet_out", number=7, acknowledged=6, values={"filler.pal_cases": 40, "filler.pal_sscc": {"v": "P7"}}
    ),
    at(3, released="pallet_out", number=7),
    at(4, source="filler", state="lost"),
]


@pytest.fixture(scope="module")
def line_map() -> TagMap:
    return load_map([MAP])


def _said(path: Path, tag_map: TagMap) -> list[str]:
    """Findings as `line:col: code`."""
    _, findings = read_file(path, tag_map)
    return [f"{found.line}:{found.col}: {found.code}" for found in findings]


def test_a_good_recording_has_no_findings(tmp_path: Path, line_map: TagMap) -> None:
    path = tmp_path / "good.jsonl"
    path.write_text(text_of(GOOD), encoding="utf-8")

    recording = load_recording(path, line_map)

    assert recording.lines == len(GOOD)
    assert [len(delivery.inputs) for delivery in recording.deliveries] == [3, 1, 1, 1, 1]
    assert recording.ignored == {}


T = '{"t": "2026-03-02T11:00:00Z", '


MARK = "§"
"""Stands before the character that the finding has to point at."""


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("§", "EA-1801"),
        ("§[1]", "EA-1801"),
        ("§17", "EA-1801"),
        (T + '"tag": "filler.order_no", "v": "1"§', "EA-1801"),
        ("§" + T + '"tag": "filler.preforms_in", "v": NaN}', "EA-1801"),
        (T + '"tag": "filler.preforms_in", §"v": 1, "v": 2}', "EA-1017"),
        (T + '"tag": "filler.preforms_in", "v": 1, §"w": 2}', "EA-1201"),
        ("§" + T + '"tag": "filler.preforms_in"}', "EA-1202"),
        ('  §{"tag": "filler.preforms_in", "v": 1}', "EA-1202"),
        ("§" + T + '"v": 1}', "EA-1801"),
        ('{"t": §"2026-03-02T11:00:00", "tag": "filler.preforms_in", "v": 1}', "EA-1802"),
        ('{"t": §"2026-03-02 11:00", "tag": "filler.preforms_in", "v": 1}', "EA-1802"),
        ('{"t": §"2026-02-30T11:00:00Z", "tag": "filler.preforms_in", "v": 1}', "EA-1802"),
        ('{"t":§"0001-01-01T00:00:00+14:00", "tag": "filler.preforms_in", "v": 1}', "EA-1802"),
        ('{"t" : §"9999-12-31T23:59:59Z", "tag": "filler.preforms_in", "v": 1}', "EA-1802"),
        ('{"t": §1772449200, "tag": "filler.preforms_in", "v": 1}', "EA-1110"),
        (T + '"tag": §"preforms_in", "v": 1}', "EA-1205"),
        (T + '"tag": "filler.preforms_in", "v": §65536}', "EA-1804"),
        (T + '"tag": "filler.preforms_in", "v": §-1}', "EA-1804"),
        (T + '"tag": "filler.preforms_in", "v": §0.5}', "EA-1804"),
        (T + '"tag": "filler.preforms_in", "v": §1e999999999}', "EA-1804"),
        (T + '"tag": "filler.preforms_in", "v": §1e-999999999}', "EA-1804"),
        (T + '"tag": "filler.preforms_in", "v": §true}', "EA-1804"),
        (T + '"tag": "filler.preforms_in", "v": §"12"}', "EA-1804"),
        (T + '"tag": "filler.preforms_in", "v": §[1]}', "EA-1804"),
        (T + '"tag": "filler.order_no", "v": §4711}', "EA-1804"),
        (T + '"tag": "filler.order_no", "v": §"\\ud800"}', "EA-1804"),
        (T + '"tag": "filler.preforms_in", "v": 1, "q": §"Good"}', "EA-1204"),
        (T + '"tag": "filler.preforms_in", "v": null, "q": §"good"}', "EA-1209"),
        (T + '"tag": "filler.preforms_in", "v": 1, "c": §1}', "EA-1110"),
        (T + '"tag": "filler.preforms_in", "v": 1, "status": §-1}', "EA-1110"),
        (T + '"tag": "filler.preforms_in", "v": 1, §"source": "filler"}', "EA-1209"),
        (T + '"source": "filler", "state": §"down"}', "EA-1204"),
        (T + '"source": "filler", "state": "lost", §"start_time": "2026-03-02T11:00:00Z"}', "EA-1209"),
        (T + '"block": "pallet_out", "number": §"7", "values": {}}', "EA-1110"),
        (T + '"block": "pallet_out", "number": 7, "values": §40}', "EA-1203"),
        (T + '"block": "pallet_out", "number": 7, "values": {"filler.pal_cases": §40000}}', "EA-1804"),
        (T + '"block": "pallet_out", "number": 7, "values": {"filler.pal_cases": {"v": 1, §"x": 2}}}', "EA-1201"),
        (T + '"block": "pallet_out", "number": 7, "values": {"filler.pal_cases": §{"q": "bad"}}}', "EA-1202"),
        (T + '"block": "pallet_out", "number": 7, "values": {§"pal_cases": 1}}', "EA-1205"),
    ],
)
def test_a_fault_is_shown_where_it_stands(tmp_path: Path, line_map: TagMap, line: str, code: str) -> None:
    path = tmp_path / "faulty.jsonl"
    path.write_text(f"{line.replace(MARK, '')}\n", encoding="utf-8")

    assert _said(path, line_map) == [f"1:{line.index(MARK) + 1}: {code}"]


@pytest.mark.parametrize(
    ("text", "message", "advice"),
    [
        ("\n", "the line is empty", "take it out"),
        ('{"t": 5, "tag": "a.b", "v": 1}\n', "a text is expected here", 'write it quoted, like "2026-03-02T08:00:00Z"'),
        (
            T + '"tag": "filler.preforms_in", "v": 1, "q": null}\n',
            "a text is expected here",
            'write it quoted, like "good"',
        ),
        (T + '"tag": "filler.preforms_in", "v": true}\n', "`true` is nothing that", "write a number, unquoted"),
        (T + '"tag": "filler.preforms_in", "v": 1e99999999999999999999}\n', "a number of it is too large", "one JSON"),
        (T + f'"tag": "filler.preforms_in", "v": {"1" * 5000}}}\n', "a number of it is too large", "one JSON object"),
        (T + '"tag": "filler.preforms_in", "v": ' + "[" * 20_000 + "\n", "it is nested too deeply", "one JSON object"),
        (T + '"tag": "filler.pref', "this is no JSON", "the file ends within a line: take that line out"),
        ('{"t": "2026-03-02T11:00:00+01:60", "tag": "a.b", "v": 1}\n', "is no RFC 3339 date", "with an offset"),
    ],
)
def test_a_fault_says_what_to_do(tmp_path: Path, line_map: TagMap, text: str, message: str, advice: str) -> None:
    path = tmp_path / "faulty.jsonl"
    path.write_text(text, encoding="utf-8")

    _, findings = read_file(path, line_map)

    assert [message in found.message for found in findings] == [True]
    assert advice in (findings[0].suggestion or "")


def test_all_faulty_lines_come_at_once_and_nothing_is_derived(tmp_path: Path, line_map: TagMap) -> None:
    path = tmp_path / "faulty.jsonl"
    lines = [read(5, "preforms_in", 1), read(4, "preforms_in", 2), read(6, "preforms_in", 70_000)]
    path.write_text(text_of(lines), encoding="utf-8")

    with pytest.raises(Faulty) as raised:
        load_recording(path, line_map)

    assert f"{path}:2:7: error EA-1803 `t` goes back from 2026-03-02T11:00:05Z to 2026-03-02T11:00:04Z" in str(
        raised.value
    )
    assert "help: sort the lines by `t`" in str(raised.value)
    assert f"{path}:3:70: error EA-1804 `70000` is nothing that filler.preforms_in (uint16) can show" in str(
        raised.value
    )


def test_times_of_several_zones_are_one_order(tmp_path: Path, line_map: TagMap) -> None:
    path = tmp_path / "zones.jsonl"
    path.write_text(
        '{"t": "2026-03-02T12:00:00.1+01:00", "tag": "filler.preforms_in", "v": 1}\n'
        '{"t": "2026-03-02t11:00:00.100000001z", "tag": "filler.bottles_out", "v": 1}\n',
        encoding="utf-8",
    )

    assert [len(delivery.inputs) for delivery in load_recording(path, line_map).deliveries] == [2]


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (b"\xef\xbb\xbf{}", "1:1: EA-1006"),
        (b'{"t": "\xe4"}\n', "1:8: EA-1005"),
        (b"[" * 60_000, "1:1: EA-1801"),
        (b"9" * 60_000, "1:1: EA-1801"),
        (b" " * 70_000, "1:1: EA-1004"),
        (b'{"a":' * 20_000, "1:1: EA-1004"),
    ],
)
def test_what_is_no_recording_at_all_is_told_at_once(tmp_path: Path, line_map: TagMap, data: bytes, where: str) -> None:
    path = tmp_path / "odd.jsonl"
    path.write_bytes(data)

    assert _said(path, line_map) == [where]


def test_a_missing_file_is_a_finding(tmp_path: Path, line_map: TagMap) -> None:
    assert _said(tmp_path / "none.jsonl", line_map) == ["1:1: EA-1021"]
    assert _said(tmp_path, line_map) == ["1:1: EA-1021"]


def test_a_thousand_faults_are_enough(tmp_path: Path, line_map: TagMap) -> None:
    path = tmp_path / "faulty.jsonl"
    path.write_text("{}\n" * 5_000, encoding="utf-8")

    said = _said(path, line_map)

    assert len(said) == MOST_FINDINGS + 1
    assert said[-1] == "1000:1: EA-1099"


def test_what_the_map_does_not_know_is_ignored_and_counted(tmp_path: Path, line_map: TagMap) -> None:
    path = tmp_path / "more.jsonl"
    lines = [
        *(at(0, tag="tanks.level", v=[1]), at(0, tag="tanks.level", v="?"), at(1, source="tanks", state="up")),
        *(at(1, block="gone", number=1, values={}), at(1, released="preforms_used", number=1)),
        at(1, block="pallet_out", number=1, values={"filler.pal_weight": {"kg": 1}, "filler.pal_cases": 1}),
    ]
    path.write_text(text_of([*lines, read(2, "preforms_in", 1)]), encoding="utf-8")

    recording = load_recording(path, line_map)

    assert recording.ignored == {"filler.pal_weight": 1, "gone": 1, "tanks": 1, "tanks.level": 2}
    assert recording.no_handshakes == {"preforms_used": 1}
    assert len(recording.deliveries) == 2


_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["v", "q", "t", "st"]), inner, max_size=2)
    ),
    max_leaves=4,
)


@given(data=st.data())
def test_mutations_are_findings_and_never_a_traceback(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory, line_map: TagMap
) -> None:
    lines = [dict(line) for line in GOOD]
    line = data.draw(st.sampled_from(lines))
    key = data.draw(st.sampled_from([*line, "extra"]))
    if data.draw(st.booleans()):
        line.pop(key, None)
    else:
        line[key] = data.draw(_JSON)
    raw = bytearray(text_of(lines).encode())
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    path = tmp_path_factory.mktemp("fuzz") / "mutated.jsonl"
    path.write_bytes(bytes(raw))

    _, findings = read_file(path, line_map)

    for found in findings:
        assert found.line >= 1
        assert found.col >= 1
        assert found.message
        assert json.dumps(found.as_json())
