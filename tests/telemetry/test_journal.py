"""Log lines in the journal's own protocol, field by field; on standard error where its socket does not take them."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from edge_agent.telemetry import journal, log
from edge_agent.telemetry.journal import JournalHandler, stderr_is_the_journal
from edge_agent.telemetry.log import Code, configure_log, get_logger


@pytest.fixture(autouse=True)
def logging_put_back() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("edge_agent")
    handlers, levels = list(root.handlers), (root.level, ours.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


Journald = Callable[[], AbstractContextManager[socket.socket]]


@pytest.fixture
def journald(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journald:
    """A socket as journald's, and a standard error that says it is the journal's."""
    monkeypatch.setattr(log, "JournalHandler", lambda: JournalHandler(tmp_path / "socket"))

    @contextmanager
    def listen() -> Iterator[socket.socket]:
        with (tmp_path / "stderr").open("w") as stderr, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
            found = os.fstat(stderr.fileno())
            listening.bind(str(tmp_path / "socket"))
            listening.setblocking(False)
            with monkeypatch.context() as patch:
                patch.setattr(sys, "stderr", stderr)
                patch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
                yield listening

    return listen


def _fields(datagram: bytes) -> Mapping[str, str]:
    """What journald reads out of a datagram, by the words of the protocol."""
    found: dict[str, str] = {}
    while datagram:
        name, _, rest = datagram.partition(b"\n")
        length = int.from_bytes(rest[:8], "little")
        assert rest[8 + length : 9 + length] == b"\n"
        found[name.decode()] = rest[8 : 8 + length].decode()
        datagram = rest[9 + length :]
    return found


def test_each_field_is_a_field_of_the_journal(journald: Journald) -> None:
    with journald() as listening:
        configure_log()
        get_logger("edge_agent.x").warning("lost", code=Code.COMPONENT_LOST, component="Füller", detail="no\nanswer")
        assert _fields(listening.recv(65536)) == {
            "EDGE_CODE": "EA-2001",
            "EDGE_COMPONENT": "Füller",
            "EDGE_DETAIL": "no\nanswer",
            "MESSAGE": r"code=EA-2001 event=lost component=Füller detail=no\nanswer",
            "PRIORITY": "4",
            "SYSLOG_IDENTIFIER": "edge-agent",
        }


@pytest.mark.parametrize(("level", "priority"), [("info", "6"), ("warning", "4"), ("error", "3"), ("critical", "2")])
def test_the_priority_is_the_levels(journald: Journald, level: str, priority: str) -> None:
    with journald() as listening:
        configure_log()
        getattr(get_logger("edge_agent.x"), level)("said")
        assert _fields(listening.recv(65536))["PRIORITY"] == priority


def test_a_librarys_traceback_and_odd_names_arrive_and_secrets_do_not(journald: Journald) -> None:
    with journald() as listening:
        configure_log()
        try:
            _ = 1 // 0
        except ZeroDivisionError:
            logging.getLogger("some.library").exception("failed at mqtts://edge:hunter2@broker")
        get_logger("edge_agent.x").warning("login", **{"password": "hunter2", "bad-name.é": "x"})
        first, second = _fields(listening.recv(65536)), _fields(listening.recv(65536))
        assert (first["EDGE_CODE"], first["EDGE_LIBRARY"]) == ("EA-2000", "some.library")
        assert "ZeroDivisionError" in first["EDGE_EXCEPTION"]
        assert (second["EDGE_PASSWORD"], second["EDGE_BAD_NAME__"]) == ("***", "x")
        assert "hunter2" not in str(first) + str(second)


def test_what_the_socket_does_not_take_goes_to_standard_error_with_its_priority(
    journald: Journald, tmp_path: Path
) -> None:
    with journald() as listening:
        configure_log()
        get_logger("edge_agent.x").warning("large", code="EA-2001", detail="x" * 4_000_000)
        listening.close()
        get_logger("edge_agent.x").error("alone", code="EA-2001")
        first, second = (tmp_path / "stderr").read_text(encoding="utf-8").splitlines()
        assert first.startswith("<4>code=EA-2001 event=large detail=xxx")
        assert len(first) > 4_000_000
        assert second == "<3>code=EA-2001 event=alone"


def test_json_where_asked_goes_to_standard_error(journald: Journald, tmp_path: Path) -> None:
    with journald() as listening:
        configure_log(json=True)
        get_logger("edge_agent.x").warning("said")
        assert (tmp_path / "stderr").read_text(encoding="utf-8").startswith('{"')
        with pytest.raises(BlockingIOError):
            listening.recv(1)


def test_only_the_stream_that_systemd_names_is_the_journals(journald: Journald) -> None:
    with journald():
        assert stderr_is_the_journal()
        assert not stderr_is_the_journal({})
        assert not stderr_is_the_journal({"JOURNAL_STREAM": "8:1"})
        assert Path("/run/systemd/journal/socket") == journal.SOCKET
