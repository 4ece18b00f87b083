"""An OPC UA server that is not ours: npm's node-opcua, as a process whose nodes can be set.

It takes node and a `node_modules` with node-opcua, beside this file or where INTEROP_NODE_MODULES says; what a machine
lacks, `missing_node_opcua` says in a sentence for a skip, else it answers None.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

_HERE = Path(__file__).parent
_SECONDS = 60.0
URI = "urn:interop:plc"
USER, PASSWORD = "edge", "plant"


class NodeOpcUa:
    """The server on 127.0.0.1; `certificate` is its own, in PEM."""

    def __init__(self, process: Process, folder: Path) -> None:
        self.port = 0
        self.certificate = folder / "applications" / "own" / "certs" / "certificate.pem"
        self._process = process

    @property
    def url(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}/UA"

    async def set(self, name: str, value: int | str) -> None:
        """Show another value. Raises RuntimeError where there is no such node."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"set {name} {value}\n".encode())
        await self._process.stdin.drain()
        if (answer := await self.line()) != "ok":
            raise RuntimeError(answer)

    async def emit(self, cases: int, sscc: str) -> None:
        """An event of the type i=5001 by the object s=::Palletizer. Raises RuntimeError where it cannot."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"emit {cases} {sscc}\n".encode())
        await self._process.stdin.drain()
        if (answer := await self.line()) != "ok":
            raise RuntimeError(answer)

    async def line(self) -> str:
        """The next line it says. Raises RuntimeError where it has ended."""
        assert self._process.stdout is not None
        async with asyncio.timeout(_SECONDS):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("node-opcua has ended; what it said stands above")
        return line.decode().strip()

    async def kill(self) -> None:
        """kill -9: the machine is gone, and nobody says goodbye."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


def missing_node_opcua() -> str | None:
    """Why there can be no node-opcua server here."""
    if shutil.which("node") is None:
        return "no node"
    if not (_node_modules() / "node-opcua").is_dir():
        return "no node-opcua in INTEROP_NODE_MODULES or tests/interop/node_modules"
    return None


@asynccontextmanager
async def node_opcua_server(folder: Path, port: int) -> AsyncIterator[NodeOpcUa]:
    """A server that keeps its certificate in `folder`, and what it would keep in the home directory too."""
    environment = {**os.environ, "NODE_PATH": str(_node_modules()), "XDG_CONFIG_HOME": str(folder / "config")}
    command = ["node", "--no-warnings", str(_HERE / "opcua_peer.js"), str(port), str(folder)]
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, env=environment)
    peer = NodeOpcUa(process, folder)
    try:
        peer.port = int(await peer.line())
        yield peer
    finally:
        await peer.kill()


def _node_modules() -> Path:
    return Path(os.environ.get("INTEROP_NODE_MODULES") or _HERE / "node_modules")
