"""The hygiene of tests/conftest.py proves itself: every planted leak fails its test, every tidy test passes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import pytest

_CONFTEST = Path(__file__).parents[1] / "conftest.py"
_INI = Path(__file__).parents[2] / "pyproject.toml"

_LEAKING = """
import asyncio, os, socket, subprocess, sys, threading, time
import pytest

kept = []

async def test_task():
    kept.append(asyncio.create_task(asyncio.sleep(3600)))

@pytest.fixture
async def untidy():
    yield kept.append(asyncio.create_task(asyncio.sleep(3600)))

async def test_task_of_a_fixture(untidy):
    pass

def test_thread():
    threading.Thread(target=time.sleep, args=(3600,), daemon=True, name="forgotten").start()

def test_file(tmp_path):
    kept.append((tmp_path / "f").open("w"))

def test_socket():
    kept.append(socket.socket())

async def test_server():
    kept.append(await asyncio.start_server(print, "127.0.0.1", 0))

def test_child_process():
    kept.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))

def test_environment():
    os.environ["EDGE_AGENT_PLANTED"] = "1"

@pytest.fixture(scope="session")
def never_stopped():
    kept.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))

def test_last_of_the_run(never_stopped):
    pass
"""

_TIDY = """
import asyncio, os, socket, subprocess, sys, threading, time
import pytest
from hypothesis import given, strategies

@pytest.fixture(scope="session")
def broker():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process

async def test_task():
    task = asyncio.create_task(asyncio.sleep(3600))
    task.cancel()

async def test_executor():
    await asyncio.to_thread(time.sleep, 0)

def test_own_loop():
    asyncio.run(asyncio.to_thread(time.sleep, 0))

def test_thread_about_to_end():
    threading.Thread(target=time.sleep, args=(0.05,), daemon=True).start()

def test_wider_fixture_asked_for_late(request):
    assert request.getfixturevalue("broker").poll() is None

async def test_child_process():
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    assert await process.wait() == 0

def test_environment(monkeypatch):
    assert "EDGE_AGENT_FOREIGN" not in os.environ
    monkeypatch.setenv("EDGE_AGENT_OWN", "1")

@given(strategies.integers())
def test_examples(number):
    assert isinstance(number, int)

@given(strategies.integers())
async def test_examples_in_the_loop(number):
    await asyncio.sleep(0)
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """The text of the failure of each planted test, empty where it passed."""
    project = tmp_path_factory.mktemp("planted")
    (project / "conftest.py").write_text(_CONFTEST.read_text(encoding="utf-8") + "\n_GRACE_SECONDS = 0.3\n")
    (project / "test_leaking.py").write_text(_LEAKING)
    (project / "test_tidy.py").write_text(_TIDY)
    arguments = ["-c", str(_INI), "--rootdir", str(project), "-p", "no:cacheprovider", "--junitxml=report.xml"]
    subprocess.run(
        [sys.executable, "-m", "pytest", *arguments, "test_tidy.py", "test_leaking.py"],
        cwd=project,
        env={**os.environ, "EDGE_AGENT_FOREIGN": "1"},
        check=False,
        capture_output=True,
        timeout=100,
    )
    report = ElementTree.parse(project / "report.xml")
    return {
        f"{case.get('classname')}.{case.get('name')}": "".join(f"{found.text}" for found in case)
        for case in report.iter("testcase")
    }


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("task", "task <Task pending"),
        ("task_of_a_fixture", "task <Task pending"),
        ("thread", "thread forgotten"),
        ("file", "descriptor of "),
        ("socket", "descriptor of socket:"),
        ("server", "descriptor of socket:"),
        ("child_process", "child process "),
        ("environment", "environment EDGE_AGENT_PLANTED=1"),
        ("last_of_the_run", "leaked by a module or session fixture: child process "),
    ],
)
def test_planted_leak_fails_its_test(outcomes: Mapping[str, str], name: str, said: str) -> None:
    assert said in outcomes[f"test_leaking.test_{name}"]


def test_tidy_tests_pass(outcomes: Mapping[str, str]) -> None:
    tidy = {name: said for name, said in outcomes.items() if name.startswith("test_tidy.")}

    assert len(tidy) == _TIDY.count("def test_")
    assert {name: said for name, said in tidy.items() if said} == {}
