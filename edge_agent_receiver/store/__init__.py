"""Where the inbox is kept: SQLite by default, PostgreSQL for a plant; which one, the URL says."""

from __future__ import annotations

from contextlib import AbstractContextManager
from importlib import import_module
from typing import Any, Protocol

from edge_agent_receiver.store.port import Db, Store, StoreError, StoreInUse
from edge_agent_receiver.store.sqlite import SqliteReader, SqliteStore

__all__ = ["Db", "Reader", "Store", "StoreError", "StoreInUse", "open_reader", "open_store"]

_POSTGRESQL = ("postgresql://", "postgres://")


class Reader(Protocol):
    """A store that is only read."""

    def transaction(self) -> AbstractContextManager[Db]:
        """Everything read in the block is of one moment."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


def open_store(url: str) -> Store:
    """The store at `url`: `postgresql://…`, else the path of an SQLite file. Raises StoreError, StoreInUse."""
    if url.startswith(_POSTGRESQL):
        store: Store = _postgresql().PostgresStore(url)
        return store
    return SqliteStore(url)


def open_reader(url: str) -> Reader:
    """The store at `url`, to be read beside a receiver that runs. Raises StoreError."""
    if url.startswith(_POSTGRESQL):
        reader: Reader = _postgresql().PostgresReader(url)
        return reader
    return SqliteReader(url)


def _postgresql() -> Any:
    """psycopg is wanted only by those who keep their inbox in PostgreSQL."""
    try:
        return import_module("edge_agent_receiver.store.postgresql")
    except ModuleNotFoundError as error:
        raise StoreError("psycopg is missing: pip install 'ot-edge-agent[postgresql]'") from error
