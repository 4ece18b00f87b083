"""A few figures of the open store, read by its own writer: that they come at all proves that the writer works."""

from __future__ import annotations

from dataclasses import dataclass

import aiosqlite

from edge_agent.store.database import Database, one_value


@dataclass(frozen=True, slots=True)
class Figures:
    """Open reviews; bytes of pages in use and the most there may be (`buffer.max_size`)."""

    open_reviews: int
    used_bytes: int
    cap_bytes: int


async def read_figures(database: Database) -> Figures:
    """Read them in a transaction of their own, behind whatever waits for the writer.

    Raises:
        StoreError: SQLite refuses.
    """

    async def work(connection: aiosqlite.Connection) -> Figures:
        reviews = await one_value(connection, "SELECT count(*) FROM review WHERE status = 'open'")
        page, pages, free, most = [
            int(await one_value(connection, f"PRAGMA {name}"))
            for name in ("page_size", "page_count", "freelist_count", "max_page_count")
        ]
        return Figures(int(reviews), (pages - free) * page, most * page)

    return await database.transaction(work)
