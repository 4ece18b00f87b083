"""Telling systemd how the service stands, over the datagram socket it names (sd_notify(3)); no manager, no word."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping

from edge_agent.telemetry.log import Code, get_logger

_MICROSECONDS = 1_000_000

_log = get_logger(__name__)


class Notifier:
    """Speaks to the service manager that `environment` names."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        name = environment.get("NOTIFY_SOCKET", "")
        self._address = f"\0{name[1:]}" if name.startswith("@") else name
        self._failed = False
        self.watchdog_seconds = _watchdog_seconds(environment)
        """Within how many seconds the manager wants the next ping; None where it wants none."""

    def ready(self) -> None:
        """The start, or a reload, is done."""
        self._tell("READY=1")

    def status(self, line: str) -> None:
        """One line for people: `systemctl status` shows it."""
        self._tell(f"STATUS={line}")

    def reloading(self) -> None:
        """A reload begins; `ready` ends it. Since systemd 253 it must carry the monotonic time (`notify-reload`)."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The end begins."""
        self._tell("STOPPING=1")

    def watchdog(self) -> None:
        """The service has made progress."""
        self._tell("WATCHDOG=1")

    def _tell(self, message: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as connection:
                connection.connect(self._address)
                connection.send(message.encode())
        except OSError as error:
            if not self._failed:
                _log.warning("systemd is not told", code=Code.NOT_NOTIFIED, detail=f"{message!r}: {error}")
            self._failed = True
        else:
            self._failed = False


def _watchdog_seconds(environment: Mapping[str, str]) -> float | None:
    """What WATCHDOG_USEC asks for, unless WATCHDOG_PID says that another process is meant (sd_watchdog_enabled(3))."""
    wanted, meant = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
    if not wanted.isdecimal() or (meant and meant != str(os.getpid())):
        return None
    return int(wanted) / _MICROSECONDS or None
