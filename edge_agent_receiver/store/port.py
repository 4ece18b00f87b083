"""What the inbox needs of a database: statements with `?`, transactions, one owner at a time.

The statements are the same for all of them (sql.py): texts, whole numbers and bytes, nothing that only one has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from importlib.resources import files
from typing import Any, Protocol

Row = tuple[Any, ...]


class StoreError(Exception):
    """The store cannot be used (any more): gone, full, damaged, of a newer version. It may be opened again later."""


class StoreInUse(StoreError):
    """Another receiver has this store open."""


class Db(Protocol):
    """An open transaction."""

    def run(self, sql: str, *values: object) -> int:
        """Carry out a statement; gives the number of rows it changed. Raises StoreError."""
        ...

    def rows(self, sql: str, *values: object) -> list[Row]:
        """The rows of a query. Raises StoreError."""
        ...

    def many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """Carry out a statement once for each of `rows`. Raises StoreError."""
        ...


class Store(Protocol):
    """A database that this process alone has open for writing."""

    def transaction(self) -> AbstractContextManager[Db]:
        """One transaction: committed and on the disk when the block ends, undone when it raises. Raises StoreError."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


def migrations() -> list[tuple[int, str]]:
    """The numbered migrations, in order."""
    found = sorted(files("edge_agent_receiver.store").joinpath("migrations").iterdir(), key=lambda file: file.name)
    return [(int(file.name[:4]), file.read_text(encoding="utf-8")) for file in found if file.name.endswith(".sql")]


def statements(migration: str, *, bytes_type: str, number_type: str) -> list[str]:
    """The statements of a migration with the database's own names for BYTES and NUMBER."""
    plain = "\n".join(line.partition("--")[0] for line in migration.splitlines())
    spelled = plain.replace(" BYTES", f" {bytes_type}").replace(" NUMBER", f" {number_type}")
    return [statement for part in spelled.split(";") if (statement := part.strip())]


def pending(version: int) -> list[tuple[int, str]]:
    """The migrations after `version`. Raises StoreError where the store is newer than this program."""
    known = migrations()
    if version > known[-1][0]:
        raise StoreError(f"the store is of version {version}, this program knows {known[-1][0]}: use a newer one")
    return [(number, text) for number, text in known if number > version]
