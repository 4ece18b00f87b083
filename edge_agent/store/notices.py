"""Notices about what was sent: the derivation knows the lines, the store the events that carry them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import aiosqlite

from edge_agent.model.event import EventDraft, StoredEvent
from edge_agent.model.movement import Carried, LineState, Notice
from edge_agent.model.outcome import LineMark
from edge_agent.store.rows import wide

_EVENT = f"""
    SELECT e.id FROM line AS l JOIN event AS e ON e.stream = l.stream AND e.sequence = l.sequence
    WHERE l.rule = ? AND l.epoch = ? AND l.from_position = ? AND l.state <> '{LineState.REVERSED}'
"""  # noqa: S608 - fixed text
Lines = Mapping[tuple[str, int, int], LineMark]
"""The ledger's lines of an outcome, by rule, epoch and first position."""


async def named(
    connection: aiosqlite.Connection, draft: EventDraft, lines: Lines, before: Sequence[StoredEvent]
) -> EventDraft:
    """The draft; a notice with the ids of the events that carry what it says.

    `lines` are those of the same transaction, `before` the events that it has stored so far. What has been corrected
    is in the event that took its place; what is taken back already names none.
    """
    notice = draft.about
    if not isinstance(notice, Notice) or not notice.carried:
        return draft
    found = [
        replace(one, event=await _event(connection, notice.key.rule, one, lines, before)) for one in notice.carried
    ]
    return replace(draft, about=replace(notice, carried=tuple(found)))


async def _event(
    connection: aiosqlite.Connection, rule: str, one: Carried, lines: Lines, before: Sequence[StoredEvent]
) -> str | None:
    mark = lines.get((rule, one.epoch, one.from_position))
    if mark is not None and mark.draft is not None and mark.draft < len(before):
        return before[mark.draft].id
    async with connection.execute(_EVENT, (rule, one.epoch, wide(one.from_position))) as cursor:
        row = await cursor.fetchone()
    return None if row is None else str(row[0])
