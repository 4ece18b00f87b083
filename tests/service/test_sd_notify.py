"""What is said to systemd, word for word."""

from __future__ import annotations

import logging
import os
import re
import time
from pathlib import Path

import pytest

from edge_agent.telemetry.sd_notify import Notifier
from tests.service.manager import manager


def test_every_word_is_the_protocols(tmp_path: Path) -> None:
    with manager(tmp_path / "notify") as systemd:
        notifier = Notifier(systemd.environment)
        notifier.ready()
        notifier.status("12/12 tags good · 3 waiting · 2 to review")
        notifier.watchdog()
        notifier.stopping()
        assert systemd.hear() == [
            "READY=1",
            "STATUS=12/12 tags good · 3 waiting · 2 to review",
            "WATCHDOG=1",
            "STOPPING=1",
        ]


def test_a_reload_carries_the_monotonic_time(tmp_path: Path) -> None:
    with manager(tmp_path / "notify") as systemd:
        before = time.monotonic_ns() // 1000
        Notifier(systemd.environment).reloading()
        (said,) = systemd.hear()
    found = re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=(\d+)", said)
    assert found is not None
    assert before <= int(found[1]) <= time.monotonic_ns() // 1000


def test_an_abstract_socket_is_reached() -> None:
    with manager(f"@edge-agent-test-{os.getpid()}") as systemd:
        Notifier(systemd.environment).ready()
        assert systemd.hear() == ["READY=1"]


def test_where_nobody_listens_nothing_is_said_and_nothing_breaks(caplog: pytest.LogCaptureFixture) -> None:
    notifier = Notifier({})
    notifier.ready()
    notifier.watchdog()
    assert notifier.watchdog_seconds is None
    assert caplog.records == []


def test_a_manager_that_cannot_be_reached_is_complained_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    with caplog.at_level(logging.WARNING):
        notifier.ready()
        notifier.watchdog()
        with manager(tmp_path / "gone") as systemd:
            notifier.watchdog()
            assert systemd.pings() == 1
        notifier.watchdog()
    messages = [record.msg for record in caplog.records]
    assert [one["code"] for one in messages if isinstance(one, dict)] == ["EA-2301", "EA-2301"]


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_who_was_asked(environment: dict[str, str], seconds: float | None) -> None:
    assert Notifier(environment).watchdog_seconds == seconds
