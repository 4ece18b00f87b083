"""What became of events at the systems whose word they need, and what waits for a person: dead letters. Read-only.

A dead letter is an event that a system rejected, or that no broker takes (events.md, Streams and States). Plain
functions on a connection of `readonly`; what they return is ready for JSON, times are RFC 3339 text in UTC.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any

from edge_agent.model.ack import OUTSTANDING, AnswerStatus, Code
from edge_agent.model.event import StoredEvent
from edge_agent.store import answers, corrections, dead
from edge_agent.store.answers import Row, row_of
from edge_agent.store.corrections import correction_row
from edge_agent.store.dead import dead_row
from edge_agent.store.event_names import EventNames
from edge_agent.store.rows import sha256, to_text
from edge_agent.store.streams import Head

Json = dict[str, Any]

_UNSETTLED = f"{answers.SELECT} WHERE status NOT IN ('accepted', 'corrected') ORDER BY stream, system, sequence"
"""As the partial index has them. A row with a damaged status is among them, and its hash tells."""
_ONE = "WHERE stream = ? AND sequence = ?"
_RETRYABLE = {str(code) for code in Code if code.retryable}


def rejected(connection: sqlite3.Connection) -> list[Json]:
    """Every rejection that stands, by stream and system. Raises StoreCorrupt where a row does not match its hash."""
    names = EventNames(connection)
    asked = {one[:2] for one in _waiting_corrections(connection)}
    return [
        _event(names, *_place(row)) | _rejection(row) | {"correction_waits": _place(row) in asked}
        for row in _unsettled(connection)
        if row.status is AnswerStatus.REJECTED
    ]


def unpublishable(connection: sqlite3.Connection) -> list[Json]:
    """Every event that no broker takes and nobody has corrected. Raises StoreCorrupt."""
    names = EventNames(connection)
    return [
        _event(names, stream, sequence) | {"reason": reason, "since": at}
        for stream, sequence, reason, at, status in _dead_letters(connection)
        if status == dead.OPEN
    ]


def originals(connection: sqlite3.Connection) -> Iterator[Json]:
    """The dead letters with their original bytes as text, an event at a time. Raises StoreCorrupt."""
    names = EventNames(connection)
    rejections: dict[tuple[int, int], list[Json]] = {}
    for row in _unsettled(connection):
        if row.status is AnswerStatus.REJECTED:
            rejections.setdefault(_place(row), []).append(_rejection(row))
    reasons = {
        (stream, sequence): {"reason": reason, "since": at}
        for stream, sequence, reason, at, status in _dead_letters(connection)
        if status == dead.OPEN
    }
    for stream, sequence in sorted(rejections.keys() | reasons.keys()):
        event = names.event(stream, sequence)
        yield _described(names, stream, event) | {
            "rejections": rejections.get((stream, sequence), []),
            "unpublishable": reasons.get((stream, sequence)),
            "topic": event.topic,
            "sha256": sha256(event.payload),
            "payload": event.payload.decode("utf-8", "surrogateescape"),
        }


def waiting(connection: sqlite3.Connection, now: datetime) -> dict[str, list[Json]]:
    """What waits for systems at `now`: corrections for an answer; and overdue and busy, by stream and system."""
    names = EventNames(connection)
    outstanding = _outstanding(connection)
    asked = {one[:2]: one for one in _waiting_corrections(connection)}
    due: dict[tuple[int, int], list[Row]] = {place: [] for place in asked}
    for row in outstanding:
        if _place(row) in due:
            due[_place(row)].append(row)
    busy = (row for row in outstanding if row.status is AnswerStatus.BUSY)
    return {
        "corrections_waiting": [_event(names, *place) | _correction(one, due[place]) for place, one in asked.items()],
        "overdue": _ranges(names, (row for row in outstanding if row.due <= now), lambda row: row.due),
        "busy": _ranges(names, busy, lambda row: row.answered or row.due),
    }


def _outstanding(connection: sqlite3.Connection) -> list[Row]:
    """Answers that are owed; what could not be published nobody can answer."""
    unheard = {(stream, sequence) for stream, sequence, *_, status in _dead_letters(connection) if status == dead.OPEN}
    rows = _unsettled(connection)
    return [row for row in rows if row.status in OUTSTANDING and _place(row) not in unheard]


def figures(connection: sqlite3.Connection, now: datetime) -> dict[str, int]:
    """How many there are at `now`: answers `rejected` and `overdue`, events `unpublishable`, `corrections_waiting`."""
    rows = _unsettled(connection)
    return {
        "rejected": sum(row.status is AnswerStatus.REJECTED for row in rows),
        "unpublishable": sum(status == dead.OPEN for *_, status in _dead_letters(connection)),
        "overdue": sum(row.due <= now for row in _outstanding(connection)),
        "corrections_waiting": len(_waiting_corrections(connection)),
    }


def whole(connection: sqlite3.Connection, name: str) -> Json:
    """An event by its name with all that became of it.

    Raises:
        ControlError: no event has that name (any more).
        StoreCorrupt: a row does not match its hash.
    """
    names = EventNames(connection)
    head, event = names.find(name)
    place = (head.stream, event.sequence)
    rows = [row_of(row) for row in connection.execute(f"{answers.SELECT} {_ONE} ORDER BY system", place)]
    letter = next(map(dead_row, connection.execute(f"{dead.SELECT} {_ONE}", place)), None)
    asked = next(map(correction_row, connection.execute(f"{corrections.SELECT} {_ONE}", place)), None)
    return _described(names, head.stream, event) | {
        "topic": event.topic,
        "sha256": sha256(event.payload),
        "published": _published(head, event, letter),
        "event": _parsed(event.payload),
        "answers": [_answer(row) for row in rows],
        "unpublishable": None if letter is None else {"reason": letter[2], "since": letter[3], "status": letter[4]},
        "correction": None if asked is None else _correction(asked, [row for row in rows if row.status in OUTSTANDING]),
    }


def _unsettled(connection: sqlite3.Connection) -> list[Row]:
    return [row_of(row) for row in connection.execute(_UNSETTLED)]


def _dead_letters(connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
    return [dead_row(row) for row in connection.execute(f"{dead.SELECT} ORDER BY stream, sequence")]


def _waiting_corrections(connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
    """All corrections are read whatever their state, for the sake of their hashes; people make few."""
    rows = [correction_row(row) for row in connection.execute(f"{corrections.SELECT} ORDER BY asked")]
    return [row for row in rows if row[6] is None]


def _place(row: Row) -> tuple[int, int]:
    return row.stream, row.sequence


def _event(names: EventNames, stream: int, sequence: int) -> Json:
    return _described(names, stream, names.event(stream, sequence))


def _described(names: EventNames, stream: int, event: StoredEvent) -> Json:
    return {
        "name": names.of(stream, event.sequence),
        "source": event.source,
        "sequence": event.sequence,
        "id": event.id,
        "type": event.type,
        "recorded": to_text(event.recorded),
    }


def _rejection(row: Row) -> Json:
    return {
        "system": row.system,
        "code": row.code,
        "text": row.text,
        "retryable": row.code in _RETRYABLE,
        "since": _text(row.answered),
    }


def _answer(row: Row) -> Json:
    return {
        "system": row.system,
        "status": str(row.status),
        "at": _text(row.answered),
        "due": to_text(row.due),
        "cumulative": row.answered is not None and not row.single,
        "document": row.document,
        "posted_on": row.posted_on,
        "code": row.code,
        "text": row.text,
        "resends": row.resends,
        "resend_at": _text(row.resend_at),
    }


def _correction(asked: tuple[Any, ...], outstanding: Iterable[Row]) -> Json:
    """`changes` None: the event is taken back and nothing takes its place. `reversal` is an event's id."""
    _, _, body, by, reason, at, reversal = asked
    return {
        "by": by,
        "reason": reason,
        "asked": at,
        "changes": None if body is None else json.loads(body),
        "waits_for": [row.system for row in outstanding] if reversal is None else [],
        "reversal": reversal,
    }


def _ranges(names: EventNames, rows: Iterable[Row], since: Callable[[Row], datetime]) -> list[Json]:
    """Rows of one stream and system as one entry: how many, from which event to which, since when."""
    found: dict[tuple[int, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row.stream, row.system), []).append(row)
    return [
        {
            "system": system,
            "source": names.heads[stream].source,
            "count": len(some),
            "first": names.of(stream, some[0].sequence),
            "last": names.of(stream, some[-1].sequence),
            "since": to_text(min(map(since, some))),
            "resend_at": _text(min((row.resend_at for row in some if row.resend_at is not None), default=None)),
        }
        for (stream, system), some in found.items()
    ]


def _published(head: Head, event: StoredEvent, letter: tuple[Any, ...] | None) -> bool:
    """Whether a broker has acknowledged it: a dead letter is passed over, or was corrected without that."""
    return event.sequence <= head.delivered and (letter is None or letter[4] == dead.SENT)


def _parsed(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except ValueError:
        return payload.decode("utf-8", "backslashreplace")


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else to_text(moment)
