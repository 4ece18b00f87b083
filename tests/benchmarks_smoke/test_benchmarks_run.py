"""Every benchmark runs, at tiny size, and says what it found; how fast anything was decides nothing."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import BENCHMARKS
from benchmarks.report import Figure, Goal, Result, machine, ratio

_ROOT = Path(__file__).parents[2]
_QUICK = ("engine", "inserts", "publishes", "receives", "check")
"""Those that start no agent."""
_NAMES = [pytest.param(name, marks=() if name in _QUICK else pytest.mark.slow) for name in BENCHMARKS]


@pytest.mark.parametrize("name", _NAMES)
def test_a_benchmark_runs_and_reports(name: str, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "benchmarks", name, "--quick", "--dir", str(tmp_path), "--json", str(report)]
    paths = os.pathsep.join(str(_ROOT / folder) for folder in (".", "simulators"))

    done = subprocess.run(
        command, cwd=_ROOT, env={**os.environ, "PYTHONPATH": paths}, check=False, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(report.read_text(encoding="utf-8"))
    (found,) = said["benchmarks"]
    assert found["name"] == name
    assert found["title"] in done.stdout
    missing = [note for note in found["notes"] if note.startswith("NOT RUN:")]
    if missing:
        pytest.skip(missing[0])
    assert found["figures"]
    for figure in found["figures"]:
        _is_well_formed(figure)
    names = {figure["name"] for figure in found["figures"]}
    assert {goal["figure"] for goal in found["goals"]} <= names
    assert list(tmp_path.iterdir()) == [report], "what was measured on is cleared away"


def _is_well_formed(figure: dict[str, Any]) -> None:
    assert figure["runs"]
    assert all(math.isfinite(run) and run >= 0 for run in figure["runs"]), figure
    assert figure["low"] <= figure["median"] <= figure["high"]
    assert isinstance(figure["unit"], str)


def test_a_ratio_is_taken_within_each_repetition() -> None:
    ours, ceiling = Figure("ours", "1/s", (50.0, 20.0, 90.0)), Figure("ceiling", "1/s", (100.0, 20.0, 90.0))

    assert ratio("ours / ceiling", ours, ceiling).runs == (0.5, 1.0, 1.0)


@pytest.mark.parametrize(
    ("runs", "bound", "at_least", "said"),
    [
        ((0.5, 0.7, 0.9), 0.6, True, "target share ≥ 0.6: 0.7, met"),
        ((0.5, 0.7, 0.9), 0.8, True, "target share ≥ 0.8: 0.7, missed"),
        ((0.5, 0.7, 0.9), 0.6, False, "target share ≤ 0.6: 0.7, missed"),
    ],
)
def test_a_goal_is_judged_by_the_median_and_said(
    runs: tuple[float, ...], bound: float, at_least: bool, said: str
) -> None:
    figure = Figure("share", "", runs)
    result = Result("x", "an example", (figure,), (Goal(figure, bound, at_least=at_least),), ("a remark",))

    assert [line.strip() for line in result.table().splitlines()[2:]] == [said, "note: a remark"]


def test_the_machine_is_described_without_its_name(tmp_path: Path) -> None:
    about = machine(tmp_path)

    assert about["cores"] >= 1
    assert about["libraries"]["asyncua"]
    assert os.uname().nodename not in json.dumps(about)
