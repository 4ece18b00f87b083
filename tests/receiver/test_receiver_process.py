"""The receiver over real brokers: both versions of MQTT, lost connections, signals, a store that fails."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from edge_agent_receiver import Accepted, Busy, Event, Receiver
from edge_agent_receiver.answers import Answer
from edge_agent_receiver.store import StoreError, open_reader, open_store
from edge_agent_receiver.timing import Timing
from tests.receiver.agent_log import AgentLog
from tests.receiver.cluster import Cluster
from tests.receiver.wires import BrokerProcess, WireAgent, has_mosquitto, until

QUICK = Timing(first=0.1, longest=0.5, gather=0.1, hello=0.2)
KINDS = [
    "iotcore",
    pytest.param(
        "mosquitto", marks=pytest.mark.skipif(not has_mosquitto(), reason="NOT RUN: mosquitto is not installed")
    ),
]


class Books:
    """A ledger that threads share: `post` is one of its methods."""

    def __init__(self) -> None:
        self.posted: dict[str, Event] = {}
        self.answer: Callable[[Event], Answer] = lambda event: Accepted(document=f"D{event.sequence}")
        self.threads: set[str] = set()

    def post(self, event: Event) -> Answer:
        self.threads.add(threading.current_thread().name)
        answer = self.answer(event)
        if isinstance(answer, Accepted):
            self.posted[event.id] = event
        return answer

    @property
    def total(self) -> Decimal:
        return sum((line.quantity for event in list(self.posted.values()) for line in event.lines), Decimal(0))


@contextmanager
def running(books: Books, port: int, store: str, **options: Any) -> Iterator[Receiver]:
    """A receiver on a thread; leaving stops it and shows what it raised."""
    receiver = Receiver(
        system="erp", broker=f"mqtt://127.0.0.1:{port}", store=store, post=books.post, timing=QUICK, **options
    )
    raised: list[BaseException] = []

    def run() -> None:
        try:
            receiver.run()
        except StoreError as error:
            raised.append(error)

    thread = threading.Thread(target=run, name="team")
    thread.start()
    try:
        until(lambda: receiver.ready.is_set() or raised, "the receiver is subscribed")
        yield receiver
    finally:
        receiver.stop()
        thread.join(30)
        assert not thread.is_alive()
    assert raised == []


@pytest.fixture
def broker(request: pytest.FixtureRequest) -> Iterator[BrokerProcess]:
    made = BrokerProcess(getattr(request, "param", "iotcore"))
    made.start()
    yield made
    made.kill()


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "inbox.db")


@pytest.mark.parametrize("broker", KINDS, indirect=True)
@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_events_are_received_posted_and_answered(broker: BrokerProcess, log: AgentLog, path: str, version: str) -> None:
    books = Books()
    port = broker.port if version == "5" else broker.port_v3
    with running(books, port, path) as receiver, WireAgent(log, port, modern=version == "5") as agent:
        agent.publish(log.consumed() for _ in range(20))
        lost = [log.consumed(), log.consumed()]
        agent.publish([log.consumed()])
        agent.heartbeat()

        until(lambda: books.total == 23, "everything is posted")
        until(lambda: len(log.answers["erp", log.source()].single) == 23, "everything is answered")
        assert lost[0].id in books.posted
        assert books.threads == {"team"}
        assert receiver.status()["connected"] is True
        assert receiver.status()["sources"][0]["settled"] == 23


def test_what_comes_while_it_is_away_waits_at_the_broker(tmp_path: Path, log: AgentLog, path: str) -> None:
    if not has_mosquitto():
        pytest.skip("NOT RUN: mosquitto is not installed")
    broker = BrokerProcess("mosquitto")
    broker.start()
    books = Books()
    try:
        with running(books, broker.port, path), WireAgent(log, broker.port) as agent:
            agent.publish([log.consumed()])
            until(lambda: books.total == 1, "the first is posted")
        with WireAgent(log, broker.port) as agent:
            agent.publish([log.consumed(), log.consumed()])
        with running(books, broker.port, path):
            until(lambda: books.total == 3, "what came meanwhile is posted")
    finally:
        broker.kill()
    assert [body for name, body in log.commands if name == "replay"] == []


def test_a_broker_that_dies_is_found_again(broker: BrokerProcess, log: AgentLog, path: str) -> None:
    books = Books()
    with running(books, broker.port, path) as receiver, WireAgent(log, broker.port) as agent:
        agent.publish([log.consumed()])
        until(lambda: books.total == 1, "the first is posted")
        broker.kill()
        until(lambda: not receiver.ready.is_set(), "the loss is noticed")
        log.consumed()  # this one the broker never had
        broker.start()
        until(receiver.ready.is_set, "it is connected again")
        agent.heartbeat()
        until(lambda: books.total == 2, "what was missed is posted")


def test_posting_goes_on_without_a_broker(broker: BrokerProcess, log: AgentLog, path: str) -> None:
    books = Books()
    ready = threading.Event()
    books.answer = lambda event: Accepted() if ready.is_set() else Busy()
    with running(books, broker.port, path) as receiver, WireAgent(log, broker.port) as agent:
        agent.publish([log.consumed()])
        until(lambda: receiver.status()["sources"], "it has come")
        broker.kill()
        until(lambda: not receiver.ready.is_set(), "the loss is noticed")
        ready.set()
        until(lambda: books.total == 1, "it is posted")


def test_what_post_raises_is_shown_and_tried_again(
    broker: BrokerProcess, log: AgentLog, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    books = Books()
    ready = threading.Event()

    def answer(_event: Event) -> Answer:
        if not ready.is_set():
            raise ConnectionError("no route to the ERP")
        return Accepted()

    books.answer = answer
    with running(books, broker.port, path) as receiver, WireAgent(log, broker.port) as agent:
        agent.publish([log.consumed()])
        until(lambda: "no route" in receiver.status()["notes"].get("post raised", ""), "it is in the status")
        until(lambda: receiver.status()["counts"]["busy"] > 2, "it was tried again")
        ready.set()
        until(lambda: books.total == 1, "it is posted")
        assert books.posted[log.at(1).id].again is True
    raised = [record.getMessage() for record in caplog.records if "post raised" in record.getMessage()]
    assert len(raised) == 1
    assert "Traceback" in raised[0]


def test_a_post_that_gives_nothing_is_told_so(broker: BrokerProcess, log: AgentLog, path: str) -> None:
    books = Books()
    books.answer = lambda event: None  # type: ignore[assignment, return-value]  # the mistake itself
    with running(books, broker.port, path) as receiver, WireAgent(log, broker.port) as agent:
        agent.publish([log.consumed()])
        until(lambda: "gave NoneType" in receiver.status()["notes"].get("post raised", ""), "the status says it")


def test_discrepancies_reach_the_broker(broker: BrokerProcess, log: AgentLog, path: str) -> None:
    books = Books()
    first, second = log.consumed(), log.consumed()
    log.gone.add((first.source, 1))
    with running(books, broker.port, path) as receiver, WireAgent(log, broker.port) as agent:
        agent.publish([second])
        agent.heartbeat()
        until(lambda: receiver.status()["discrepancies"] == {"pruned": 1}, "it is open")
        count = counting(path)
        until(lambda: count("SELECT count(*) FROM discrepancy WHERE published = revision") == 1, "it is published")


def counting(path: str) -> Callable[[str], int]:
    def count(query: str) -> int:
        reader = open_reader(path)
        try:
            with reader.transaction() as db:
                return int(db.rows(query)[0][0])
        finally:
            reader.close()

    return count


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_after_the_event_at_hand(
    broker: BrokerProcess, log: AgentLog, path: str, number: signal.Signals
) -> None:
    books = Books()
    events = [log.consumed() for _ in range(5)]

    def answer(event: Event) -> Answer:
        if event.sequence == 2:
            os.kill(os.getpid(), number)
        return Accepted()

    books.answer = answer
    receiver = Receiver(
        system="erp", broker=f"mqtt://127.0.0.1:{broker.port}", store=path, post=books.post, timing=QUICK
    )
    with WireAgent(log, broker.port) as agent:
        helper = threading.Thread(target=lambda: (receiver.ready.wait(30), agent.publish(events)))
        helper.start()
        receiver.run()
        helper.join()

    assert sorted(event.sequence for event in books.posted.values()) in ([1, 2], [1, 2, 3, 4, 5])
    assert receiver.status()["sources"][0]["settled"] == max(event.sequence for event in books.posted.values())
    assert receiver.status()["sources"][0]["states"].get("offered") is None


def test_what_ends_the_program_in_post_ends_it(broker: BrokerProcess, log: AgentLog, path: str) -> None:
    def post(_event: Event) -> Answer:
        raise SystemExit(3)

    receiver = Receiver(system="erp", broker=f"mqtt://127.0.0.1:{broker.port}", store=path, post=post, timing=QUICK)
    with WireAgent(log, broker.port) as agent:
        helper = threading.Thread(target=lambda: (receiver.ready.wait(30), agent.publish([log.consumed()])))
        helper.start()
        with pytest.raises(SystemExit):
            receiver.run()
        helper.join()
    books = Books()
    with running(books, broker.port, path):
        until(lambda: books.posted, "it is offered again")
    assert books.posted[log.at(1).id].again is True


def test_a_store_in_use_is_refused_at_once(path: str) -> None:
    store = open_store(path)
    receiver = Receiver(system="erp", store=path, post=Books().post)
    with pytest.raises(StoreError, match="another receiver"):
        receiver.run()
    store.close()


@pytest.mark.parametrize("system", ["", "a b", "x" * 65, "ä"])
def test_a_bad_system_name_is_refused(system: str) -> None:
    with pytest.raises(ValueError, match="no name of a system"):
        Receiver(system=system, post=Books().post)


@pytest.mark.parametrize("url", ["127.0.0.1", "http://x", "mqtt://", "mqtt://x/path", "mqtt://u:secret@x"])
def test_a_bad_broker_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"no broker|password"):
        Receiver(system="erp", broker=url, post=Books().post)


def test_a_database_that_restarts_is_opened_again(
    prepared: Cluster, broker: BrokerProcess, log: AgentLog, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    books = Books()
    prepared.start()
    url = prepared.new_schema("restarts")
    with running(books, broker.port, url), WireAgent(log, broker.port) as agent:
        agent.publish([log.consumed()])
        until(lambda: books.total == 1, "the first is posted")
        prepared.stop(signal.SIGINT)
        agent.publish([log.consumed()])
        until(lambda: any("closed until" in record.getMessage() for record in caplog.records), "the loss is noticed")
        prepared.start()
        until(lambda: agent.heartbeat() and books.total == 2, "the second is posted")
    prepared.stop()
