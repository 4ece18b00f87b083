"""What MES and SCADA have said already: context by its nonce, movements by their natural key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from pydantic import TypeAdapter

from edge_agent.model.message import Answered, Nonce
from edge_agent.store.connection import Connection, Statement
from edge_agent.store.database import Database, one_value
from edge_agent.store.rows import to_text

_ANSWERED: TypeAdapter[Answered] = TypeAdapter(Answered)


def statements(nonces: Sequence[Nonce], now: datetime) -> Iterable[Statement]:
    """Remember these, and forget what has expired by `now`.

    They share their table with those of receiving systems, whose names have no slash in them.
    """
    if not nonces:
        return
    yield "DELETE FROM nonce WHERE expires < ?", [(to_text(now),)]
    sql = "INSERT INTO nonce (system, nonce, digest, expires) VALUES (?, ?, ?, ?)"
    yield sql, [(f"cmd/{one.command}", one.nonce, one.digest, to_text(one.expires)) for one in nonces]


class MessageBook:
    """The running agent's view: both are written together with what the message led to."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def nonce(self, command: str, nonce: str) -> str | None:
        """The digest of the message that was taken under that nonce; None where there was none."""

        async def work(connection: Connection) -> str | None:
            sql = "SELECT digest FROM nonce WHERE system = ? AND nonce = ?"
            found = await one_value(connection, sql, (f"cmd/{command}", nonce))
            return None if found is None else str(found)

        return await self._database.transaction(work)

    async def answered(self, keys: Iterable[str]) -> Answered | None:
        """What the confirmation with the first of these natural keys that is known was answered."""

        async def work(connection: Connection) -> Answered | None:
            for key in keys:
                content = await one_value(connection, "SELECT content FROM natural_key WHERE key = ?", (key,))
                if content is not None:
                    return _ANSWERED.validate_json(content)
            return None

        return await self._database.transaction(work)
