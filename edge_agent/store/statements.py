"""What receivers say they hold of a rule's epoch: how far a lost store had got (reliability.md, invariant 13)."""

from __future__ import annotations

from collections.abc import Mapping

from edge_agent.store.connection import Connection
from edge_agent.store.database import Database
from edge_agent.store.rows import wide

_PUT = "INSERT OR REPLACE INTO statement (system, rule, epoch, position) VALUES (?, ?, ?, ?)"

Statements = Mapping[str, Mapping[tuple[str, int], int]]
"""By system: the highest position by (rule, epoch), in raw units of the rule's signal."""


class StatementBook:
    """Keeps the newest statement of each system; an older one of the same rule and epoch is replaced."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, system: str, held: Mapping[tuple[str, int], int]) -> None:
        """Keep what `system` says."""
        rows = [(system, rule, epoch, wide(position)) for (rule, epoch), position in held.items()]

        async def work(connection: Connection) -> None:
            await connection.run_all([(_PUT, rows)])

        await self._database.transaction(work)

    async def read(self) -> Statements:
        """All of them."""

        async def work(connection: Connection) -> Statements:
            found: dict[str, dict[tuple[str, int], int]] = {}
            async with connection.execute("SELECT system, rule, epoch, position FROM statement") as cursor:
                async for system, rule, epoch, position in cursor:
                    found.setdefault(system, {})[rule, epoch] = int(position)
            return found

        return await self._database.transaction(work)
