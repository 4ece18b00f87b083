"""What an MES does with what it receives: keep it once, find what is missing, post it, and distrust everything.

Nothing here knows a transport or a clock: bytes go in, totals and requests for replay come out. Written from the
event's description alone (events.md), without a line of the agent's code.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from edge_agent_simulators.posting import Malformed, Posting, postings

FIRST_PREVHASH = "0" * 64
_SEQUENCE = re.compile(r"\d{20}")
_LARGEST_REQUEST = 1_000
_FIRST_DELAY = 1.0
_LONGEST_DELAY = 30.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS event (
    source TEXT NOT NULL, sequence INTEGER NOT NULL, id TEXT NOT NULL, type TEXT NOT NULL, sha256 TEXT NOT NULL,
    prevhash TEXT NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL, copies INTEGER NOT NULL,
    PRIMARY KEY (source, sequence), UNIQUE (source, id)
) STRICT;
CREATE TABLE IF NOT EXISTS wire (number INTEGER PRIMARY KEY, source TEXT NOT NULL, sequence INTEGER NOT NULL,
    sha256 TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS conflict (source TEXT NOT NULL, sequence INTEGER NOT NULL, id TEXT NOT NULL,
    sha256 TEXT NOT NULL, kept TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS posting (key TEXT NOT NULL, quantity TEXT NOT NULL, source TEXT NOT NULL,
    sequence INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS malformed (topic TEXT NOT NULL, reason TEXT NOT NULL, sha256 TEXT NOT NULL) STRICT;
"""


@dataclass(slots=True)
class Stream:
    """One source: what has come, what must exist, and how often its gaps were asked for."""

    prefix: str | None = None
    contiguous: int = 0
    highest: int = 0
    announced: int = 0
    beyond: set[int] = field(default_factory=set)
    duplicates: int = 0
    replays: int = 0
    asked_at: float | None = None
    delay: float = _FIRST_DELAY
    stood_at: int = -1

    def arrived(self, sequence: int) -> None:
        """Take a new sequence in."""
        self.highest = max(self.highest, sequence)
        self.beyond.add(sequence)
        while self.contiguous + 1 in self.beyond:
            self.contiguous += 1
            self.beyond.discard(self.contiguous)

    def first_gap(self) -> tuple[int, int] | None:
        """The first missing range, ends included; None where everything known to exist is there."""
        end = max(self.highest, self.announced)
        if self.contiguous >= end:
            return None
        after = min(self.beyond, default=end + 1)
        return self.contiguous + 1, min(after - 1, self.contiguous + _LARGEST_REQUEST)

    def gaps(self) -> list[tuple[int, int]]:
        """Every missing range, ends included."""
        found, since = [], self.contiguous + 1
        for sequence in [*sorted(self.beyond), max(self.highest, self.announced) + 1]:
            if sequence > since:
                found.append((since, sequence - 1))
            since = sequence + 1
        return found


@dataclass(frozen=True, slots=True)
class Replay:
    """A request to send `first` to `last` of `source` again, to be published under the agent's gateway."""

    topic: str
    source: str
    first: int
    last: int


