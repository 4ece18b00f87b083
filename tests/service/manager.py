"""A service manager's ear: the datagram socket that NOTIFY_SOCKET names, and what was said on it."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

DEADLINE_SECONDS = 60.0


class Manager:
    """Hears what a service says; `environment` is what systemd would give the service."""

    def __init__(self, address: str, watchdog_seconds: float | None) -> None:
        self.said: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self.environment = {"NOTIFY_SOCKET": address}
        if watchdog_seconds is not None:
            self.environment["WATCHDOG_USEC"] = str(int(watchdog_seconds * 1_000_000))

    def hear(self) -> list[str]:
        """All that was said so far."""
        try:
            while True:
                self.said.append(self._socket.recv(4096).decode())
        except BlockingIOError:
            return self.said

    def pings(self) -> int:
        """How often the watchdog was told."""
        return self.hear().count("WATCHDOG=1")

    async def until(self, true: Callable[[list[str]], bool]) -> None:
        """Wait for a condition on what was said."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not true(self.hear()):
            assert time.monotonic() < deadline, self.said
            await asyncio.sleep(0.02)

    def close(self) -> None:
        self._socket.close()


@contextmanager
def manager(address: object, watchdog_seconds: float | None = None) -> Iterator[Manager]:
    made = Manager(str(address), watchdog_seconds)
    try:
        yield made
    finally:
        made.close()
