"""Files that are none, hide, block or show secrets; several files as one map."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.config.files import LARGEST
from edge_agent.config.findings import MOST_FINDINGS
from edge_agent.config.loader import Loaded, load

Load = Callable[[str], Loaded]
SECURE = "    security: None                                  # named on purpose: the simulator has no certificates\n"


def only_error(loaded: Loaded) -> tuple[str, int, int]:
    assert loaded.tag_map is None
    (finding,) = loaded.errors
    return finding.code.value, finding.line, finding.col


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_what_cannot_be_read_is_reported_at_its_beginning(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "real.yaml").write_text("schema: 1")
    (tmp_path / "link.yaml").symlink_to("real.yaml")
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "nested").mkdir()
    (tmp_path / "nested" / "deeper.yaml").mkdir()
    expected = {
        tmp_path / "missing.yaml": "EA-1021",
        tmp_path / ("x" * 300): "EA-1021",
        Path("/" + "x/" * 4000): "EA-1021",
        Path("nul\0byte"): "EA-1021",
        tmp_path / "pipe.yaml": "EA-1022",
        Path("/dev/zero"): "EA-1022",
        tmp_path / "nested": "EA-1022",
        tmp_path / "link.yaml": "EA-1003",
        tmp_path / "empty": "EA-1019",
    }
    for path, code in expected.items():
        assert only_error(load([path])) == (code, 1, 1), path
    assert only_error(load([])) == ("EA-1019", 1, 1)


def test_a_socket_and_a_link_to_a_directory_are_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("s.yaml")
        assert only_error(load([Path("s.yaml")]))[0] == "EA-1022"
    (tmp_path / "maps.d").symlink_to(tmp_path)
    assert only_error(load([Path("maps.d")]))[0] == "EA-1003"


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"\xef\xbb\xbfschema: 1", ("EA-1006", 1, 1)),
        ("schema: 1".encode("utf-16"), ("EA-1006", 1, 1)),
        (b"schema: 1\nagent: l\xff3", ("EA-1005", 2, 9)),
        (b"schema: 1\nagent: \xed\xa0\x80", ("EA-1005", 2, 8)),
        (b"", ("EA-1009", 1, 1)),
        (b"# nothing\n", ("EA-1009", 1, 1)),
        (b"---\n...\n", ("EA-1009", 1, 1)),
        (b"just text", ("EA-1203", 1, 1)),
        (b"- a\n- b", ("EA-1203", 1, 1)),
        (b"%YAML 1.1\n---\n- a", ("EA-1010", 1, 1)),
        (b"\n" * 600_000, ("EA-1004", 1, 1)),
        (b"#" * (LARGEST + 1), ("EA-1004", 1, 1)),
    ],
)
def test_a_file_that_is_no_tag_map(content: bytes, place: tuple[str, int, int], tmp_path: Path) -> None:
    loaded = load([written(tmp_path / "map.yaml", content)])
    assert loaded.tag_map is None
    assert place in {(finding.code.value, finding.line, finding.col) for finding in loaded.errors}


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "map.yaml"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    assert only_error(load([path])) == ("EA-1004", 1, 1)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o601])
@pytest.mark.parametrize("secret", ["secrets/filler", "pki/l3.key"])
def test_a_secret_open_to_others_is_refused(
    mode: int, secret: str, full_line: str, map_directory: Path, load_text: Load
) -> None:
    (map_directory / secret).chmod(mode)
    loaded = load_text(full_line)
    (finding,) = loaded.errors
    assert finding.code == "EA-1304"
    assert full_line.splitlines()[finding.line - 1][finding.col - 1 :].startswith(secret)
    assert f"chmod 600 {map_directory / secret}" == finding.suggestion


def test_an_empty_secret_a_link_and_a_pipe_are_no_secrets(full_line: str, map_directory: Path, load_text: Load) -> None:
    secret = map_directory / "secrets" / "filler"
    secret.write_text("")
    assert only_error(load_text(full_line))[0] == "EA-1305"
    secret.unlink()
    secret.symlink_to(map_directory / "pki" / "l3.key")
    assert only_error(load_text(full_line))[0] == "EA-1303"
    secret.unlink()
    os.mkfifo(secret, 0o600)
    assert only_error(load_text(full_line))[0] == "EA-1303"


def test_a_linked_directory_below_the_map_leads_nowhere(full_line: str, map_directory: Path, load_text: Load) -> None:
    (map_directory / "secrets").rename(map_directory / "elsewhere")
    (map_directory / "secrets").symlink_to("elsewhere")
    assert only_error(load_text(full_line))[0] == "EA-1303"


@pytest.fixture
def parts(bottling_line: str) -> tuple[str, str]:
    """The bottling line's map in two files, cut at `movements`, with a tag and a unit given in the second one."""
    first, _, second = bottling_line.partition("movements:\n")
    sscc = next(line for line in first.splitlines(keepends=True) if "pal_sscc" in line)
    case = next(line for line in first.splitlines(keepends=True) if line.startswith("  case:"))
    first = first.replace(sscc, "").replace(case, "")
    return first, f"schema: 1\ntags:\n  filler:\n{sscc}units:\n{case}movements:\n{second}"


