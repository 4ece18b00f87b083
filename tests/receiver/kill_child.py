"""A receiver that kills itself with SIGKILL at a named point: `python -m tests.receiver.kill_child PORT STORE BOOKS …`.

The books are an SQLite file: what is posted, and what was offered again as if for the first time.
"""

from __future__ import annotations

import argparse
import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from edge_agent_receiver import Accepted, Event, Receiver, receiver, sql
from edge_agent_receiver.answers import Answer
from edge_agent_receiver.inbox import Inbox
from edge_agent_receiver.session import Arrived, Session
from edge_agent_receiver.store import Db, Store, open_store
from edge_agent_receiver.timing import Timing

POINTS = ("after-post", "before-commit", "after-commit", "before-puback")
SCHEMA = """
    CREATE TABLE IF NOT EXISTS posted (id TEXT PRIMARY KEY, sequence INTEGER, quantity TEXT);
    CREATE TABLE IF NOT EXISTS wrong (id TEXT, what TEXT);
"""


class Trap:
    """Kills this process when it comes to `point` for the `nth` time."""

    def __init__(self, point: str, nth: int) -> None:
        self._point = point
        self._left = nth

    def hit(self, point: str) -> None:
        if point == self._point:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


class TrappedStore:
    """A store with a trap on either side of COMMIT."""

    def __init__(self, store: Store, trap: Trap) -> None:
        self._store = store
        self._trap = trap

    @contextmanager
    def transaction(self) -> Iterator[Db]:
        with self._store.transaction() as db:
            yield db
            self._trap.hit("before-commit")
        self._trap.hit("after-commit")

    def close(self) -> None:
        self._store.close()


def plant(bug: str | None) -> None:
    """Break the receiver on purpose."""
    if bug == "acknowledges-first":
        received = Session.messages

        def messages(self: Session) -> list[Arrived]:
            found = received(self)
            for message in found:
                if message.qos:
                    self._client.ack(message.number, message.qos)
            return found

        Session.messages = messages  # type: ignore[method-assign]  # the planted bug
    elif bug == "posts-before-recording":
        sql.OFFER = "UPDATE event SET state = state WHERE source = ? AND sequence = ?"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("store")
    parser.add_argument("books")
    parser.add_argument("--point", default="never")
    parser.add_argument("--nth", type=int, default=1)
    parser.add_argument("--plant")
    chosen = parser.parse_args()
    plant(chosen.plant)
    trap = Trap(chosen.point, chosen.nth)
    books = sqlite3.connect(chosen.books, isolation_level=None)
    books.executescript(SCHEMA)

    def post(event: Event) -> Answer:
        known = books.execute("SELECT 1 FROM posted WHERE id = ?", (event.id,)).fetchone()
        if known and not event.again:
            books.execute("INSERT INTO wrong VALUES (?, 'offered again as if for the first time')", (event.id,))
        if not known:
            books.execute(
                "INSERT INTO posted VALUES (?, ?, ?)", (event.id, event.sequence, str(event.lines[0].quantity))
            )
        trap.hit("after-post")
        return Accepted(document=f"D{event.sequence}", duplicate=bool(known))

    def opened(url: str) -> Any:
        return TrappedStore(open_store(url), trap)

    vars(receiver)["open_store"] = opened
    receive_all = Inbox.receive_all

    def receiving(self: Inbox, messages: list[tuple[str, bytes]], now: float) -> None:
        if any("/_material/" in topic for topic, _ in messages):
            trap.hit("with-events-in-hand")
        receive_all(self, messages, now)

    Inbox.receive_all = receiving  # type: ignore[method-assign, assignment]  # the trap
    acknowledge = Session.acknowledge

    def acknowledging(self: Session, message: Arrived) -> None:
        trap.hit("before-puback")
        acknowledge(self, message)

    Session.acknowledge = acknowledging  # type: ignore[method-assign]  # the trap
    timing = Timing(first=0.1, longest=0.5, gather=0.1, hello=0.2)
    Receiver(system="erp", broker=f"mqtt://127.0.0.1:{chosen.port}", store=chosen.store, post=post, timing=timing).run()
    books.close()


if __name__ == "__main__":
    main()
