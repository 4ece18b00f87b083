"""Tag maps for the tests of the loader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

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
