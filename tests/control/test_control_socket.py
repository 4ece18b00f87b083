"""The control socket: requests in, answers out, clear refusals, however deep the directory lies."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from edge_agent.control import SOCKET_NAME, Control, ask
from edge_agent.errors import AgentUnreachable, ControlError


async def echo(request: Mapping[str, Any], asker: str) -> Mapping[str, Any]:
    return {"got": dict(request), "asker": asker}


async def refuse(_request: Mapping[str, Any], _asker: str) -> Mapping[str, Any]:
    raise ControlError("review x is decided already")


@asynccontextmanager
async def served(directory: Path) -> AsyncIterator[Path]:
    task = asyncio.create_task(Control(directory, {"echo": echo, "refuse": refuse}).run())
    while not (directory / SOCKET_NAME).exists():
        await asyncio.sleep(0.01)
    try:
        yield directory
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_request_is_answered_and_the_asker_known(tmp_path: Path) -> None:
    async with served(tmp_path):
        answer = await asyncio.to_thread(ask, tmp_path, "echo", number=3)
    assert answer == {"ok": True, "got": {"do": "echo", "number": 3}, "asker": f"uid {os.getuid()}"}


async def test_only_the_owner_may_connect_and_the_socket_goes_with_the_agent(tmp_path: Path) -> None:
    async with served(tmp_path):
        assert stat.S_IMODE((tmp_path / SOCKET_NAME).stat().st_mode) == 0o600
    assert not (tmp_path / SOCKET_NAME).exists()


async def test_a_directory_deeper_than_a_socket_path_may_be(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    async with served(deep):
        assert (await asyncio.to_thread(ask, deep, "echo"))["ok"]


async def test_a_refusal_is_raised_with_its_reason(tmp_path: Path) -> None:
    async with served(tmp_path):
        with pytest.raises(ControlError, match="review x is decided already"):
            await asyncio.to_thread(ask, tmp_path, "refuse")


async def test_nobody_there_says_where_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(AgentUnreachable, match="is it running"):
        await asyncio.to_thread(ask, tmp_path, "echo")


@pytest.mark.parametrize(
    "line", [b"nonsense\n", b"[]\n", b'{"do": "unknown"}\n', b'{"do": ["echo"]}\n', b"[" * 5000 + b"\n"]
)
async def test_what_is_no_request_is_refused_and_the_next_one_is_served(tmp_path: Path, line: bytes) -> None:
    def talk() -> list[dict[str, Any]]:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / SOCKET_NAME))
            answers = client.makefile("rb")
            client.sendall(line)
            refused = json.loads(answers.readline())
            client.sendall(b'{"do": "echo"}\n')
            served_after = json.loads(answers.readline())
            answers.close()
            return [refused, served_after]

    async with served(tmp_path):
        refused, served_after = await asyncio.to_thread(talk)
    assert not refused["ok"]
    assert "known: echo, refuse" in refused["error"]
    assert served_after["ok"]


async def test_a_line_over_the_limit_ends_only_that_connection(tmp_path: Path) -> None:
    def talk() -> bytes:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / SOCKET_NAME))
            with suppress(ConnectionError):
                client.sendall(b"x" * (2 << 20))
            try:
                return client.recv(100)
            except ConnectionError:
                return b""

    async with served(tmp_path):
        assert await asyncio.to_thread(talk) == b""
        assert (await asyncio.to_thread(ask, tmp_path, "echo"))["ok"]
