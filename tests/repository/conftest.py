"""The project's own files, as the gates see them."""

from __future__ import annotations

import ast
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_CODE = ("edge_agent", "simulators", "tests", "benchmarks")


@pytest.fixture(scope="session")
def root() -> Path:
    """The top of the project."""
    return _ROOT


@pytest.fixture(scope="session")
def modules() -> Mapping[str, ast.Module]:
    """Every Python file by its path from the top, parsed."""
    return {
        str(path.relative_to(_ROOT)): ast.parse(path.read_text(encoding="utf-8"))
        for folder in _CODE
        for path in sorted((_ROOT / folder).rglob("*.py"))
    }


@pytest.fixture(scope="session")
def texts() -> Mapping[str, str]:
    """Every text file that is under version control or about to be, by its path from the top."""
    if shutil.which("git") is None or not (_ROOT / ".git").exists():
        pytest.skip("NOT RUN: which files belong to the project is known only in a git checkout")
    return dict(_texts())


def _texts() -> Iterator[tuple[str, str]]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=_ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        content = (_ROOT / name).read_bytes() if (_ROOT / name).is_file() else b"\0"  # deleted, or a link
        if b"\0" not in content:
            yield name, content.decode("utf-8")
