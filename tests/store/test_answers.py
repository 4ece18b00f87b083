"""What receiving systems answer: never unsaid, never overridden by a cumulative word, each message taken once."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Awaitable, Callable
from datetime import date, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from edge_agent.errors import StoreCorrupt, StoreError
from edge_agent.model.ack import Answer, Answers, AnswerStatus, Code, Taken
from edge_agent.model.event import OPS_STREAM, EventDraft, StoredEvent
from edge_agent.model.movement import EventType
from edge_agent.model.outcome import Outcome
from edge_agent.store.answers import OVERDUE_AGAIN, AnswerBook, read
from edge_agent.store.connection import Connection
from edge_agent.store.database import Database
from tests.store.events import WITHIN, produced, render, store_events
from tests.store.outcomes import AT

Opener = Callable[[], Awaitable[Database]]
LATER = AT + timedelta(minutes=1)
_numbers = count()


class Desk:
    """Five events that mes and erp must answer."""

    def __init__(self, database: Database, events: list[StoredEvent]) -> None:
        self.database = database
        self.events = events
        self.book = AnswerBook(database)

    async def say(self, *answers: Answer, up_to: int | None = None, nonce: str = "", system: str = "mes") -> Taken:
        nonce = nonce or f"nonce-{next(_numbers):04}"
        content = repr((answers, up_to, system)).encode()
        expires = LATER + timedelta(hours=1)
        source = self.events[0].source
        return await self.book.take(Answers(system, source, nonce, content, expires, up_to, answers), LATER)

    def accepted(self, sequence: int, document: str | None = None) -> Answer:
        return self._answer(sequence, AnswerStatus.ACCEPTED, document=document, posted_on=date(2026, 3, 2))

    def rejected(self, sequence: int, code: Code = Code.UNKNOWN_LOT) -> Answer:
        return self._answer(sequence, AnswerStatus.REJECTED, code=code, text="lot L7 is not known")

    def busy(self, sequence: int, after: int | None = None) -> Answer:
        return self._answer(sequence, AnswerStatus.BUSY, retry_after=after)

    def _answer(self, sequence: int, status: AnswerStatus, **more: Any) -> Answer:
        known = self.events[sequence - 1].id if sequence <= len(self.events) else "x"
        return Answer(sequence, known, status, **more)

    async def states(self, system: str = "mes") -> list[str]:
        async def work(connection: Connection) -> list[str]:
            return [str(row.status) for row in await read(connection, "system = ?", (system,))]

        return await self.database.transaction(work)


@pytest.fixture
async def desk(opened: Opener) -> Desk:
    database = await opened()
    _, _, events = await store_events(database, 5, ("mes", "erp"))
    return Desk(database, events)


async def test_an_event_awaits_the_word_of_every_system_named(desk: Desk) -> None:
    assert await desk.states() == ["awaiting"] * 5
    assert await desk.states("erp") == ["awaiting"] * 5


async def test_a_cumulative_word_accepts_all_up_to_it_for_its_system_alone(desk: Desk) -> None:
    assert await desk.say(up_to=3) == Taken(taken=1, up_to=3)
    assert await desk.states() == ["accepted"] * 3 + ["awaiting"] * 2
    assert await desk.states("erp") == ["awaiting"] * 5


async def test_a_cumulative_word_never_overrides_a_rejection(desk: Desk) -> None:
    await desk.say(desk.rejected(2))
    assert (await desk.say(up_to=5)).taken == 1
    assert await desk.states() == ["accepted", "rejected", "accepted", "accepted", "accepted"]


async def test_what_is_answered_in_the_same_message_is_not_covered(desk: Desk) -> None:
    assert (await desk.say(desk.rejected(2), desk.busy(4), up_to=5)).taken == 3
    assert await desk.states() == ["accepted", "rejected", "accepted", "busy", "accepted"]


async def test_a_rejection_that_comes_after_the_cumulative_word_counts(desk: Desk) -> None:
    await desk.say(up_to=5)
    assert await desk.say(desk.rejected(2)) == Taken(taken=1, up_to=5)
    assert (await desk.states())[1] == "rejected"


async def test_a_document_number_that_comes_after_the_cumulative_word_is_kept(desk: Desk) -> None:
    await desk.say(up_to=5)
    assert (await desk.say(desk.accepted(2, "4900012345"))).taken == 1
    refused = (await desk.say(desk.accepted(2, "4900099999"))).refused
    assert refused == ((2, "it was accepted before, as document 4900012345"),)


@pytest.mark.parametrize("second", ["rejected", "busy"])
async def test_a_single_acceptance_is_never_unsaid(desk: Desk, second: str) -> None:
    await desk.say(desk.accepted(1, "49"))
    taken = await desk.say(getattr(desk, second)(1))
    assert taken.refused == ((1, "it was accepted before, as document 49"),)
    assert (await desk.states())[0] == "accepted"


@pytest.mark.parametrize("second", ["accepted", "busy"])
async def test_a_rejection_is_left_by_a_person_alone(desk: Desk, second: str) -> None:
    await desk.say(desk.rejected(1))
    assert (await desk.say(getattr(desk, second)(1))).refused[0][0] == 1
    assert (await desk.states())[0] == "rejected"
    assert await desk.book.retry(desk.events[0].source, 1, WITHIN, LATER) == ["mes"]
    assert (await desk.states())[0] == "retried"
    assert await desk.book.due_again(LATER) == [(desk.events[0].source, 1)]
    await desk.book.sent_again(desk.events[0].source, 1, LATER, taken=False)
    assert await desk.book.due_again(LATER) == []
    later = LATER + timedelta(hours=1)
    assert await desk.book.due_again(later) == [(desk.events[0].source, 1)], "the broker had not taken it"
    await desk.book.sent_again(desk.events[0].source, 1, later, taken=True)
    assert await desk.book.due_again(LATER + timedelta(days=1)) == []
    assert (await desk.say(up_to=5)).taken == 1
    assert (await desk.states())[0] == "retried", "what was rejected needs a word of its own"
    assert (await desk.say(desk.accepted(1, "50"))).taken == 1
    assert (await desk.states())[0] == "accepted"


async def test_the_same_message_again_changes_nothing(desk: Desk) -> None:
    first = await desk.say(desk.rejected(2), up_to=1, nonce="once-only")
    again = await desk.say(desk.rejected(2), up_to=1, nonce="once-only")
    other = await desk.say(desk.accepted(3), nonce="once-only")
    assert (first.taken, again.taken, again.repeated, again.up_to) == (2, 0, 2, 1)
    assert (other.taken, other.reason) == (0, "its nonce was used for another message")
    assert await desk.states() == ["accepted", "rejected", "awaiting", "awaiting", "awaiting"]


async def test_the_same_answers_under_another_nonce_change_nothing(desk: Desk) -> None:
    await desk.say(desk.rejected(2), desk.accepted(3, "49"), up_to=1)
    again = await desk.say(desk.rejected(2), desk.accepted(3, "49"), up_to=1)
    assert (again.taken, again.repeated, again.refused) == (0, 3, ())


async def test_what_does_not_exist_is_refused(desk: Desk) -> None:
    assert (await desk.say(desk.accepted(6))).refused == ((6, "event 6 does not exist yet; the last one is 5"),)
    assert (await desk.say(up_to=6)).refused == ((None, "upTo 6 is beyond the last event, 5"),)
    other = Answer(1, desk.events[1].id, AnswerStatus.ACCEPTED)
    assert (await desk.say(other)).refused == ((1, "event 1 has another id"),)
    foreign = Answers("mes", "urn:edgeagent:l3-edge:other:routine", "nonce-foreign", b"", LATER, 1)
    assert (await desk.book.take(foreign, LATER)).reason == "its source is not one of this agent's"
    assert await desk.states() == ["awaiting"] * 5


async def test_a_busy_system_gets_it_again_after_ever_longer_pauses(desk: Desk) -> None:
    source = desk.events[0].source
    await desk.say(desk.busy(1, after=7))
    assert await desk.book.due_again(LATER + timedelta(seconds=6)) == []
    moment, pauses = LATER + timedelta(seconds=7), []
    for _ in range(8):
        assert await desk.book.due_again(moment) == [(source, 1)]
        await desk.book.sent_again(source, 1, moment, taken=True)
        pause = timedelta(0)
        while not await desk.book.due_again(moment + pause):
            pause += timedelta(seconds=30)
        pauses.append(pause)
        moment += pause
    assert pauses == sorted(pauses)
    assert pauses[-1] == timedelta(minutes=15)
    await desk.say(desk.accepted(1))
    assert await desk.book.due_again(moment + timedelta(days=1)) == []


async def test_what_waits_too_long_is_overdue_once(desk: Desk) -> None:
    source = desk.events[0].source
    await desk.say(up_to=2)
    assert await desk.book.overdue(AT + WITHIN - timedelta(seconds=1)) == []
    found = await desk.book.overdue(AT + WITHIN)
    assert [(one.system, one.source, one.sequence, one.last, one.count) for one in found] == [
        ("erp", source, 1, 5, 5),
        ("mes", source, 3, 5, 3),
    ]


async def test_while_a_system_is_silent_an_exception_an_hour_speaks_of_it(opened: Opener) -> None:
    database = await opened()
    work, _, events = await store_events(database, 3)
    book, source = AnswerBook(database), events[0].source

    async def say(at: datetime) -> list[tuple[int, int, int]]:
        found = await book.overdue(at)
        drafts = [EventDraft(EventType.EXCEPTION, OPS_STREAM, at, about=one) for one in found]
        await work.commit(Outcome(events=drafts), render, at)
        return [(one.sequence, one.last, one.count) for one in found]

    due = AT + WITHIN
    assert await say(due) == [(1, 3, 3)]
    for number in range(3, 5):
        await work.commit(produced(10 * number, 10 * number + 10), render, AT + timedelta(minutes=1))
    assert await say(due + timedelta(minutes=59)) == [], "it was said less than an hour ago"
    assert await say(due + OVERDUE_AGAIN) == [(4, 5, 2)], "nothing is said twice, and nothing is left out"
    assert await say(due + 3 * OVERDUE_AGAIN) == []
    assert {source} == {one.source for one in events}


async def test_what_is_looked_up_again_and_again_never_reads_what_is_settled(desk: Desk) -> None:
    """Answers stay for as long as their events, 90 days and more: only the index of open ones may be walked."""
    await desk.say(up_to=5)
    statements: list[str] = []

    async def trace(connection: Connection) -> None:
        await connection.set_trace_callback(statements.append)

    await desk.database.transaction(trace)
    await desk.book.overdue(LATER)
    await desk.book.due_again(LATER)
    await desk.say(desk.rejected(1), up_to=4, system="erp")
    asked = [sql for sql in dict.fromkeys(statements) if "FROM answer" in sql and "EXPLAIN" not in sql]

    async def explain(connection: Connection) -> list[str]:
        await connection.set_trace_callback(None)  # type: ignore[arg-type]  # sqlite3 takes None, aiosqlite's hint does not
        plans = []
        for sql in asked:
            async with connection.execute(f"EXPLAIN QUERY PLAN {sql}") as cursor:
                plans += [str(row[3]) for row in await cursor.fetchall()]
        return plans

    plans = [plan for plan in await desk.database.transaction(explain) if re.search(r"\b(a|answer)\b", plan)]
    assert len(plans) >= 4
    for plan in plans:
        assert "answer_not_final" in plan or "stream=? AND sequence=? AND system=?" in plan, plans


async def test_a_row_that_was_changed_is_noticed(desk: Desk) -> None:
    await desk.say(desk.rejected(2))

    async def flip(connection: Connection) -> None:
        await connection.execute("UPDATE answer SET status = 'accepted' WHERE sequence = 2 AND system = 'mes'")

    await desk.database.transaction(flip)
    with pytest.raises(StoreCorrupt, match="answer 2"):
        await desk.states()


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE answer SET status = 'awaiting' WHERE sequence = 1 AND system = 'mes'",
        "DELETE FROM answer WHERE sequence = 2",
        "DELETE FROM answer WHERE sequence = 1 AND system = 'mes'",
    ],
)
async def test_triggers_refuse_what_no_rule_allows(desk: Desk, sql: str) -> None:
    await desk.say(desk.accepted(1, "49"))

    async def work(connection: Connection) -> None:
        await connection.execute(sql)

    with pytest.raises(StoreError) as caught:
        await desk.database.transaction(work)
    assert isinstance(caught.value.__cause__, sqlite3.IntegrityError)
