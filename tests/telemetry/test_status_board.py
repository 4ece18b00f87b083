"""The status board, and that loss and recovery are said once each."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

import pytest

from edge_agent.clock import ManualClock
from edge_agent.telemetry.status import Health, Status

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def status(clock: ManualClock) -> Status:
    return Status(clock)


def _said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str, str]]:
    messages = [record.msg for record in caplog.records]
    return [(one["event"], one["component"], one["detail"]) for one in messages if isinstance(one, dict)]


def test_loss_and_recovery_are_said_once(status: Status, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        status.starting("filler", "connecting")
        status.up("filler", "8 tags")
        status.up("filler", "9 tags")
        status.lost("filler", "no answer")
        status.lost("filler", "refused")
        status.up("filler", "8 tags")
    assert _said(caplog) == [("up", "filler", "8 tags"), ("lost", "filler", "no answer"), ("up", "filler", "8 tags")]
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING", "INFO"]


def test_a_first_loss_is_said(status: Status, caplog: pytest.LogCaptureFixture) -> None:
    status.lost("broker", "refused")
    assert _said(caplog) == [("lost", "broker", "refused")]


def test_the_board_shows_since_when_and_the_newest_word(status: Status, clock: ManualClock) -> None:
    status.starting("broker", "connecting")
    status.up("filler", "8 tags")
    clock.advance(timedelta(seconds=5))
    status.lost("filler", "no answer")
    clock.advance(timedelta(seconds=5))
    status.lost("filler", "refused")
    assert status.snapshot() == {
        "broker": {"state": "starting", "since": "2026-03-01T12:00:00+00:00", "detail": "connecting"},
        "filler": {"state": "lost", "since": "2026-03-01T12:00:05+00:00", "detail": "refused"},
    }
    assert list(status.snapshot()) == ["broker", "filler"]


def test_the_health_of_a_part(status: Status) -> None:
    assert status.health("filler") is None
    status.up("filler")
    assert status.health("filler") is Health.UP


def test_it_has_a_clock_of_its_own_where_none_is_given() -> None:
    status = Status()
    status.up("filler")
    since = datetime.fromisoformat(status.snapshot()["filler"]["since"])
    assert since.utcoffset() == timedelta(0)
