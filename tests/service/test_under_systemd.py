"""The unit under a real systemd as PID 1: ready, restarted, watched, reloaded, stopped, and not restarted in vain."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator

import pytest

from tests.service.box import UNIT, Box, box

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

_UNIT_FILE = f"/etc/systemd/system/{UNIT}.service"
_DROP_IN = f"{_UNIT_FILE}.d/test.conf"
_MAP = "/etc/edge-agent/maps.d/bottling-line.yaml"
_READY = {"ActiveState": "active", "SubState": "running"}
_NOTHING_YET = "0/8 tags good · 0 waiting · 0 to review"
_GET = "from urllib.request import urlopen; print(urlopen('http://127.0.0.1:9464{}').read().decode())"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    with box(tmp_path_factory.mktemp("box")) as made:
        yield made


@pytest.fixture
def idle(machine: Box) -> Iterator[Box]:
    """The agent not running, the unit as shipped."""
    yield machine
    machine.until(SubState=lambda state: state != "auto-restart")  # a stop there would leave the row of failures
    machine.run("systemctl", "stop", UNIT)
    machine.run("systemctl", "reset-failed", UNIT, check=False)
    machine.run("rm", "-rf", f"{_UNIT_FILE}.d")
    machine.run("systemctl", "daemon-reload")


@pytest.fixture
def running(idle: Box) -> Box:
    """The agent, ready."""
    _start(idle)
    return idle


def _start(machine: Box, drop_in: str = "") -> None:
    machine.write(_DROP_IN, drop_in)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", UNIT)


def _restarted(machine: Box, before: str) -> None:
    machine.until(MainPID=_other_than(before), **_READY)


def _other_than(before: str) -> Callable[[str], bool]:
    return lambda pid: pid not in {"0", before}


def test_start_waits_for_ready_and_status_is_shown(running: Box) -> None:
    assert running.show("Type", *_READY) == {"Type": "notify", **_READY}
    running.until(StatusText=_NOTHING_YET)
    page = running.run("python3", "-c", _GET.format("/metrics"))
    assert 'edge_agent_tags_bad{source="filler"} 8' in page
    assert running.run("python3", "-c", _GET.format("/-/ready")) == "ok\n\n"
    assert running.run("python3", "-c", _GET.format("/-/healthy")) == "ok\n\n"


def test_the_journal_has_each_field(running: Box) -> None:
    deadline = time.monotonic() + 30
    while not (lines := running.journal("--output=json", "EDGE_COMPONENT=broker").splitlines()):
        assert time.monotonic() < deadline, running.journal()
    said = json.loads(lines[0])
    assert (said["EDGE_CODE"], said["PRIORITY"], said["SYSLOG_IDENTIFIER"]) == ("EA-2001", "4", "edge-agent")
    assert said["_SYSTEMD_UNIT"] == "edge-agent.service"
    assert "cannot connect to the MQTT broker" in said["EDGE_DETAIL"]


def test_a_killed_agent_is_started_again(running: Box) -> None:
    before = running.show("MainPID")["MainPID"]
    running.run("systemctl", "kill", "--signal=KILL", UNIT)
    _restarted(running, before)


def test_a_row_of_failed_starts_is_slowed_down_but_never_ended(running: Box) -> None:
    for _ in range(2):
        before = running.show("MainPID")["MainPID"]
        running.run("systemctl", "kill", "--signal=KILL", UNIT)
        running.until(MainPID=_other_than(before))
        running.until(StatusText=lambda text: text == _NOTHING_YET or text.startswith("failed "))
    assert running.show("StatusText")["StatusText"] == "failed 2 times in a row: starts in 2 s"
    running.until(StatusText=_NOTHING_YET, **_READY)


def test_a_hung_agent_is_ended_with_a_traceback_and_started_again(idle: Box) -> None:
    _start(idle, "[Service]\nWatchdogSec=4\nTimeoutAbortSec=2\n")
    before = idle.show("MainPID")["MainPID"]
    time.sleep(6)  # longer than the watchdog: it is fed
    assert idle.show("MainPID", "NRestarts") == {"MainPID": before, "NRestarts": "0"}
    idle.run("systemctl", "kill", "--signal=STOP", UNIT)
    _restarted(idle, before)
    said = idle.journal()
    assert "Watchdog timeout" in said
    assert "Fatal Python error: Aborted" in said


def test_without_the_watchdog_a_hung_agent_stays_hung(idle: Box) -> None:
    """The control: it is the watchdog that the test above sees."""
    _start(idle, "[Service]\nWatchdogSec=0\n")
    before = idle.show("MainPID", "NRestarts", "ActiveState")
    idle.run("systemctl", "kill", "--signal=STOP", UNIT)
    time.sleep(8)
    assert idle.show("MainPID", "NRestarts", "ActiveState") == before
    idle.run("systemctl", "kill", "--signal=CONT", UNIT)


def test_a_bad_map_ends_with_78_and_is_not_restarted(idle: Box) -> None:
    idle.write("/etc/edge-agent/bad.d/line.yaml", "schema: 1\nagent: 010\n")
    idle.write(_DROP_IN, "[Service]\nEnvironment=EDGE_AGENT_CONFIG=/etc/edge-agent/bad.d\n")
    idle.run("systemctl", "daemon-reload")
    idle.run("systemctl", "start", UNIT, check=False)
    idle.until(ActiveState="failed", SubState="failed", ExecMainStatus="78", NRestarts="0")
    time.sleep(3)  # longer than RestartSec
    assert idle.show("ActiveState", "NRestarts") == {"ActiveState": "failed", "NRestarts": "0"}
    assert "bad.d/line.yaml:" in idle.journal()


def test_a_stop_is_clean_and_quick(running: Box) -> None:
    began = time.monotonic()
    running.run("systemctl", "stop", UNIT)
    assert time.monotonic() - began < 30
    assert running.show("ActiveState", "Result") == {"ActiveState": "inactive", "Result": "success"}
    assert "Deactivated successfully" in running.journal()


def test_a_reload_takes_a_good_map_over_in_the_running_process(running: Box) -> None:
    before = running.show("MainPID")["MainPID"]
    running.run("systemctl", "reload", UNIT)
    running.until(MainPID=before, NRestarts="0", StatusText=_NOTHING_YET, **_READY)
    assert "the new tag map is in force" in running.journal()


def test_a_reload_with_a_bad_map_is_refused_and_the_agent_runs_on(running: Box) -> None:
    before = running.show("MainPID")["MainPID"]
    good = running.run("cat", _MAP)
    running.write(_MAP, good.replace("schema: 1", "schema: one", 1))
    try:
        assert "failed" in running.run("systemctl", "reload", UNIT, check=False)
    finally:
        running.write(_MAP, good)
    running.until(MainPID=before, NRestarts="0", **_READY)
    assert "bottling-line.yaml:" in running.journal()


def test_the_sandbox_keeps_the_boot_id_readable(running: Box) -> None:
    pid = running.show("MainPID")["MainPID"]
    inside = ("nsenter", f"--target={pid}", "--mount", "--", "cat", "/proc/sys/kernel/random/boot_id")
    assert running.run(*inside) == running.run("cat", "/proc/sys/kernel/random/boot_id")


@pytest.mark.parametrize("drop_in", ["", "edge-agent-serial.conf"])
def test_verify_says_nothing_and_the_exposure_is_small(
    idle: Box, drop_in: str, record_property: Callable[[str, object], None]
) -> None:
    if drop_in:
        idle.write(_DROP_IN, idle.run("cat", f"/opt/edge-agent/code/systemd/{drop_in}"))
    idle.run("systemctl", "daemon-reload")
    assert idle.run("systemd-analyze", "verify", _UNIT_FILE) == ""
    found = re.search(r"level for edge-agent.service: (\d+\.\d)", idle.run("systemd-analyze", "security", UNIT))
    assert found is not None
    record_property("exposure", found[1])
    assert float(found[1]) <= 1.5
