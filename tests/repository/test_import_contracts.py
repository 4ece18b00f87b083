"""Each import contract of pyproject.toml catches what it is there for: planted, in a copy of the tree."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

_PLANTED = {
    "floors": ("edge_agent/store/planted.py", "import edge_agent.publishing"),
    "sources-apart": ("edge_agent/sources/planted.py", "import edge_agent.store"),
    "pure": ("edge_agent/derivation/planted.py", "import time"),
    "one-door": ("edge_agent/publishing/planted.py", "import paho.mqtt.client"),
    "independent-truth": ("simulators/edge_agent_simulators/planted.py", "import edge_agent.model.reading"),
    "receiver-apart": ("edge_agent_receiver/planted.py", "import edge_agent.errors"),
    "agent-without-kit": ("edge_agent/config/planted.py", "import edge_agent_receiver"),
}


@pytest.fixture(scope="module")
def contracts(root: Path) -> Mapping[str, str]:
    """The name of each contract by its id."""
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    return {contract["id"]: contract["name"] for contract in settings["tool"]["importlinter"]["contracts"]}


def test_the_tree_keeps_every_contract(root: Path, tmp_path: Path) -> None:
    assert _broken(root, tmp_path) == set()


def test_every_planted_import_is_caught(root: Path, tmp_path: Path, contracts: Mapping[str, str]) -> None:
    _copy(root, tmp_path, planted=dict(_PLANTED.values()))

    assert contracts.keys() == _PLANTED.keys()
    assert _broken(tmp_path, tmp_path / "cache") == set(contracts.values())


def test_a_module_without_a_floor_is_caught(root: Path, tmp_path: Path, contracts: Mapping[str, str]) -> None:
    _copy(root, tmp_path, planted={"edge_agent/planted.py": ""})

    assert _broken(tmp_path, tmp_path / "cache") == {contracts["floors"]}


def _copy(root: Path, to: Path, *, planted: Mapping[str, str]) -> None:
    for name in ("edge_agent", "edge_agent_receiver", "simulators"):
        shutil.copytree(root / name, to / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(root / "pyproject.toml", to)
    for file, line in planted.items():
        (to / file).write_text(line, encoding="utf-8")


def _broken(root: Path, cache: Path) -> set[str]:
    """The names of the contracts that `root` breaks."""
    checked = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--cache-dir", cache],
        cwd=root,
        env={"PYTHONPATH": f"{root}:{root / 'simulators'}", "COLUMNS": "200"},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Contracts: " in checked.stdout, checked.stdout + checked.stderr
    lines = checked.stdout.partition("Broken contracts")[0].splitlines()
    return {line.partition(" BROKEN")[0] for line in lines if " BROKEN" in line}
