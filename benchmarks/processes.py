"""The other ends as processes of their own, and what the kernel says of a process: memory, processor time."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

DEADLINE = 60.0
_MOSQUITTO = """
listener {port} 127.0.0.1
allow_anonymous true
persistence false
max_queued_messages 0
max_inflight_messages {window}
user root
log_type error
"""
"""`user root` only says that it must not change its user."""


class BenchmarkError(RuntimeError):
    """Something that a benchmark needs did not start or did not answer."""


class Missing(BenchmarkError):
    """A program that is not installed here."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def await_listening(port: int) -> float:
    """When the port first took a connection (`time.monotonic`). Raises BenchmarkError."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.005)
        else:
            return time.monotonic()
    raise BenchmarkError(f"nothing listens on port {port} after {DEADLINE:.0f} s")


class Child:
    """A process of `arguments`; `module` runs one of ours, which answers JSON lines on its standard output."""

    def __init__(self, arguments: Sequence[str], *, talks: bool = False) -> None:
        pipe = subprocess.PIPE if talks else subprocess.DEVNULL
        self._process = subprocess.Popen(
            arguments,
            stdin=pipe,
            stdout=pipe,
            stderr=_errors(),
            text=True,
            env=_environment(),
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - no threads run when children are started
        )

    @classmethod
    def module(cls, name: str, *arguments: str) -> Child:
        """`python -m name arguments`, to be talked to."""
        return cls([sys.executable, "-m", name, *arguments], talks=True)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def answer(self) -> dict[str, Any]:
        """Its next line. Raises BenchmarkError where it has ended."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise BenchmarkError(f"{self._process.args!r} ended: {self._process.poll()}")
        return dict(json.loads(line))

    def ask(self, cmd: str, **arguments: object) -> dict[str, Any]:
        """Send a request, wait for its answer. Raises BenchmarkError where it is refused."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"cmd": cmd, **arguments}) + "\n")
        self._process.stdin.flush()
        answer = self.answer()
        if "error" in answer:
            raise BenchmarkError(f"{cmd}: {answer['error']}")
        return answer

    def end(self) -> str:
        """SIGTERM, and what it still said; killed where it does not leave."""
        self._process.terminate()
        try:
            said, _ = self._process.communicate(timeout=DEADLINE / 4)
        except subprocess.TimeoutExpired:
            self._process.kill()
            said, _ = self._process.communicate()
        return said or ""

    def wait(self) -> None:
        """Until it ends by itself."""
        self._process.wait(DEADLINE)

    def kill(self) -> None:
        """SIGKILL, as a power cut."""
        self._process.kill()
        self._process.communicate()

    def memory(self) -> float:
        """Resident memory now, in MB (10^6 bytes)."""
        for line in Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024 / 1e6
        raise BenchmarkError(f"process {self.pid} has ended")

    def cpu(self) -> float:
        """Processor seconds used so far, user and system."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def running(child: Child) -> Iterator[Child]:
    """Ends the child afterwards."""
    try:
        yield child
    finally:
        child.end()


class Mosquitto:
    """Debian's mosquitto on a port of its own; `window` is the Receive Maximum that it gives its clients."""

    def __init__(self, folder: Path, window: int = 100) -> None:
        program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
        if program is None:
            raise Missing("NOT RUN: mosquitto is not installed")
        self.port = free_port()
        self._file = folder / "mosquitto.conf"
        self._file.write_text(_MOSQUITTO.format(port=self.port, window=window), encoding="utf-8")
        self._program = program
        self._child: Child | None = None

    def start(self) -> float:
        """Start; when it first took a connection."""
        self._child = Child([self._program, "-c", str(self._file)])
        return await_listening(self.port)

    def kill(self) -> None:
        """SIGKILL."""
        if self._child is not None:
            self._child.kill()
            self._child = None


@contextmanager
def mosquitto(folder: Path, window: int = 100) -> Iterator[Mosquitto]:
    """A mosquitto that runs. Raises Missing."""
    broker = Mosquitto(folder, window)
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


_LIBC = ctypes.CDLL(None, use_errno=True)
_SET_DEATH_SIGNAL = 1


def _die_with_parent() -> None:
    """The kernel kills a child whose benchmark was killed (prctl, PR_SET_PDEATHSIG)."""
    _LIBC.prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)


@cache
def _bytecode() -> tempfile.TemporaryDirectory[str]:
    """Where our processes keep compiled modules: an installed agent has them, a source tree may not be written to."""
    return tempfile.TemporaryDirectory(prefix="bench-bytecode-")


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": _bytecode().name}


def _errors() -> int | None:
    """Where children complain: to the terminal where BENCH_DEBUG is set, else nowhere."""
    return None if os.environ.get("BENCH_DEBUG") else subprocess.DEVNULL
