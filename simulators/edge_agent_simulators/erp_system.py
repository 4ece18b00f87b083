"""A receiving system on the receiver kit: inbox, books, faults and a voice; no transport, no thread, no clock.

It lives in a folder (`inbox.db`, `books.db`) and may be closed, crash, be opened again, and be restored from a backup
of one file or both. The books are its own; of the kit it uses what integrators use.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from edge_agent_receiver import Accepted, Busy, Event, Rejected
from edge_agent_receiver.answers import Answer, Outcome
from edge_agent_receiver.inbox import Inbox, Outgoing
from edge_agent_receiver.store import open_reader, open_store
from edge_agent_receiver.timing import Timing
from edge_agent_simulators.erp_books import Books, Unpostable
from edge_agent_simulators.erp_faults import Faults, Posted, Voice

INBOX, BOOKS, KNOWN = "inbox.db", "books.db", "inbox.posted"
_DISCREPANCIES = "SELECT cause, message, body, opened, closed FROM discrepancy ORDER BY number"


class Crashed(Exception):
    """The system ended after it had posted and before it had answered: close it, and open it again."""


class BooksBehind(Exception):
    """The inbox knows of documents that the books lack: they were restored without it. Restore it from as far back."""


class Erp:
    """The system `system` in `folder`. With `documents` it answers each event singly, with its document's number.

    `run` is unlike that of any other run, also of one that a backup has made forgotten; `now` in seconds since 1970.
    Raises BooksBehind, and StoreError of the kit.
    """

    def __init__(
        self,
        folder: Path,
        system: str,
        *,
        run: str,
        now: float,
        root: str = "mat",
        prove: bool = False,
        documents: bool = True,
        timing: Timing | None = None,
        faults: Faults | None = None,
        voice: Voice[Outgoing] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.system = system
        self.faults = faults or Faults()
        self.voice: Voice[Outgoing] = voice or Voice()
        self.answered: Counter[str] = Counter()
        """Answers by status, rejections by code."""
        self._documents = documents
        with ExitStack() as stack:
            self.books = Books(folder / BOOKS)
            stack.callback(self.books.close)
            self._check_books()
            store = open_store(str(folder / INBOX))
            stack.callback(store.close)
            self.inbox = Inbox(store, system, run=run, now=now, root=root, prove=prove, timing=timing)
            self._open = stack.pop_all()

    def close(self) -> None:
        """Let go of the files: how it ends makes no difference to what is in them."""
        self._open.close()

    def receive(self, messages: Iterable[tuple[str, bytes]], now: float) -> None:
        """Take (topic, payload) in, all in one transaction."""
        self.inbox.receive_all(messages, now)

    def step(self, now: float) -> list[Outgoing]:
        """Post what is ready; what is to be published now. Raises Crashed."""
        self._post(now)
        return self.voice.say(self.inbox.step(now), now)

    def sent(self, message: Outgoing, now: float) -> None:
        """The broker has the message."""
        if message.key is not None:
            self.inbox.sent(message.key, now)

    def discrepancies(self) -> list[dict[str, Any]]:
        """What did not agree, oldest first; `closed` is None where it still does not."""
        reader = open_reader(str(self.folder / INBOX))
        try:
            with reader.transaction() as db:
                rows = db.rows(_DISCREPANCIES)
        finally:
            reader.close()
        return [dict(zip(("cause", "message", "body", "opened", "closed"), row, strict=True)) for row in rows]

    def status(self) -> dict[str, Any]:
        """How each source stands, and what was counted and answered."""
        sources = {
            source.urn: {
                "contiguous": source.filled.contiguous,
                "end": source.end,
                "settled": source.settled,
                "told": source.told,
                "doubts": sorted(source.doubts),
            }
            for source in self.inbox.sources
        }
        return {"sources": sources, "counts": dict(self.inbox.counts), "answered": dict(self.answered)}

    def backup(self, into: Path) -> None:
        """Copy inbox and books into the folder `into`, while they are in use."""
        into.mkdir(parents=True, exist_ok=True)
        for name in (INBOX, BOOKS):
            (into / name).unlink(missing_ok=True)
            with closing(sqlite3.connect(self.folder / name)) as here, closing(sqlite3.connect(into / name)) as there:
                here.backup(there)
        (into / KNOWN).write_text(str(self.books.highest), encoding="ascii")

    def _check_books(self) -> None:
        known = self.folder / KNOWN
        if known.exists() and int(known.read_text(encoding="ascii")) > self.books.highest:
            text = known.read_text(encoding="ascii")
            raise BooksBehind(f"document {text} was posted, the books end with {self.books.highest}")

    def _post(self, now: float) -> None:
        """As the shell of the kit does: after a busy answer nothing more of that source."""
        while events := self.inbox.offer(now):
            busy: set[str] = set()
            outcomes: list[tuple[Event, Outcome]] = []
            for event in events:
                answer = None if event.source in busy else self._answer(event)
                if isinstance(answer, Busy):
                    busy.add(event.source)
                outcomes.append((event, answer))
            (self.folder / KNOWN).write_text(str(self.books.highest), encoding="ascii")
            self.inbox.settle(outcomes, now)
            self._count(outcomes)

    def _answer(self, event: Event) -> Answer:
        known = self.books.document_of(event.id)
        if known is not None:
            return Accepted(str(known) if self._documents else None, duplicate=True)
        lines = tuple((line.material, line.lot, line.location) for line in event.lines)
        kind = event.name.removeprefix("material.").removeprefix("event.")
        fault = self.faults.decide(Posted(event.id, kind, event.order, lines))
        if fault is not None and fault.answer == "reject":
            return Rejected(fault.code, fault.text)
        if fault is not None and fault.answer == "busy":
            return Busy(fault.retry_after)
        try:
            number = self.books.post(event.payload, event.sha256)
        except Unpostable as error:
            return Rejected("malformed", str(error))
        if fault is not None:
            raise Crashed(f"document {number} is posted, event {event.id} not answered")
        return Accepted(str(number) if self._documents else None)

    def _count(self, outcomes: list[tuple[Event, Outcome]]) -> None:
        for _, answer in outcomes:
            match answer:
                case Rejected():
                    self.answered["rejected"] += 1
                    self.answered[answer.code] += 1
                case Busy():
                    self.answered["busy"] += 1
                case Accepted():
                    self.answered["duplicate" if answer.duplicate else "accepted"] += 1


def restore(folder: Path, backup: Path, *, inbox: bool, books: bool) -> None:
    """Put files of a backup in the place of those in `folder`; the system must be closed."""
    for name, wanted in ((INBOX, inbox), (BOOKS, books), (KNOWN, inbox)):
        if wanted:
            for suffix in ("", "-wal", "-shm"):
                (folder / f"{name}{suffix}").unlink(missing_ok=True)
            (folder / name).write_bytes((backup / name).read_bytes())