def test_several_files_are_one_map(parts: tuple[str, str], bottling_line: str, tmp_path: Path) -> None:
    whole = written(tmp_path / "whole.yml", bottling_line.encode())
    (tmp_path / "maps.d").mkdir()
    one = written(tmp_path / "maps.d" / "10-line.yaml", parts[0].encode())
    two = written(tmp_path / "maps.d" / "20-rules.yaml", parts[1].encode())
    expected = load([whole]).tag_map
    assert expected is not None
    for paths in ([one, two], [tmp_path / "maps.d"]):
        merged = load(paths).tag_map
        assert merged is not None
        assert merged.config_hash == hashlib.sha256(one.read_bytes() + two.read_bytes()).hexdigest()
        assert (merged.tags, merged.rules, merged.units) == (expected.tags, expected.rules, expected.units)


def test_a_key_in_two_files_names_both_places(parts: tuple[str, str], tmp_path: Path) -> None:
    one = written(tmp_path / "1.yaml", parts[0].encode())
    two = written(tmp_path / "2.yaml", (parts[1] + "agent: other\nunits_: {}\n").replace("case:", "pcs:").encode())
    loaded = load([one, two])
    duplicates = [finding for finding in loaded.errors if finding.code == "EA-1017"]
    assert [finding.file for finding in duplicates] == [str(two), str(two)]
    assert "`pcs` is given twice" in duplicates[0].message
    assert f"first at {one}:" in duplicates[0].message
    assert "`agent` is given twice" in duplicates[1].message


def test_paths_start_from_the_file_that_names_them(bottling_line: str, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    written(inner / "password", b"x").chmod(0o600)
    mqtt = next(line for line in bottling_line.splitlines(keepends=True) if line.startswith("mqtt:"))
    login = mqtt.replace("root: mat", "root: mat, login: {user: a, password_file: password}")
    one = written(tmp_path / "1.yaml", bottling_line.replace(mqtt, "").encode())
    two = written(inner / "2.yaml", login.encode())
    tag_map = load([one, two]).tag_map
    assert tag_map is not None
    assert tag_map.mqtt.password_file == inner / "password"


def test_the_same_file_twice_and_a_misnamed_one(bottling_line: str, tmp_path: Path) -> None:
    path = written(tmp_path / "map.yaml", bottling_line.encode())
    assert only_error(load([path, path]))[0] == "EA-1018"
    written(tmp_path / "more.yml", b"x")
    loaded = load([tmp_path])
    assert [(finding.code.value, finding.severity.value) for finding in loaded.findings] == [("EA-1020", "warning")]
    assert "more.yml" in loaded.findings[0].message
    assert loaded.tag_map is not None


def test_findings_of_all_files_come_in_their_order(parts: tuple[str, str], tmp_path: Path) -> None:
    one = written(tmp_path / "b.yaml", parts[0].replace("H87", "PCE").encode())
    two = written(tmp_path / "a.yaml", parts[1].replace("900001", "900002").encode())
    gone = tmp_path / "gone.yaml"
    assert [finding.file for finding in load([one, two]).errors] == [str(one), str(two), str(two)]
    assert [finding.file for finding in load([gone, one, two]).errors] == [str(gone)]


def test_so_many_faults_that_the_rest_is_not_looked_at(load_text: Load) -> None:
    loaded = load_text("".join(f"key{index}: yes\n" for index in range(3 * MOST_FINDINGS)))
    assert len(loaded.findings) == MOST_FINDINGS + 1
    assert loaded.findings[-1].code == "EA-1099"
