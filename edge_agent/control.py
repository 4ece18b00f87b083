"""The running agent's Unix socket: every write that the command line or the page asks for.

One JSON object a line in, one out: `{"do": "cut"}` → `{"ok": true, ...}` or `{"ok": false, "error": "..."}`. Only the
user that runs the agent may connect (mode 0600); who asked is in the audit log.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edge_agent.errors import AgentUnreachable, ControlError, EdgeAgentError

SOCKET_NAME = "control.sock"
_LIMIT = 1 << 20
_ANSWER_SECONDS = 60

Request = Mapping[str, Any]
Handler = Callable[[Request, str], Awaitable[Mapping[str, Any]]]
"""Takes a request and who asked (`uid 1000`), returns the answer; raises EdgeAgentError to refuse."""


class Control:
    """Serves requests on the socket in the data directory."""

    def __init__(self, directory: Path, handlers: Mapping[str, Handler]) -> None:
        self._directory = directory
        self._handlers = handlers

    def serve(self, handlers: Mapping[str, Handler]) -> None:
        """Answer with these from now on."""
        self._handlers = handlers

    async def run(self) -> None:
        """Serve for ever."""
        (self._directory / SOCKET_NAME).unlink(missing_ok=True)
        with _short(self._directory) as path:
            previous = os.umask(0o177)
            try:
                server = await asyncio.start_unix_server(self._serve, path, limit=_LIMIT)
            finally:
                os.umask(previous)
        async with server:
            try:
                await server.serve_forever()
            finally:
                (self._directory / SOCKET_NAME).unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asker = _asker(writer.get_extra_info("socket"))
        try:
            while line := await reader.readline():
                answer = await self._answer(line, asker)
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            pass  # the asker has gone, or sent a line over the limit: nothing was begun
        finally:
            writer.close()

    async def _answer(self, line: bytes, asker: str) -> dict[str, Any]:
        try:
            request = json.loads(line)
            handler = self._handlers[request["do"]]
        except (ValueError, TypeError, KeyError, RecursionError):
            return {"ok": False, "error": f"not a request; known: {', '.join(sorted(self._handlers))}"}
        try:
            return {"ok": True, **await handler(request, asker)}
        except EdgeAgentError as error:
            return {"ok": False, "error": str(error)}


def ask(directory: Path, do: str, **arguments: object) -> dict[str, Any]:
    """Ask the agent running on `directory`; blocks until it answers.

    Raises:
        AgentUnreachable: nobody listens, or the answer does not come.
        ControlError: the agent refuses.
    """
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(_ANSWER_SECONDS)
        try:
            with _short(directory) as path:
                client.connect(path)
            client.sendall(json.dumps({"do": do, **arguments}).encode() + b"\n")
            answer = json.loads(client.makefile("rb").readline() or b"{}")
        except (OSError, ValueError) as error:
            msg = f"no agent answers on {directory / SOCKET_NAME} ({error}); is it running?"
            raise AgentUnreachable(msg) from error
    if not answer.get("ok"):
        raise ControlError(str(answer.get("error", "the agent ended before it answered")))
    return dict(answer)


@contextmanager
def _short(directory: Path) -> Iterator[str]:
    """A path to the socket that fits into sockaddr_un (108 bytes), however deep the directory lies."""
    descriptor = os.open(directory, os.O_DIRECTORY | os.O_RDONLY)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET_NAME}"
    finally:
        os.close(descriptor)


def _asker(connection: socket.socket) -> str:
    """The peer's user id, as the kernel vouches for it (SO_PEERCRED)."""
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return f"uid {uid}"
