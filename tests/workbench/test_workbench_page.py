"""docs/workbench.md shows what the commands print, and its snippet makes a recording of a historian's export."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edge_agent.workbench.cases import load_cases
from edge_agent.workbench.maps import load_map, load_recording
from edge_agent.workbench.testing import run
from tests.workbench.page import CONSOLE, PAGE, prepare, printed
from tests.workbench.recordings import MAP, derived

_PAGE = PAGE.read_text(encoding="utf-8")
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_BLOCKS = _BLOCK.findall(_PAGE)


def _blocks(kind: str) -> list[str]:
    return [text for name, text in _BLOCKS if name == kind]


@pytest.mark.parametrize(("command", "shown"), CONSOLE.findall(_PAGE))
def test_the_page_shows_what_the_command_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, shown: str
) -> None:
    """`python -m tests.workbench.page` writes it anew."""
    prepare(tmp_path)
    monkeypatch.chdir(tmp_path)

    assert printed(command) == shown


def test_a_historian_s_rows_become_a_recording(tmp_path: Path) -> None:
    (rows,), (snippet,) = _blocks("csv"), _blocks("python")

    done = subprocess.run(
        [sys.executable, "-c", snippet], input=rows, capture_output=True, text=True, check=True, timeout=60
    )

    found = derived(tmp_path, [json.loads(line) for line in done.stdout.splitlines()])
    assert found["bottles_made"]["booked"] == {"4711": "1200"}


def test_the_case_of_the_page_passes(tmp_path: Path) -> None:
    (case,) = _blocks("yaml")
    path = tmp_path / "cases.yaml"
    path.write_text(case.replace("../../bottling-line.yaml", str(MAP)), encoding="utf-8")

    assert run(load_cases([path])).failed == 0


def test_every_line_that_the_page_shows_is_one(tmp_path: Path) -> None:
    tag_map = load_map([MAP])
    shown = [*_blocks("json")[1:], *re.findall(r"^\| `(\{.+?\})` \|", _PAGE, re.MULTILINE)]
    path = tmp_path / "shown.jsonl"
    times = (
        text.replace('"t": …', '"t": "2026-03-02T08:00:01Z"').replace('"…"', '"2026-03-02T07:00:00Z"') for text in shown
    )
    path.write_text("".join(f"{text.strip()}\n" for text in times), encoding="utf-8")

    recording = load_recording(path, tag_map)

    assert recording.lines == 6
    assert recording.ignored == {"lots of 300017": 1}, "that map asks nobody about lots"
