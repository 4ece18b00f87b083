"""Log lines to the journal, else to standard error as key=value, or as JSON where asked; each with a stable code.

Everything goes through the standard library's logging, so a library's own lines come out in the same form.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from enum import StrEnum
from typing import Any

import structlog

from edge_agent.telemetry.journal import JournalHandler, entry, stderr_is_the_journal

_SECRET_KEYS = re.compile(r"password|passwd|secret|token|private_key|credential", re.IGNORECASE)
_SECRET_IN_URL = re.compile(r"(?<=://)[^/\s@]*:[^/\s@]*@")
_HIDDEN = "***"


class Code(StrEnum):
    """Stable codes of log lines; each has a page in the docs."""

    LIBRARY = "EA-2000"
    COMPONENT_LOST = "EA-2001"
    COMPONENT_UP = "EA-2002"
    FATAL = "EA-2003"
    SUBSCRIBED_ANEW = "EA-2101"
    OWN_CERTIFICATE = "EA-2102"
    RELOADED = "EA-2004"
    RELOAD_REFUSED = "EA-2005"
    NOT_NOTIFIED = "EA-2301"


def configure_log(*, json: bool = False, level: int = logging.INFO) -> None:
    """Send all log lines of this process to standard error: ours from `level` on, those of libraries from WARNING on.

    Where systemd connected standard error to the journal, they go there field by field, unless JSON is asked for.
    May be called again; the last call counts.
    """
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    renderer: structlog.typing.Processor = structlog.processors.LogfmtRenderer(key_order=_FIRST_KEYS, drop_missing=True)
    if json:
        renderer = structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
    elif stderr_is_the_journal():
        handler, renderer = JournalHandler(), entry
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_log_level, _with_library_code],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _without_secrets,
            renderer,
        ],
    )
    handler.setFormatter(formatter)
    root = logging.getLogger()
    for known in [one for one in root.handlers if isinstance(one.formatter, structlog.stdlib.ProcessorFormatter)]:
        root.removeHandler(known)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("edge_agent").setLevel(level)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger whose lines carry `code` and other fields as keyword arguments; works before `configure_log` too."""
    logger: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        logging.getLogger(name),
        wrapper_class=structlog.stdlib.BoundLogger,
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.add_log_level,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
    )
    return logger


_FIRST_KEYS = ("timestamp", "level", "code", "event")


def _with_library_code(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A line of a library, not of ours: it says whose."""
    record = event.get("_record")
    event["code"] = Code.LIBRARY
    if isinstance(record, logging.LogRecord):
        event["library"] = record.name
    return event


def _without_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """No secret is ever logged: neither a field of that name nor the user part of a URL (reliability.md, Security)."""
    for key, value in event.items():
        if _SECRET_KEYS.search(key):
            event[key] = _HIDDEN
        elif isinstance(value, str):
            event[key] = _SECRET_IN_URL.sub(f"{_HIDDEN}@", value)
    return event
