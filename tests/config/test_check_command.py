"""`edge-agent check` and `schema` as commands: exit codes, what they print, and that nothing makes them hang."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import typer
import yaml
from typer.testing import CliRunner, Result

from edge_agent.cli import check, schema
from edge_agent.config.json_schema import FILE_NAME, tag_map_schema
from edge_agent.config.share import shared_file
from edge_agent.errors import ConfigurationError

ROOT = Path(__file__).parents[2]
ALONE = (
    "import typer; from edge_agent.cli import check; app = typer.Typer(); check.register(app); "
    "app.callback()(lambda: None); app()"
)
LIMIT_SECONDS = 60
"""Against hanging, not a measure of speed: a loaded machine takes seconds to import."""


@pytest.fixture
def run() -> CliRunner:
    return CliRunner()


@pytest.fixture(scope="module")
def app() -> typer.Typer:
    app = typer.Typer(pretty_exceptions_enable=False)
    check.register(app)
    schema.register(app)
    return app


def checked(run: CliRunner, app: typer.Typer, *arguments: str | Path) -> Result:
    result = run.invoke(app, ["check", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def test_a_good_map(run: CliRunner, app: typer.Typer) -> None:
    path = ROOT / "config" / "bottling-line.yaml"
    result = checked(run, app, path)
    assert (result.exit_code, result.stdout) == (0, f"{path}: ok, 8 tags, 3 rules\n")
    assert checked(run, app, path, "--strict").exit_code == 0


def test_a_bad_map_is_shown_with_caret_and_help(
    run: CliRunner, app: typer.Typer, tmp_path: Path, bottling_line: str
) -> None:
    path = tmp_path / "map.yaml"
    path.write_text(bottling_line.replace("agent: l3-edge", "agent: NO"))
    result = checked(run, app, path)
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        f"{path}:4:8: error EA-1111 `NO` unquoted is a boolean to YAML 1.1 and text to YAML 1.2",
        "    agent: NO",
        "           ^",
        '    help: write true or false, or quote it if it is a name: "NO"',
    ]


def test_json_for_machines(run: CliRunner, app: typer.Typer, tmp_path: Path, bottling_line: str) -> None:
    path = tmp_path / "map.yaml"
    path.write_text(bottling_line.replace("root: mat", "rot: mat"))
    result = checked(run, app, path, "--json")
    assert result.exit_code == 1
    answer = json.loads(result.stdout)
    assert answer["ok"] is False
    assert [(finding["code"], finding["line"], finding["col"]) for finding in answer["findings"]] == [
        ("EA-1202", 7, 1),
        ("EA-1201", 7, 38),
    ]
    assert set(answer["findings"][0]) == {"file", "line", "col", "severity", "code", "message", "suggestion"}
    good = checked(run, app, ROOT / "config" / "bottling-line.yaml", "--json")
    assert (good.exit_code, json.loads(good.stdout)) == (0, {"findings": [], "ok": True})


def test_warnings_alone_are_no_failure_unless_strict(
    run: CliRunner, app: typer.Typer, map_directory: Path, full_line: str
) -> None:
    path = map_directory / "map.yaml"
    path.write_text(full_line.replace("event: consumed", "event: adjusted", 1))
    lenient = checked(run, app, path)
    assert lenient.exit_code == 0
    assert (
        "warning EA-1906 valid, but not run by this version: an adjustment needs a count and a reason" in lenient.stdout
    )
    assert lenient.stdout.endswith(f"{path}: ok, 12 tags, 4 rules\n")
    assert checked(run, app, path, "--strict").exit_code == 3


def test_no_file_is_a_usage_error(run: CliRunner, app: typer.Typer) -> None:
    assert checked(run, app).exit_code == 2


def _hostile(directory: Path) -> list[Path]:
    """Inputs that make careless readers hang, swell or fall over."""
    os.mkfifo(directory / "pipe.yaml")
    bomb = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
    texts = {
        "bomb": bomb,
        "flow": "a: " + "[" * 100_000,
        "flow_map": "a: " + "{a: " * 100_000,
        "block": "".join(" " * depth + "a:\n" for depth in range(2000)),
        "dashes": "- " * 100_000,
        "digits": "agent: " + "1" * 1_000_000 + "_",
        "list": "a: [" + "1," * 1_000_000 + "]",
        "keys": "".join(f"k{n}: yes\n" for n in range(100_000)),
        "object": "a: !!python/object/apply:os.system [exit 7]",
    }
    for name, text in texts.items():
        (directory / f"{name}.yaml").write_text(text)
    return [directory / "pipe.yaml", Path("/dev/zero"), *(directory / f"{name}.yaml" for name in texts)]


def test_hostile_inputs_end_with_findings_in_bounded_time_and_memory(tmp_path: Path) -> None:
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30)); {ALONE}"
    for path in _hostile(tmp_path):
        done = subprocess.run(
            [sys.executable, "-c", limited, "check", "--json", str(path)],
            capture_output=True,
            cwd=ROOT,
            check=False,
            timeout=LIMIT_SECONDS,
        )
        assert done.returncode == 1, (path, done.stderr)
        assert done.stderr == b""
        answer = json.loads(done.stdout)
        assert answer["findings"][0]["file"] == str(path)


def test_odd_names_and_a_terminal_without_unicode(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff\xe2\x80\xae.yaml"
    Path(os.fsdecode(path)).write_text('agent: "é\u202e"\n')
    done = subprocess.run(
        [sys.executable, "-c", ALONE, "check", path],
        capture_output=True,
        cwd=ROOT,
        check=False,
        timeout=LIMIT_SECONDS,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    )
    assert (done.returncode, done.stderr) == (1, b"")
    assert b"\x1b" not in done.stdout
    assert b"U+202E" in done.stdout


def test_the_shipped_schema_is_current_and_printed(run: CliRunner, app: typer.Typer) -> None:
    printed = run.invoke(app, ["schema"])
    assert printed.exit_code == 0
    assert json.loads(printed.stdout) == tag_map_schema()
    shipped = shared_file(FILE_NAME).read_text("utf-8")
    assert printed.stdout == shipped, "run: edge-agent schema > config/schema/tagmap-1.json"


def test_every_key_of_the_schema_is_described() -> None:
    for name, section in tag_map_schema()["$defs"].items():
        assert section["additionalProperties"] is False
        assert section["description"]
        for key, value in section["properties"].items():
            assert "description" in value or "$ref" in value, f"{name}.{key}"


def test_the_schema_accepts_the_examples_and_refuses_what_is_wrong(bottling_line: str, full_line: str) -> None:
    validator = jsonschema.Draft202012Validator(tag_map_schema())
    validator.check_schema(tag_map_schema())
    for text in (bottling_line, full_line):
        assert list(validator.iter_errors(yaml.safe_load(text))) == []
        for old, new in (
            ("schema: 1", "schema: 2"),
            ("root: mat", "rot: mat"),
            ("25 pcs/s", "25"),
            ("event: moved", "a: b"),
        ):
            assert old in text
            assert list(validator.iter_errors(yaml.safe_load(text.replace(old, new)))) != []


def test_a_file_that_does_not_ship_is_said_to_be_missing() -> None:
    assert shared_file("bottling-line.yaml").is_file()
    with pytest.raises(ConfigurationError, match=r"nothing\.yaml is missing"):
        shared_file("nothing.yaml")


@pytest.mark.parametrize(
    ("counting", "instead"),
    [("wraps_at: 65535", "65536"), ("direction: down, wraps_to: 65535, wraps_at: 0", "-1")],
)
def test_the_last_value_shown_as_wraps_at_is_warned_of(
    run: CliRunner, app: typer.Typer, map_directory: Path, full_line: str, counting: str, instead: str
) -> None:
    path = map_directory / "map.yaml"
    path.write_text(full_line.replace("wraps_at: 65536", counting, 1))
    answer = json.loads(checked(run, app, path, "--json").stdout)
    (finding,) = answer["findings"]
    assert (finding["severity"], finding["code"], answer["ok"]) == ("warning", "EA-1714", True)
    assert finding["suggestion"] == f"write wraps_at: {instead}"
