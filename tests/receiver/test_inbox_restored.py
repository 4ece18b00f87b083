"""An inbox restored from yesterday's backup, and stores that two receivers want."""

from __future__ import annotations

import shutil
import sqlite3
from decimal import Decimal
from pathlib import Path

import pytest

from edge_agent_receiver import Accepted
from edge_agent_receiver.store import StoreError, StoreInUse, open_reader, open_store
from edge_agent_receiver.timing import Timing
from tests.receiver.agent_log import AgentLog
from tests.receiver.plant import Plant


@pytest.fixture
def backed_up(tmp_path: Path, log: AgentLog) -> Plant:
    """Three events yesterday, a backup, two events since; then the inbox is lost and the backup put back."""
    path, backup = tmp_path / "inbox.db", tmp_path / "backup.db"
    store = open_store(str(path))
    plant = Plant(store, log)
    plant.deliver(*(log.consumed() for _ in range(3)))
    plant.settle(10)
    with sqlite3.connect(path) as source, sqlite3.connect(backup) as target:
        source.backup(target)
    source.close()
    target.close()
    plant.deliver(*(log.consumed() for _ in range(2)))
    plant.settle(10)
    assert log.answers["erp", log.source()].up_to == 5
    store.close()
    for leftover in tmp_path.glob("inbox.db*"):
        leftover.unlink()
    shutil.move(backup, path)
    plant.store = open_store(str(path))
    return plant


def test_it_is_noted_and_what_was_accepted_comes_again_as_such(backed_up: Plant, log: AgentLog) -> None:
    plant = backed_up
    plant.ledger.answer = lambda event: Accepted(document="new")
    plant.open()
    plant.settle(3)
    assert plant.open_discrepancies() == ["restored"]
    assert any("restored from a backup" in notice for notice in plant.inbox.notices())

    plant.deliver(log.heartbeat(), log.consumed())
    plant.settle(30)

    assert plant.ledger.again == [log.at(4).id, log.at(5).id]
    assert plant.ledger.sums == {"silo/PET/Consumed": Decimal(6)}
    assert plant.states(log) == dict.fromkeys(range(1, 7), "accepted")
    assert plant.open_discrepancies() == []
    assert [one["cause"] for one in plant.published] == ["restored", "restored"]
    plant.store.close()


def test_posting_waits_a_moment_for_the_agents_word(backed_up: Plant, log: AgentLog) -> None:
    plant = backed_up
    plant._options["timing"] = Timing(hello=30)
    plant.open()
    plant.deliver(log.at(4), log.at(5))
    plant.post()
    assert plant.ledger.calls[5:] == []

    plant.settle(3)

    assert plant.ledger.again == [log.at(4).id, log.at(5).id]
    plant.store.close()


def test_an_agent_that_is_silent_holds_up_posting_no_longer(backed_up: Plant, log: AgentLog) -> None:
    plant = backed_up
    plant._options["timing"] = Timing(hello=5)
    plant.mute.add("ack")
    plant.open()
    plant.deliver(log.at(4), log.at(5))
    plant.settle(4)
    assert plant.ledger.calls[5:] == []
    plant.settle(3)

    assert [sequence for sequence, _ in plant.ledger.calls[5:]] == [4, 5]
    plant.store.close()


def test_a_plain_restart_is_no_restoration(plant: Plant, log: AgentLog) -> None:
    plant.deliver(*(log.consumed() for _ in range(3)))
    plant.settle(10)
    plant.open()
    plant.deliver(log.consumed())
    plant.settle(10)

    assert plant.ledger.again == []
    assert plant.published == []


def test_a_store_is_open_once(url: str) -> None:
    first = open_store(url)
    with pytest.raises(StoreInUse):
        open_store(url)
    first.close()
    open_store(url).close()


def test_a_store_may_be_read_meanwhile(url: str, log: AgentLog) -> None:
    store = open_store(url)
    plant = Plant(store, log)
    plant.deliver(log.consumed())
    reader = open_reader(url)
    with reader.transaction() as db:
        assert db.rows("SELECT count(*) FROM event") == [(1,)]
        with pytest.raises(StoreError):
            db.run("DELETE FROM event")
    plant.deliver(log.consumed())
    with reader.transaction() as db:
        assert db.rows("SELECT count(*) FROM event") == [(2,)]
    reader.close()
    store.close()


def test_a_store_of_a_newer_version_is_refused(url: str) -> None:
    store = open_store(url)
    with store.transaction() as db:
        db.run("INSERT INTO migration VALUES (9999)")
    store.close()
    with pytest.raises(StoreError, match="newer"):
        open_store(url)


@pytest.mark.parametrize("name", ["missing/folder/inbox.db", "not-a-database.db"])
def test_an_unfit_file_is_one_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "not-a-database.db").write_bytes(b"junk" * 1000)
    with pytest.raises(StoreError):
        open_store(str(tmp_path / name))
    with pytest.raises(StoreError):
        open_reader(str(tmp_path / "none.db"))


def test_a_failed_transaction_leaves_nothing_behind(plant: Plant, log: AgentLog) -> None:
    def failing() -> object:
        yield log.consumed().wire
        raise RuntimeError("planted")

    with pytest.raises(RuntimeError, match="planted"):
        plant.inbox.receive_all(failing(), plant.now)  # type: ignore[arg-type]  # it never gets to an end
    with pytest.raises(StoreError, match="make a new one"):
        plant.deliver(log.at(1))

    plant.open()
    assert plant.source(log) is None
    plant.deliver(log.at(1))
    plant.settle(3)
    assert plant.states(log) == {1: "accepted"}


def test_a_database_that_goes_away_is_a_store_error(url: str, log: AgentLog) -> None:
    store = open_store(url)
    plant = Plant(store, log)
    store.close()
    with pytest.raises(StoreError):
        plant.deliver(log.consumed())
