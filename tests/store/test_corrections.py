"""An event is taken back once, in its own stream, and only waits for an answer that is outstanding."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from edge_agent.clock import ManualClock
from edge_agent.errors import ControlError, StoreCorrupt, StoreError
from edge_agent.model.ack import Answer, Answers, AnswerStatus, Code
from edge_agent.model.event import OPS_STREAM, Change, EventDraft, StoredEvent, Voided
from edge_agent.model.movement import EventType
from edge_agent.model.outcome import Outcome
from edge_agent.store.answers import AnswerBook, read
from edge_agent.store.connection import Connection
from edge_agent.store.corrections import Amendment, Corrections
from edge_agent.store.database import Database
from edge_agent.store.dead import CORRECTED, OPEN, DeadLetters
from edge_agent.store.outbox import Outbox
from edge_agent.store.prune import Pruner
from edge_agent.store.reader import open_reader
from edge_agent.store.statements import StatementBook
from edge_agent.store.unit_of_work import UnitOfWork
from tests.store.events import render, store_events
from tests.store.outcomes import AT

Opener = Callable[[], Awaitable[Database]]
LATER = AT + timedelta(minutes=5)


class Desk:
    """Three events of ten units that mes must answer."""

    def __init__(self, database: Database, work: UnitOfWork, outbox: Outbox, events: list[StoredEvent]) -> None:
        self.database, self.work, self.outbox, self.events = database, work, outbox, events
        self.source = events[0].source
        self.corrections = Corrections(database)

    async def answer(self, sequence: int, status: AnswerStatus, code: Code | None = None) -> None:
        answer = Answer(sequence, self.events[sequence - 1].id, status, code=code)
        message = Answers("mes", self.source, f"nonce-{sequence}-{status}", b"", LATER, answers=(answer,))
        assert (await AnswerBook(self.database).take(message, LATER)).taken == 1

    async def ask(self, sequence: int, amendment: Amendment | None) -> None:
        await self.corrections.ask(self.source, sequence, amendment, by="anna", reason="counted again", at=LATER)

    async def make(self) -> list[StoredEvent]:
        """All corrections that wait for nobody."""
        made = []
        for drafts in await self.corrections.ready(LATER):
            made += await self.work.commit(Outcome(events=drafts), render, LATER)
        return made

    async def states(self) -> list[str]:
        async def work(connection: Connection) -> list[str]:
            return [str(row.status) for row in await read(connection, "system = 'mes'", ())]

        return await self.database.transaction(work)

    def totals(self) -> dict[str, Decimal]:
        with open_reader(self.database.path) as reader:
            assert reader.imbalances() == []
            return reader.totals()


@pytest.fixture
async def desk(opened: Opener) -> Desk:
    database = await opened()
    return Desk(database, *await store_events(database, 3))


async def test_a_correction_waits_only_while_an_answer_is_outstanding(desk: Desk) -> None:
    await desk.ask(2, Amendment({"1": Change(Decimal(7))}))
    assert await desk.make() == []
    assert await desk.corrections.state(desk.source, 2) == (None, ["mes"])
    await desk.answer(2, AnswerStatus.REJECTED, Code.UNKNOWN_LOT)
    reversal, correction = await desk.make()
    assert (reversal.type, correction.type) == ("io.edgeagent.event.reversed.v1", "io.edgeagent.material.produced.v1")
    assert {reversal.source, correction.source} == {desk.source}
    assert json.loads(correction.payload)["causationid"] == reversal.id
    assert await desk.corrections.state(desk.source, 2) == (reversal.id, [])
    assert await desk.states() == ["awaiting", "corrected", "awaiting", "awaiting", "awaiting"]
    assert await desk.make() == []


async def test_the_books_follow_a_correction(desk: Desk) -> None:
    await desk.answer(2, AnswerStatus.ACCEPTED)
    await desk.ask(2, Amendment({"1": Change(Decimal(7))}, "B2"))
    await desk.make()
    assert desk.totals() == {"produced/900001/A1/L3-OUT": 20, "produced/900001/B2/L3-OUT": 7}


async def test_the_books_follow_a_reversal_and_one_of_the_new_event(desk: Desk) -> None:
    await desk.answer(2, AnswerStatus.ACCEPTED)
    await desk.ask(2, Amendment({"1": Change(Decimal(7))}))
    _, correction = await desk.make()
    assert desk.totals() == {"produced/900001/A1/L3-OUT": 27}
    await desk.ask(correction.sequence, None)
    assert await desk.make() == [], "the new event awaits its own answer"
    desk.events += [correction, correction]
    await desk.answer(correction.sequence, AnswerStatus.ACCEPTED)
    assert len(await desk.make()) == 1
    assert desk.totals() == {"produced/900001/A1/L3-OUT": 20}


async def test_one_reversal_per_event_and_none_of_a_reversal(desk: Desk) -> None:
    await desk.answer(2, AnswerStatus.ACCEPTED)
    await desk.ask(2, None)
    with pytest.raises(ControlError, match="has its correction already: it waits"):
        await desk.ask(2, None)
    (drafts,) = await desk.corrections.ready(LATER)
    (reversal,) = await desk.work.commit(Outcome(events=drafts), render, LATER)
    with pytest.raises(ControlError, match="has its correction already: it is made"):
        await desk.ask(2, None)
    with pytest.raises(ControlError, match="no movement of material"):
        await desk.ask(reversal.sequence, None)
    with pytest.raises(StoreError, match="reversed already"):
        await desk.work.commit(Outcome(events=drafts), render, LATER)


@pytest.mark.parametrize(
    ("sequence", "amendment", "why"),
    [
        (9, None, "there is no event 9"),
        (1, Amendment({"4": Change(Decimal(1))}), "has lines 1, not 4"),
        (1, Amendment({"1": Change(Decimal(0))}), "above 0"),
        (1, Amendment(), "would be the same"),
    ],
)
async def test_what_cannot_be_corrected_is_refused(
    desk: Desk, sequence: int, amendment: Amendment | None, why: str
) -> None:
    with pytest.raises(ControlError, match=why):
        await desk.ask(sequence, amendment)


async def test_an_unpublishable_event_is_a_dead_letter_that_a_correction_settles(desk: Desk) -> None:
    event, dead = desk.events[1], DeadLetters(desk.database)
    voided = Voided(event.source, 2, event.id, event.type, "00" * 32, "it has 70000 bytes", "11" * 32)
    await desk.work.commit(Outcome(events=[EventDraft(EventType.VOIDED, OPS_STREAM, AT, about=voided)]), render, AT)
    assert await dead.status(desk.source, 2) == OPEN
    assert await dead.status(desk.source, 1) is None
    assert await desk.outbox.unpublishable(desk.source, 1, 10**18) == {2}
    assert await desk.outbox.unpublishable(desk.source, 3, 9) == set()
    overdue = await AnswerBook(desk.database).overdue(AT + timedelta(days=1))
    assert [(one.sequence, one.last, one.count) for one in overdue] == [(1, 3, 2)], "nobody owes an answer to it"
    await desk.ask(2, None)
    assert len(await desk.make()) == 1, "at once: nobody can answer what could not be published"
    assert await dead.status(desk.source, 2) == CORRECTED
    assert (await desk.states())[1] == "corrected"
    assert await desk.outbox.unpublishable(desk.source, 1, 3) == {2}, "no broker takes its bytes for that"


async def test_an_unpublishable_event_that_a_retry_has_sent_is_like_any_other(desk: Desk) -> None:
    event, dead = desk.events[1], DeadLetters(desk.database)
    voided = Voided(event.source, 2, event.id, event.type, "00" * 32, "it has 70000 bytes", "11" * 32)
    await desk.work.commit(Outcome(events=[EventDraft(EventType.VOIDED, OPS_STREAM, AT, about=voided)]), render, AT)
    await dead.sent(desk.source, 2)
    assert await desk.outbox.unpublishable(desk.source, 1, 3) == set()


async def test_only_what_is_settled_is_pruned(desk: Desk) -> None:
    """Of three delivered events past the window, the second was rejected: it and what follows it stay."""
    await desk.outbox.mark({"routine": 3})
    await desk.answer(1, AnswerStatus.ACCEPTED)
    await desk.answer(2, AnswerStatus.REJECTED, Code.UNKNOWN_LOT)
    await desk.answer(3, AnswerStatus.ACCEPTED)
    clock = ManualClock(LATER)
    pruner = Pruner(desk.database, timedelta(seconds=1), clock)
    await pruner.prune()
    clock.advance(timedelta(minutes=1))
    assert await pruner.prune() == 1
    await desk.ask(2, None)
    await desk.make()
    assert await pruner.prune() == 0, "the window runs from when it was settled"
    clock.advance(timedelta(minutes=1))
    assert await pruner.prune() == 2
    assert await desk.states() == ["awaiting"]


async def test_a_snapshot_says_the_gross_figures_of_all_that_is_stored(desk: Desk) -> None:
    await desk.answer(2, AnswerStatus.ACCEPTED)
    await desk.ask(2, Amendment({"1": Change(Decimal(7))}))
    await desk.make()
    (snapshot,) = await desk.work.commit(Outcome(snapshot=True), render, LATER)
    again = UnitOfWork(desk.database)
    (other,) = await again.commit(Outcome(snapshot=True), render, LATER)
    figures = [json.loads(event.payload)["data"]["stock"] for event in (snapshot, other)]
    assert figures[0] == figures[1], "another process reads the same"
    ((*key, cumulative, reverse),) = figures[0]
    assert key == ["L3-OUT", "900001", None, "available", "H87"]
    assert cumulative == "{<Figure.PRODUCED: 'produced'>: Decimal('37')}"
    assert reverse == "{<Figure.PRODUCED: 'produced'>: Decimal('10')}"


async def test_what_receivers_held_before_a_backup_is_not_believed_after_a_restore(opened: Opener, path: Path) -> None:
    """The lost store has done more since: they have to say it again."""
    database = await opened()
    await store_events(database, 1)
    book = StatementBook(database)
    await book.put("mes", {("u16", 1): 40})
    await database.close()
    reopened = await opened()
    assert await StatementBook(reopened).read() == {"mes": {("u16", 1): 40}}
    await reopened.close()
    path.with_name(path.name + ".anchor").unlink()
    restored = await opened()
    assert restored.restored is not None
    assert await StatementBook(restored).read() == {}


async def test_a_statement_that_was_changed_is_noticed(opened: Opener) -> None:
    """It decides what is booked after a restore."""
    database = await opened()
    book = StatementBook(database)
    await book.put("mes", {("u16", 1): 40})

    async def flip(connection: Connection) -> None:
        await connection.execute("UPDATE statement SET position = 41")

    await database.transaction(flip)
    with pytest.raises(StoreCorrupt, match="statement of mes on u16"):
        await book.read()
