"""Of the wire of a day one message is removed, doubled or altered, at random, many times: each is found."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import pytest

from edge_agent_simulators.erp_books import Books, Stock
from tests.system_week.bus import altered
from tests.system_week.folder import in_memory
from tests.system_week.wire import Bench, Message, Wire, differs, record_a_day

Record = Callable[[str, object], None]
REMOVED, DOUBLED, ALTERED = 1_000, 200, 200


@dataclass
class Day:
    """The wire, and the books of a receiver that got all of it."""

    wire: Wire
    complete: dict[Stock, Decimal]
    folder: Path
    trials: int = 0

    @contextmanager
    def bench(self, *, prove: bool = False) -> Iterator[Bench]:
        """A fresh inbox, gone afterwards."""
        self.trials += 1
        path = self.folder / f"trial-{self.trials}"
        path.mkdir()
        made = Bench(self.wire, str(path / "inbox.db"), prove=prove)
        try:
            yield made
        finally:
            made.close()
            for file in path.iterdir():
                file.unlink()
            path.rmdir()


@pytest.fixture(scope="module")
def day() -> Iterator[Day]:
    with in_memory() as folder:
        wire = asyncio.run(record_a_day(folder / "day"))
        recorded = Day(wire, {}, folder)
        with recorded.bench() as bench:
            bench.deliver(wire.messages)
            assert not bench.open_discrepancies()
            assert {place for place in bench.asked if place not in wire.voided} == set(), (
                "nothing is missing of the record"
            )
            recorded.complete = bench.books.balances()
        yield recorded


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_any_one_message_removed_is_found(day: Day, record_property: Record) -> None:
    rng = random.Random(1)
    events, last = day.wire.events, day.wire.last_of_each_stream
    victims = [*last, *(rng.choice(events) for _ in range(REMOVED - len(last)))]
    kinds: Counter[str] = Counter()
    asked = 0
    for victim in victims:
        with day.bench(prove=rng.random() < 0.5) as bench:
            bench.deliver(one for one in day.wire.messages if one is not victim)
            assert bench.asked[victim.source or "", victim.sequence], f"nobody asked for {victim.place}"
            _is_complete(day, bench, victim)
            kinds[victim.topic.rpartition("/")[2]] += 1
            asked += sum(bench.asked.values())
    record_property("messages removed, all found", f"{len(victims)}, the last of a stream {len(last)} times")
    record_property("removed by topic", str(dict(kinds)))
    record_property("messages of the day, events among them", f"{len(day.wire.messages)}, {len(events)}")
    record_property("events asked for again", str(asked))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_any_one_message_doubled_is_posted_once(day: Day, record_property: Record) -> None:
    rng = random.Random(2)
    for _ in range(DOUBLED):
        victim, place = rng.choice(day.wire.events), rng.randrange(len(day.wire.messages))
        messages = list(day.wire.messages)
        at = messages[place].at
        messages.insert(max(place, messages.index(victim) + 1), replace(victim, at=max(at, victim.at)))
        with day.bench(prove=rng.random() < 0.5) as bench:
            bench.deliver(messages)
            assert bench.inbox.counts["duplicates"]
            _is_complete(day, bench, victim)
    record_property("messages doubled, all posted once", str(DOUBLED))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_any_one_message_altered_is_found(day: Day, record_property: Record) -> None:
    """Healed where it was not posted yet, else opened as a discrepancy that names it."""
    rng = random.Random(3)
    candidates = [one for one in day.wire.events if b'"quantityString"' in one.payload]
    outcomes: Counter[str] = Counter()
    for trial in range(ALTERED):
        victim = rng.choice(candidates)
        wrong = replace(victim, payload=altered(victim.payload, rng))
        prove = trial % 2 == 0
        with day.bench(prove=prove) as bench:
            bench.deliver(wrong if one is victim else one for one in day.wire.messages)
            outcomes[_healed_or_open(day, bench, victim, wrong, prove=prove)] += 1
    assert outcomes["healed, proven first"] == ALTERED // 2
    assert outcomes["opened"] > 0
    record_property("messages altered", str(dict(outcomes)))


def _is_complete(day: Day, bench: Bench, victim: Message) -> None:
    assert differs(bench.books.balances(), day.complete) == {}, victim.place
    assert bench.books.posted_twice() == [], victim.place
    assert bench.open_discrepancies() == [], victim.place


def _healed_or_open(day: Day, bench: Bench, victim: Message, wrong: Message, *, prove: bool) -> str:
    assert bench.books.posted_twice() == []
    opened = bench.open_discrepancies()
    if not opened:
        _is_complete(day, bench, victim)
        return "healed, proven first" if prove else "healed in time"
    assert not prove, "what is proven first is never posted changed"
    assert differs(bench.books.balances(), day.complete) == _difference(wrong, victim)
    named = any((body.get("source"), body.get("sequence")) == victim.place for _, body in opened)
    # nothing can bear out the event before a number that never came: the stocks tell all the same
    assert named or (victim.source, victim.sequence + 1) in day.wire.voided
    return "opened" if named else "opened for the stocks"


def _difference(wrong: Message, right: Message) -> dict[Stock, Decimal]:
    """What the altered event posts more than the original."""
    books = []
    for one in (wrong, right):
        alone = Books()
        alone.post(one.payload)
        books.append(alone.balances())
        alone.close()
    return differs(*books)
