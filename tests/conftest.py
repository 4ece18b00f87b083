"""Hygiene of every test: what it started it ends, what it opened it closes, what it set it puts back.

A task, thread, descriptor, child process or environment variable that outlives its test fails that test. What is
winding down gets a short grace, polled, so that only a leak costs time.
"""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

_GRACE_SECONDS = 2.0
_POLL_SECONDS = 0.01

_SCRUBBED = ("CLICOLOR", "COLUMNS", "EDGE_AGENT_", "FORCE_COLOR", "GITHUB_", "MQTT_", "NO_COLOR", "STATE_DIR", "XDG_")
_TIME_ZONE = "America/St_Johns"
"""Half an hour off every full hour, and with summer time: a naive local time shows at once."""

# Timing never decides a test, so neither profile has a deadline or judges slow data generation.
settings.register_profile("dev", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", parent=settings.get_profile("dev"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

Held = Counter[str]
"""What this process holds, each as a text that says what it is."""

_held_by_wider_fixtures: Held = Counter()


def _scrub_environment() -> None:
    for name in [name for name in os.environ if name.startswith(_SCRUBBED)]:
        del os.environ[name]
    os.environ["TZ"] = _TIME_ZONE
    os.environ["LC_ALL"] = "C.UTF-8"
    os.environ["PATH"] += ":/usr/sbin"  # where Debian puts mosquitto, and an ordinary user does not look
    time.tzset()


_scrub_environment()


@pytest.fixture(autouse=True)
def no_leaked_resources() -> Iterator[None]:
    """No thread, descriptor, child process or environment variable outlives the test and its event loop."""
    before = _held()
    yield
    deadline = time.monotonic() + _GRACE_SECONDS
    while (leaked := _held() - before - _held_by_wider_fixtures) and time.monotonic() < deadline:
        gc.collect()  # what only a reference cycle holds is closed here, and warns as it should
        time.sleep(_POLL_SECONDS)
    if leaked:
        pytest.fail("leaked: " + "; ".join(sorted(leaked)), pytrace=False)


@pytest.fixture(autouse=True)
async def no_leaked_tasks(no_leaked_resources: None) -> AsyncIterator[None]:
    """No asyncio task outlives the test and its fixtures: set up first, this is torn down last within the loop."""
    yield
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    if not tasks:
        return
    _, pending = await asyncio.wait(tasks, timeout=_GRACE_SECONDS)
    if pending:
        pytest.fail("leaked: " + "; ".join(sorted(f"task {task!r}" for task in pending)), pytrace=False)


@pytest.fixture(autouse=True, scope="session")
def no_orphans() -> Iterator[None]:
    """No child process outlives the run, whichever fixture started it."""
    before = Counter(_children())
    yield
    if orphans := Counter(_children()) - before:
        pytest.fail("leaked by a module or session fixture: " + "; ".join(sorted(orphans)), pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Generator[None, object, object]:
    """What a module or session fixture opens, it may keep beyond the test that happened to ask first."""
    if fixturedef.scope == "function":
        return (yield)
    before = _held()
    result = yield
    _held_by_wider_fixtures.update(_held() - before)
    return result


def pytest_report_header() -> str:
    """Say which Hypothesis profile runs."""
    return f"hypothesis profile in use: {'ci' if os.environ.get('CI') else 'dev'}; TZ={_TIME_ZONE}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what tests measured, and count what could not run on this machine: a gap in the proof, never a pass."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"MEASURED: {report.nodeid.rpartition('::')[2]}: {name}: {value}")
    skipped = terminalreporter.getreports("skipped")
    terminalreporter.write_line(f"NOT RUN: {len(skipped)} tests")


def _held() -> Held:
    return Counter([*_threads(), *_descriptors(), *_children(), *_environment()])


def _threads() -> Iterator[str]:
    return (f"thread {thread.name} ({thread.ident})" for thread in threading.enumerate())


def _descriptors() -> Iterator[str]:
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(link)  # noqa: PTH115 - a socket's "socket:[1]" is no path
        except FileNotFoundError:
            continue  # the descriptor of this very listing
        yield f"descriptor of {target}"


def _children() -> Iterator[str]:
    for task in Path("/proc/self/task").iterdir():
        try:
            children = (task / "children").read_text(encoding="ascii").split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # the thread has ended in the meantime
        yield from (f"child process {child}" for child in children)


def _environment() -> Iterator[str]:
    return (f"environment {name}={value}" for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST")
