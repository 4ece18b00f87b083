"""What is missing or doubtful is asked for again on `cmd/replay`, ever more seldom, a range at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from edge_agent_receiver.chain import Chain
from edge_agent_receiver.desk import Desk, Outgoing
from edge_agent_receiver.event import HIGHEST
from edge_agent_receiver.holes import Holes
from edge_agent_receiver.places import command_topic
from edge_agent_receiver.sources import Source
from edge_agent_receiver.store import Db
from edge_agent_receiver.strict_json import write
from edge_agent_receiver.timing import Backoff

_REMEMBERED = 1_000
LARGEST_REQUEST = 1_000
"""Most events of one replay."""

_Range = tuple[int, int]


@dataclass(slots=True)
class _Want:
    """What a source lacks, and when it is asked for."""

    range: _Range
    doubt: bool
    backoff: Backoff


@dataclass(frozen=True, slots=True)
class _Request:
    """A replay that is not answered yet."""

    number: int
    doubts: tuple[int, ...]


class Gaps:
    """Asks, and takes the agent's replies. Nothing of it is kept over a restart: what is missing is still missing."""

    def __init__(self, desk: Desk, holes: Holes, chain: Chain) -> None:
        self._desk = desk
        self._holes = holes
        self._chain = chain
        self._wants: dict[tuple[int, bool], _Want] = {}
        self._requests: dict[str, _Request] = {}
        self._stores: dict[str, set[str]] = {}

    def load(self) -> None:
        """Ask anew."""
        self._wants.clear()
        self._requests.clear()

    def alive(self, agent: str, stores: set[str]) -> None:
        """An agent says under which stores it writes now."""
        if stores:
            self._stores[agent] = stores

    def step(self) -> Iterator[Outgoing]:
        """The requests that are due."""
        for source in self._desk.sources:
            for doubt in (False, True):
                yield from self._ask(source, self._lacking(source, doubt=doubt), doubt=doubt)
            for number in sorted(source.missed & source.voided.keys()):
                yield self._request(source, (number, number), doubt=False)
            source.missed.clear()

    def replied(self, db: Db, reply: dict[str, Any]) -> None:
        """An agent's answer to one of ours; others' are none of our business."""
        request = self._requests.pop(str(reply.get("id")), None)
        if request is None or str(reply.get("reason")).startswith("refused"):
            return
        source = self._desk.sources.numbered(request.number)
        missing = list(_ranges(reply.get("unavailable")))
        for first, last in missing:
            self._holes.prune(db, source, first, min(last, self._gone_up_to(source)))
        for sequence in request.doubts:
            if sequence in source.doubts and sequence not in source.checks:
                gone = any(first <= sequence <= min(last, self._gone_up_to(source)) for first, last in missing)
                self._chain.answered(db, source, sequence, gone=gone)
                self._desk.sources.touch(source)

    def _lacking(self, source: Source, *, doubt: bool) -> _Range | None:
        if not doubt:
            gap = source.filled.first_gap(source.end)
            return None if gap is None else (gap[0], min(gap[1], gap[0] + LARGEST_REQUEST - 1))
        doubts = source.open_doubts() if source.doubts else []
        if not doubts:
            return None
        run = 1
        while run < len(doubts) and doubts[run] == doubts[0] + run:
            run += 1
        # the next one too: it may be its `prevhash` that was changed
        return doubts[0], min(doubts[0] + min(run, LARGEST_REQUEST - 1), max(source.filled.highest, doubts[0]))

    def _ask(self, source: Source, lacking: _Range | None, *, doubt: bool) -> Iterator[Outgoing]:
        key, now = (source.number, doubt), self._desk.now
        want = self._wants.get(key)
        if lacking is None:
            self._wants.pop(key, None)
            return
        if want is None or (want.range != lacking):
            want = self._wants[key] = _Want(lacking, doubt, Backoff(self._desk.timing.first, self._desk.timing.longest))
            want.backoff.start(now)  # it may be on its way
            return
        if not want.backoff.due(now):
            return
        want.backoff.tried(now)
        yield self._request(source, lacking, doubt=doubt)

    def _request(self, source: Source, lacking: _Range, *, doubt: bool) -> Outgoing:
        identity = self._desk.nonce()
        doubts = [sequence for sequence in source.open_doubts() if lacking[0] <= sequence <= lacking[1]]
        self._requests[identity] = _Request(source.number, tuple(doubts) if doubt else ())
        while len(self._requests) > _REMEMBERED:
            self._requests.pop(next(iter(self._requests)))
        if doubt:
            source.asked, source.replayed = set(doubts), {}
        self._desk.counts["replays asked"] += 1
        command = {"source": source.urn, "from": lacking[0], "to": lacking[1], "id": identity}
        return Outgoing(command_topic(source.prefix, source.agent, "replay"), write(command))

    def _gone_up_to(self, source: Source) -> int:
        """Up to where what the agent cannot send is gone for good, rather than not brought to the broker yet."""
        stores = self._stores.get(source.agent)
        of_old_store = stores is not None and source.store not in stores
        return HIGHEST if of_old_store else source.delivered


def _ranges(unavailable: object) -> Iterator[_Range]:
    for pair in unavailable if isinstance(unavailable, list) else []:
        if isinstance(pair, list) and len(pair) == 2 and all(type(number) is int for number in pair):
            first, last = pair
            if 0 < first <= last:
                yield first, last
