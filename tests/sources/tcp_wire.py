"""The wire between a client and a server on 127.0.0.1: carries, swallows, keeps or cuts what goes over it."""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_CHUNK = 1 << 16


class Wire:
    """A proxy in front of `upstream`. `sent` and `received` are all bytes that the client sent and was sent.

    `is_hole`: everything is swallowed, both ways, and a new connection gets no answer: a black hole. `is_half_open`:
    the client is not told that the server hung up. `swallowed` counts bytes. While `passes` is cleared, what the client
    sends is held.
    """

    def __init__(self, upstream: int) -> None:
        self.port = 0
        self.is_hole = False
        self.is_half_open = False
        self.connections = 0
        self.swallowed = 0
        self.sent = bytearray()
        self.received = bytearray()
        self.passes = asyncio.Event()
        self.passes.set()
        self._upstream = upstream
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: set[StreamWriter] = set()
        self._is_over = False

    @property
    def url(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}"

    async def serve(self, from_client: StreamReader, to_client: StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._open.add(to_client)
        try:
            await self._carry(from_client, to_client)
        finally:
            self._hang_up(to_client)
            self._tasks.discard(task)

    async def _carry(self, from_client: StreamReader, to_client: StreamWriter) -> None:
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self._upstream)
        except OSError:
            if self.is_hole:
                await from_client.read()
            return
        self._open.add(to_server)
        answers = asyncio.create_task(self._answers(from_server, to_client), name="wire answers")
        with suppress(ConnectionError):
            while not self._is_over and (data := await from_client.read(_CHUNK)):
                self.sent += data
                if self.is_hole:
                    self.swallowed += len(data)
                    continue
                await self.passes.wait()
                if not to_server.is_closing():
                    to_server.write(data)
        self._hang_up(to_server)
        await answers

    def _hang_up(self, writer: StreamWriter) -> None:
        self._open.discard(writer)
        writer.transport.abort()

    async def _answers(self, from_server: StreamReader, to_client: StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await from_server.read(_CHUNK):
                if self.is_hole:
                    self.swallowed += len(data)
                else:
                    self.received += data
                    to_client.write(data)
        if not self.is_hole and not self.is_half_open:
            to_client.transport.abort()

    def cut(self) -> None:
        """End every connection there is."""
        for writer in [*self._open]:
            self._hang_up(writer)

    async def end(self) -> None:
        self._is_over = True
        self.passes.set()
        await asyncio.sleep(0)  # who was accepted last begins to be served
        self.cut()
        await asyncio.gather(*self._tasks)
        await asyncio.sleep(0)  # the loop closes what was aborted in its next turn


@asynccontextmanager
async def wire(upstream: int) -> AsyncIterator[Wire]:
    made = Wire(upstream)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await made.end()
        await server.wait_closed()
