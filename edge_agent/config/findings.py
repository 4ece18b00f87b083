"""What `check` has to say: findings with their place, collected instead of raised, so that all are said at once."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from edge_agent.config.codes import Code

MOST_FINDINGS = 1000
"""After so many the rest is not looked at: whatever a file holds, the answer comes soon."""
_EXCERPT = 120
_SHOWN = 60
_COMPARISONS = 60_000


class Severity(StrEnum):
    """Errors keep a map from being used; warnings do not."""

    ERROR = "error"
    WARNING = "warning"


class Unfit(ValueError):
    """A value that means nothing here; whoever knows its place makes a Finding of it."""

    def __init__(self, code: Code, message: str, suggestion: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.suggestion = suggestion


class TooManyFindings(Exception):
    """The limit is reached; nothing more is looked at. `load` ends with what there is."""


class AlreadyReported(ValueError):
    """A value whose fault has been reported when the YAML was read."""


@dataclass(frozen=True, slots=True, eq=False)
class SourceFile:
    """A file of the tag map as read: `order` is its place among the files, `directory` what its paths start from."""

    name: str
    order: int = 0
    directory: Path = Path()
    data: bytes = b""
    lines: tuple[str, ...] = ()


class Place(NamedTuple):
    """A character of a file, counted from 1."""

    source: SourceFile
    line: int
    column: int

    def __str__(self) -> str:
        return f"{printable(self.source.name)}:{self.line}:{self.column}"


NOWHERE = Place(SourceFile(""), 1, 1)
"""For values that come from no file."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to mend: where, what, and what to do. `line` and `col` count from 1; `excerpt` is the source line."""

    file: str
    line: int
    col: int
    severity: Severity
    code: Code
    message: str
    suggestion: str | None = None
    excerpt: str = ""

    def render(self) -> str:
        """`file:line:col: error CODE message`, the source line with a caret, and the suggestion."""
        text = [f"{self.file}:{self.line}:{self.col}: {self.severity} {self.code} {self.message}"]
        if self.excerpt:
            start = 0 if len(self.excerpt) <= _EXCERPT else max(0, self.col - 1 - _EXCERPT // 2)
            text.append(f"    {printable(self.excerpt[start : start + _EXCERPT])}")
            text.append(f"    {' ' * (self.col - 1 - start)}^")
        if self.suggestion:
            text.append(f"    help: {self.suggestion}")
        return "\n".join(text)

    def as_json(self) -> dict[str, str | int | None]:
        """The finding for a machine."""
        return {
            "file": self.file,
            "line": self.line,
            "col": self.col,
            "severity": self.severity.value,
            "code": self.code.value,
            "message": self.message,
            "suggestion": self.suggestion,
        }


@dataclass(slots=True)
class Findings:
    """Collects findings in any order and gives them back in the order of the files.

    Adding one raises TooManyFindings at the limit.
    """

    _found: list[tuple[int, Finding]] = field(default_factory=list)
    _seen: set[tuple[int, int, int, str]] = field(default_factory=set)
    _errors: int = 0
    _budget: int = _COMPARISONS

    @property
    def errors(self) -> int:
        """How many errors there are."""
        return self._errors

    def error(self, place: Place, code: Code, message: str, suggestion: str | None = None) -> None:
        """An error: the map cannot be used."""
        self._add(place, Severity.ERROR, code, message, suggestion)

    def warning(self, place: Place, code: Code, message: str, suggestion: str | None = None) -> None:
        """Something to know; the map can be read all the same."""
        self._add(place, Severity.WARNING, code, message, suggestion)

    def unfit(self, place: Place, fault: Unfit) -> None:
        """An error that a value's parser has found."""
        self.error(place, fault.code, fault.message, fault.suggestion)

    def in_order(self) -> tuple[Finding, ...]:
        """All findings by file, line and column; what was beyond the limit as one more."""
        found = sorted(self._found, key=lambda entry: (entry[0], entry[1].line, entry[1].col, entry[1].code))
        listed = [finding for _, finding in found]
        if len(listed) >= MOST_FINDINGS:
            last = listed[-1]
            message = f"{MOST_FINDINGS} findings: the rest is not looked at"
            listed.append(
                Finding(last.file, last.line, last.col, Severity.ERROR, Code.MORE, message, "mend these first")
            )
        return tuple(listed)

    def nearest(self, word: str, known: Collection[str]) -> str | None:
        """`did you mean ...?` where one of `known` resembles `word`. Bounded work, however many names there are."""
        self._budget -= len(known)
        if len(word) > _SHOWN or self._budget < 0:
            return None
        folded = {name.casefold(): name for name in known if abs(len(name) - len(word)) <= 3}
        match = difflib.get_close_matches(word.casefold(), folded, 1, 0.6)
        return f"did you mean {shown(folded[match[0]])}?" if match else None

    def _add(self, place: Place, severity: Severity, code: Code, message: str, suggestion: str | None) -> None:
        source, line, column = place
        line = min(max(line, 1), max(len(source.lines), 1))
        excerpt = source.lines[line - 1] if source.lines else ""
        column = min(max(column, 1), len(excerpt) + 1)
        key = (source.order, line, column, message)
        if key in self._seen:
            return
        self._seen.add(key)
        self._errors += severity is Severity.ERROR
        file = printable(source.name)
        finding = Finding(file, line, column, severity, code, printable(message), suggestion, excerpt)
        self._found.append((source.order, finding))
        if len(self._found) >= MOST_FINDINGS:
            raise TooManyFindings


def printable(text: str) -> str:
    """`text` with everything a terminal might obey (controls, direction marks, surrogates) made visible as `?`."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)


def shown(text: str) -> str:
    """`text` in backquotes for a message, clipped where it is long."""
    clipped = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({len(text)} characters)"
    return f"`{printable(clipped)}`"


def one_of(words: Iterable[str]) -> str:
    """`a, b or c`."""
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last
