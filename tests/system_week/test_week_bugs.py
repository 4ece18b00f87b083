"""A long day of the week is exact; with a bug planted in agent or receiver it is not, and says where."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from edge_agent.model.ack import Answers, AnswerStatus, Taken
from edge_agent.model.event import EventDraft, Reversal, StoredEvent
from edge_agent.store import answers, corrections, restore, unit_of_work
from edge_agent.store.connection import Connection
from edge_agent.store.streams import Head
from edge_agent_simulators.erp_books import Unpostable
from edge_agent_simulators.erp_system import Erp
from tests.system_week.folder import in_memory
from tests.system_week.script import local
from tests.system_week.short import MIDNIGHT, run_short_day, short_day

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
BEFORE_THE_RESTORE = local(1, "15:40")


async def the_day(until: datetime = MIDNIGHT, *, erp: type[Erp] = Erp) -> list[str]:
    with in_memory() as folder:
        day = short_day(folder, erp=erp)
        return await run_short_day(day, until)


async def test_without_a_bug_the_day_is_exact() -> None:
    assert await the_day() == []


async def test_an_agent_whose_cumulative_answers_override_rejections_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    cumulative = answers._cumulative

    async def overriding(connection: Connection, head: Head, message: Answers, now: datetime) -> Taken:
        taken = await cumulative(connection, head, message, now)
        where = "stream = ? AND system = ? AND sequence <= ? AND status = 'rejected'"
        rows = await answers.read(connection, where, (head.stream, message.system, message.up_to or 0))
        accepted = [replace(row, status=AnswerStatus.ACCEPTED, answered=now).columns() for row in rows]
        await connection.run_all([answers.insert(accepted)])
        return taken

    monkeypatch.setattr(answers, "_cumulative", overriding)
    found = await the_day(BEFORE_THE_RESTORE)
    assert any(one.startswith("mes: consumed/300017") for one in found), found


class Forgetful(Erp):
    """Posts whatever comes, as often as it comes."""

    def receive(self, messages: Iterable[tuple[str, bytes]], now: float) -> None:
        taken = list(messages)
        super().receive(taken, now)
        for topic, payload in taken:
            if "/_material/" in topic and self.books.document_of(json.loads(payload)["id"]) is not None:
                with suppress(Unpostable):
                    self.books.post(payload)


async def test_a_receiver_without_deduplication_is_caught() -> None:
    found = await the_day(BEFORE_THE_RESTORE, erp=Forgetful)
    assert any("was posted twice" in one for one in found), found
    assert any("on the books" in one for one in found), found


async def test_a_correction_without_its_reversal_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    ready, causation = corrections.Corrections.ready, unit_of_work._causation
    made: set[str] = set()

    async def without_reversal(self: corrections.Corrections, now: datetime) -> list[list[EventDraft]]:
        found = []
        for drafts in await ready(self, now):
            about = drafts[0].about
            if isinstance(about, Reversal) and about.original.id not in made:
                made.add(about.original.id)
                found.append(drafts[1:])
        return found

    def of_nothing(draft: EventDraft, causes: Any, before: list[StoredEvent]) -> str | None:
        return causation(draft, causes, before) if before else None

    monkeypatch.setattr(corrections.Corrections, "ready", without_reversal)
    monkeypatch.setattr(unit_of_work, "_causation", of_nothing)
    found = await the_day(BEFORE_THE_RESTORE)
    assert made
    for system in ("mes", "erp"):
        assert any(one.startswith(f"{system}: ") and "on the books" in one for one in found), found


async def test_a_restored_agent_that_books_what_it_finds_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    async def believe(_connection: Connection) -> None:
        """As if nothing had happened."""

    monkeypatch.setattr(restore, "mark_restored", believe)
    found = await the_day()
    assert any("'overlap'" in one for one in found), found


class Believing(Erp):
    """Posts the original of a reversal that it has never posted: stock from nothing."""

    def receive(self, messages: Iterable[tuple[str, bytes]], now: float) -> None:
        taken = list(messages)
        super().receive(taken, now)
        for event in (json.loads(payload) for topic, payload in taken if topic.endswith("/_material/reversed")):
            original = event["data"]["reversesId"]
            if self.books.document_of(original) is None:
                self.books.post(json.dumps({**event, "id": original, "type": event["data"]["reversesType"]}).encode())


async def test_an_erp_that_posts_what_was_voided_is_caught() -> None:
    found = await the_day(BEFORE_THE_RESTORE, erp=Believing)
    assert any(one.startswith("erp: consumed/300017") for one in found), found
