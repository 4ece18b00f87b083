"""aiosqlite's connection with one call for many statements: each call costs two changes of thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import aiosqlite

Statement = tuple[str, Sequence[tuple[Any, ...]]]
"""SQL, and the rows to run it for."""


class Connection(aiosqlite.Connection):
    """The writer's connection."""

    async def run_all(self, statements: Sequence[Statement]) -> None:
        """Run each statement for each of its rows, in order. Raises sqlite3.Error."""
        await self._execute(_run_all, self._conn, statements)  # type: ignore[no-untyped-call]  # aiosqlite leaves it unannotated


def _run_all(connection: sqlite3.Connection, statements: Sequence[Statement]) -> None:
    for sql, rows in statements:
        if rows:
            connection.executemany(sql, rows)
