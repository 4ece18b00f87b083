"""A data directory with a real store in it, a stand-in for the agent behind its real socket, and the command line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from typer.testing import CliRunner, Result

from edge_agent.cli.main import app
from edge_agent.control import SOCKET_NAME, Control
from edge_agent.errors import ControlError
from edge_agent.model.ack import Answer, Answers, AnswerStatus, Code
from edge_agent.model.event import OPS_STREAM, EventDraft, StoredEvent, Voided
from edge_agent.model.movement import EventType
from edge_agent.model.outcome import Outcome
from edge_agent.store.answers import AnswerBook
from edge_agent.store.audit import append_entry
from edge_agent.store.connection import Connection
from edge_agent.store.corrections import Amendment, Corrections
from edge_agent.store.database import Database
from edge_agent.store.outbox import Outbox
from edge_agent.store.reader import DATABASE_NAME
from edge_agent.store.rows import sha256
from edge_agent.store.unit_of_work import UnitOfWork
from tests.store.events import STREAMS, produced, render
from tests.store.outcomes import AT

LATER = AT + timedelta(minutes=5)
NOT_DUE = datetime.now(UTC) + timedelta(days=1)
"""When events were recorded whose answers are not overdue while the test runs."""
WHO = ("--by", "A. Kern", "--reason", "checked against the bin")


class Shop:
    """What happens to events of the stream routine, ten units each."""

    def __init__(self, data: Path, database: Database) -> None:
        self.data = data
        self.database = database
        self.work = UnitOfWork(database)
        self.outbox = Outbox(database, STREAMS)
        self.corrections = Corrections(database)

    @property
    def path(self) -> Path:
        return self.data / DATABASE_NAME

    async def produce(self, *systems: str, recorded: datetime = AT, stream: str = "routine") -> StoredEvent:
        """The next event, which needs the word of `systems`."""
        at = 10 * sum(self.database.head(stream) for stream in STREAMS)
        (event,) = await self.work.commit(produced(at, at + 10, systems, stream), render, recorded)
        return event

    async def answer(self, event: StoredEvent, system: str, status: AnswerStatus, **more: Any) -> None:
        """A system's answer to an event."""
        answer = Answer(event.sequence, event.id, status, **more)
        message = Answers(system, event.source, str(uuid4()), b"", LATER + timedelta(hours=1), answers=(answer,))
        assert (await AnswerBook(self.database).take(message, LATER)).taken == 1

    async def reject(self, event: StoredEvent, system: str, code: Code, text: str | None = None) -> None:
        await self.answer(event, system, AnswerStatus.REJECTED, code=code, text=text)

    async def accept(self, event: StoredEvent, system: str, document: str) -> None:
        await self.answer(event, system, AnswerStatus.ACCEPTED, document=document, posted_on=date(2026, 3, 2))

    async def void(self, event: StoredEvent, reason: str) -> None:
        """No broker takes the event."""
        before = json.loads(event.payload)["prevhash"]
        about = Voided(event.source, event.sequence, event.id, event.type, sha256(event.payload), reason, before)
        draft = EventDraft(EventType.VOIDED, OPS_STREAM, AT, about=about)
        await self.work.commit(Outcome(events=[draft]), render, LATER)

    async def ask_correction(self, event: StoredEvent, amendment: Amendment | None) -> None:
        await self.corrections.ask(event.source, event.sequence, amendment, by="anna", reason="counted", at=LATER)

    async def make_corrections(self) -> list[StoredEvent]:
        made = []
        for drafts in await self.corrections.ready(LATER):
            made += await self.work.commit(Outcome(events=drafts), render, LATER)
        return made

    async def audited(self, count: int) -> None:
        """`count` entries more in the audit log, an hour apart."""

        async def work(connection: Connection) -> None:
            for number in range(count):
                at = AT + timedelta(hours=number)
                await append_entry(connection, at, f"uid {number}", "cut", {"text": "Größe", "events": number})

        await self.database.transaction(work)


class Agent:
    """Answers the socket with what it is told to, and remembers what it was asked."""

    def __init__(self, data: Path, answers: Mapping[str, Mapping[str, Any] | str]) -> None:
        self.data = data
        self.asked: list[dict[str, Any]] = []
        self._answers = answers

    async def handle(self, request: Mapping[str, Any], _asker: str) -> Mapping[str, Any]:
        self.asked.append(dict(request))
        answer = self._answers[request["do"]]
        if isinstance(answer, str):
            raise ControlError(answer)
        return answer

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Agent]:
        control = Control(self.data, dict.fromkeys(self._answers, self.handle))
        task = asyncio.create_task(control.run())
        while not (self.data / SOCKET_NAME).exists():
            await asyncio.sleep(0.01)
        try:
            yield self
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def run(*arguments: object, given: str | None = None) -> Result:
    """`edge-agent ARGUMENTS`, in a thread so that the socket can be answered meanwhile."""
    words: Sequence[str] = [str(one) for one in arguments]
    return await asyncio.to_thread(CliRunner().invoke, app, words, given)


async def run_json(*arguments: object, code: int = 0) -> dict[str, Any]:
    result = await run(*arguments, "--json")
    assert result.exit_code == code, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found
