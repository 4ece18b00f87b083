"""Cases: what they expect, how they fail, where they are faulty, and the report for a build server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from edge_agent.cli.main import app
from edge_agent.errors import Faulty
from edge_agent.workbench.cases import load_cases
from edge_agent.workbench.coverage import percent
from edge_agent.workbench.junit import junit
from edge_agent.workbench.testing import Report, run
from tests.workbench.recordings import MAP, read, text_of

STEPS = """
    steps:
      - {at: 0 s, filler.order_no: "4711", filler.bottles_out: 100}
      - {at: 1 s, filler.bottles_out: 124}
"""
EXPECTED = 'bottles_made: {booked: {"4711": 24}}'


def _file(folder: Path, *cases: str, tag_map: Path = MAP) -> Path:
    path = folder / "cases.yaml"
    path.write_text(f'map: "{tag_map}"\ncases:\n' + "\n".join(cases), encoding="utf-8")
    return path


def _case(expect: str, steps: str = STEPS, name: str = "a case") -> str:
    return f"  - name: {name}\n    expect: {{{expect}}}{steps}"


def _run(folder: Path, *cases: str) -> Report:
    return run(load_cases([_file(folder, *cases)]))


def _failures(folder: Path, expect: str, steps: str = STEPS) -> list[str]:
    (verdict,) = _run(folder, _case(expect, steps)).verdicts
    return [str(failure) for failure in verdict.failures]


def test_what_comes_as_expected_passes(tmp_path: Path) -> None:
    assert _failures(tmp_path, EXPECTED) == []


def test_a_movement_that_is_not_expected_fails(tmp_path: Path) -> None:
    steps = f"{STEPS}      - {{at: 2 s, filler.preforms_in: 5}}\n      - {{at: 3 s, filler.preforms_in: 9}}\n"

    assert _failures(tmp_path, EXPECTED, steps) == ['preforms_used: booked: expected {}, found {"4711": 4}']


@pytest.mark.parametrize(
    ("expect", "failure"),
    [
        ("", 'bottles_made: booked: expected {}, found {"4711": 24}'),
        ('bottles_made: {booked: {"4711": 25}}', 'bottles_made: booked: expected {"4711": 25}, found {"4711": 24}'),
        ('bottles_made: {booked: {"4712": 24}}', 'bottles_made: booked: expected {"4712": 24}, found {"4711": 24}'),
        (f"{EXPECTED}, pallet_out: {{review: [[0, 5]]}}", "pallet_out: review: expected [[0, 5]], found []"),
        (f"{EXPECTED}, pallet_out: {{gaps: [[0, null]]}}", "pallet_out: gaps: expected [[0, null]], found []"),
        (f"{EXPECTED}, pallet_out: {{excluded: 0.5}}", "pallet_out: excluded: expected 0.5, found 0"),
    ],
)
def test_what_does_not_is_told_beside_what_was_found(tmp_path: Path, expect: str, failure: str) -> None:
    assert _failures(tmp_path, expect) == [failure]


def test_a_failure_names_the_place_of_the_expectation(tmp_path: Path) -> None:
    path = _file(tmp_path, _case('bottles_made: {booked: {"4711": 25}}'))
    expectation = path.read_text(encoding="utf-8").splitlines()[3]

    (verdict,) = run(load_cases([path])).verdicts

    assert str(verdict.failures[0].place) == f"{path}:4:{expectation.index('{' + chr(34)) + 1}"


def test_outages_restarts_qualities_and_reviews_can_be_staged(tmp_path: Path) -> None:
    steps = """
    start: "2026-03-02T06:00:00+01:00"
    steps:
      - {at: 0 s, filler: {up: "2026-03-01T00:00:00Z"}}
      - {at: 0 s, filler.order_no: "4711", filler.bottles_out: 5000, filler.preforms_in: 65530}
      - {at: 1 s, filler.bottles_out: {v: 0, q: bad}, filler.preforms_in: {v: 4, c: true, st: 1 s}}
      - {at: 5 s, filler: lost}
      - {at: 7 s, filler: {up: 6 s}}
      - {at: 7 s, filler.bottles_out: 20}
      - {at: 1 min, filler.preforms_in: null}
      - {at: 1 min, filler.preforms_in: 30000}
