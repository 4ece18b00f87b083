"""A TCP line to a broker that goes bad: it swallows, drips, is half open or cut. Runs on the test's own loop."""

from __future__ import annotations

import asyncio
from enum import Enum, auto

from tests.publishing.brokers import free_port

_CHUNK = 1 << 14


class State(Enum):
    """What the line does with bytes and connections."""

    GOOD = auto()
    BLACK_HOLE = auto()
    """Everything is swallowed both ways and nobody is told; new connections are accepted and hear nothing."""
    CUT = auto()
    """Connections end with a reset; new ones are refused at once."""


class Line:
    """Carries each connection to the broker at `upstream`, on 127.0.0.1. `rate` bounds bytes/s to the broker."""

    def __init__(self, upstream: int, rate: float | None = None) -> None:
        self.port = free_port()
        self.state = State.GOOD
        self.carried = 0
        self.rate = rate
        self._upstream = upstream
        self._ends: set[asyncio.StreamWriter] = set()
        self._to_broker: set[asyncio.StreamWriter] = set()
        self._halved: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Line:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        if self._serving:
            await asyncio.wait(self._serving)
        await self._server.wait_closed()

    def cut(self) -> None:
        """Reset every connection."""
        for writer in self._ends:
            writer.transport.abort()

    def halve(self) -> None:
        """The broker's ends are gone and the agent is not told: what it sends goes nowhere. New connections work."""
        self._halved |= self._to_broker
        for writer in self._to_broker:
            writer.transport.abort()

    async def _serve(self, from_agent: asyncio.StreamReader, to_agent: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        ends = {to_agent}
        try:
            if self.state is not State.CUT:
                from_broker, to_broker = await asyncio.open_connection("127.0.0.1", self._upstream)
                ends.add(to_broker)
                self._to_broker.add(to_broker)
                self._ends |= ends
                await self._carry(from_agent, to_agent, from_broker, to_broker)
        except ConnectionError:
            pass  # the broker is away
        finally:
            for writer in ends:
                writer.transport.abort()
            self._ends -= ends
            self._to_broker -= ends
            self._serving.discard(task)

    async def _carry(
        self,
        from_agent: asyncio.StreamReader,
        to_agent: asyncio.StreamWriter,
        from_broker: asyncio.StreamReader,
        to_broker: asyncio.StreamWriter,
    ) -> None:
        """Until one end is gone; both, where the agent must not notice."""
        up = asyncio.create_task(self._copy(from_agent, to_broker, self.rate), name="to the broker")
        down = asyncio.create_task(self._copy(from_broker, to_agent), name="to the agent")
        try:
            await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
            if to_broker in self._halved:
                await up
        finally:
            up.cancel()
            down.cancel()
            await asyncio.gather(up, down, return_exceptions=True)

    async def _copy(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, rate: float | None = None
    ) -> None:
        try:
            while data := await source.read(_CHUNK):
                if rate is not None:
                    await asyncio.sleep(len(data) / rate)
                if self.state is State.GOOD and not target.transport.is_closing():
                    self.carried += len(data)
                    target.write(data)
                    await target.drain()
        except ConnectionError:
            pass
