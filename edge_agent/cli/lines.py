"""JSON Lines to a file that is whole or not there, or to standard output."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import typer

from edge_agent.cli.common import fail


def line(value: object) -> str:
    """One line without its end, in ASCII, so that every text comes back as it was; what is no JSON as its repr."""
    return json.dumps(value, separators=(",", ":"), default=repr)


def write_lines(lines: Iterable[str], path: Path | None) -> None:
    """Write them to standard output, or to `path`, which is replaced only when the last one is on the disk."""
    if path is None:
        for one in lines:
            typer.echo(one)
        return
    new = path.with_name(f"{path.name}.new")
    try:
        try:
            with new.open("w", encoding="ascii", newline="\n") as file:
                _write(lines, file)
            new.replace(path)
            _sync(path.parent)
        finally:
            new.unlink(missing_ok=True)
    except OSError as error:
        fail(f"{path} cannot be written ({error})")


def _write(lines: Iterable[str], file: IO[str]) -> None:
    file.writelines(f"{one}\n" for one in lines)
    file.flush()
    os.fsync(file.fileno())


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_DIRECTORY | os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
