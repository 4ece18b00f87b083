"""Notices about what was sent name the events that carry it: of before, of the same transaction, corrected or not."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from edge_agent.model.event import EventDraft, Place, Rendered
from edge_agent.model.movement import Carried, Cause, EventType, LineState, Notice
from edge_agent.model.outcome import LineMark, Outcome
from edge_agent.store.unit_of_work import UnitOfWork
from tests.store.conftest import Opener
from tests.store.outcomes import AT, booked, key, line, render


def said(*places: int) -> EventDraft:
    """A notice about the lines that begin at these positions."""
    carried = tuple(Carried(1, place, Decimal(100)) for place in places)
    notice = Notice("n/1", Cause.BACKDATED, key(), Decimal(100 * len(places)), AT, AT, "late", carried)
    return EventDraft(EventType.EXCEPTION, "ops", AT, about=notice)


class Renderer:
    """Renders, and keeps what notices were told."""

    def __init__(self) -> None:
        self.told: list[tuple[str | None, ...]] = []

    def __call__(self, draft: EventDraft, place: Place) -> Rendered:
        if isinstance(draft.about, Notice):
            self.told.append(tuple(one.event for one in draft.about.carried))
        return render(draft, place)


async def test_events_of_before_and_of_the_same_transaction_are_named(opened: Opener) -> None:
    unit, renderer = UnitOfWork(await opened()), Renderer()
    (first,) = await unit.commit(booked(0, 100), renderer, AT)
    both = booked(100, 200)
    both.events.append(said(0, 100, 300))
    second, _ = await unit.commit(both, renderer, AT)

    assert renderer.told == [(first.id, second.id, None)], "a line that the ledger does not have names no event"


async def test_what_is_taken_back_names_none_and_what_is_corrected_the_one_in_its_place(opened: Opener) -> None:
    unit, renderer = UnitOfWork(await opened()), Renderer()
    await unit.commit(booked(0, 100), renderer, AT)
    (other,) = await unit.commit(booked(100, 200), renderer, AT)
    state = {LineState.REVERSED: (0, None), LineState.CORRECTED: (100, 0)}
    changed = Outcome(events=[EventDraft(EventType.PRODUCED, "routine", AT, (line(100, 200),))])
    for what, (start, draft) in state.items():
        changed.lines["bottles_made", 1, start] = LineMark(line(start, start + 100), what, draft=draft)
    (in_its_place,) = await unit.commit(replace(changed), renderer, AT)
    await unit.commit(Outcome(events=[said(0, 100)]), renderer, AT)

    assert renderer.told == [(None, in_its_place.id)]
    assert other.id != in_its_place.id
