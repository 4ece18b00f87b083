"""Commits as fast as it can until it is killed: run as a program by the test of crashes.

It imports everything once, then forks a writer for every line on standard input (`<path> <how>`). A writer says
`pid N`, then the position after each commit that has returned; `gone` follows when it was killed.
"""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import datetime
from pathlib import Path

from edge_agent.model.event import Render, StoredEvent
from edge_agent.model.outcome import Outcome
from edge_agent.model.state import State
from edge_agent.store import checkpoint
from edge_agent.store.connection import Connection
from edge_agent.store.database import Database
from edge_agent.store.unit_of_work import UnitOfWork
from tests.store_faults.outcomes import NOON, baseline, counted, opened, render


class BaselineApart(UnitOfWork):
    """The planted bug: the baseline in a transaction of its own, after that of the events."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._store = database

    async def commit(self, outcome: Outcome, render: Render, recorded: datetime) -> list[StoredEvent]:
        changed, outcome.changed = outcome.changed, State()
        stored = await super().commit(outcome, render, recorded)

        async def apart(connection: Connection) -> None:
            await checkpoint.write(connection, changed)

        await self._store.transaction(apart)
        return stored


def say(*words: object) -> None:
    """One line in one write: a kill never leaves half of it."""
    os.write(1, (" ".join(str(word) for word in words) + "\n").encode())


async def write(path: Path, unit_of_work: type[UnitOfWork]) -> None:
    """Go on from the baseline: some bottles each commit, for ever."""
    database = await opened(path)
    work, stands = unit_of_work(database), await baseline(database)
    say(stands)
    while True:
        steps = [1 + (stands + at) % 7 for at in range(1 + stands % 5)]
        await work.commit(counted(stands, *steps), render, NOON)
        stands += sum(steps)
        say(stands)


def main() -> None:
    """One writer at a time, until standard input ends."""
    for order in sys.stdin:
        path, how = order.split()
        child = os.fork()
        if child == 0:
            say("pid", os.getpid())
            asyncio.run(write(Path(path), BaselineApart if how == "apart" else UnitOfWork))
        os.waitpid(child, 0)
        say("gone")


if __name__ == "__main__":
    main()
