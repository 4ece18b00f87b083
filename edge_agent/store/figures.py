"""A few figures of the open store, read by its own writer: that they come at all proves that the writer works."""

from __future__ import annotations

from dataclasses import dataclass

import aiosqlite

from edge_agent.store.answers import NOT_FINAL
from edge_agent.store.database import Database, one_value

_OPEN = (
    "SELECT count(*) FROM review WHERE status = 'open'",
    f"SELECT count(*) FROM answer WHERE {NOT_FINAL} AND status = 'rejected'",  # noqa: S608 - fixed text
    "SELECT count(*) FROM dead WHERE status = 'open'",
)


@dataclass(frozen=True, slots=True)
class Figures:
    """Open reviews and dead letters; bytes of pages in use and the most there may be (`buffer.max_size`)."""

    open_reviews: int
    rejected: int
    unpublishable: int
    used_bytes: int
    cap_bytes: int


async def read_figures(database: Database) -> Figures:
    """Read them in a transaction of their own, behind whatever waits for the writer.

    Raises:
        StoreError: SQLite refuses.
    """

    async def work(connection: aiosqlite.Connection) -> Figures:
        reviews, rejected, unpublishable = [int(await one_value(connection, sql)) for sql in _OPEN]
        page, pages, free, most = [
            int(await one_value(connection, f"PRAGMA {name}"))
            for name in ("page_size", "page_count", "freelist_count", "max_page_count")
        ]
        return Figures(reviews, rejected, unpublishable, (pages - free) * page, most * page)

    return await database.transaction(work)
