"""The documents a person finds in the project say what is so (docs: CONTRIBUTING.md)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

_LONGEST_README = 150
_LONGEST_DECISION = 60
_DECISION_PARTS = ("## Context", "## Decision", "## Consequences")

_MACHINE_PATH = re.compile(r"(?<![\w.$}/-])/(?:home|root|Users|work|tmp)/\S*")
_UNFINISHED = re.compile(r"\b(?:TOD[O]|FIXM[E]|XX[X]|HAC[K]|lorem ipsu[m])\b")
"""The brackets keep this line from finding itself."""


@pytest.fixture(scope="module")
def readme(root: Path) -> str:
    return (root / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def targets(root: Path) -> set[str]:
    """The targets of the Makefile."""
    return set(re.findall(r"^([a-z][a-z-]*):", (root / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def test_no_path_of_one_machine_is_left(texts: Mapping[str, str]) -> None:
    assert _found(_MACHINE_PATH, texts) == []


def test_nothing_is_marked_unfinished(texts: Mapping[str, str]) -> None:
    assert _found(_UNFINISHED, texts) == []


def test_readme_is_short_and_names_the_two_commands(readme: str) -> None:
    assert readme.count("\n") <= _LONGEST_README
    assert {"make demo", "make test"} <= set(re.findall(r"make [a-z-]+", readme))


def test_every_make_command_of_the_documents_exists(root: Path, readme: str, targets: set[str]) -> None:
    documents = readme + (root / "CONTRIBUTING.md").read_text(encoding="utf-8")

    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", documents, re.MULTILINE)) <= targets


def test_every_target_is_explained_by_make_help(root: Path, targets: set[str]) -> None:
    explained = re.findall(r"^([a-z-]+):.*## ", (root / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)

    assert set(explained) == targets


def test_the_changelog_has_this_version_or_an_unreleased_part(root: Path) -> None:
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[(.+?)\]( - \d{4}-\d\d-\d\d)?$", changelog, re.MULTILINE)

    assert [name for name, _ in headings[:1] if name == "Unreleased" or re.fullmatch(r"\d+\.\d+\.\d+", name)]
    assert len(headings) == len(re.findall(r"^## ", changelog, re.MULTILINE))
    assert all(date for name, date in headings if name != "Unreleased")


def test_the_licence_is_whole(root: Path) -> None:
    licence = (root / "LICENSE").read_text(encoding="utf-8")

    assert "Apache License" in licence
    assert "END OF TERMS AND CONDITIONS" in licence


def test_decisions_are_numbered_and_take_one_page(root: Path) -> None:
    decisions = sorted((root / "docs" / "decisions").iterdir())

    assert [path.name[:5] for path in decisions] == [f"{number:04}-" for number in range(1, len(decisions) + 1)]
    for path in decisions:
        text = path.read_text(encoding="utf-8")
        assert text.startswith(f"# {int(path.name[:4])}. "), path.name
        assert text.count("\n") <= _LONGEST_DECISION, path.name
        assert [part for part in _DECISION_PARTS if part not in text] == [], path.name


def _found(pattern: re.Pattern[str], texts: Mapping[str, str]) -> list[str]:
    return [
        f"{name}:{number}: {found.group()}"
        for name, text in texts.items()
        for number, line in enumerate(text.splitlines(), 1)
        for found in pattern.finditer(line)
    ]
