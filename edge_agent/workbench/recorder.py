"""Recording what sources deliver, by the agent's own sources. It only looks: no handshake is ever acknowledged."""

from __future__ import annotations

import asyncio
from collections import Counter as Tally
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from io import FileIO

from edge_agent.model.reading import Instant
from edge_agent.sources.base import Input, Source
from edge_agent.workbench.writing import written_line

_TELL_SECONDS = 5.0


class Recorder:
    """Writes deliveries as they come: each one whole, each at once. `written` counts lines by source.

    `t` is the wall clock at the beginning plus elapsed time, so that it never goes back.
    """

    def __init__(self, file: FileIO, began: Instant) -> None:
        """`file` is open for writing, and unbuffered."""
        self.written: Tally[str] = Tally()
        self._file = file
        self._began = began
        self._latest = began.wall
        self._whole = 0

    def take(self, source: str, delivery: Sequence[Input]) -> None:
        """Write one delivery. Raises OSError; what was written of it is taken back."""
        data = "".join(f"{written_line(item, self._time(item.received))}\n" for item in delivery).encode()
        try:
            self._write(data)
        except OSError:
            self._file.truncate(self._whole)
            raise
        self._whole += len(data)
        self.written[source] += len(delivery)

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]

    def _time(self, received: Instant) -> datetime:
        elapsed = timedelta(microseconds=(received.monotonic_ns - self._began.monotonic_ns) // 1000)
        self._latest = max(self._latest, self._began.wall + elapsed)
        return self._latest


async def record(
    sources: Mapping[str, Source],
    recorder: Recorder,
    stop: asyncio.Event,
    seconds: float | None,
    tell: Callable[[], None],
) -> None:
    """Record until `stop` is set, or `seconds` have passed; `tell` is called now and then.

    Raises OSError where the file takes no more. The sources are closed then, whatever happens.
    """
    tasks = [asyncio.create_task(_pump(name, source, recorder)) for name, source in sources.items()]
    tasks += [asyncio.create_task(_keep_telling(tell)), asyncio.create_task(_wait(stop))]
    try:
        ended, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for source in sources.values():
            await source.close()


async def _pump(name: str, source: Source, recorder: Recorder) -> None:
    async for delivery in source.deliveries():
        recorder.take(name, delivery)


async def _keep_telling(tell: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(_TELL_SECONDS)
        tell()


async def _wait(stop: asyncio.Event) -> None:
    await stop.wait()
