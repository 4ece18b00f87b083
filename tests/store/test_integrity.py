"""What must not change, does not; what was changed or restored all the same, is noticed."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.clock import ManualClock
from edge_agent.errors import StoreCorrupt
from edge_agent.model.reading import Instant, Link, Quality, TagRef
from edge_agent.model.signal_state import ConfirmationState, CounterState, HandshakeState, Latched
from edge_agent.model.state import (
    RESTORES,
    CadenceState,
    Coming,
    ConditionState,
    ContainerLots,
    ContextState,
    Departure,
    LotStatus,
    LotStatuses,
    Pipe,
    RuleState,
    SeenState,
    Sent,
    SentLines,
    SourceState,
    State,
    StockLots,
    TagState,
)
from edge_agent.store import checkpoint
from edge_agent.store.audit import Audit
from edge_agent.store.checkpoint import Checkpoint
from edge_agent.store.database import Database
from edge_agent.store.ledger import Ledger
from edge_agent.store.outbox import Outbox
from edge_agent.store.prune import Pruner
from edge_agent.store.reader import open_reader
from edge_agent.store.unit_of_work import UnitOfWork
from tests.store.outcomes import AT, RULE, booked, confirmed, counter, doubtful, line, render

Opener = Callable[[], Awaitable[Database]]
STREAMS = ("critical", "routine", "ops")


async def some_events(database: Database, count: int = 5) -> Outbox:
    """A store with events in `routine`, its outbox loaded."""
    outbox, work = Outbox(database, STREAMS), UnitOfWork(database)
    await outbox.load()
    for number in range(1, count + 1):
        await work.commit(booked(number - 1, number), render, AT)
    return outbox


def tamper(path: Path, *statements: str) -> None:
    """Change the database behind the agent's back, triggers out of the way."""
    with sqlite3.connect(path) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            assert connection.execute(statement).rowcount != 0, statement
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE event SET payload = x'00' WHERE sequence = 2",
        "UPDATE event SET topic = 'other'",
        "DELETE FROM event WHERE sequence = 1",
        "DELETE FROM event",
        "UPDATE audit SET who = 'nobody'",
        "DELETE FROM audit",
    ],
)
async def test_events_and_audit_refuse_to_be_changed(opened: Opener, path: Path, statement: str) -> None:
    database = await opened()
    await some_events(database)
    await database.close()
    connection = sqlite3.connect(path)
    with pytest.raises(sqlite3.IntegrityError, match=r"never changed|only deleted|append-only"):
        connection.execute(statement)
    connection.close()


@pytest.mark.parametrize("column", ["payload", "topic", "id", "type", "recorded"])
async def test_a_changed_event_is_noticed_when_it_is_read(opened: Opener, path: Path, column: str) -> None:
    database = await opened()
    await some_events(database, 80)  # the newest 64 are checked by opening already
    await database.close()
    tamper(path, f"UPDATE event SET {column} = substr({column}, 2) WHERE sequence = 5")
    outbox = Outbox(await opened(), STREAMS)
    await outbox.load()
    with pytest.raises(StoreCorrupt, match="event 5"):
        await outbox.unsent("routine", 0, 10)
    with pytest.raises(StoreCorrupt, match="event 5"):
        await outbox.replay(outbox.source("routine"), 1, 9, 10)


async def test_a_changed_state_or_review_is_noticed(opened: Opener, path: Path) -> None:
    database = await opened()
    await some_events(database)
    await UnitOfWork(database).commit(doubtful("r/1/1"), render, AT)
    await database.close()
    tamper(
        path,
        "UPDATE checkpoint SET body = replace(body, '5', '6') WHERE kind = 'rule'",
        "UPDATE review SET body = replace(body, '7', '9')",
    )
    database = await opened()
    with pytest.raises(StoreCorrupt, match=f"checkpoint of rule {RULE}"):
        await Checkpoint(database).load()
    with pytest.raises(StoreCorrupt, match="review r/1/1"):
        await Ledger(database).open_review("r/1/1")


