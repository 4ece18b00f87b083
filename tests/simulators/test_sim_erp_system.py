"""An ERP on the receiver kit: whatever it does wrong, its books end up right, and it has said so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent_receiver.timing import Timing
from edge_agent_simulators.erp_faults import Fault
from edge_agent_simulators.erp_system import BooksBehind, Crashed, Erp, restore
from tests.receiver.agent_log import AgentLog

START = 1_772_000_000.0


class Bench:
    """An ERP and an agent's log, one second at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = START
        self.log = AgentLog()
        self.runs = 0
        self.acks: list[dict[str, Any]] = []
        self.erp = self.open()

    def open(self) -> Erp:
        self.runs += 1
        former = getattr(self, "erp", None)
        self.erp = Erp(
            self.folder,
            "erp",
            run=f"run-{self.runs:04d}",
            now=self.now,
            timing=Timing(hello=2),
            faults=former and former.faults,
            voice=former and former.voice,
        )
        return self.erp

    def reopen(self) -> None:
        self.erp.close()
        self.open()

    def consume(self, *quantities: str) -> None:
        self.erp.receive([self.log.consumed(quantity).wire for quantity in quantities], self.now)

    def run(self, seconds: int = 30) -> None:
        for _ in range(seconds):
            self.now += 1
            for message in self.erp.step(self.now):
                self.erp.sent(message, self.now)
                if message.topic.endswith("/cmd/ack"):
                    self.acks.append(json.loads(message.payload))
                self.erp.receive(self.log.command(message.topic, message.payload), self.now)

    def sum(self) -> int:
        return int(sum(self.erp.books.balances().values()))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "erp")
    yield made
    made.erp.close()


def answers(bench: Bench) -> dict[int, str]:
    return {one["sequence"]: one["status"] for ack in bench.acks for one in ack.get("answers", [])}


def test_it_posts_each_event_once_and_says_its_document(bench: Bench) -> None:
    bench.consume("3", "4")
    bench.erp.receive([bench.log.at(1).wire], bench.now)
    bench.run()
    assert bench.sum() == 7
    assert [one.number for one in bench.erp.books.documents()] == [1, 2]
    assert {one["document"] for ack in bench.acks for one in ack["answers"]} == {"1", "2"}
    assert bench.erp.status()["answered"] == {"accepted": 2}


def test_a_rejection_stands_until_it_is_put_right_and_the_event_comes_again(bench: Bench) -> None:
    name = bench.erp.faults.put(Fault("reject", "unknown_lot", nth=2))
    bench.consume("3", "4", "5")
    bench.run()
    assert (bench.sum(), answers(bench)[2]) == (8, "rejected")
    bench.erp.faults.put_right(name)
    bench.erp.receive([bench.log.at(2).wire], bench.now)
    bench.run()
    assert (bench.sum(), answers(bench)[2]) == (12, "accepted")


def test_busy_holds_the_source_up_and_nothing_is_lost(bench: Bench) -> None:
    bench.erp.faults.put(Fault("busy", retry_after=5, times=3))
    bench.consume("3", "4")
    bench.run(4)
    assert bench.sum() == 0
    bench.run(40)
    assert bench.sum() == 7


def test_what_it_posts_before_a_crash_is_not_posted_again(bench: Bench) -> None:
    bench.erp.faults.put(Fault("crash", times=1))
    bench.consume("3", "4")
    with pytest.raises(Crashed):
        bench.run()
    bench.reopen()
    bench.run()
    assert (bench.sum(), bench.erp.books.posted_twice()) == (7, [])
    assert bench.erp.status()["answered"] == {"duplicate": 1, "accepted": 1}


def test_never_late_and_twice(bench: Bench) -> None:
    bench.erp.voice.set("never")
    bench.consume("3")
    bench.run()
    assert (bench.sum(), bench.acks) == (3, [])
    bench.erp.voice.set("late", 100)
    bench.run(60)
    assert bench.acks == []
    bench.erp.voice.set("twice")
    bench.run(120)
    assert answers(bench) == {1: "accepted"}
    assert len(bench.acks) > len({ack["nonce"] for ack in bench.acks})


@pytest.mark.parametrize(("inbox", "books"), [(True, False), (True, True)])
def test_it_catches_up_after_a_restore(bench: Bench, tmp_path: Path, inbox: bool, books: bool) -> None:
    bench.consume("3")
    bench.run()
    bench.erp.backup(tmp_path / "backup")
    bench.consume("4", "5")
    bench.run()
    bench.erp.close()
    restore(bench.folder, tmp_path / "backup", inbox=inbox, books=books)
    bench.open()
    assert bench.sum() == (3 if books else 12)
    bench.erp.receive([bench.log.heartbeat()], bench.now)
    bench.run(60)
    assert (bench.sum(), bench.erp.books.posted_twice()) == (12, [])
    found = [(one["cause"], one["closed"] is not None) for one in bench.erp.discrepancies()]
    assert found == [("restored", True)]


def test_books_alone_from_a_backup_are_not_believed(bench: Bench, tmp_path: Path) -> None:
    bench.consume("3")
    bench.run()
    bench.erp.backup(tmp_path / "backup")
    bench.consume("4")
    bench.run()
    bench.erp.close()
    restore(bench.folder, tmp_path / "backup", inbox=False, books=True)
    with pytest.raises(BooksBehind, match="document 2 was posted, the books end with 1"):
        bench.open()
    restore(bench.folder, tmp_path / "backup", inbox=True, books=False)
    bench.open()
    bench.erp.receive([bench.log.heartbeat()], bench.now)
    bench.run(60)
    assert bench.sum() == 7
