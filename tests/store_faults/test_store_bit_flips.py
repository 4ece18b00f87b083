"""A flipped bit that changes a value read never goes unnoticed (reliability.md, invariant 12)."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_agent.clock import ManualClock
from edge_agent.errors import StoreCorrupt, StoreError
from edge_agent.model.outcome import Outcome
from edge_agent.store.audit import Audit
from edge_agent.store.checkpoint import Checkpoint
from edge_agent.store.database import Database
from edge_agent.store.ledger import Ledger
from edge_agent.store.outbox import Outbox
from edge_agent.store.reader import open_reader
from edge_agent.store.unit_of_work import UnitOfWork
from tests.store_faults.conftest import STREAMS
from tests.store_faults.outcomes import (
    NOON,
    SideFile,
    confirmed,
    counted,
    decided,
    doubted,
    gap,
    opened,
    render,
    review,
    tampering,
)

FLIPS = 300


async def everything(path: Path) -> dict[str, Any]:
    """Every value that the agent or its people read from the store; raises StoreError where something is amiss."""
    database = await opened(path)
    try:
        return await _read(database, path)
    finally:
        await database.close()


async def _read(database: Database, path: Path) -> dict[str, Any]:
    outbox = Outbox(database, STREAMS)
    await outbox.load()
    found: dict[str, Any] = {"restored": database.restored, "state": await Checkpoint(database).load()}
    for stream in STREAMS:
        found[stream] = (
            outbox.head(stream),
            outbox.delivered(stream),
            await outbox.unsent(stream, outbox.delivered(stream), 10_000),
            (await outbox.replay(outbox.source(stream), 1, 10_000, 10_000)).events,
        )
    found["imbalances"] = await Ledger(database).identity()
    with open_reader(path) as reader:
        broken = reader.audit().broken
        found["audit"] = None if broken is None else broken.sequence
        found["people"] = (reader.totals(), reader.pending(), reader.reviews(everything=True), reader.gaps())
        found["streams"] = reader.streams()
    return found


@pytest.fixture
async def used(path: Path) -> Path:
    """A store with something in every table, closed."""
    database = await opened(path)
    outbox, unit_of_work = Outbox(database, STREAMS), UnitOfWork(database)
    await outbox.load()
    await unit_of_work.commit(counted(0, 1, 9), render, NOON)
    await unit_of_work.commit(doubted(review()), render, NOON)
    await unit_of_work.commit(decided(review()), render, NOON)
    await unit_of_work.commit(Outcome(gaps=[gap()], changed=counted(30).changed), render, NOON)
    for number in (1, 2, 3):
        await unit_of_work.commit(confirmed(number), render, NOON)
    await unit_of_work.commit(counted(0, *[1] * 30, stream="bulk", rule="caps"), render, NOON)
    await outbox.anchor()
    await outbox.mark({"bulk": 5, "routine": 1})
    await Audit(database, ManualClock(NOON)).append("Ada", "looked", {"at": "everything"})
    await database.close()
    return path


_COLUMNS = [
    ("checkpoint", "body", "checkpoint of rule"),
    ("checkpoint", "name", "checkpoint of rule"),
    ("checkpoint", "kind", "checkpoint of"),
    ("stream", "head", "stream urn:edgeagent"),
    ("stream", "head_hash", "stream urn:edgeagent"),
    ("stream", "source", "stream"),
    ("delivery", "delivered", "delivery of urn:edgeagent"),
    ("event", "payload", "event"),
    ("event", "topic", "event"),
    ("event", "type", "event"),
    ("event", "id", "event"),
    ("event", "recorded", "event"),
    ("line", "quantity", "line"),
    ("line", "state", "line"),
    ("line", "total_key", "line"),
    ("line", "review", "line"),
    ("review", "body", "review bottles_made/1/1"),
    ("review", "event_id", "review bottles_made/1/1"),
    ("review", "candidate", "review bottles_made/1/1"),
    ("review", "decided_by", "review bottles_made/1/1"),
    ("gap", "maximum", "gap bottles_made/gap/1"),
    ("gap", "total_key", "gap bottles_made/gap/1"),
]


@pytest.mark.parametrize(("table", "column", "named"), _COLUMNS)
async def test_an_altered_column_is_noticed_and_its_row_named(used: Path, table: str, column: str, named: str) -> None:
    with tampering(used) as connection:
        rows = connection.execute(f"SELECT count(*) FROM {table} WHERE {column} IS NOT NULL").fetchone()[0]
        assert rows
        connection.execute(
            f"UPDATE {table} SET {column} = CASE typeof({column})"
            f" WHEN 'integer' THEN {column} + 1 WHEN 'blob' THEN CAST('x' || {column} AS BLOB)"
            f" ELSE 'x' || {column} END"
            f" WHERE {column} = (SELECT {column} FROM {table} WHERE {column} IS NOT NULL LIMIT 1)"
        )

    with pytest.raises(StoreCorrupt, match=named):
        await everything(used)


@pytest.mark.parametrize("column", ["at", "who", "action", "detail", "prevhash", "hash"])
async def test_an_altered_audit_entry_breaks_the_chain_there(used: Path, column: str) -> None:
    with tampering(used) as connection:
        connection.execute(f"UPDATE audit SET {column} = 'x' || {column} WHERE sequence = 1")

    assert (await everything(used))["audit"] == 1


async def test_a_removed_audit_entry_breaks_the_chain(used: Path) -> None:
    with tampering(used) as connection:
        connection.execute("DELETE FROM audit WHERE sequence = 1")

    assert (await everything(used))["audit"] == 1


async def test_text_that_is_no_longer_utf8_names_its_row(used: Path) -> None:
    with tampering(used) as connection:
        connection.execute("UPDATE event SET topic = CAST(x'6dff74' AS TEXT) WHERE sequence = 2 AND stream = 2")

    with pytest.raises(StoreCorrupt, match=r"event 2 of urn:edgeagent:\S+:routine"):
        await everything(used)


async def test_random_bits_of_the_file_never_change_a_value_unnoticed(
    used: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Any one bit of the database file: an error, the identity broken, or every value as it was."""
    truth = await everything(used)
    content = SideFile(used).content()
    generator, outcomes = random.Random(7), Counter[str]()
    victim = tmp_path / "flipped" / used.name
    victim.parent.mkdir()
    for _ in range(FLIPS):
        at = generator.randrange(len(content) * 8)
        spoilt = bytearray(content)
        spoilt[at // 8] ^= 1 << (at % 8)
        _lay_out(used, victim, bytes(spoilt))
        try:
            found = await everything(victim)
        except StoreError:
            outcomes["refused"] += 1
            continue
        if found == truth:
            outcomes["harmless"] += 1
        elif found["imbalances"] or found["audit"] is not None or found["restored"]:
            outcomes["reported"] += 1
        else:
            pytest.fail(f"bit {at} changed what is read, and nobody noticed: {_difference(truth, found)}")
    record_property("flips", dict(outcomes))
    assert outcomes["refused"] > 0


def _lay_out(used: Path, victim: Path, content: bytes) -> None:
    """A directory with the spoilt database and the anchor as it was, nothing else."""
    shutil.rmtree(victim.parent)
    victim.parent.mkdir()
    victim.write_bytes(content)
    shutil.copy(used.with_name(used.name + ".anchor"), victim.with_name(victim.name + ".anchor"))


def _difference(truth: dict[str, Any], found: dict[str, Any]) -> str:
    return "; ".join(f"{name}: {truth[name]} became {found[name]}" for name in truth if truth[name] != found[name])
