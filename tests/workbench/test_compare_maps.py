"""What two maps would have booked from one recording."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from edge_agent.cli.main import app
from tests.workbench.recordings import MAP, read, text_of

LINES = [
    *(read(0, "order_no", "4711"), read(0, "preforms_in", 65_530), read(0, "bottles_out", 0)),
    *(read(2, "preforms_in", 4), read(2, "bottles_out", 40), read(9, "bottles_out", 140)),
]


def _diff(folder: Path, old: str, new: str, *options: str) -> tuple[int, str]:
    other, recording = folder / "other.yaml", folder / "line.jsonl"
    text = MAP.read_text(encoding="utf-8")
    assert old in text
    other.write_text(text.replace(old, new), encoding="utf-8")
    recording.write_text(text_of(LINES), encoding="utf-8")
    done = CliRunner().invoke(app, ["diff", str(MAP), str(other), str(recording), *options])
    return done.exit_code, done.output


def _told(folder: Path, old: str, new: str, *options: str) -> tuple[int, Any]:
    code, said = _diff(folder, old, new, "--json", *options)
    return code, json.loads(said)


def test_maps_that_differ_in_nothing_that_matters_book_the_same(tmp_path: Path) -> None:
    assert _told(tmp_path, "send: every 5 s", "send: every 9 s") == (0, {})
    assert _diff(tmp_path, "send: every 5 s", "send: every 9 s") == (0, "no difference\n")


def test_what_differs_is_told_side_by_side(tmp_path: Path) -> None:
    counter = "filler.preforms_in, wraps_at: 65536, max_rate: 25 pcs/s"

    code, told = _told(tmp_path, counter, counter.replace("25", "1"))

    assert code == 1
    assert told == {
        "preforms_used": {
            "booked": {"4711": {"a": "10", "b": "0"}},
            "review": {"a": [], "b": [["0", "4", "10"]]},
            "gaps": {"a": [], "b": [{"min": "0", "max": "3"}]},
        }
    }
    code, said = _diff(tmp_path, counter, counter.replace("25", "1"))
    assert code == 1
    assert "preforms_used" in said
    assert "bottles_made" not in said


def test_all_shows_what_is_the_same_too(tmp_path: Path) -> None:
    code, told = _told(tmp_path, "send: every 5 s", "send: every 9 s", "--all")

    assert code == 0
    assert told["bottles_made"]["booked"] == {"4711": {"a": "140", "b": "140"}}
    assert told["pallet_out"]["gaps"] == {"a": [], "b": []}


def test_a_movement_of_one_map_alone_differs(tmp_path: Path) -> None:
    code, told = _told(tmp_path, "bottles_made:", "bottles_filled:")

    assert code == 1
    assert told["bottles_made"]["booked"] == {"4711": {"a": "140", "b": None}}
    assert told["bottles_filled"]["booked"] == {"4711": {"a": None, "b": "140"}}


def test_a_renamed_movement_is_the_same(tmp_path: Path) -> None:
    assert _told(tmp_path, "bottles_made:", "bottles_filled:\n    was: bottles_made") == (0, {})


def test_a_map_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    code, said = _diff(tmp_path, "event: produced", "event: baked")

    assert code == 1
    assert "other.yaml:" in said
    assert "EA-1204" in said
