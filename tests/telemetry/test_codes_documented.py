"""Every stable code has its entry in docs/codes.md: what it means, and what to do."""

from __future__ import annotations

import re
from pathlib import Path

from edge_agent.config import codes
from edge_agent.telemetry import log

_DOCUMENT = Path(__file__).parents[2] / "docs" / "codes.md"
_ENTRY = re.compile(r"^- \*\*(EA-\d{4})\*\* (.+?)\s→\s(.+?\.)$", re.DOTALL | re.MULTILINE)


def test_every_code_has_one_entry_in_order_and_no_other_has() -> None:
    known = [*codes.Code, *log.Code]
    document = _DOCUMENT.read_text(encoding="utf-8")
    entries = [found[1] for found in _ENTRY.finditer(document)]
    assert entries == sorted(code.value for code in known)
    assert document.count("- **EA-") == len(entries)


def test_an_entry_says_what_it_means() -> None:
    for code, meaning, _ in _ENTRY.findall(_DOCUMENT.read_text(encoding="utf-8")):
        assert len(meaning.split()) >= 4, code
