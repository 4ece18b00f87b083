"""What receivers say they hold of a rule's epoch: how far a lost store had got (reliability.md, invariant 13)."""

from __future__ import annotations

from collections.abc import Mapping

from edge_agent.store.connection import Connection
from edge_agent.store.database import Database
from edge_agent.store.rows import checked, row_hash, wide

_COLUMNS = "system, rule, epoch, position, hash"
_PUT = f"INSERT OR REPLACE INTO statement ({_COLUMNS}) VALUES (?, ?, ?, ?, ?)"  # noqa: S608 - fixed text

Statements = Mapping[str, Mapping[tuple[str, int], int]]
"""By system: the highest position by (rule, epoch), in raw units of the rule's signal."""


class StatementBook:
    """Keeps the newest statement of each system; an older one of the same rule and epoch is replaced."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, system: str, held: Mapping[tuple[str, int], int]) -> None:
        """Keep what `system` says."""
        said = [(system, rule, epoch, wide(position)) for (rule, epoch), position in held.items()]
        rows = [(*columns, row_hash(*columns)) for columns in said]

        async def work(connection: Connection) -> None:
            await connection.run_all([(_PUT, rows)])

        await self._database.transaction(work)

    async def read(self) -> Statements:
        """All of them. Raises StoreCorrupt where a row does not match its hash."""

        async def work(connection: Connection) -> Statements:
            found: dict[str, dict[tuple[str, int], int]] = {}
            async with connection.execute(f"SELECT {_COLUMNS} FROM statement") as cursor:  # noqa: S608 - fixed text
                async for *columns, digest in cursor:
                    checked(f"statement of {columns[0]} on {columns[1]}", tuple(columns), digest)
                    system, rule, epoch, position = columns
                    found.setdefault(system, {})[rule, epoch] = int(position)
            return found

        return await self._database.transaction(work)
