"""The examples do what they say: over a real broker, and in a real Tryton."""

from __future__ import annotations

import csv
import os
import py_compile
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from edge_agent_receiver import Accepted, Event, Rejected
from edge_agent_receiver.event import read_event
from tests.receiver.agent_log import AgentLog, line
from tests.receiver.tryton_server import started
from tests.receiver.wires import PYTHONPATH, BrokerProcess, WireAgent, until

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
_TRYTON = all(find_spec(name) for name in ("trytond", "proteus"))


@contextmanager
def _csv_receiver(broker: BrokerProcess, path: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, str(EXAMPLES / "receiver_csv.py"), f"mqtt://127.0.0.1:{broker.port}", str(path)]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": PYTHONPATH}, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _sums(path: Path) -> dict[tuple[str, str], Decimal]:
    sums: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.reader(file):
                sums[row[4], row[6]] += Decimal(row[7])
    return {key: value for key, value in sums.items() if value}


def test_the_csv_example_posts_each_event_once(tmp_path: Path, log: AgentLog) -> None:
    broker = BrokerProcess()
    broker.start()
    path = tmp_path / "postings.csv"
    try:
        first = log.consumed("2")
        with _csv_receiver(broker, path) as process, WireAgent(log, broker.port) as agent:
            log.consumed("3")
            until(lambda: agent.heartbeat() and _sums(path) == {("PET", "silo"): -5}, "both are posted")
            process.kill()
        log.moved("4")
        log.reverse(first)
        with _csv_receiver(broker, path) as process, WireAgent(log, broker.port) as agent:
            wanted = {("PET", "silo"): Decimal(-7), ("PET", "hopper"): Decimal(4)}
            until(lambda: agent.heartbeat() and _sums(path) == wanted, "all of it is posted")
            until(lambda: log.answers["erp", log.source()].single.keys() == {1, 2, 3, 4}, "all of it is answered")
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
    finally:
        broker.kill()
    with path.open(newline="", encoding="utf-8") as file:
        assert len(list(csv.reader(file))) == 5


@pytest.mark.parametrize("example", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_examples_compile_and_are_short(example: str, tmp_path: Path) -> None:
    py_compile.compile(str(EXAMPLES / example), cfile=str(tmp_path / "out.pyc"), doraise=True)
    assert (EXAMPLES / example).read_text(encoding="utf-8").count("\n") < 200


@pytest.fixture(scope="module")
def tryton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A Tryton on SQLite in this process with a company, a product and two locations; gives the example's class."""
    if not _TRYTON:
        pytest.skip("NOT RUN: trytond, its modules stock and production, and proteus are not installed")
    with started(tmp_path_factory.mktemp("tryton"), EXAMPLES) as books:
        yield books


def _event(sent: Any) -> Event:
    return read_event(*sent.wire)


def _stock(tryton: Any) -> dict[str, float]:
    """What is in the locations, by code."""
    return {code: quantity for code, quantity in tryton.stock().items() if quantity}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_tryton_example_posts_each_event_once(tryton: Any, log: AgentLog) -> None:
    books = tryton.books
    produced = log.put(
        "material.produced", "_material/produced", {"materialActual": [line(use="Produced", quantity="10")]}
    )
    consumed, moved = log.consumed("3"), log.moved("2")
    before = _stock(tryton)
    assert before == {}

    for sent in (produced, consumed, moved):
        first, again = books.post(_event(sent)), books.post(replace(_event(sent), again=True))
        assert isinstance(first, Accepted)
        assert first == again
    assert _stock(tryton) == {"silo": 5.0, "hopper": 2.0}

    for original in (moved, consumed):
        reversal = replace(_event(log.reverse(original)), reverses=_event(original))
        assert books.post(reversal) == books.post(reversal)
    assert _stock(tryton) == {"silo": 10.0}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_tryton_example_says_why_it_does_not_post(tryton: Any, log: AgentLog) -> None:
    cases = {
        "unknown_product": log.consumed("1", material="nobody knows"),
        "unknown_location": log.consumed("1", location="nowhere"),
        "unknown_unit": log.consumed("1", unit="XYZ"),
        "unknown_lot": log.consumed("1", materialLotID="L1"),
        "quantity_precision": log.consumed("0.0000001"),
        "insufficient_stock": log.consumed("1000000"),
    }
    before = _stock(tryton)
    for code, sent in cases.items():
        answer = tryton.books.post(_event(sent))
        assert isinstance(answer, Rejected), code
        assert answer.code == code
    assert _stock(tryton) == before
