"""The receiver kit: events received, posted and answered for, beside sqlite3's executemany of the rows it keeps."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from benchmarks.inputs import outcomes
from benchmarks.plant import Plant
from benchmarks.processes import BenchmarkError
from benchmarks.report import Result, figures, ratio
from benchmarks.scale import Scale, seconds
from edge_agent import __version__
from edge_agent.clock import SystemClock
from edge_agent.derivation.engine import Engine
from edge_agent.model.event import StoredEvent
from edge_agent.publishing.encoding import Renderer
from edge_agent.store.reader import DATABASE_NAME
from edge_agent.store.restore import open_store
from edge_agent.store.unit_of_work import UnitOfWork
from edge_agent_receiver import Accepted
from edge_agent_receiver.inbox import Inbox
from edge_agent_receiver.store.sqlite import SqliteStore
from edge_agent_receiver.timing import Timing

NAME = "receives"
TITLE = "events received, posted and answered for by the receiver kit over SQLite (WAL, synchronous=FULL)"

_RAW = "sqlite3 executemany, the rows it keeps"
_CUMULATIVE = "inbox, cumulative answers"
_SINGLE = "inbox, an answer for each event"
_BATCH = 200
"""Events of a transaction, on both sides."""
_NOW = 1_740_000_000.0

Rows = dict[str, list[tuple[object, ...]]]


def run(scale: Scale) -> Result:
    """The agent's own events, in the order in which they come."""
    tags, groups = scale.of(200, 5), scale.of(20, 4)
    with scale.scratch() as folder:
        events = asyncio.run(_events(folder, tags, groups))
    rounds = []
    for _ in range(scale.repeats):
        with scale.scratch() as folder:
            cumulative = _receive(folder / "a.db", events, None)
            single = _receive(folder / "b.db", events, "D1")
            raw = _insert(folder / "c.db", folder / "a.db", len(events))
        count = len(events)
        rounds.append({_RAW: count / raw, _CUMULATIVE: count / cumulative, _SINGLE: count / single})
    found = figures(dict.fromkeys((_RAW, _CUMULATIVE, _SINGLE), "events/s"), rounds)
    ratios = [
        ratio(f"{name} / executemany", found[side], found[_RAW])
        for name, side in (("cumulative", _CUMULATIVE), ("single", _SINGLE))
    ]
    note = f"{len(events)} events of one stream in batches of {_BATCH}, posting itself costs nothing here"
    return Result(NAME, TITLE, (*found.values(), *ratios), notes=(note,))


async def _events(folder: Path, tags: int, groups: int) -> list[StoredEvent]:
    """What an agent publishes of one stream."""
    tag_map = Plant(tags, send="at-once").load(folder)
    clock, renderer = SystemClock(), Renderer(tag_map, __version__)
    database = await open_store(folder / DATABASE_NAME, agent="bench", max_size=1 << 32, now=clock.now())
    try:
        unit = UnitOfWork(database)
        made = outcomes(Engine(tag_map), tags, groups)
        return [event for one in made for event in await unit.commit(one, renderer.render, clock.now().wall)]
    finally:
        await database.close()


def _receive(path: Path, events: Sequence[StoredEvent], document: str | None) -> float:
    """Seconds until all are received, posted and answered for; `document` makes an answer of its own of each."""
    with closing(SqliteStore(path)) as store:
        inbox = Inbox(store, "erp", run="bench001", now=_NOW, timing=Timing(hello=0))
        posted = 0

        def receive() -> None:
            nonlocal posted
            for start in range(0, len(events), _BATCH):
                inbox.receive_all([(one.topic, one.payload) for one in events[start : start + _BATCH]], _NOW)
                while ready := inbox.offer(_NOW, _BATCH):
                    inbox.settle([(event, Accepted(document)) for event in ready], _NOW)
                    posted += len(ready)
                inbox.step(_NOW)

        took = seconds(receive)
    if posted != len(events):
        raise BenchmarkError(f"{posted} of {len(events)} events were posted")
    return took


def _insert(target: Path, source: Path, events: int) -> float:
    """Seconds to write the rows of the inbox `source` into tables of the same schema, in as many transactions."""
    with closing(sqlite3.connect(source)) as written:
        schema = [sql for (sql,) in written.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")]
        tables = [name for (name,) in written.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows: Rows = {table: written.execute(f"SELECT * FROM {table}").fetchall() for table in tables}
    with closing(sqlite3.connect(target, isolation_level=None)) as fresh:
        fresh.execute("PRAGMA journal_mode = wal")
        fresh.execute("PRAGMA synchronous = FULL")
        for sql in schema:
            fresh.execute(sql)
        return seconds(partial(_write, fresh, {name: found for name, found in rows.items() if found}, events))


def _write(fresh: sqlite3.Connection, rows: Rows, events: int) -> None:
    for start in range(0, events, _BATCH):
        fresh.execute("BEGIN IMMEDIATE")
        for table, found in rows.items():
            part = slice(start * len(found) // events, min(start + _BATCH, events) * len(found) // events)
            marks = ", ".join("?" * len(found[0]))
            fresh.executemany(f"INSERT INTO {table} VALUES ({marks})", found[part])
        fresh.execute("COMMIT")
