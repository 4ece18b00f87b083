"""A real systemd as PID 1, in namespaces and a cgroup of its own, to run the unit in. Needs root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_SCRIPT = Path(__file__).with_name("box.sh")
_NAMESPACES = ("--pid", "--mount", "--uts", "--ipc", "--net", "--cgroup")
_TOOLS = ("unshare", "nsenter", "setpriv", "pivot_root", "systemctl", "journalctl", "systemd-sysusers")
_ENTER = 'echo $$ >"$0"/cgroup.procs; exec "$@"'
DEADLINE_SECONDS = 60.0
UNIT = "edge-agent"


class Box:
    """The machine. `init` is systemd's process id as this machine sees it."""

    def __init__(self, init: int) -> None:
        self._init = init

    def run(self, *command: object, check: bool = True, timeout: float = DEADLINE_SECONDS) -> str:
        """Run a command in the box and return what it prints."""
        found = subprocess.run(
            ["nsenter", f"--target={self._init}", "--all", "--", *map(str, command)],
            check=False,
            capture_output=True,
            text=True,
            timeout=timeout,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "SYSTEMD_PAGER": ""},
        )
        if check and found.returncode != 0:
            pytest.fail(f"{command}: {found.stdout}{found.stderr}\n{self.journal()}", pytrace=False)
        return found.stdout + found.stderr

    def write(self, path: str, text: str) -> None:
        """Write a file in the box."""
        target = Path(f"/proc/{self._init}/root{path}")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")

    def show(self, *properties: str) -> Mapping[str, str]:
        """Properties of the unit."""
        lines = self.run("systemctl", "show", UNIT, f"--property={','.join(properties)}").splitlines()
        return dict(line.partition("=")[::2] for line in lines)

    def until(self, **wanted: str | Callable[[str], bool]) -> Mapping[str, str]:
        """Wait until the unit's properties are so."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            found = self.show(*wanted)
            if all(one(found[name]) if callable(one) else found[name] == one for name, one in wanted.items()):
                return found
            assert time.monotonic() < deadline, f"{found}\n{self.journal()}"
            time.sleep(0.05)

    def journal(self, *arguments: str) -> str:
        """What the unit and systemd say of it."""
        return self.run("journalctl", "--unit", UNIT, "--no-pager", *arguments, check=False)


@contextmanager
def box(folder: Path) -> Iterator[Box]:
    """A booted box; skips the test where this machine cannot have one."""
    group = _cgroup()
    places = map(str, (folder, _ROOT, sysconfig.get_path("purelib"), sys.base_prefix, Path(sys.executable).resolve()))
    inside = ["unshare", *_NAMESPACES, "--fork", "--kill-child", "bash", str(_SCRIPT), *places]
    group.mkdir()
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig=KILL", "bash", "-c", _ENTER, str(group), *inside],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield _booted(process)
    finally:
        process.kill()
        process.communicate()
        _remove(group)


def _booted(process: subprocess.Popen[str]) -> Box:
    deadline = time.monotonic() + DEADLINE_SECONDS
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail(f"the box ended with {process.returncode}: {process.communicate()[0]}")
        if child := children.read_text(encoding="ascii").split():
            made = Box(int(child[0]))
            if made.run("systemctl", "is-system-running", check=False).strip() in {"running", "degraded"}:
                return made
        time.sleep(0.05)
    pytest.fail(f"the box does not boot within {DEADLINE_SECONDS:.0f} s")


def _cgroup() -> Path:
    """A name for a cgroup of our own; skips where this machine cannot have a box."""
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if not Path("/lib/systemd/systemd").exists():
        missing.append("systemd")
    if missing:
        pytest.skip(f"NOT RUN: needs {', '.join(missing)} (Debian: systemd)")
    if os.geteuid() != 0:
        pytest.skip("NOT RUN: a systemd as PID 1 needs root")
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
    unified = [Path(fields[1]) for fields in mounts if fields[2] == "cgroup2"]
    if not unified or not os.access(unified[0], os.W_OK):
        pytest.skip("NOT RUN: a systemd as PID 1 needs a cgroup2 file system it may write to")
    trial = ["unshare", *_NAMESPACES, "--fork", "mount", "--make-rprivate", "/"]
    tried = subprocess.run(trial, check=False, capture_output=True, text=True)
    if tried.returncode != 0:
        pytest.skip(f"NOT RUN: a systemd as PID 1 needs namespaces of its own: {tried.stderr.strip()}")
    return unified[0] / f"edge-agent-test-{os.getpid()}-{time.monotonic_ns()}"


def _remove(group: Path) -> None:
    """Remove a cgroup and those below it; what was killed leaves them a moment later."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while group.exists() and time.monotonic() < deadline:
        for folder, _, _ in os.walk(group, topdown=False):
            with suppress(OSError):
                Path(folder).rmdir()
        time.sleep(0.05)
