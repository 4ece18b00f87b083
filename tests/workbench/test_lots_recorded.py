"""What LIMS says of lots, in recordings and in cases; what the agent would refuse is a fault there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from edge_agent.cli.main import app
from edge_agent.errors import Faulty
from edge_agent.workbench.cases import load_cases
from edge_agent.workbench.maps import load_map, load_recording
from edge_agent.workbench.testing import run
from tests.workbench.recordings import CONFIG, MAP, text_of

BOOTH = CONFIG / "examples" / "weighing-booth.yaml"
CASES = CONFIG / "examples" / "weighing-booth"
Line = dict[str, Any]


def at(second: int, **what: Any) -> Line:
    return {"t": f"2026-03-02T11:00:{second:02}Z", **what}


def lot(second: int, status: str = "RELEASED", name: str = "L7", **about: Any) -> Line:
    return at(second, lot=name, material="100310", status=status, **about)


def drum(second: int, number: int, weight: float) -> Line:
    values = {"booth.weight": weight, "booth.drum": f"D{number}", "booth.lot": "L7", "booth.order": "4711"}
    return at(second, block="acid_weighed", number=number, acknowledged=number - 1, values=values)


def derived(folder: Path, *lines: Line, tag_map: Path = BOOTH) -> tuple[int, dict[str, Any], str]:
    path = folder / "taken.jsonl"
    path.write_text(text_of(list(lines)), encoding="utf-8")
    done = CliRunner().invoke(app, ["derive", str(tag_map), str(path), "--json"])
    return done.exit_code, json.loads(done.stdout) if done.stdout else {}, done.stderr


def test_a_recording_says_the_status_of_lots(tmp_path: Path) -> None:
    until = "2026-03-02T12:00:00+01:00"
    code, found, errors = derived(
        tmp_path, lot(0, until=until), drum(1, 1, 2.5), lot(5, "QA-HOLD", since="2026-03-02T11:00:05Z"), drum(6, 2, 1.5)
    )

    assert (code, errors) == (0, "not recorded: vanilla_weighed lacks readings of scale.seq\n")
    said = [(one["cause"], one["quantity"]) for one in found["acid_weighed"]["exceptions"]]
    assert said == [("lot-expired", "2.5"), ("lot-blocked", "1.5")]
    assert found["acid_weighed"]["booked"] == {"4711": "4"}


def test_people_read_it_in_the_table(tmp_path: Path) -> None:
    (tmp_path / "taken.jsonl").write_text(text_of([lot(0, "QA-HOLD"), drum(1, 1, 2.5)]), encoding="utf-8")
    done = CliRunner().invoke(app, ["derive", str(BOOTH), str(tmp_path / "taken.jsonl")])

    assert "exception" in done.stdout
    assert "QA-HOLD" in done.stdout


def test_lots_that_nobody_asks_for_are_ignored_and_said(tmp_path: Path) -> None:
    code, _, errors = derived(tmp_path, lot(0), tag_map=MAP)

    assert (code, errors) == (0, "ignored: 'lots of 100310', which the map does not know; lines: 1\n")


@pytest.mark.parametrize(
    ("lines", "place", "words"),
    [
        ([lot(0, since="2026-03-02T11:00:01Z")], (1, "since"), "the agent refuses that"),
        ([lot(5), lot(6, since="2026-03-02T11:00:04Z")], (2, "lot"), "something newer was said before"),
        ([{**lot(0), "status": 7}], (1, "status"), "a text is expected here"),
        ([at(0, lot="L7", material="100310")], (1, None), "`status` is missing"),
    ],
)
def test_what_the_agent_would_refuse_is_a_fault(
    lines: list[Line], place: tuple[int, str | None], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "taken.jsonl"
    path.write_text(text_of(lines), encoding="utf-8")

    with pytest.raises(Faulty) as caught:
        load_recording(path, load_map([BOOTH]))
    assert f"{path}:{place[0]}:" in str(caught.value)
    assert words in str(caught.value)


def test_the_shipped_cases_say_it_too() -> None:
    report = run(load_cases([CASES]))

    assert report.failed == 0
    assert {name for name, gone in report.coverage["acid_weighed"].items() if gone} >= {
        *("exception: lot-blocked", "exception: lot-expired", "exception: lot-not-told")
    }


def case(folder: Path, steps: str, expect: str = "{}") -> Path:
    path = folder / "cases.yaml"
    path.write_text(
        f'map: "{BOOTH}"\ncases:\n  - name: a case\n    steps:\n{steps}\n    expect: {expect}\n', encoding="utf-8"
    )
    return path


def test_an_exception_that_no_case_expects_fails_it(tmp_path: Path) -> None:
    steps = """
      - {at: 0 s, booth.seq: 7, booth.ack: 7, booth.weight: 0, booth.drum: "", booth.lot: "L7", booth.order: "4711"}
      - {at: 1 s, booth.weight: 12.5, booth.drum: "D1", booth.seq: 8}"""
    report = run(load_cases([case(tmp_path, steps, '{acid_weighed: {booked: {"4711": 12.5}}}')]))

    assert [str(one) for one in report.verdicts[0].failures] == [
        "acid_weighed: exceptions: expected [], found [lot-not-told]"
    ]


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ('lims: {lot: L7, material: "100320", status: RELEASED}', "does not ask `lims` for lots of `100320`"),
        ('booth: {lot: L7, material: "100310", status: RELEASED}', "does not ask `booth` for lots of `100310`"),
        ('lims: {lot: L7, material: "100310"}', "`status` is missing"),
        ('lims: {lot: L7, material: "100310", status: RELEASED, since: 9 s}', "the agent refuses that"),
        ('lims: {lot: L7, material: "100310", status: RELEASED, unit: kg}', "unknown key"),
    ],
)
def test_a_faulty_step_is_told_where_it_stands(step: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(Faulty) as caught:
        load_cases([case(tmp_path, f"      - {{at: 1 s, {step}}}")])
    assert words in str(caught.value)