class Inbox:
    """Idempotent: the same event any number of times, in any order, has the effect of one."""

    def __init__(self, path: str = ":memory:") -> None:
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.executescript(_SCHEMA)
        self._streams: dict[str, Stream] = defaultdict(Stream)
        self.replies: list[Any] = []
        for source, sequence, topic in self._database.execute("SELECT source, sequence, topic FROM event"):
            stream = self._streams[source]
            stream.prefix = _prefix(topic)
            stream.arrived(sequence)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def receive(self, topic: str, payload: bytes) -> None:
        """Take one message in, whatever it is: what cannot be read is counted and kept as malformed."""
        if "/_gateway/" in topic:
            self._gateway(topic, payload)
            return
        try:
            event = _Event.parse(payload)
            lines = list(postings(event.type, event.data))
        except (Malformed, RecursionError) as reason:
            self._malformed(topic, payload, str(reason))
            return
        self._keep(topic, event, lines)

    def requests(self, now: float) -> list[Replay]:
        """What to ask for at `now` (monotonic seconds): the first gap of each source, ever more seldom."""
        due = []
        for source, stream in self._streams.items():
            gap = stream.first_gap()
            if gap is None or stream.prefix is None:
                stream.asked_at, stream.delay, stream.stood_at = None, _FIRST_DELAY, -1
                continue
            if _due(stream, now):
                stream.replays += 1
                topic = f"{stream.prefix}/_gateway/{_agent(source)}/cmd/replay"
                due.append(Replay(topic, source, *gap))
        return due

    def totals(self) -> dict[str, Decimal]:
        """What was posted, by `<event>/<material>/<order>/<location>`."""
        sums: dict[str, Decimal] = defaultdict(Decimal)
        for key, quantity in self._database.execute("SELECT key, quantity FROM posting"):
            sums[key] += Decimal(quantity)
        return dict(sums)

    def stats(self) -> dict[str, Any]:
        """How each source stands, and everything that was wrong."""
        conflicts = self._rows("SELECT source, sequence, id, sha256, kept FROM conflict")
        breaks = self.chain_breaks()
        sources = {
            source: {
                "contiguous": stream.contiguous,
                "highest": stream.highest,
                "announced": stream.announced,
                "gaps": stream.gaps(),
                "duplicates": stream.duplicates,
                "replays": stream.replays,
                "conflicts": sum(row["source"] == source for row in conflicts),
                "chain_breaks": [sequence for broken, sequence in breaks if broken == source],
            }
            for source, stream in self._streams.items()
        }
        malformed = self._rows("SELECT topic, reason, sha256 FROM malformed")
        return {"sources": sources, "conflicts": conflicts, "malformed": malformed, "replies": self.replies}

    def chain_breaks(self) -> list[tuple[str, int]]:
        """(source, sequence) of every event whose `prevhash` is not the SHA-256 of the event before it."""
        query = """
            SELECT e.source, e.sequence FROM event e LEFT JOIN event p
                ON p.source = e.source AND p.sequence = e.sequence - 1
            WHERE (e.sequence = 1 AND e.prevhash <> ?) OR (p.sha256 IS NOT NULL AND p.sha256 <> e.prevhash)
            ORDER BY e.source, e.sequence"""
        return list(self._database.execute(query, (FIRST_PREVHASH,)))

    def events(self) -> list[dict[str, Any]]:
        """Every event once, in order."""
        return self._rows("SELECT source, sequence, id, type, sha256, copies FROM event ORDER BY source, sequence")

    def wire(self) -> list[dict[str, Any]]:
        """Every delivery, in the order of arrival."""
        return self._rows("SELECT source, sequence, sha256 FROM wire ORDER BY number")

    def of_type(self, name: str) -> list[dict[str, Any]]:
        """The events of one type, whole."""
        query = "SELECT payload FROM event WHERE type = ? ORDER BY source, sequence"
        return [json.loads(payload) for (payload,) in self._database.execute(query, (f"io.edgeagent.{name}.v1",))]

    def _rows(self, query: str) -> list[dict[str, Any]]:
        found = self._database.execute(query)
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found]

    def _gateway(self, topic: str, payload: bytes) -> None:
        """Birth and heartbeat say how far each stream has got; answers to us are kept; the rest is not ours."""
        prefix, _, rest = topic.partition("/_gateway/")
        place = rest.partition("/")[2]
        if place not in {"state", "heartbeat", "cmd/replay/reply"}:
            return
        try:
            data = _json(payload).get("data")
            if place == "cmd/replay/reply":
                self.replies.append(data)
                return
            for source, sequence in _announced(data):
                stream = self._streams[source]
                stream.prefix = prefix
                stream.announced = max(stream.announced, sequence)
        except (Malformed, RecursionError) as reason:
            self._malformed(topic, payload, str(reason))

    def _malformed(self, topic: str, payload: bytes, reason: str) -> None:
        self._database.execute("INSERT INTO malformed VALUES (?, ?, ?)", (topic, reason, _sha256(payload)))

    def _keep(self, topic: str, event: _Event, lines: list[Posting]) -> None:
        """In one transaction: the delivery, and what it means."""
        self._database.execute("BEGIN IMMEDIATE")
        with self._database:
            self._database.execute(
                "INSERT INTO wire (source, sequence, sha256) VALUES (?, ?, ?)",
                (event.source, event.sequence, event.sha256),
            )
            stream = self._streams[event.source]
            stream.prefix = _prefix(topic)
            known = self._database.execute(
                "SELECT sequence, id, sha256 FROM event WHERE source = ? AND (sequence = ? OR id = ?)",
                (event.source, event.sequence, event.id),
            ).fetchall()
            if not known:
                self._store(topic, event, lines)
                stream.arrived(event.sequence)
            elif known == [(event.sequence, event.id, event.sha256)]:
                stream.duplicates += 1
                self._database.execute(
                    "UPDATE event SET copies = copies + 1 WHERE source = ? AND sequence = ?",
                    (event.source, event.sequence),
                )
            else:
                row = (event.source, event.sequence, event.id, event.sha256, known[0][2])
                self._database.execute("INSERT INTO conflict VALUES (?, ?, ?, ?, ?)", row)

    def _store(self, topic: str, event: _Event, lines: list[Posting]) -> None:
        row = (
            event.source,
            event.sequence,
            event.id,
            event.type,
            event.sha256,
            event.prevhash,
            topic,
            event.payload,
            1,
        )
        self._database.execute("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        rows = [(line.key, str(line.quantity), event.source, event.sequence) for line in lines]
        self._database.executemany("INSERT INTO posting VALUES (?, ?, ?, ?)", rows)


@dataclass(frozen=True, slots=True)
class _Event:
    source: str
    sequence: int
    id: str
    type: str
    prevhash: str
    sha256: str
    payload: bytes
    data: dict[str, Any]

    @classmethod
    def parse(cls, payload: bytes) -> _Event:
        """Read an event. Raises Malformed."""
        event = _json(payload)
        texts = {name: event.get(name) for name in ("source", "id", "type", "sequence", "prevhash")}
        wrong = [name for name, value in texts.items() if not isinstance(value, str) or not value]
        if wrong or event.get("specversion") != "1.0":
            msg = f"no CloudEvents 1.0 envelope: {', '.join(wrong) or 'specversion'}"
            raise Malformed(msg)
        sequence, data = str(texts["sequence"]), event.get("data")
        if not _SEQUENCE.fullmatch(sequence) or not 0 < int(sequence) < 1 << 63:
            msg = "sequence: not 20 digits from 1 to 2^63"
            raise Malformed(msg)
        if not isinstance(data, dict):
            msg = "data: not an object"
            raise Malformed(msg)
        source, identity, name, prevhash = (str(texts[key]) for key in ("source", "id", "type", "prevhash"))
        return cls(source, int(sequence), identity, name, prevhash, _sha256(payload), payload, data)


def _due(stream: Stream, now: float) -> bool:
    """Whether to ask now: not at once (it may be on its way), then after 1, 2, 4 … 30 s while nothing comes."""
    if stream.asked_at is None or stream.stood_at != stream.contiguous:
        stream.asked_at, stream.delay, stream.stood_at = now, _FIRST_DELAY, stream.contiguous
        return False
    if now - stream.asked_at < stream.delay:
        return False
    stream.asked_at, stream.delay = now, min(2 * stream.delay, _LONGEST_DELAY)
    return True


def _announced(data: object) -> Iterator[tuple[str, int]]:
    streams = data.get("streams") if isinstance(data, dict) else None
    if not isinstance(streams, dict):
        return
    for source, sequence in streams.items():
        if isinstance(source, str) and isinstance(sequence, int) and not isinstance(sequence, bool):
            yield source, sequence


def _json(payload: bytes) -> dict[str, Any]:
    try:
        value = json.loads(payload, parse_constant=_refuse, object_pairs_hook=_once)
    except ValueError as error:
        msg = f"not JSON: {error}"
        raise Malformed(msg) from None
    if not isinstance(value, dict):
        msg = "not a JSON object"
        raise Malformed(msg)
    return value


def _refuse(constant: str) -> None:
    msg = f"{constant} is no JSON"
    raise ValueError(msg)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        msg = "a name stands twice in one object"
        raise ValueError(msg)
    return found


def _sha256(payload: bytes) -> str:
    return hashlib.sha256(payload).hexdigest()


def _prefix(topic: str) -> str:
    """The levels of the line: all but the last two (`_material/consumed`)."""
    return topic.rsplit("/", 2)[0]


def _agent(source: str) -> str:
    """The agent's name in `urn:edgeagent:<agent>:<store>:<stream>`."""
    parts = source.split(":")
    return parts[2] if len(parts) == 5 and parts[1] == "edgeagent" else source
