"""Paths inside a tag map: plain files below the map's own directory, secrets readable by their owner alone."""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath

from edge_agent.config.codes import Code
from edge_agent.config.findings import Unfit, printable, shown
from edge_agent.config.names import check_text

LONGEST_PATH = 1024
_LONGEST_PART = 255
_OTHERS = 0o077


def inside(directory: Path, text: str, *, secret: bool = False, unseen: bool = False) -> Path:
    """The file `text` names, relative to `directory`. Raises Unfit; nothing is opened.

    A `secret` (password, private key) must not be empty, and closed to group and others. `unseen` ones need not exist.
    """
    parts = _parts(text)
    if unseen:
        return directory.joinpath(*parts)
    place = directory
    for number, part in enumerate(parts, 1):
        place /= part
        status = _status(place, directory / text, text)
        if stat.S_ISLNK(status.st_mode):
            message = f"{shown(text)} leads through a symbolic link"
            raise Unfit(Code.PATH_NOT_A_FILE, message, "put the file itself beside the tag map")
        if number < len(parts) and not stat.S_ISDIR(status.st_mode):
            raise Unfit(Code.PATH_MISSING, f"{shown(text)} leads through a file that is no directory")
    if not stat.S_ISREG(status.st_mode):
        raise Unfit(Code.PATH_NOT_A_FILE, f"{shown(text)} is not a plain file", "name a file")
    if secret:
        _check_secret(place, text, status)
    return place


def _parts(text: str) -> tuple[str, ...]:
    try:
        check_text(text, LONGEST_PATH)
    except Unfit as fault:
        code = Code.PATH_UNFIT if fault.code is Code.BAD_NAME else fault.code
        raise Unfit(code, f"no path: {fault.message}", fault.suggestion) from fault
    path = PurePosixPath(text)
    if path.is_absolute():
        message = f"{shown(text)} is absolute: paths start from the tag map's directory"
        raise Unfit(Code.PATH_OUTSIDE, message, "put the file below it and name it from there")
    if ".." in path.parts:
        message = f"{shown(text)} leaves the tag map's directory"
        raise Unfit(Code.PATH_OUTSIDE, message, "put the file below it and name it from there")
    if not path.parts:
        raise Unfit(Code.PATH_NOT_A_FILE, f"{shown(text)} is a directory", "name a file")
    if any(len(part.encode()) > _LONGEST_PART for part in path.parts):
        raise Unfit(Code.TOO_LONG, f"{shown(text)} has a part longer than {_LONGEST_PART} bytes")
    return path.parts


def _status(place: Path, wanted: Path, text: str) -> os.stat_result:
    try:
        return place.lstat()
    except FileNotFoundError as error:
        message = f"{shown(text)} does not exist"
        raise Unfit(Code.PATH_MISSING, message, f"looked for {printable(str(wanted))}") from error
    except OSError as error:
        raise Unfit(Code.PATH_MISSING, f"{shown(text)} cannot be looked at: {error.strerror}") from error


def _check_secret(place: Path, text: str, status: os.stat_result) -> None:
    if status.st_mode & _OTHERS:
        message = f"the secret {shown(text)} can be used by others than its owner (mode {status.st_mode & 0o777:03o})"
        raise Unfit(Code.SECRET_EXPOSED, message, f"chmod 600 {printable(str(place))}")
    if status.st_size == 0:
        raise Unfit(Code.PATH_UNFIT, f"the secret {shown(text)} is empty", "write the secret into it")
