"""The streams that events come in: how far each has got. Kept in memory, written with each transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from edge_agent_receiver import sql
from edge_agent_receiver.places import Urn, read_urn
from edge_agent_receiver.ranges import Ranges
from edge_agent_receiver.store import Db
from edge_agent_receiver.timing import Backoff

MOST_REPLAYS = 5
"""How many answered replays may leave a doubt as it is, before the event is given up."""


@dataclass(slots=True)
class Hold:
    """An event that a busy system wants later; its source waits with it. `said`: that `post` raised was noted."""

    sequence: int
    backoff: Backoff
    said: bool = False


@dataclass(slots=True)
class Source:
    """One source. The first part is stored, the second is found again at the start, the third is of this run."""

    number: int
    urn: str
    agent: str
    store: str
    prefix: str
    announced: int = 0
    """How far it has got by what the agent, a snapshot or a reversal says."""
    delivered: int = 0
    """How far the agent has brought it to the broker, as far as we know."""
    settled: int = 0
    """1 to there is answered for good. Never falls."""
    told: int = 0
    """The highest `upTo` that the agent has confirmed."""
    restored_to: int = 0
    """Up to there this inbox once accepted everything, before it was restored from a backup."""
    folded: int = 0
    """The watermark up to which the totals count."""

    filled: Ranges = field(default_factory=Ranges)
    """The numbers that came or are accounted for."""
    doubts: dict[int, int] = field(default_factory=dict)
    """Events that the chain does not bear out, and how many replays have not helped."""
    blocking: set[int] = field(default_factory=set)
    """Those of them that are not posted yet: nothing behind them is."""
    disputed: set[int] = field(default_factory=set)
    """Numbers under which several contents came."""
    claimed: set[int] = field(default_factory=set)
    """Numbers whose hash somebody said, not proven yet."""
    voided: dict[int, str] = field(default_factory=dict)
    """Numbers voided by the agent, with the hash that the chain holds, as long as the event has not come."""
    reversed: set[int] = field(default_factory=set)
    """Originals whose reversal is here and not decided yet."""
    answers: bool = False
    """Whether answers wait to be told."""

    head: tuple[int, str] = (0, "")
    """The last event taken in and its hash."""
    proven: set[int] = field(default_factory=set)
    """Events without a successor whose hash somebody else bore out."""
    checks: set[int] = field(default_factory=set)
    """Numbers whose place in the chain is to be looked at before this transaction ends."""
    asked: set[int] = field(default_factory=set)
    """Doubts in a replay that is not answered yet."""
    replayed: dict[int, set[str]] = field(default_factory=dict)
    """The hashes of what has come for them since."""
    missed: set[int] = field(default_factory=set)
    """Voided numbers to be asked for: the stocks do not agree without them, and they may have been sent since."""
    offered: set[int] = field(default_factory=set)
    """Events in the hands of `post`."""
    may_post: bool = True
    """Whether something has happened since there was nothing to post."""
    hold: Hold | None = None
    hello: float | None = None
    """Posting waits until then for the agent's word."""

    @property
    def end(self) -> int:
        """The highest number known to exist."""
        return max(self.filled.highest, self.announced)

    def open_doubts(self) -> list[int]:
        """The doubts that a replay may still resolve."""
        return sorted(sequence for sequence, asked in self.doubts.items() if asked < MOST_REPLAYS)

    def limit(self, *, prove: bool) -> int:
        """Up to where events may be posted: contiguous, not doubted and, where wanted, proven."""
        limit = self.filled.contiguous
        if prove and limit not in self.proven:
            limit -= 1
        return min(limit, min(self.blocking) - 1) if self.blocking else limit