async def test_a_damaged_file_is_refused_with_what_to_do(opened: Opener, path: Path) -> None:
    database = await opened()
    await some_events(database, 200)
    await database.close()
    content = bytearray(path.read_bytes())
    for place in range(4096, len(content) - 64, 1500):
        content[place : place + 64] = b"\xff" * 64
    path.write_bytes(content)
    with pytest.raises(StoreCorrupt, match="damaged"):
        await opened()


async def test_only_what_is_anchored_may_go_out_and_replays_are_the_same_bytes(opened: Opener) -> None:
    outbox = await some_events(await opened())
    assert (outbox.head("routine"), outbox.anchored("routine")) == (5, 0)
    await outbox.anchor()
    assert outbox.anchored("routine") == 5
    live = await outbox.unsent("routine", 0, 10)
    again = (await outbox.replay(outbox.source("routine"), 2, 4, 10)).events
    assert [hashlib.sha256(e.payload).digest() for e in again] == [
        hashlib.sha256(e.payload).digest() for e in live[1:4]
    ]


async def test_the_cursor_never_goes_back_and_survives(opened: Opener) -> None:
    database = await opened()
    outbox = await some_events(database)
    await outbox.mark({"routine": 4})
    await outbox.mark({"routine": 2})
    assert outbox.delivered("routine") == 4
    await database.close()
    again = Outbox(await opened(), STREAMS)
    await again.load()
    assert (again.delivered("routine"), again.head("routine")) == (4, 5)
    assert (await again.oldest_undelivered("routine")) == AT


async def restored_store(opened: Opener, path: Path) -> Database:
    """Yesterday's backup, put back with today's anchor still there."""
    database = await opened()
    outbox = await some_events(database, 3)
    await UnitOfWork(database).commit(confirmed(4), render, AT)
    await outbox.mark({"routine": 2})
    await outbox.anchor()
    await database.close()
    backup = path.with_suffix(".backup")
    shutil.copy(path, backup)
    database = await opened()
    work, outbox = UnitOfWork(database), Outbox(database, STREAMS)
    await outbox.load()
    await work.commit(booked(3, 9), render, AT)
    await outbox.anchor()
    await database.close()
    shutil.copy(backup, path)
    return database


async def test_a_restored_database_gets_a_new_uuid_and_marks_every_rule(opened: Opener, path: Path) -> None:
    before = await restored_store(opened, path)
    database = await opened()
    assert database.restored is not None
    assert "event 4 of stream routine" in database.restored
    assert database.store_uuid != before.store_uuid
    state = await Checkpoint(database).load()
    signals = {name: rule.signal for name, rule in state.rules.items()}
    assert set(signals) == {RULE, "pallet_out", RESTORES}
    assert all(signal is not None and signal.restored for signal in signals.values())
    (event,) = await UnitOfWork(database).commit(booked(9, 10), render, AT)
    assert (event.sequence, database.store_uuid in event.source) == (1, True)


async def test_what_the_former_uuid_left_undelivered_still_goes_out(opened: Opener, path: Path) -> None:
    before = await restored_store(opened, path)
    database = await opened()
    outbox = Outbox(database, STREAMS)
    await outbox.load()
    former = f"urn:edgeagent:l3-edge:{before.store_uuid}:routine"
    assert former in outbox.streams
    assert outbox.streams[:3] == STREAMS
    assert [event.sequence for event in await outbox.unsent(former, outbox.delivered(former), 10)] == [3]
    assert outbox.anchored(former) == outbox.head(former) == 3
    await outbox.mark({former: 3})
    await database.close()
    again = Outbox(await opened(), STREAMS)
    await again.load()
    assert former not in again.streams
    assert len((await again.replay(former, 1, 3, 10)).events) == 3