"""
    expect = (
        'bottles_made: {booked: {"4711": 20}, gaps: [[0, 160]]}, preforms_used: {booked: {"4711": "10"}, '
        "review: [[0, 29996]]}"
    )

    assert _failures(tmp_path, expect, steps) == []


def test_a_recording_lies_beside_its_cases(tmp_path: Path) -> None:
    lines = [read(0, "order_no", "4711"), read(0, "bottles_out", 500_000), read(1, "bottles_out", 0)]
    (tmp_path / "zero.jsonl").write_text(text_of([*lines, read(2, "bottles_out", 500_012)]), encoding="utf-8")

    assert _failures(tmp_path, 'bottles_made: {booked: {"4711": 12}}', "\n    recording: zero.jsonl\n") == []


def test_a_faulty_recording_is_told_with_its_own_place(tmp_path: Path) -> None:
    (tmp_path / "odd.jsonl").write_text("{}\n", encoding="utf-8")

    with pytest.raises(Faulty, match=r"odd\.jsonl:1:1: error EA-1801"):
        load_cases([_file(tmp_path, _case("", "\n    recording: odd.jsonl\n"))])


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (
            _case("bottle_made: {}"),
            r":4:14: error EA-1208 the map has no movement `bottle_made`\n.*\n.*\n.*bottles_made",
        ),
        (_case("bottles_made: {book: {}}"), "EA-1201 unknown key `book`"),
        (_case("bottles_made: {booked: 24}"), "EA-1203 a mapping is expected"),
        (_case("bottles_made: {booked: {4711: 24}}"), "EA-1109 the key `4711` unquoted"),
        (_case("bottles_made: {review: [0, 24]}"), "EA-1203 a list is expected"),
        (_case("bottles_made: {gaps: [[0]]}"), "EA-1203 a gap has two bounds"),
        (_case("bottles_made: {excluded: 1e3}"), "EA-1106"),
        (_case("", "\n    steps: [{filler.bottles_out: 1}]\n"), "EA-1202 `at` is missing"),
        (_case("", "\n    steps: [{at: 5, filler.bottles_out: 1}]\n"), "EA-1401"),
        (
            _case("", "\n    steps: [{at: 2 s, filler: up}, {at: 1 s, filler: up}]\n"),
            "EA-1803 a step at 1 s after one at 2 s",
        ),
        (_case("", "\n    steps: [{at: 0 s, filler.bottles: 1}]\n"), "EA-1208 the map has no tag"),
        (_case("", "\n    steps: [{at: 0 s, filer: up}]\n"), "EA-1208 the map has no source"),
        (_case("", "\n    steps: [{at: 0 s, filler: down}]\n"), "EA-1204 `down` is not up or lost"),
        (_case("", "\n    steps: [{at: 0 s, filler: {up: soon}}]\n"), "EA-1401"),
        (_case("", "\n    steps: [{at: 0 s, filler.preforms_in: 65536}]\n"), "EA-1804"),
        (_case("", "\n    steps: [{at: 0 s, filler.order_no: 4711}]\n"), "EA-1804"),
        (_case("", "\n    steps: [{at: 0 s, filler.order_no: {v: A, q: fine}}]\n"), "EA-1204"),
        (_case("", "\n    steps: []\n    recording: a.jsonl\n"), "EA-1209 a case has either"),
        (_case("", "\n"), "EA-1209 a case has either"),
        (_case("", "\n    recording: none.jsonl\n"), "EA-1021"),
        (_case("", "\n    recording: none.jsonl\n    start: now\n"), "EA-1209 a recording has times of its own"),
        (_case("", f'\n    start: "9999-12-31T23:59:59Z"{STEPS}'), "EA-1802"),
        (_case(EXPECTED) + _case(EXPECTED), "EA-1017 another case has this name"),
        ("  - {name: a case}", "EA-1202 `expect` is missing"),
        ("  - a case", "EA-1203 a mapping is expected here"),
    ],
)
def test_a_faulty_case_is_told_where_it_stands(tmp_path: Path, case: str, words: str) -> None:
    with pytest.raises(Faulty, match=words):
        load_cases([_file(tmp_path, case)])


def test_a_faulty_map_is_told_once_for_all_cases(tmp_path: Path) -> None:
    tag_map = tmp_path / "map.yaml"
    tag_map.write_text(MAP.read_text(encoding="utf-8").replace("agent: l3-edge", "agnt: l3-edge"), encoding="utf-8")

    with pytest.raises(Faulty) as raised:
        load_cases([_file(tmp_path, _case(EXPECTED), _case(EXPECTED, name="another"), tag_map=tag_map)])

    assert str(raised.value).count("unknown section `agnt`") == 1


_NODE = st.recursive(
    st.sampled_from(
        ['"4711"', "24", "-1", "true", "null", "1e9", "0x1", "~", "x", "lost", "1 s", "99 d", '"a"', "&a 1"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.dictionaries(
            st.sampled_from(["at", "filler", "filler.bottles_out", "up", "v", "q", "booked", "bottles_made", "gaps"]),
            inner,
            max_size=3,
        ).map(lambda entries: "{" + ", ".join(f"{key}: {value}" for key, value in entries.items()) + "}")
    ),
    max_leaves=8,
)


@given(expect=_NODE, steps=_NODE)
def test_whatever_a_case_file_holds_never_ends_in_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, expect: str, steps: str
) -> None:
    path = _file(tmp_path_factory.mktemp("fuzz"), f"  - name: fuzz\n    expect: {expect}\n    steps: {steps}\n")
    try:
        said = f"{len(run(load_cases([path])).verdicts)} case"
    except Faulty as faulty:
        said = str(faulty)

    assert said == "1 case" or ": error EA-1" in said


def test_branches_that_no_case_went_are_named(tmp_path: Path) -> None:
    wrap = "\n    steps: [{at: 0 s, filler.order_no: A, filler.preforms_in: 65530}, {at: 1 s, filler.preforms_in: 4}]\n"
    report = _run(tmp_path, _case(EXPECTED), _case('preforms_used: {booked: {"A": 10}}', wrap, "it wraps"))

    gone = {name: {branch for branch, did in branches.items() if did} for name, branches in report.coverage.items()}
    assert gone == {
        "preforms_used": {"baseline", "booked", "wrapped"},
        "bottles_made": {"baseline", "booked"},
        "pallet_out": set(),
    }
    assert "review: rose-too-fast" in report.coverage["preforms_used"]
    assert "review: review-over" not in report.coverage["preforms_used"]  # the map sets no such limit
    assert "review: failed-check" in report.coverage["pallet_out"]
    assert percent(report.coverage) == pytest.approx(100 * 5 / sum(map(len, report.coverage.values())))


def _judged(document: ET.Element) -> None:
    """The shape that Jenkins' junit-10.xsd and GitLab's reader ask for."""
    allowed = {
        "testsuites": ({"name", "tests", "failures", "errors", "time", "disabled"}, {"testsuite"}),
        "testsuite": ({"name", "tests", "failures", "errors", "time", "skipped", "timestamp"}, {"testcase"}),
        "testcase": ({"name", "classname", "time", "file", "line"}, {"failure", "error", "skipped"}),
        "failure": ({"message", "type"}, set()),
    }
    assert document.tag == "testsuites"
    for element in document.iter():
        attributes, children = allowed[element.tag]
        assert set(element.keys()) <= attributes
        assert {child.tag for child in element} <= children
    for suite in document.iter("testsuite"):
        cases = list(suite.iter("testcase"))
        assert {"name", "tests"} <= set(suite.keys())
        assert int(suite.attrib["tests"]) == len(cases)
        assert int(suite.attrib["failures"]) == sum(case.find("failure") is not None for case in cases)
        assert all({"name", "classname"} <= set(case.keys()) for case in cases)
        assert len({(case.attrib["classname"], case.attrib["name"]) for case in cases}) == len(cases)


def test_the_junit_report_has_the_shape_that_build_servers_read(tmp_path: Path) -> None:
    report = _run(tmp_path, _case(EXPECTED), _case("", name='"<odd> \\x07 & \\"quoted\\""'))

    written = junit(report.verdicts)

    document = ET.fromstring(written)
    _judged(document)
    assert document.attrib["failures"] == "1"
    assert [case.attrib["name"] for case in document.iter("testcase")] == ["a case", '<odd> ? & "quoted"']
    failure = next(document.iter("failure"))
    assert failure.attrib["message"] == 'bottles_made: booked: expected {}, found {"4711": 24}'
    assert (failure.text or "").startswith(f"{tmp_path / 'cases.yaml'}:10:5: ")  # its `expect`
    assert written == junit(_run(tmp_path, _case(EXPECTED), _case("", name='"<odd> \\x07 & \\"quoted\\""')).verdicts)


def _command(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["test", *map(str, arguments)])
    return done.exit_code, done.output


def test_the_command_tells_by_its_exit_code(tmp_path: Path) -> None:
    path, report = _file(tmp_path, _case(EXPECTED)), tmp_path / "report.xml"

    assert _command(path, "--junit", report)[0] == 0
    assert ET.fromstring(report.read_bytes()).attrib["tests"] == "1"
    assert _command(path, "--fail-under", "50")[0] == 1
    code, said = _command(path, "--coverage")
    assert code == 0
    assert "review: rose-too-fast" in said.replace("\n", " ")
    code, said = _command(_file(tmp_path, _case("")))
    assert code == 1
    assert "FAILED" in said
    code, said = _command(_file(tmp_path, "  - nothing"))
    assert code == 1
    assert "cases.yaml:3:5: error EA-1203" in said


def test_the_command_tells_machines_the_same(tmp_path: Path) -> None:
    code, said = _command(_file(tmp_path, _case("")), "--json")

    told: dict[str, Any] = json.loads(said)
    assert code == 1
    assert told["ok"] is False
    assert told["cases"][0]["failures"][0]["found"] == '{"4711": 24}'
    assert told["coverage"]["movements"]["bottles_made"]["booked"] is True
