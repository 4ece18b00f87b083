"""Seven days of a line, its agent, three receivers and the people: all goes wrong, and to the unit nothing is."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from edge_agent_receiver.answers import CODES
from tests.system_week.folder import in_memory
from tests.system_week.receivers import Receiver
from tests.system_week.script import Scenario
from tests.system_week.verdict import Allowed, open_discrepancies, units, wrong
from tests.system_week.week import END, SNAPSHOT, the_week

Record = Callable[[str, object], None]
LEFT = Counter({"lost": 1})
"""The event that nobody has looked after is lacking, and receivers say so."""


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_week_is_exact_to_the_unit(record_property: Record) -> None:
    with in_memory() as folder:
        week = the_week(folder)
        await week.world.start()
        try:
            await week.world.run(SNAPSHOT)
            compared = _compared(week)
            await week.world.agent.ask("snapshot")
            await week.world.run(END)
            assert wrong(week.world, week.people, _left(week)) == []
            assert all(count > compared[name] for name, count in _compared(week).items()), "the last was not compared"
            _everything_happened(week)
            _figures(week, record_property)
        finally:
            await week.world.stop()


def _left(week: Scenario) -> Allowed:
    """What the scenario leaves waiting; and what was altered on its way to the one who posts before it is proven."""
    at_wms = open_discrepancies(week.wms)
    assert at_wms.keys() <= {"lost", "changed"}, at_wms
    return Allowed({"mes": LEFT, "erp": LEFT, "wms": at_wms}, rejected=1, unpublishable=1, reviews=1)


def _compared(week: Scenario) -> dict[str, int]:
    return {name: one.erp.inbox.counts["snapshots compared"] for name, one in week.world.receivers.items()}


def _answered(receiver: Receiver) -> Counter[str]:
    return receiver.answered + receiver.erp.answered


def _everything_happened(week: Scenario) -> None:
    """A week in which something did not happen proves nothing of it."""
    did, mes, erp = week.people.happened, week.mes.happened, week.erp.happened
    assert _answered(week.erp).keys() >= CODES
    assert all(_answered(one)[what] >= 4 for one in (week.mes, week.erp) for what in ("rejected", "busy", "duplicate"))
    assert (erp["crashed"], mes["crashed"], week.restored) == (8, 1, 3)
    assert mes.keys() | erp.keys() >= {"restored: inbox", "restored: books", "restored: inbox and books"}
    assert erp["books alone refused"] == 1
    wanted = [
        *("retried", "retried before it was put right", "rejected corrected", "correction asked", "correction waits"),
        *(
            "unpublishable corrected",
            "unpublishable retried: sent",
            "unpublishable retried: in vain",
            "form sent twice",
        ),
        *(f"entered: {event}" for event in ("consumed", "returned", "scrapped", "sampled")),
        *(f"review accepted: {cause}" for cause in ("restored", "failed-check", "fell", "several-wraps")),
        *("review accepted: reset-or-glitch", "review rejected: conflict"),
    ]
    assert [what for what in wanted if not did[what]] == []
    assert set(week.bus.mishaps) == {"lost", "doubled", "delayed", "reordered", "altered"}
    assert week.pruned > 1_000
    assert _told(week, "exception.raised")["overdue"] >= 4
    by = _told(week, "movement.decided")
    assert by["statement of erp"] + by["statement of mes, erp"] >= 4, by
    assert week.mes.erp.voice.swallowed + week.erp.erp.voice.swallowed > 100


def _told(week: Scenario, name: str) -> Counter[str]:
    """What the agent has told the MES in events of a type: causes of exceptions, who has decided reviews."""
    query = "SELECT payload FROM event WHERE topic LIKE ?"
    leaf = {"exception.raised": "%/_ops/exception", "movement.decided": "%/_ops/decided"}[name]
    with closing(sqlite3.connect(week.mes.erp.folder / "inbox.db")) as connection:
        told = [json.loads(payload)["data"] for (payload,) in connection.execute(query, (leaf,)).fetchall()]
    return Counter(_what(data) for data in told)


def _what(data: dict[str, Any]) -> str:
    if "decision" in data:
        return str(data["decision"]["by"])
    exception: dict[str, Any] = data.get("exception", data)
    return str(exception["cause"])


def _figures(week: Scenario, record_property: Record) -> None:
    agent, erp = week.world.agent, week.erp
    events: Counter[str] = Counter()
    with closing(sqlite3.connect(erp.erp.folder / "inbox.db")) as connection:
        for topic, count in connection.execute("SELECT topic, count(*) FROM event GROUP BY topic").fetchall():
            events[topic.rpartition("/")[2]] += count
    record_property("events of the week", f"{sum(events.values())}: {dict(events)}")
    record_property("units of the line", str(units(week.world)))
    for receiver in week.world.receivers.values():
        found = Counter(one["cause"] for one in receiver.erp.discrepancies())
        counts = receiver.erp.inbox.counts
        record_property(f"{receiver.name}: what happened to it", str(dict(receiver.happened)))
        record_property(f"{receiver.name}: answers by status and code", str(dict(_answered(receiver))))
        record_property(f"{receiver.name}: discrepancies found", str(dict(found)))
        record_property(f"{receiver.name}: documents", str(receiver.erp.books.highest))
        record_property(
            f"{receiver.name}: its last inbox",
            str({name: counts[name] for name in ("duplicates", "conflicts", "healed", "replays asked", "voided")}),
        )
    record_property("answers at the agent", str(dict(agent.answered)))
    record_property("replays at the agent", str(dict(agent.replayed)))
    record_property("what people did", str(dict(week.people.happened)))
    record_property("who decided reviews", str(dict(_told(week, "movement.decided"))))
    record_property("exceptions by cause", str(dict(_told(week, "exception.raised"))))
    record_property("mishaps on the wire", str(dict(week.bus.mishaps)))
    record_property("events pruned", str(week.pruned))