class Sources:
    """All sources, by URN and by number."""

    def __init__(self) -> None:
        self._by_urn: dict[str, Source] = {}
        self._by_number: dict[int, Source] = {}
        self._touched: set[int] = set()

    def __iter__(self) -> Iterator[Source]:
        return iter(self._by_number.values())

    def load(self, db: Db) -> None:
        """Read everything anew."""
        self._by_urn.clear()
        self._by_number.clear()
        self._touched.clear()
        for number, urn, agent, store, prefix, contiguous, _, *figures in db.rows(sql.SOURCES):
            source = Source(number, urn, agent, store, prefix, *figures)
            self._by_urn[urn] = self._by_number[number] = source
            self._load_rest(db, source, contiguous)

    def reload_filled(self, db: Db, source: Source) -> None:
        """A hole was none after all."""
        source.filled = Ranges()
        self._fill(db, source, 0)

    def known(self, urn: str) -> Source | None:
        """The source, if there is one."""
        return self._by_urn.get(urn)

    def numbered(self, number: int) -> Source:
        """The source of a row."""
        return self._by_number[number]

    def stores(self, agent: str) -> set[str]:
        """The store uuids of an agent."""
        return {source.store for source in self if source.agent == agent}

    def of_store(self, agent: str, store: str) -> Iterable[Source]:
        """The sources of one store."""
        return [source for source in self if (source.agent, source.store) == (agent, store)]

    def is_former(self, source: Source) -> bool:
        """Whether its agent has written under another store since."""
        return any(one.agent == source.agent and one.store != source.store for one in self.after(source))

    def after(self, source: Source) -> Iterable[Source]:
        """The sources seen later than this one."""
        return (one for one in self if one.number > source.number)

    def create(self, db: Db, urn: str, prefix: str) -> Source:
        """A source not seen before."""
        parts: Urn = read_urn(urn)
        number = max(self._by_number, default=0) + 1
        source = Source(number, urn, parts.agent, parts.store, prefix)
        self._by_urn[urn] = self._by_number[number] = source
        db.run(sql.NEW_SOURCE, number, urn, parts.agent, parts.store, prefix)
        return source

    @property
    def touched(self) -> list[Source]:
        """Those that have changed in this transaction."""
        return [self._by_number[number] for number in sorted(self._touched)]

    def touch(self, source: Source) -> None:
        """It has changed."""
        self._touched.add(source.number)

    def save(self, db: Db) -> list[Source]:
        """Write what has changed, and how far each has been settled; gives the sources that have."""
        touched = self.touched
        for source in touched:
            contiguous = source.filled.contiguous
            (first,) = db.rows(sql.FIRST_PENDING, source.number)[0]
            source.settled = max(source.settled, contiguous if first is None else min(contiguous, first - 1))
            figures = (source.announced, source.delivered, source.settled, source.told, source.restored_to)
            row = (source.prefix, contiguous, source.filled.highest, *figures, source.folded, source.number)
            db.run(sql.SAVE_SOURCE, *row)
        self._touched.clear()
        return touched

    def _load_rest(self, db: Db, source: Source, contiguous: int) -> None:
        number = source.number
        self._fill(db, source, contiguous)
        source.doubts = dict(db.rows(sql.DOUBTS, number))
        source.blocking = {sequence for (sequence,) in db.rows(sql.BLOCKING_DOUBTS, number)}
        source.disputed = {sequence for (sequence,) in db.rows(sql.DISPUTED, number)}
        source.claimed = {sequence for (sequence,) in db.rows(sql.CLAIMED, number)}
        source.voided = dict(db.rows(sql.VOIDED_HOLES, number))
        source.reversed = {sequence for (sequence,) in db.rows(sql.UNDECIDED_REVERSALS, number)}
        source.answers = bool(db.rows(sql.UNTOLD_ANSWERS, number))

    def _fill(self, db: Db, source: Source, contiguous: int) -> None:
        if contiguous:
            source.filled.add(1, contiguous)
        for (sequence,) in db.rows(sql.SEQUENCES_ABOVE, source.number, contiguous):
            source.filled.add(sequence, sequence)
        for first, last in db.rows(sql.HOLES, source.number):
            source.filled.add(first, last)