@pytest.mark.parametrize("what", ["missing", "garbled", "of another store"])
async def test_an_anchor_that_does_not_vouch_is_a_restore(opened: Opener, path: Path, what: str) -> None:
    database = await opened()
    outbox = await some_events(database)
    await outbox.anchor()
    await database.close()
    anchor = path.with_name(path.name + ".anchor")
    if what == "missing":
        anchor.unlink()
    elif what == "garbled":
        anchor.write_text("{}", encoding="ascii")
    else:
        content = json.loads(anchor.read_text(encoding="ascii"))
        anchor.write_text(json.dumps({**content, "store": "another"}), encoding="ascii")
    again = await opened()
    assert again.restored is not None
    assert again.store_uuid != database.store_uuid
    await again.close()
    assert (await opened()).restored is None, "the new anchor vouches for the new uuid"


async def test_a_head_above_its_anchor_is_no_restore(opened: Opener) -> None:
    database = await opened()
    outbox = await some_events(database)
    await outbox.anchor()
    await UnitOfWork(database).commit(booked(5, 9), render, AT)
    await database.close()
    assert (await opened()).restored is None


async def test_pruning_takes_what_is_delivered_and_old_and_nothing_else(opened: Opener, clock: ManualClock) -> None:
    database = await opened()
    outbox = await some_events(database)
    pruner = Pruner(database, timedelta(days=1), clock)
    clock.advance(timedelta(hours=1))
    await outbox.mark({"routine": 3})
    assert await pruner.prune() == 0
    clock.advance(timedelta(days=1))
    assert await pruner.prune() == 3
    assert [e.sequence for e in (await outbox.replay(outbox.source("routine"), 1, 9, 10)).events] == [4, 5]
    await outbox.anchor()
    await outbox.mark({"routine": 5})
    assert await pruner.prune() == 0, "the window runs from the delivery"
    clock.advance(timedelta(days=1))
    assert await pruner.prune() == 2
    (event,) = await UnitOfWork(database).commit(booked(5, 6), render, AT)
    assert event.sequence == 6
    await database.close()
    assert (await opened()).restored is None, "the pruned head is vouched for by what pruning recorded"


async def test_the_audit_log_is_a_chain(opened: Opener, path: Path, clock: ManualClock) -> None:
    database = await opened()
    audit = Audit(database, clock)
    for number in range(4):
        await audit.append("uid 1000", "cut", {"events": number})
    assert broken(path) is None
    await database.close()
    tamper(path, "UPDATE audit SET detail = '{\"events\": 99}' WHERE sequence = 3")
    assert broken(path) == 3


def broken(path: Path) -> int | None:
    """The sequence of the first entry of the audit log that does not continue the chain."""
    with open_reader(path) as reader:
        found = reader.audit().broken
        return None if found is None else found.sequence


