"""Files to text: what is not a plain, small UTF-8 file is refused before it is read, never waited for."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from edge_agent.config.codes import Code
from edge_agent.config.findings import Findings, Place, SourceFile, Unfit, printable

LARGEST = 8 * 1024 * 1024
"""Bytes of all files together; 20,000 tags take two million."""
_MOST_FILES = 1000
_MOST_LINES = 500_000
_SPLIT = "split the map: one agent a line"
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufdd0-\ufdef\ufffe\uffff\ud800-\udfff]")
_LINE_BREAK = re.compile(r"\r\n|\r|\n")
_TAB_INDENT = re.compile(r"^ *\t[ \t]*(?=[^\s#])", re.MULTILINE)


def read_all(paths: Sequence[Path], findings: Findings) -> list[tuple[SourceFile, str]]:
    """Every readable file in the order given, a directory standing for its `*.yaml` files, sorted."""
    if not paths:
        nowhere = Place(SourceFile("(no file)"), 1, 1)
        findings.error(nowhere, Code.NO_FILES, "no tag map was named", "name a file or a directory")
    seen: dict[tuple[int, int], str] = {}
    texts = []
    total = 0
    for order, path in enumerate(_expand(paths, findings)):
        place = Place(SourceFile(str(path), order), 1, 1)
        try:
            data, identity = _read(path)
            total += len(data)
            if total > LARGEST:
                raise _too_large(total)
            _check_new(path, identity, seen)
            text = _decode(place.source, data, findings)
            if text is None:
                continue
            source = _source(path, order, data, text)
        except Unfit as fault:
            findings.unfit(place, fault)
            continue
        if not _unreadable_characters(source, text, findings):
            texts.append((source, text))
    return texts


def _check_new(path: Path, identity: tuple[int, int], seen: dict[tuple[int, int], str]) -> None:
    if identity in seen:
        raise Unfit(Code.GIVEN_TWICE, f"this is the same file as {printable(seen[identity])}", "name it once")
    seen[identity] = str(path)


def _source(path: Path, order: int, data: bytes, text: str) -> SourceFile:
    if text.count("\n") + text.count("\r") > _MOST_LINES:
        raise Unfit(Code.TOO_LARGE, f"the file has more than {_MOST_LINES:,} lines", _SPLIT)
    directory = Path(os.path.abspath(path)).parent  # noqa: PTH100 - resolve() would follow links
    return SourceFile(str(path), order, directory, data, tuple(_LINE_BREAK.split(text)))


def _expand(paths: Iterable[Path], findings: Findings) -> Iterator[Path]:
    """Directories become their files; what cannot be looked at is passed on and refused by `_read`."""
    for path in paths:
        try:
            is_directory = stat.S_ISDIR(path.lstat().st_mode)
        except (OSError, ValueError):
            is_directory = False
        if is_directory:
            yield from _files_in(path, findings)
        else:
            yield path


def _files_in(directory: Path, findings: Findings) -> Iterator[Path]:
    place = Place(SourceFile(str(directory)), 1, 1)
    try:
        entries = sorted(entry for entry in directory.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        findings.error(place, Code.UNREADABLE, f"the directory cannot be read: {error.strerror}")
        return
    files = [entry for entry in entries if entry.suffix == ".yaml"]
    misnamed = [entry.name for entry in entries if entry.suffix == ".yml"]
    if misnamed:
        message = f"not read, for want of the ending .yaml: {printable(', '.join(misnamed))[:200]}"
        findings.warning(place, Code.NOT_READ, message, "rename it to .yaml, or remove it")
    if not files:
        findings.error(place, Code.NO_FILES, "the directory holds no *.yaml file", "name the tag map itself")
    if len(files) > _MOST_FILES:
        message = f"the directory holds more than {_MOST_FILES} files"
        findings.error(place, Code.TOO_LARGE, message, "name the directory of one agent's tag map")
        return
    yield from files


def _read(path: Path) -> tuple[bytes, tuple[int, int]]:
    """The bytes of a plain file and its identity. Raises Unfit; opens nothing that could block."""
    try:
        status = path.lstat()
    except ValueError as error:
        raise Unfit(Code.UNREADABLE, f"this cannot be the name of a file: {error}") from error
    except OSError as error:
        raise Unfit(Code.UNREADABLE, f"the file cannot be read: {error.strerror}", "check the path") from error
    _check_plain(path, status)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Unfit(Code.UNREADABLE, f"the file cannot be read: {error.strerror}", "check the path") from error
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        _check_plain(path, status)
        try:
            data = file.read(LARGEST + 1)
        except OSError as error:
            raise Unfit(Code.UNREADABLE, f"the file cannot be read: {error.strerror}") from error
    if len(data) > LARGEST:
        raise _too_large(len(data))
    return data, (status.st_dev, status.st_ino)


def _check_plain(path: Path, status: os.stat_result) -> None:
    if stat.S_ISLNK(status.st_mode):
        target = printable(os.path.realpath(path))
        raise Unfit(Code.SYMLINK, "this is a symbolic link", f"name the file itself: {target}")
    if stat.S_ISDIR(status.st_mode):
        raise Unfit(Code.NOT_A_FILE, "this is a directory inside a directory", "move its files up, or name it itself")
    if not stat.S_ISREG(status.st_mode):
        raise Unfit(Code.NOT_A_FILE, "this is not a plain file (a pipe, socket or device)", "name a plain file")
    if status.st_size > LARGEST:
        raise _too_large(status.st_size)


def _too_large(size: int) -> Unfit:
    message = f"{size:,} bytes or more; a tag map has at most {LARGEST:,}"
    return Unfit(Code.TOO_LARGE, message, _SPLIT)


def _decode(source: SourceFile, data: bytes, findings: Findings) -> str | None:
    place = Place(source, 1, 1)
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        message = "the file begins with a byte order mark"
        findings.error(place, Code.BYTE_ORDER_MARK, message, "save it as UTF-8 without a byte order mark")
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        lines = _LINE_BREAK.split(before)
        excerpts = SourceFile(source.name, source.order, lines=(*lines[:-1], lines[-1] + "?"))
        place = Place(excerpts, len(lines), len(lines[-1]) + 1)
        message = f"byte 0x{data[error.start]:02x} is not UTF-8"
        findings.error(place, Code.NOT_UTF8, message, "save the file as UTF-8")
        return None


def _unreadable_characters(source: SourceFile, text: str, findings: Findings) -> bool:
    """Report what YAML forbids in its text, and tabs that indent: its parser says neither clearly."""
    controls, tabs = _CONTROL.search(text), _TAB_INDENT.search(text)
    if not controls and not tabs:
        return False
    for number, line in enumerate(source.lines, 1):
        for match in _CONTROL.finditer(line):
            message = f"character U+{ord(match[0]):04X} is not allowed in a tag map"
            place = Place(source, number, match.start() + 1)
            findings.error(place, Code.CONTROL_CHARACTER, message, "remove it (an editor may not show it)")
        if _TAB_INDENT.match(line):
            place = Place(source, number, line.index("\t") + 1)
            findings.error(place, Code.TAB, "a tab indents this line", "indent with spaces")
    return True
