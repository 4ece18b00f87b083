"""`audit verify|export`: every kind of damage to the log is found at its very place, and none in a whole one."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import pytest_asyncio

from edge_agent.errors import StoreError
from edge_agent.store.audit_trail import Entry
from edge_agent.store.reader import open_reader
from edge_agent.store.rows import row_hash
from tests.cli.shop import Shop, run, run_json
from tests.store_faults.outcomes import tampering

COLUMNS = ("sequence", "at", "who", "action", "detail", "prevhash", "hash")
PAGE = 4096
FLIPS = 1500
LAST = 7
"""Six entries and the one that says that the store was created."""


@pytest_asyncio.fixture
async def logged(shop: Shop) -> AsyncIterator[Shop]:
    """A log of seven entries in a store that nobody has open."""
    await shop.audited(LAST - 1)
    await shop.database.close()
    yield shop


def damage(shop: Shop, *statements: str) -> None:
    with tampering(shop.path) as connection:
        for sql in statements:
            connection.execute(sql)


def rows(shop: Shop) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(shop.path)
    found = connection.execute(f"SELECT {', '.join(COLUMNS)} FROM audit ORDER BY sequence").fetchall()
    connection.close()
    return found


async def broken(shop: Shop, *more: object) -> tuple[int, str]:
    found = await run_json("audit", "verify", *more, "--data", shop.data, code=1)
    return found["break"]["sequence"], found["break"]["kind"]


async def exported(shop: Shop, *more: object) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    result = await run("audit", "export", *more, "--data", shop.data)
    *entries, last = map(json.loads, result.stdout.splitlines())
    return entries, last["sealed"]


async def export_file(shop: Shop, name: str = "audit.jsonl") -> Path:
    file = shop.data / name
    assert (await run("audit", "export", file, "--data", shop.data)).exit_code == 0
    return file


async def test_a_whole_log_is_unbroken(logged: Shop) -> None:
    found = await run_json("audit", "verify", "--data", logged.data)
    head = rows(logged)[-1]
    assert found == {"entries": LAST, "head": {"sequence": LAST, "hash": head[-1]}, "break": None}
    text = await run("audit", "verify", "--data", logged.data)
    assert (text.exit_code, text.stdout) == (0, f"7 entries, unbroken; the head is 7 {head[-1]}\n")


async def test_an_empty_log_is_unbroken(logged: Shop) -> None:
    damage(logged, "DELETE FROM audit")
    assert (await run_json("audit", "verify", "--data", logged.data))["entries"] == 0
    entries, seal = await exported(logged)
    assert (entries, seal["head"]) == ([], {"sequence": 0, "hash": "0" * 64})


@pytest.mark.parametrize("column", ["at", "who", "action", "detail", "hash"])
@pytest.mark.parametrize("sequence", [1, 4, LAST])
async def test_a_flipped_bit_is_found_in_its_entry(logged: Shop, column: str, sequence: int) -> None:
    old = str(rows(logged)[sequence - 1][COLUMNS.index(column)])
    new = old[:-1] + chr(ord(old[-1]) ^ 1)
    damage(logged, f"UPDATE audit SET {column} = '{new}' WHERE sequence = {sequence}")
    found = await run_json("audit", "verify", "--data", logged.data, code=1)
    assert (found["entries"], found["break"]["sequence"], found["break"]["kind"]) == (sequence - 1, sequence, "hash")
    assert found["break"]["entry"][column] == new


async def test_a_flipped_bit_in_prevhash(logged: Shop) -> None:
    damage(logged, "UPDATE audit SET prevhash = 'x' || substr(prevhash, 2) WHERE sequence = 4")
    assert await broken(logged) == (4, "prevhash")


async def test_a_flipped_bit_in_a_sequence(logged: Shop) -> None:
    damage(logged, "UPDATE audit SET sequence = 4 + 64 WHERE sequence = 4")
    assert await broken(logged) == (4, "missing")
    damage(logged, "UPDATE audit SET sequence = 3 + 64 WHERE sequence = 3", "DELETE FROM audit WHERE sequence = 68")
    assert await broken(logged) == (3, "missing")


@pytest.mark.parametrize("place", [-1, 0])
async def test_an_entry_before_the_first(logged: Shop, place: int) -> None:
    damage(logged, f"UPDATE audit SET sequence = {place} WHERE sequence = 4")
    assert await broken(logged) == (1, "order")


async def test_bytes_that_are_no_text(logged: Shop) -> None:
    damage(logged, "UPDATE audit SET who = CAST(x'ff80' AS TEXT) WHERE sequence = 2")
    assert await broken(logged) == (2, "hash")
    text = (await run("audit", "verify", "--data", logged.data)).stdout
    assert r"who: \udcff\udc80" in text


@pytest.mark.parametrize("sequence", [1, 4, LAST - 1])
async def test_a_deleted_entry_is_missing(logged: Shop, sequence: int) -> None:
    damage(logged, f"DELETE FROM audit WHERE sequence = {sequence}")
    assert await broken(logged) == (sequence, "missing")


async def test_several_deleted_entries_are_counted(logged: Shop) -> None:
    damage(logged, "DELETE FROM audit WHERE sequence IN (3, 4, 5)")
    text = await run("audit", "verify", "--data", logged.data)
    assert (text.exit_code, text.stdout.splitlines()[0]) == (1, "broken at entry 3 (missing): 3 to 5 is not in the log")
    assert "  who: uid 4" in text.stdout.splitlines()


async def test_swapped_entries_are_out_of_order(logged: Shop) -> None:
    third, fifth = rows(logged)[2], rows(logged)[4]
    swap = "UPDATE audit SET at = ?, who = ?, action = ?, detail = ?, prevhash = ?, hash = ? WHERE sequence = ?"
    with tampering(logged.path) as connection:
        connection.execute(swap, (*third[1:], 5))
        connection.execute(swap, (*fifth[1:], 3))
    found = await run_json("audit", "verify", "--data", logged.data, code=1)
    assert (found["break"]["sequence"], found["break"]["kind"]) == (3, "order")
    assert found["break"]["message"] == "here lies entry 5 under the number 3"


async def test_an_entry_that_was_forged_breaks_at_the_next(logged: Shop) -> None:
    columns = [*rows(logged)[3][:-1]]
    columns[2] = "uid 0"
    forged = row_hash(*columns).hex()
    damage(logged, f"UPDATE audit SET who = 'uid 0', hash = '{forged}' WHERE sequence = 4")
    assert await broken(logged) == (5, "prevhash")


async def test_a_truncated_log_looks_whole_but_not_against_an_export(logged: Shop) -> None:
    former = await export_file(logged)
    damage(logged, f"DELETE FROM audit WHERE sequence > {LAST - 2}")
    assert (await run("audit", "verify", "--data", logged.data)).exit_code == 0
    assert await broken(logged, "--against", former) == (LAST - 1, "missing")
    text = (await run("audit", "verify", "--against", former, "--data", logged.data)).stdout
    assert "the export goes up to entry 7, the log to 5" in text


async def test_a_log_that_was_rewritten_whole_is_another_one(logged: Shop) -> None:
    former, before = await export_file(logged), "0" * 64
    part = logged.data / "part.jsonl"
    assert (await run("audit", "export", part, "--since", "2026-03-02T12:00", "--data", logged.data)).exit_code == 0
    with tampering(logged.path) as connection:
        for sequence, at, who, action, detail, _, _ in rows(logged):
            who_now = "nobody" if sequence == 3 else who
            digest = row_hash(sequence, at, who_now, action, detail, before).hex()
            values = (who_now, before, digest, sequence)
            connection.execute("UPDATE audit SET who = ?, prevhash = ?, hash = ? WHERE sequence = ?", values)
            before = digest
    assert (await run("audit", "verify", "--data", logged.data)).exit_code == 0
    assert await broken(logged, "--against", former) == (3, "rewritten")
    assert await broken(logged, "--against", part) == (6, "rewritten")


async def test_a_grown_log_still_holds_what_an_export_said(shop: Shop) -> None:
    await shop.audited(3)
    former = await export_file(shop)
    await shop.audited(3)
    assert (await run("audit", "verify", "--against", former, "--data", shop.data)).exit_code == 0
    later = await export_file(shop, "later.jsonl")
    assert later.read_bytes().startswith(b"".join(former.read_bytes().splitlines(keepends=True)[:-1]))


async def test_no_flipped_bit_of_the_file_goes_unnoticed(
    logged: Shop, record_property: Callable[[str, object], None]
) -> None:
    whole, random = bytearray(logged.path.read_bytes()), Random(7)
    pages = [at for at in range(0, len(whole), PAGE) if whole[at : at + PAGE].count(b"uid ") >= LAST - 1]
    with open_reader(logged.path) as reader:
        before, head = list(reader.audit_entries()[0]), (LAST, reader.audit().hash)
    hashes, found = [(entry.sequence, entry.hash) for entry in before], Counter[str]()
    for _ in range(FLIPS):
        at = random.choice(pages) + random.randrange(PAGE)
        whole[at] ^= (bit := 1 << random.randrange(8))
        logged.path.write_bytes(whole)
        whole[at] ^= bit
        found[_seen(logged.path, before, hashes, head)] += 1
    record_property("flipped bits", dict(found))
    assert pages
    assert found["unnoticed"] == 0
    assert found["hash"] > FLIPS / 50


def _seen(path: Path, before: list[Entry], hashes: list[tuple[int, str]], head: tuple[int, str]) -> str:
    """How a flipped bit was noticed: by which break, or that the file cannot be read; or that nothing has changed."""
    try:
        with open_reader(path) as reader:
            broken = reader.audit().broken or reader.audit_differs(hashes, head)
            after = list(reader.audit_entries()[0])
    except StoreError:
        return "unreadable"
    if broken is not None:
        return broken.kind
    return "of no effect" if after == before else "unnoticed"


async def test_an_export_is_sealed(logged: Shop) -> None:
    file = await export_file(logged)
    text = file.read_bytes()
    *lines, last = text.splitlines(keepends=True)
    seal = json.loads(last)["sealed"]
    assert [tuple(json.loads(line).values()) for line in lines] == rows(logged)
    assert seal == {
        "since": None,
        "entries": LAST,
        "head": {"sequence": LAST, "hash": rows(logged)[-1][-1]},
        "sha256": hashlib.sha256(b"".join(lines)).hexdigest(),
        "break": None,
    }
    assert (await run("audit", "export", "--data", logged.data)).stdout.encode() == text
    machine = await run_json("audit", "export", file, "--data", logged.data)
    assert machine == {"file": str(file), **seal}


@pytest.mark.parametrize(
    ("since", "sequences"),
    [
        ("2026-03-02", [1, 2, 3, 4, 5, 6, 7]),
        ("2026-03-02T11:00:00Z", [5, 6, 7]),
        ("2026-03-02T11:00", [5, 6, 7]),
        ("2026-03-02T12:00:00+01:00", [5, 6, 7]),
        ("2026-03-03", []),
    ],
)
async def test_an_export_since(logged: Shop, since: str, sequences: list[int]) -> None:
    entries, seal = await exported(logged, "--since", since)
    assert [entry["sequence"] for entry in entries] == sequences
    assert (seal["entries"], seal["head"]["sequence"]) == (len(sequences), LAST)
    file = logged.data / "part.jsonl"
    assert (await run("audit", "export", file, "--since", since, "--data", logged.data)).exit_code == 0
    assert (await run("audit", "verify", "--against", file, "--data", logged.data)).exit_code == 0


async def test_what_is_no_day_is_a_usage_error(logged: Shop) -> None:
    assert (await run("audit", "export", "--since", "yesterday", "--data", logged.data)).exit_code == 2


async def test_a_broken_log_is_exported_whole_and_said_to_be_broken(logged: Shop) -> None:
    damage(logged, "UPDATE audit SET who = 'x' WHERE sequence = 4")
    file = logged.data / "audit.jsonl"
    result = await run("audit", "export", file, "--data", logged.data)
    assert (result.exit_code, "the chain is broken at entry 4" in result.stderr) == (1, True)
    *lines, last = file.read_text().splitlines()
    assert len(lines) == LAST
    assert json.loads(last)["sealed"]["break"]["kind"] == "hash"
    damage(logged, "UPDATE audit SET who = 'uid 2' WHERE sequence = 4")
    result = await run("audit", "verify", "--against", file, "--data", logged.data)
    assert (result.exit_code, "proves nothing" in result.stderr) == (1, True)


async def test_an_export_that_was_changed_is_no_witness(logged: Shop) -> None:
    file = await export_file(logged)
    whole = file.read_bytes()
    lines = whole.splitlines(keepends=True)
    for changed, why in (
        (whole.replace(b"uid 2", b"uid 9"), "not as it was written"),
        (b"".join(lines[1:]), "not as it was written"),
        (b"".join(lines[:-1]), "no whole export"),
        (whole[:-20], "no whole export"),
        (b"", "no whole export"),
        (b"junk\n", "no whole export"),
        (b"\xff\xfe\n" + lines[-1], "no whole export"),
        (b"[" * 100_000 + b"\n" + lines[-1], "no whole export"),
        (b'{"sealed": 1}\n', "no whole export"),
    ):
        file.write_bytes(changed)
        result = await run("audit", "verify", "--against", file, "--data", logged.data)
        assert (result.exit_code, why in result.stderr) == (1, True), changed[:40]
    result = await run("audit", "verify", "--against", logged.data / "none", "--data", logged.data)
    assert (result.exit_code, "cannot be read" in result.stderr) == (1, True)


async def test_the_log_is_read_while_the_agent_writes(shop: Shop) -> None:
    done = asyncio.Event()

    async def write() -> None:
        for _ in range(60):
            await shop.audited(3)
        done.set()

    writer = asyncio.create_task(write())
    seen, file = 0, None
    while not done.is_set():
        found = await run_json("audit", "verify", "--data", shop.data)
        assert found["entries"] >= seen
        seen = found["entries"]
        if file is not None:
            assert (await run("audit", "verify", "--against", file, "--data", shop.data)).exit_code == 0
        file = await export_file(shop)
    await writer
    assert (await run_json("audit", "verify", "--data", shop.data))["entries"] == 181
