"""kill -9 at any instant: every commit that returned is there, and none is there by half."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from edge_agent.store.ledger import Ledger
from edge_agent.store.outbox import Outbox
from edge_agent.store.reader import open_reader
from tests.store_faults.conftest import STREAMS
from tests.store_faults.outcomes import BOTTLES, baseline, booked, opened

CYCLES = 15
PATIENCE = 30.0
ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def template() -> AsyncIterator[Process]:
    """The program that forks writers."""
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.store_faults.kill_writer"), cwd=ROOT, stdin=PIPE, stdout=PIPE
    )
    try:
        yield started
    finally:
        assert started.stdin is not None
        started.stdin.close()
        await started.wait()


async def killed_after(writers: Process, path: Path, how: str, seconds: float) -> int:
    """Let a writer run for a while after its first word, kill it, and return the last position it said."""
    assert writers.stdin is not None
    writers.stdin.write(f"{path} {how}\n".encode())
    pid = int((await _word(writers)).removeprefix("pid "))
    said = int(await _word(writers))
    await asyncio.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    while (word := await _word(writers)) != "gone":
        said = int(word)
    return said


async def _word(writers: Process) -> str:
    assert writers.stdout is not None
    async with asyncio.timeout(PATIENCE):
        return (await writers.stdout.readline()).decode().strip()


async def faults(path: Path, said: int) -> list[str]:
    """Everything about the store that is not as it must be after a crash."""
    store = await opened(path)
    try:
        outbox = Outbox(store, STREAMS)
        await outbox.load()
        events = await outbox.unsent("routine", 0, 1_000_000)
        stands = await baseline(store)
        unbalanced = await Ledger(store).identity()
    finally:
        await store.close()
    with open_reader(path) as reader:
        ledger = int(reader.totals().get(BOTTLES, 0))
    found = {
        "a commit that had returned is lost": stands < said,
        "baseline and events differ": stands != booked(events),
        "baseline and ledger differ": stands != ledger,
        "the books do not balance": bool(unbalanced),
        "sequence numbers have holes": [e.sequence for e in events] != list(range(1, len(events) + 1)),
        "the store took itself for a restored one": store.restored is not None,
    }
    return [fault for fault, there in found.items() if there]


async def test_a_killed_writer_loses_nothing_and_halves_nothing(
    path: Path, record_property: Callable[[str, object], None]
) -> None:
    generator, furthest = random.Random(11), 0
    async with template() as writers:
        for cycle in range(CYCLES):
            said = await killed_after(writers, path, "whole", generator.uniform(0, 0.12))
            assert await faults(path, said) == [], f"cycle {cycle}"
            furthest = said
    record_property("bottles", furthest)
    assert furthest > 0


async def test_the_same_check_catches_a_baseline_in_a_transaction_of_its_own(path: Path) -> None:
    generator = random.Random(11)
    async with template() as writers:
        for cycle in range(4 * CYCLES):
            one = path.with_name(f"{cycle}.db")
            said = await killed_after(writers, one, "apart", generator.uniform(0.01, 0.08))
            if "baseline and events differ" in await faults(one, said):
                return
    raise AssertionError(f"{4 * CYCLES} kills and the planted bug went unnoticed")
