"""The anchor: a side file that vouches for the database from outside it (reliability.md, invariants 12 and 13).

It is written and fsynced before anything is published; a database that knows less than its anchor has lost commits or
was restored from a backup.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_agent.errors import StoreError


@dataclass(frozen=True, slots=True)
class Vouched:
    """What the anchor says: the store's uuid and, per stream name, the head's sequence and hash."""

    store_uuid: str
    heads: Mapping[str, tuple[int, str]]


class Anchor:
    """The side file `<db>.anchor`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Vouched | None:
        """What it says; None where there is none. Raises ValueError where it cannot be read as an anchor."""
        try:
            text = self.path.read_text(encoding="ascii")
        except FileNotFoundError:
            return None
        try:
            content = json.loads(text)
            heads = {str(name): (int(head[0]), str(head[1])) for name, head in content["heads"].items()}
            return Vouched(str(content["store"]), heads)
        except (KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
            msg = f"{self.path} is not an anchor"
            raise ValueError(msg) from error

    def write(self, vouched: Vouched) -> None:
        """Replace it atomically and durably; blocks for two fsyncs. Raises StoreError."""
        try:
            self._write(vouched)
        except OSError as error:
            msg = f"{self.path} cannot be written ({error}): nothing is published until it can"
            raise StoreError(msg) from error

    def _write(self, vouched: Vouched) -> None:
        content = json.dumps({"store": vouched.store_uuid, "heads": vouched.heads})
        temporary = self.path.with_name(self.path.name + ".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, content.encode("ascii"))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(self.path)
        directory = os.open(self.path.parent, os.O_DIRECTORY | os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
