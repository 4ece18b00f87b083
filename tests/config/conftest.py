"""Tag maps for the tests of the loader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.config.findings import Finding
from edge_agent.config.loader import Loaded, load

CONFIG = Path(__file__).parents[2] / "config"

Load = Callable[[str], Loaded]


@pytest.fixture(scope="session")
def bottling_line() -> str:
    return (CONFIG / "bottling-line.yaml").read_text("utf-8")


@pytest.fixture(scope="session")
def full_line() -> str:
    return (CONFIG / "examples" / "full-line.yaml").read_text("utf-8")


@pytest.fixture
def map_directory(tmp_path: Path) -> Path:
    """A directory with the files that a full tag map names, closed as they must be."""
    for name in ("pki/ca.pem", "pki/l3.pem", "pki/l3.key", "secrets/filler"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("content")
        file.chmod(0o600)
    return tmp_path


@pytest.fixture
def load_text(map_directory: Path) -> Load:
    """Loads a text as the only file of a tag map."""

    def load_it(text: str) -> Loaded:
        file = map_directory / "map.yaml"
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
        return load([file])

    return load_it


HERE = "»"
"""In a bad map: stands before the character that the finding must point at."""


@pytest.fixture
def check_bad(bottling_line: str, load_text: Load) -> Callable[[str, tuple[tuple[str, str], ...]], Finding]:
    """Applies edits to the bottling line's map; answers the finding of the code wanted, at the place marked."""

    def check(code: str, edits: tuple[tuple[str, str], ...]) -> Finding:
        text = bottling_line
        for old, new in edits:
            assert old in text, f"the edit of {old!r} does not apply"
            text = text.replace(old, new, 1)
        assert text.count(HERE) == 1
        before = text[: text.index(HERE)]
        place = (before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
        loaded = load_text(text.replace(HERE, ""))
        assert loaded.tag_map is None
        found = {(finding.code.value, finding.line, finding.col): finding for finding in loaded.errors}
        assert (code, *place) in found, f"wanted {code} at {place}, got {sorted(found)}"
        return found[code, *place]

    return check
