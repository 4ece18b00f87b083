"""A recording from its file: JSON Lines in the order of ingest (docs/workbench.md). One fault, and none is used."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from edge_agent.config.codes import Code
from edge_agent.config.findings import MOST_FINDINGS, Finding, Severity, Unfit, printable
from edge_agent.config.loader import no_collection
from edge_agent.config.signals import Confirmation
from edge_agent.config.tagmap import TagMap
from edge_agent.model.confirmation import Block, Released
from edge_agent.model.message import LotMessage
from edge_agent.model.reading import Instant, Reading
from edge_agent.workbench.json_text import LineFault, SyntaxFault, column_of, parse
from edge_agent.workbench.lines import Ignored, Recorded, decode
from edge_agent.workbench.lots import Newest
from edge_agent.workbench.values import written

LONGEST_LINE = 64 * 1024
"""Bytes."""
MOST_LINES = 20_000_000
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one source delivered at one instant, in the order of the lines."""

    at: Instant
    source: str
    inputs: list[Recorded]


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording that is whole. `ignored` counts lines about what the map does not know, by its name.

    `no_handshakes` counts blocks and their acknowledgements of rules that the map has, and that are no handshakes.
    """

    deliveries: list[Delivery]
    ignored: dict[str, int] = field(default_factory=dict)
    lines: int = 0
    no_handshakes: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Gathering:
    """Puts inputs together to deliveries: consecutive ones of one source with the same instant."""

    tag_map: TagMap
    deliveries: list[Delivery] = field(default_factory=list)
    _of_lots: Newest = field(default_factory=Newest)

    def add(self, item: Recorded) -> None:
        """The next input; not older than the one before. Raises Unfit where the agent would refuse a lot's status."""
        if isinstance(item, LotMessage):
            self._of_lots.take(item)
        source, last = self._source(item), self.deliveries[-1] if self.deliveries else None
        if last is not None and last.source == source and last.at == item.received:
            last.inputs.append(item)
        else:
            self.deliveries.append(Delivery(item.received, source, [item]))

    def _source(self, item: Recorded) -> str:
        if isinstance(item, Reading):
            return item.tag.source
        if isinstance(item, Block | Released):
            signal = self.tag_map.rules[item.rule].signal
            return signal.source if isinstance(signal, Confirmation) else signal.watched.source
        return item.source


def read(path: Path, tag_map: TagMap) -> tuple[Recording, list[Finding]]:
    """The recording in `path` as sources of `tag_map` would have delivered it; with findings, it is not whole."""
    reader = _Reader(str(path), tag_map)
    try:
        with path.open("rb") as file, no_collection():
            reader.read(file)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        reader.fault(Unfit(Code.UNREADABLE, f"the recording cannot be read: {why}", "check the path"))
    ignored, others = (dict(sorted(names.items())) for names in (reader.ignored, reader.no_handshakes))
    return Recording(reader.gathered.deliveries, ignored, reader.number, others), reader.findings


class _Enough(Exception):
    """Nothing more is read; why has been reported."""


class _Reader:
    """Reads line by line; every fault is a finding, at most MOST_FINDINGS of them."""

    def __init__(self, name: str, tag_map: TagMap) -> None:
        self.gathered = Gathering(tag_map)
        self.ignored: Tally[str] = Tally()
        self.no_handshakes: Tally[str] = Tally()
        self.findings: list[Finding] = []
        self.number = 0
        self._name = printable(name)
        self._map = tag_map
        self._latest: datetime | None = None

    def read(self, file: BinaryIO) -> None:
        """All lines."""
        try:
            for data in self._lines(file):
                self._line(data)
        except _Enough:
            pass

    def fault(self, fault: Unfit, column: int = 1, excerpt: str = "") -> None:
        """A finding in the present line. Raises _Enough at the limit."""
        line = max(self.number, 1)
        finding = Finding(
            self._name, line, column, Severity.ERROR, fault.code, printable(fault.message), fault.suggestion, excerpt
        )
        self.findings.append(finding)
        if len(self.findings) == MOST_FINDINGS:
            message = f"{MOST_FINDINGS} findings: the rest is not looked at"
            more = Finding(self._name, line, column, Severity.ERROR, Code.MORE, message, "mend these first")
            self.findings.append(more)
            raise _Enough

    def _lines(self, file: BinaryIO) -> Iterator[bytes]:
        while data := file.readline(LONGEST_LINE + 1):
            self.number += 1
            if len(data) > LONGEST_LINE or self.number > MOST_LINES:
                what = (
                    "the line is longer than 64 KiB" if len(data) > LONGEST_LINE else f"more than {MOST_LINES:,} lines"
                )
                self.fault(Unfit(Code.TOO_LARGE, f"{what}; the rest is not read", "split the recording"))
                raise _Enough
            yield data

    def _line(self, data: bytes) -> None:
        if self.number == 1 and data.startswith(_MARKS):
            message = "the file begins with a byte order mark"
            self.fault(Unfit(Code.BYTE_ORDER_MARK, message, "save it as UTF-8 without a byte order mark"))
            raise _Enough
        try:
            text = data.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            column = len(data[: error.start].decode("utf-8")) + 1
            self.fault(Unfit(Code.NOT_UTF8, f"byte 0x{data[error.start]:02x} is not UTF-8", "save it as UTF-8"), column)
            return
        try:
            self._take(text)
        except SyntaxFault as fault:
            unfit = fault.fault
            if not data.endswith(b"\n"):
                unfit = Unfit(unfit.code, unfit.message, "the file ends within a line: take that line out")
            self.fault(unfit, fault.column, text)
        except LineFault as fault:
            self.fault(fault.fault, column_of(text, fault.path, key=fault.key), text)

    def _take(self, text: str) -> None:
        for found in decode(parse(text), self._map):
            if isinstance(found, Ignored):
                (self.no_handshakes if found.known else self.ignored)[found.name] += 1
            else:
                self._gather(found)

    def _gather(self, found: Recorded) -> None:
        at = found.received.wall
        if self._latest is not None and at < self._latest:
            message = f"`t` goes back from {written(self._latest)} to {written(at)}"
            raise LineFault(Unfit(Code.TIME_WENT_BACK, message, "sort the lines by `t`, the time of receipt"), ("t",))
        self._latest = at
        try:
            self.gathered.add(found)
        except Unfit as unfit:
            raise LineFault(unfit, ("lot",)) from unfit
