"""Log lines to systemd's journal in its own protocol, each field by itself (systemd: Native Journal Protocol).

`journalctl EDGE_CODE=EA-2001 EDGE_COMPONENT=broker` then finds what it says. Where the journal's socket does not take a
line (too large, no socket in a container, a journal that hangs), the line goes to standard error with the priority in
front (sd-daemon(3)), which systemd reads as well: nothing is lost.
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any, Final

import structlog

SOCKET: Final = Path("/run/systemd/journal/socket")
_IDENTIFIER = "edge-agent"
_PRIORITIES = {"critical": 2, "error": 3, "exception": 3, "warning": 4, "info": 6, "debug": 7}
"""syslog(3) priorities by the name of the level."""
_NOTICE = 5
_SECONDS = 1.0
"""How long a journal that does not read may hold up the agent."""
_UNFIT = re.compile(r"[^A-Z0-9_]")
_LONGEST_NAME = 64
_RENDER = structlog.processors.LogfmtRenderer(key_order=("code", "event"), drop_missing=True)


def stderr_is_the_journal(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether systemd connected our standard error to the journal (JOURNAL_STREAM, systemd.exec(5))."""
    device, _, inode = environment.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError, AttributeError):
        return False
    return (device, inode) == (str(found.st_dev), str(found.st_ino))


class JournalHandler(logging.Handler):
    """Sends to the journal's socket; its formatter must end with `entry`."""

    def __init__(self, path: Path = SOCKET) -> None:
        super().__init__()
        self._path = str(path)

    def emit(self, record: logging.LogRecord) -> None:
        """Send one line, to standard error where the journal does not take it."""
        made = json.loads(self.format(record))
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
                connection.settimeout(_SECONDS)
                connection.sendto(b"".join(_encoded(made)), self._path)
        except OSError:
            sys.stderr.write(f"<{made['PRIORITY']}>{made['MESSAGE']}\n")
            sys.stderr.flush()


def entry(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    """The fields of the journal's entry as JSON: a message for people, and every field of the line as EDGE_<NAME>."""
    event.pop("timestamp", None)  # the journal keeps its own, of the same moment
    level = str(event.pop("level", ""))
    fields = {_name(key): str(value) for key, value in event.items() if key != "event" and value is not None}
    fields["MESSAGE"] = str(_RENDER(None, "", dict(event)))
    fields["PRIORITY"] = str(_PRIORITIES.get(level, _NOTICE))
    fields["SYSLOG_IDENTIFIER"] = _IDENTIFIER
    return json.dumps(fields)


def _name(key: str) -> str:
    return ("EDGE_" + _UNFIT.sub("_", key.upper()))[:_LONGEST_NAME]


def _encoded(fields: Mapping[str, str]) -> Iterator[bytes]:
    """Each field as NAME, line feed, length (64 bits, little endian), value, line feed: so any value may stand."""
    for name, value in fields.items():
        text = value.encode("utf-8", "backslashreplace")
        yield b"%s\n%s%s\n" % (name.encode(), len(text).to_bytes(8, "little"), text)
