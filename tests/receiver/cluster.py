"""A PostgreSQL cluster that exists for one test run: on a socket in a folder of its own, no TCP port."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

_DEADLINE = 60.0


def _programs() -> Path | None:
    """Where Debian keeps them, the newest version first."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if found:
        return found[-1].parent
    plain = shutil.which("initdb")
    return None if plain is None else Path(plain).parent


def _user() -> str | None:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid()).pw_name
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in names), None)


def cannot_run() -> str | None:
    """Why there can be no cluster here; None if there can."""
    if _programs() is None:
        return "PostgreSQL is not installed (apt-get install postgresql)"
    if find_spec("psycopg") is None:
        return "psycopg is not installed"
    if _user() is None:
        return "there is no unprivileged user to run PostgreSQL"
    return None


class Cluster:
    """Made with its folder, which `remove` removes."""

    def __init__(self) -> None:
        programs, user = _programs(), _user()
        assert programs is not None
        assert user is not None
        self._programs = programs
        self._user = user
        self._folder = Path(tempfile.mkdtemp(prefix="pg-"))  # a socket's path has 107 bytes at most
        self._data = self._folder / "data"
        self._log = self._folder / "postgresql.log"
        self._process: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            shutil.chown(self._folder, self._user)
        options = ["-D", str(self._data), "-A", "trust", "-U", "edge", "-N", "-E", "UTF8", "--no-locale"]
        self._run([str(self._programs / "initdb"), *options])

    def remove(self) -> None:
        shutil.rmtree(self._folder)

    def start(self) -> None:
        options = ["-D", str(self._data), "-k", str(self._folder), "-c", "listen_addresses=", "-c", "fsync=off"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._programs / "postgres"), *options], stdout=log, stderr=log, **self._demoted()
            )
        deadline = time.monotonic() + _DEADLINE
        while True:
            try:
                psycopg.connect(self._url("postgres")).close()
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, self._log.read_text(encoding="utf-8")
                time.sleep(0.05)
            else:
                return

    def stop(self, number: signal.Signals = signal.SIGQUIT) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(_DEADLINE)
            self._process = None

    def new_schema(self, name: str) -> str:
        """The URL of a schema of its own."""
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}")
        return self._url("postgres") + "&options=" + quote(f"-c search_path={name}")

    def _url(self, database: str) -> str:
        return f"postgresql://edge@/{database}?host={quote(str(self._folder), safe='')}"

    def _run(self, command: list[str]) -> None:
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=_DEADLINE, **self._demoted()
        )
        assert done.returncode == 0, done.stderr

    def _demoted(self) -> dict[str, Any]:
        if os.geteuid() != 0:
            return {}
        entry = pwd.getpwnam(self._user)
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": [], "cwd": self._folder}
