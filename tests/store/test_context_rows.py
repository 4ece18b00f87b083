"""What context and gating leave in the store: excluded lines, and lots that a restore makes unknown."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from edge_agent.model.movement import LineState
from edge_agent.model.outcome import EpochMark, LineMark, Outcome
from edge_agent.model.state import LotStatus, LotStatuses, RuleState, State, StockLots
from edge_agent.store import checkpoint
from edge_agent.store.checkpoint import Checkpoint
from edge_agent.store.database import Database
from edge_agent.store.reader import open_reader
from edge_agent.store.unit_of_work import UnitOfWork
from tests.store.outcomes import AT, RULE, booked, counter, line, render

Opener = Callable[[], Awaitable[Database]]


def excluded(since: int, until: int) -> Outcome:
    outcome = Outcome(changed=State(rules={RULE: RuleState(counter(until), excluded=line(since, until))}))
    outcome.lines[RULE, 1, since] = LineMark(line(since, until), LineState.EXCLUDED)
    outcome.epochs[RULE, 1] = EpochMark(RULE, 1, 0, until, 0, 65536)
    return outcome


async def test_what_is_excluded_is_in_the_identity_and_shown_by_its_key(opened: Opener, tmp_path: Path) -> None:
    database = await opened()
    work = UnitOfWork(database)
    await work.commit(booked(0, 3), render, AT)
    await work.commit(excluded(3, 5), render, AT)
    await work.commit(excluded(3, 9), render, AT)  # it grows under its own name

    with open_reader(database.path) as reader:
        assert reader.excluded() == {"produced/900001/A1/L3-OUT": 6}
        assert reader.totals() == {"produced/900001/A1/L3-OUT": 3}
        assert reader.imbalances() == []


async def test_after_a_restore_no_lot_at_a_location_is_known(opened: Opener) -> None:
    database = await opened()
    lots = {"SILO|300017": StockLots((("L1", Decimal("1.5")), ("L2", Decimal(3))))}
    await UnitOfWork(database).commit(replace(booked(0, 3), changed=State(lots=lots)), render, AT)
    assert (await Checkpoint(database).load()).lots == lots

    await database.transaction(checkpoint.mark_restored)
    assert (await Checkpoint(database).load()).lots == {"SILO|300017": StockLots(((None, Decimal("4.5")),))}


async def test_after_a_restore_nobody_has_told_of_a_lot(opened: Opener) -> None:
    database = await opened()
    told = {"300017/7": LotStatuses((("L1", (LotStatus("RELEASED", AT, AT), LotStatus("QA-HOLD", AT))),))}
    await UnitOfWork(database).commit(replace(booked(0, 3), changed=State(statuses=told)), render, AT)
    assert (await Checkpoint(database).load()).statuses == told

    await database.transaction(checkpoint.mark_restored)
    assert (await Checkpoint(database).load()).statuses == {}
