"""The derivation's memory as rows: one per rule, order tag, source, cadence, epoch tag; each with its hash."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import aiosqlite
from pydantic import TypeAdapter

from edge_agent.errors import StoreCorrupt
from edge_agent.model.reading import TagRef
from edge_agent.model.state import (
    CadenceState,
    CounterState,
    HandshakeState,
    OrderState,
    RuleState,
    SourceState,
    State,
    TagState,
)
from edge_agent.store.database import Database
from edge_agent.store.rows import row_hash

_UPSERT = "INSERT OR REPLACE INTO checkpoint (kind, name, body, hash) VALUES (?, ?, ?, ?)"

_CODECS: dict[str, TypeAdapter[Any]] = {
    "rule": TypeAdapter(RuleState),
    "order": TypeAdapter(OrderState),
    "source": TypeAdapter(SourceState),
    "cadence": TypeAdapter(CadenceState),
    "tag": TypeAdapter(TagState),
}


class Checkpoint:
    """Reads the state back; the unit of work writes it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self) -> State:
        """Everything remembered.

        Raises:
            StoreCorrupt: a row does not match its hash or cannot be read.
        """
        return await self._database.transaction(_load)


def rows(state: State) -> Iterator[tuple[str, str, str, bytes]]:
    """The rows that hold `state`."""
    yield from _encoded("rule", state.rules.items(), str)
    yield from _encoded("order", state.orders.items(), str)
    yield from _encoded("source", state.sources.items(), str)
    yield from _encoded("cadence", state.cadences.items(), str)
    yield from _encoded("tag", state.tags.items(), str)


async def write(connection: aiosqlite.Connection, state: State) -> None:
    """Store the rows of `state`, which are only those that changed."""
    await connection.executemany(_UPSERT, list(rows(state)))


async def mark_restored(connection: aiosqlite.Connection) -> None:
    """Mark every rule: what ran between the restored baseline and now is not booked by itself (invariant 13)."""
    state = await _load(connection)
    for name, rule in state.rules.items():
        if isinstance(rule.signal, CounterState | HandshakeState):
            state.rules[name] = replace(rule, signal=replace(rule.signal, restored=True))
    await write(connection, State(rules=state.rules))


async def _load(connection: aiosqlite.Connection) -> State:
    found: dict[str, dict[str, Any]] = {kind: {} for kind in _CODECS}
    async with connection.execute("SELECT kind, name, body, hash FROM checkpoint") as cursor:
        async for kind, name, body, digest in cursor:
            if digest != row_hash(kind, name, body) or kind not in _CODECS:
                msg = f"checkpoint of {kind} {name} does not match its hash; restore the database from a backup"
                raise StoreCorrupt(msg)
            found[kind][name] = _CODECS[kind].validate_json(body)
    return State(
        found["rule"],
        {_tag(name): value for name, value in found["order"].items()},
        found["source"],
        found["cadence"],
        {_tag(name): value for name, value in found["tag"].items()},
    )


def _encoded(kind: str, items: Any, name_of: Callable[[Any], str]) -> Iterator[tuple[str, str, str, bytes]]:
    dump = _CODECS[kind].dump_json
    for key, value in items:
        name, body = name_of(key), dump(value).decode()
        yield kind, name, body, row_hash(kind, name, body)


def _tag(name: str) -> TagRef:
    source, _, tag = name.partition(".")
    return TagRef(source, tag)
