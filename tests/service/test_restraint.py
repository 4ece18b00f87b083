"""A row of failed starts is slowed down; one that went well, or a clean end, breaks it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edge_agent.service import Restraint
from edge_agent.telemetry.sd_notify import Notifier
from tests.service.manager import manager


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long it would have waited."""
    found: list[float] = []

    async def sleep(seconds: float) -> None:
        found.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return found


async def test_each_start_in_a_row_waits_longer_up_to_a_minute(tmp_path: Path, slept: list[float]) -> None:
    with manager(tmp_path / "notify") as systemd:
        for _ in range(9):
            await Restraint(Notifier(systemd.environment), {"RUNTIME_DIRECTORY": str(tmp_path)}).hold_back()
        assert slept == [2, 4, 8, 16, 32, 60, 60]
        assert systemd.hear()[0] == "STATUS=failed 2 times in a row: starts in 2 s"


async def test_a_clean_end_breaks_the_row(tmp_path: Path, slept: list[float]) -> None:
    for _ in range(4):
        restraint = Restraint(Notifier({}), {"RUNTIME_DIRECTORY": str(tmp_path)})
        await restraint.hold_back()
        restraint.forget()
    assert slept == []


async def test_a_good_minute_breaks_the_row(tmp_path: Path, slept: list[float]) -> None:
    for _ in range(4):
        restraint = Restraint(Notifier({}), {"RUNTIME_DIRECTORY": str(tmp_path)})
        await restraint.hold_back()
        settling = asyncio.create_task(restraint.settle())
        while (tmp_path / "failures").exists():
            await asyncio.to_thread(int)
        settling.cancel()
    assert slept == [60, 60, 60, 60]


@pytest.mark.parametrize("text", ["", "many", "999999999", "\xff"])
async def test_a_damaged_count_starts_at_once(tmp_path: Path, slept: list[float], text: str) -> None:
    (tmp_path / "failures").write_bytes(text.encode("latin-1"))
    await Restraint(Notifier({}), {"RUNTIME_DIRECTORY": str(tmp_path)}).hold_back()
    assert slept == []


async def test_without_a_runtime_directory_nothing_is_kept(slept: list[float]) -> None:
    restraint = Restraint(Notifier({}), {})
    for _ in range(4):
        await restraint.hold_back()
    restraint.forget()
    assert slept == []
