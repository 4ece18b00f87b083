"""How every simulator is controlled: JSON lines on standard input and output, one answer for each request.

The first line out is `{"ready": true, …}`. A request is an object with `cmd`; its answer is an object, with `error`
where it was refused. The process ends by itself when its input closes, and on `quit`. Logs go to standard error.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

Json = dict[str, Any]
Command = Callable[[Json], Json | Awaitable[Json]]

_LONGEST_REQUEST = 1 << 20


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def log_to_stderr() -> None:
    """Warnings and worse; standard output belongs to the answers."""
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )


async def serve(ready: Json, commands: Mapping[str, Command]) -> None:
    """Say that we are ready, then answer requests until the input closes or `quit` is asked."""
    reader = asyncio.StreamReader(limit=_LONGEST_REQUEST)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    try:
        _say({"ready": True, **ready})
        while line := await reader.readline():
            answer = await _answer(line, commands)
            _say(answer)
            if answer.get("quit"):
                return
    finally:
        transport.close()


async def _answer(line: bytes, commands: Mapping[str, Command]) -> Json:
    try:
        request = json.loads(line)
        name = request["cmd"]
        if name == "quit":
            return {"quit": True}
        result = commands[name](request)
        return await result if inspect.isawaitable(result) else result
    except KeyError as error:
        return {"error": f"unknown or missing: {error}"}
    except (ValueError, TypeError, RuntimeError, OSError) as error:
        return {"error": f"{type(error).__name__}: {error}"}


def _say(answer: Json) -> None:
    sys.stdout.write(json.dumps(answer, separators=(",", ":"), default=str) + "\n")
    sys.stdout.flush()
