"""Blocks that say their order and a float: in the shipped cases, and in recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge_agent.workbench.cases import load_cases
from edge_agent.workbench.testing import run
from tests.workbench.recordings import CONFIG, Line, at, derived, short

BOOTH = CONFIG / "examples" / "weighing-booth.yaml"
CASES = CONFIG / "examples" / "weighing-booth" / "cases.yaml"


def drum(number: int, weight: Any, order: Any, acknowledged: int | None = None) -> Line:
    """The block as `record` keeps it."""
    values = {"weight": weight, "drum": f"D{number}", "lot": "L7", "order": order, "operator": "anna"}
    return at(
        number,
        block="acid_weighed",
        number=number,
        acknowledged=number - 1 if acknowledged is None else acknowledged,
        values={f"booth.{name}": value for name, value in values.items()},
    )


def found(folder: Path, *lines: Line) -> Any:
    return short(derived(folder, lines, BOOTH)).get("acid_weighed", {})


def test_the_shipped_cases_hold_and_show_a_missing_order() -> None:
    report = run(load_cases([CASES]))

    assert [str(failure) for verdict in report.verdicts for failure in verdict.failures] == []
    assert report.coverage["acid_weighed"]["review: order-unknown"]


def test_a_recorded_block_says_its_order_and_weight(tmp_path: Path) -> None:
    lines = (drum(1, 12.5, "4711"), drum(2, 7.30000019, "4711"), drum(3, 1e-05, "4711"), drum(4, 2.5, "4712"))

    assert found(tmp_path, *lines) == {"booked": {"4711": "19.8", "4712": "2.5"}, "review": [["0"]]}


@pytest.mark.parametrize("order", ["", None, {"v": "4711", "q": "bad"}])
def test_a_recorded_block_without_an_order_is_reviewed(order: Any, tmp_path: Path) -> None:
    assert found(tmp_path, drum(1, 12.5, order)) == {"review": [["0", "12.5"]]}


def test_another_order_under_the_same_number_is_a_conflict(tmp_path: Path) -> None:
    lines = (drum(1, 12.5, "4711"), drum(1, 12.5, "4712", acknowledged=0))

    assert found(tmp_path, *lines) == {"booked": {"4711": "12.5"}, "review": [["0", "12.5"]]}
