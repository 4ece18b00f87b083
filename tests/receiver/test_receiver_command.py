"""`python -m edge_agent_receiver`: how an inbox stands, for people and for machines."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edge_agent_receiver.__main__ import main
from edge_agent_receiver.answers import Raised
from edge_agent_receiver.store import open_store
from tests.receiver.agent_log import PREFIX, AgentLog
from tests.receiver.plant import Plant


@pytest.fixture
def kept(url: str, log: AgentLog) -> str:
    """An inbox with something of everything."""
    store = open_store(url)
    plant = Plant(store, log)
    events = [log.consumed() for _ in range(4)]
    log.gone.add((log.source(), 1))
    plant.ledger.answer = lambda event: Raised("ConnectionError: no route")
    plant.deliver(*events[1:], log.heartbeat(), (f"{PREFIX}/_material/consumed", b"junk"))
    plant.settle(10)
    store.close()
    return url


def test_status_as_text(kept: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--store", kept]) == 0

    said = capsys.readouterr().out
    assert "received to 4 of 4, settled to 1" in said
    assert "3 received" in said
    assert "open discrepancies, pruned: 1" in said
    assert "no route" in said
    assert "malformed, 1 times" in said


def test_status_for_machines(kept: str, capsys: pytest.CaptureFixture[str], log: AgentLog) -> None:
    assert main(["status", "--store", kept, "--json"]) == 0

    said = json.loads(capsys.readouterr().out)
    (source,) = said["sources"]
    assert source["source"] == log.source()
    assert (source["contiguous"], source["settled"], source["states"]) == (4, 1, {"received": 3})
    assert said["counts"]["events"] == 3
    assert said["discrepancies"] == {"pruned": 1}


def test_discrepancies(kept: str, capsys: pytest.CaptureFixture[str], log: AgentLog) -> None:
    assert main(["discrepancies", "--store", kept]) == 0
    assert "1 pruned, from 2025-02-19T" in capsys.readouterr().out

    assert main(["discrepancies", "--store", kept, "--json"]) == 0
    (said,) = json.loads(capsys.readouterr().out)
    assert (said["cause"], said["source"], said["sequence"], said["closed"]) == ("pruned", log.source(), 1, None)


def test_a_store_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--store", str(tmp_path / "none.db")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_it_is_a_program(tmp_path: Path, log: AgentLog) -> None:
    path = str(tmp_path / "inbox.db")
    store = open_store(path)
    Plant(store, log)
    command = [sys.executable, "-m", "edge_agent_receiver", "status", "--store", path]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    store.close()

    assert done.stdout == "nothing has come yet\n"
