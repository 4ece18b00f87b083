"""Durable inserts: the store's unit of work beside sqlite3's executemany of the very rows it wrote."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from benchmarks.inputs import outcomes
from benchmarks.plant import Plant
from benchmarks.report import Result, figures, ratio
from benchmarks.scale import Scale, seconds, settle
from edge_agent import __version__
from edge_agent.clock import SystemClock
from edge_agent.derivation.engine import Engine
from edge_agent.model.event import EventDraft, Place, Render, Rendered
from edge_agent.model.outcome import Outcome
from edge_agent.publishing.encoding import Renderer
from edge_agent.store.reader import DATABASE_NAME
from edge_agent.store.restore import open_store
from edge_agent.store.unit_of_work import UnitOfWork

NAME = "inserts"
TITLE = "durable commits (WAL, synchronous=FULL): state, ledger and events of one group in one transaction"

_RAW = "sqlite3 executemany, the same rows"
_STORE = "unit of work, bytes made before"
_WHOLE = "unit of work with rendering"
_TABLES = ("event", "line", "epoch", "checkpoint")

Rows = dict[str, list[tuple[object, ...]]]


def run(scale: Scale) -> Result:
    """Groups of events, one per rule, as `at-once` cuts them."""
    tags, groups = scale.of(200, 5), scale.of(50, 4)
    with scale.scratch() as folder:
        tag_map = Plant(tags, send="at-once").load(folder)
    made = list(outcomes(Engine(tag_map), tags, groups))
    renderer = Renderer(tag_map, __version__)
    rounds = []
    for _ in range(scale.repeats):
        with scale.scratch() as folder:
            ready = _Remembered(renderer.render)
            for name in ("a", "b"):
                (folder / name).mkdir()
            whole = asyncio.run(_commit(folder / "a", made, ready.record))
            stored = asyncio.run(_commit(folder / "b", made, ready.repeat))
            raw = _insert(folder / "c.db", folder / "b" / DATABASE_NAME, tags)
        events = tags * groups
        rounds.append({_RAW: events / raw, _STORE: events / stored, _WHOLE: events / whole})
    found = figures(dict.fromkeys((_RAW, _STORE, _WHOLE), "events/s"), rounds)
    over = ratio("store / executemany", found[_STORE], found[_RAW])
    all_in = ratio("store with rendering / executemany", found[_WHOLE], found[_RAW])
    note = f"groups of {tags} events, each with its ledger line, epoch and state row: 4 rows and about 2 kB an event"
    return Result(NAME, TITLE, (*found.values(), over, all_in), notes=(note,))


class _Remembered:
    """A renderer's bytes, made once and used again: takes rendering out of the second measurement."""

    def __init__(self, render: Render) -> None:
        self._render = render
        self._known: dict[tuple[str, int], Rendered] = {}

    def record(self, draft: EventDraft, place: Place) -> Rendered:
        made = self._known[draft.stream, place.sequence] = self._render(draft, place)
        return made

    def repeat(self, draft: EventDraft, place: Place) -> Rendered:
        return self._known[draft.stream, place.sequence]


async def _commit(folder: Path, made: Sequence[Outcome], render: Render) -> float:
    """Seconds for all groups but the first, which begins the session."""
    clock = SystemClock()
    database = await open_store(folder / DATABASE_NAME, agent="bench", max_size=1 << 32, now=clock.now())
    try:
        unit_of_work = UnitOfWork(database)
        await unit_of_work.commit(made[0], render, clock.now().wall)
        settle()
        began = time.perf_counter()
        for outcome in made[1:]:
            await unit_of_work.commit(outcome, render, clock.now().wall)
        return time.perf_counter() - began
    finally:
        await database.close()


def _insert(target: Path, source: Path, group: int) -> float:
    """Seconds to write the event, line, epoch and state rows of `source` into a database of the same schema."""
    with closing(sqlite3.connect(source)) as written:
        schema = [sql for (sql,) in written.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")]
        rows: Rows = {table: written.execute(f"SELECT * FROM {table}").fetchall() for table in _TABLES}
        streams = written.execute("SELECT * FROM stream").fetchall()
    with closing(sqlite3.connect(target, isolation_level=None)) as fresh:
        fresh.execute("PRAGMA journal_mode = wal")
        fresh.execute("PRAGMA synchronous = FULL")
        for sql in schema:
            if not sql.startswith("CREATE TRIGGER") and "sqlite_sequence" not in sql:
                fresh.execute(sql)
        fresh.executemany(_into("stream", streams), streams)
        return seconds(lambda: _write(fresh, rows, group))


def _write(fresh: sqlite3.Connection, rows: Rows, group: int) -> None:
    statements = {table: _into(table, rows[table]) for table in _TABLES}
    for start in range(0, len(rows["event"]), group):
        fresh.execute("BEGIN IMMEDIATE")
        for table, sql in statements.items():
            count = len(rows[table])
            fresh.executemany(sql, [rows[table][at % count] for at in range(start, start + group)])
        fresh.execute("COMMIT")


def _into(table: str, rows: Sequence[tuple[object, ...]]) -> str:
    return f"INSERT OR REPLACE INTO {table} VALUES ({', '.join('?' * len(rows[0]))})"
