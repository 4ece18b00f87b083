"""Modbus servers that are not ours: libmodbus (C) and npm's modbus-serial, as processes with registers to be set.

What a machine lacks for one, `missing_…` says in a sentence for a skip; else it answers None. libmodbus takes a C
compiler and Debian's libmodbus-dev; modbus-serial takes node and a `node_modules` with it, beside this file or where
INTEROP_NODE_MODULES says.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tty
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

_HERE = Path(__file__).parent
_SECONDS = 30.0


class Peer:
    """A server on 127.0.0.1 with 200 holding registers from 0 on, for any unit (RTU: unit 1), all 0 at first."""

    def __init__(self, name: str, process: Process) -> None:
        self.name = name
        self.port = 0
        self._process = process

    async def set(self, offset: int, *values: int) -> None:
        """Set registers, all of them between two requests. Raises RuntimeError where they are refused."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"set {offset} {' '.join(map(str, values))}\n".encode())
        await self._process.stdin.drain()
        if (answer := await self.line()) != "ok":
            raise RuntimeError(f"{self.name}: {answer}")

    async def line(self) -> str:
        """The next line it says. Raises RuntimeError where it has ended."""
        assert self._process.stdout is not None
        async with asyncio.timeout(_SECONDS):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} has ended")
        return line.decode().strip()

    async def kill(self) -> None:
        """kill -9: the machine is gone, and nobody says goodbye."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


def missing_libmodbus() -> str | None:
    """Why there can be no libmodbus server here."""
    compiler = _compiler()
    if compiler is None:
        return "no C compiler (cc or gcc)"
    preprocess = [compiler, "-E", "-xc", "-"]
    found = subprocess.run(preprocess, input=b"#include <modbus/modbus.h>\n", capture_output=True, check=False)
    return None if found.returncode == 0 else "no modbus/modbus.h (Debian: libmodbus-dev)"


def missing_modbus_serial() -> str | None:
    """Why there can be no modbus-serial server here."""
    if shutil.which("node") is None:
        return "no node"
    if not (_node_modules() / "modbus-serial").is_dir():
        return "no modbus-serial in INTEROP_NODE_MODULES or tests/interop/node_modules"
    return None


@asynccontextmanager
async def libmodbus_server(folder: Path, *, port: int = 0, serial: str | None = None) -> AsyncIterator[Peer]:
    """A libmodbus server, compiled into `folder`; on a serial line where `serial` is given. Raises RuntimeError."""
    program = folder / "modbus_peer"
    if not program.exists():
        source = str(_HERE / "modbus_peer.c")
        options = ["-Wall", "-Wextra", "-Werror", "-O1"]
        compiling = await asyncio.create_subprocess_exec(
            _compiler() or "cc", *options, "-o", str(program), source, "-lmodbus"
        )
        if await compiling.wait():
            raise RuntimeError(f"{source} does not compile; what the compiler said stands above")
    arguments = [str(port)] if serial is None else ["rtu", serial]
    async with _running("libmodbus", [str(program), *arguments], {}) as peer:
        yield peer


@asynccontextmanager
async def modbus_serial_server(*, port: int = 0) -> AsyncIterator[Peer]:
    """An npm modbus-serial server."""
    command = ["node", str(_HERE / "modbus_peer.js"), str(port)]
    async with _running("modbus-serial", command, {"NODE_PATH": str(_node_modules())}) as peer:
        yield peer


@asynccontextmanager
async def serial_pair() -> AsyncIterator[tuple[str, str]]:
    """Two ttys joined by a cable: what goes into one comes out of the other."""
    loop = asyncio.get_running_loop()
    (one, one_end), (other, other_end) = os.openpty(), os.openpty()
    for end in (one_end, other_end):
        tty.setraw(end)
    for descriptor in (one, other):
        os.set_blocking(descriptor, False)
    loop.add_reader(one, _pass_on, one, other)
    loop.add_reader(other, _pass_on, other, one)
    try:
        yield os.ttyname(one_end), os.ttyname(other_end)
    finally:
        for descriptor in (one, other):
            loop.remove_reader(descriptor)
        for descriptor in (one, one_end, other, other_end):
            os.close(descriptor)


def _pass_on(source: int, target: int) -> None:
    os.write(target, os.read(source, 4096))


@asynccontextmanager
async def _running(name: str, command: list[str], environment: Mapping[str, str]) -> AsyncIterator[Peer]:
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, env={**os.environ, **environment})
    peer = Peer(name, process)
    try:
        peer.port = int(await peer.line())
        yield peer
    finally:
        await peer.kill()


def _compiler() -> str | None:
    return shutil.which("cc") or shutil.which("gcc")


def _node_modules() -> Path:
    return Path(os.environ.get("INTEROP_NODE_MODULES") or _HERE / "node_modules")