INSTANTS = st.builds(
    Instant, st.datetimes(timezones=st.just(AT.tzinfo)), st.integers(0, 2**62), st.sampled_from(["boot", "other"])
)
WHEN = st.datetimes(timezones=st.just(AT.tzinfo))
COUNTERS = st.builds(
    CounterState,
    st.integers(1, 99),
    st.integers(-(2**31), 2**63 - 1),
    st.integers(-(2**31), 2**63 - 1),
    st.integers(0, 9),
    INSTANTS,
    WHEN,
    st.sampled_from([(), ("restart",), ("session", "epoch-tag")]),
    st.booleans(),
)
HANDSHAKES = st.builds(
    HandshakeState,
    st.integers(1, 99),
    st.integers(0, 2**32),
    st.integers(0, 2**32),
    st.integers(0, 9),
    st.text(max_size=8),
    st.integers(0, 4),
    released=st.booleans(),
)
_TAGS = st.builds(TagState, st.none() | st.integers() | st.text() | st.booleans(), st.sampled_from(Quality))
_PIPES = st.builds(Pipe, st.none(), st.text(max_size=3), WHEN, st.just((Coming("A", None, 0, 3),)), st.integers(0, 9))
_LATCHED = st.builds(Latched, st.none() | st.integers(), st.none() | WHEN, *[st.none() | st.integers()] * 3)
CONFIRMATIONS = st.builds(
    ConfirmationState, st.integers(1, 99), st.integers(0, 9), st.integers(0, 99), st.booleans(), st.none() | WHEN
)
_PASSED = st.lists(st.tuples(st.text(), WHEN)).map(tuple)
STATES = st.builds(
    State,
    rules=st.dictionaries(
        st.text("abc_", min_size=1, max_size=5),
        st.builds(
            RuleState,
            st.none() | COUNTERS | HANDSHAKES | CONFIRMATIONS,
            st.just(()) | st.just((line(0, 3),)),
            st.integers(0, 9),
            st.none() | st.just(line(3, 5)),
            st.none() | _PIPES,
            st.none() | st.just(line(5, 7).evidence),
            st.just(()) | st.just((Departure(line(0, 3).key, Decimal("1.5"), "pcs", AT, late=True),)),
            latched=st.none() | _LATCHED,
        ),
        max_size=3,
    ),
    contexts=st.dictionaries(st.just(TagRef("s", "o")), st.builds(ContextState, st.just((("A1", AT), (None, AT))))),
    conditions=st.dictionaries(
        st.text(max_size=5), st.builds(ConditionState, st.just(((True, AT), (None, AT), (False, AT))))
    ),
    sources=st.dictionaries(
        st.just("s"),
        st.builds(SourceState, st.sampled_from(Link), st.none() | WHEN, st.none() | INSTANTS, told=st.booleans()),
    ),
    cadences=st.dictionaries(st.just("c"), st.builds(CadenceState, st.none() | WHEN)),
    tags=st.dictionaries(st.just(TagRef("s", "e")), _TAGS),
    operands=st.dictionaries(st.just(TagRef("s", "e")), _TAGS),
    lots=st.dictionaries(
        st.just("L|m"), st.builds(StockLots, st.just((("B7", Decimal("1.5")), (None, Decimal(3)), ("B8", Decimal(0)))))
    ),
    containers=st.dictionaries(st.just("m"), st.builds(ContainerLots, st.just((("P1", "B7"),)))),
    sent=st.dictionaries(st.just("r"), st.just(SentLines((Sent(line(0, 3).key, Decimal("2.50"), AT, AT, 1, 0, 3),)))),
    seen=st.dictionaries(st.just("r/7"), st.builds(SeenState, _PASSED, _PASSED)),
    statuses=st.dictionaries(
        st.just("m/7"),
        st.builds(
            LotStatuses, st.just((("B7", (LotStatus("QA-HOLD", AT), LotStatus("RELEASED", AT, AT, AT))), ("B8", ())))
        ),
    ),
)
_MAPPINGS = {"rule": "rules", "source": "sources", "cadence": "cadences", "context": "contexts"} | {
    "condition": "conditions",
    "tag": "tags",
    "operand": "operands",
    "lots": "lots",
    "containers": "containers",
    "sent": "sent",
    "seen": "seen",
    "statuses": "statuses",
}


@given(STATES)
def test_every_state_comes_back_as_it_was(state: State) -> None:
    decoded: dict[str, dict[str, object]] = {}
    for kind, name, body, _ in checkpoint.rows(state):
        decoded.setdefault(kind, {})[name] = checkpoint.decoded(kind, body)
    for kind, mapping in _MAPPINGS.items():
        assert decoded.get(kind, {}) == {str(name): one for name, one in state.kinds()[mapping].items()}
    tags = [one.value for one in decoded.get("tag", {}).values() if isinstance(one, TagState)]
    assert [type(value) for value in tags] == [type(one.value) for one in state.tags.values()]


def test_the_signals_are_told_apart() -> None:
    signals = (counter(3), HandshakeState(1, 0, 3, 0, "", 0, released=True), ConfirmationState(1, 0, 3))
    for signal in signals:
        ((kind, _, body, _),) = checkpoint.rows(State(rules={"r": RuleState(signal)}))
        assert checkpoint.decoded(kind, body).signal == signal
