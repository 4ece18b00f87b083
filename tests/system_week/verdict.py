"""Is everything accounted for, to the unit? What the week must be at its end, from the outside."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from edge_agent.store.reader import Reader, open_reader
from edge_agent_simulators.erp_books import Document, Stock
from tests.system_week.people import RULES, People, missing_in_gap
from tests.system_week.plant import BOTTLES_PER_CASE, PALLET, WHAT
from tests.system_week.receivers import Receiver
from tests.system_week.truth import add, differences, posting_day, stocks
from tests.system_week.world import World

ZEROS = "0" * 64
FINAL = {"accepted", "corrected"}
_FIGURES = {"consumed": 1, "returned": 1, "produced": 1, "scrapped": 1, "sampled": 1}
Json = Mapping[str, Any]


@dataclass
class Allowed:
    """What may be open at the end, because the scenario made it so: causes of discrepancies, by receiver."""

    discrepancies: dict[str, Counter[str]] = field(default_factory=dict)
    rejected: int = 0
    unpublishable: int = 0
    reviews: int = 0


def wrong(world: World, people: People, allowed: Allowed) -> list[str]:
    """Everything that does not add up."""
    found: list[str] = []
    with open_reader(world.agent.database) as reader:
        found += [f"the books do not balance: {one}" for one in reader.imbalances()]
        found += _waiting(world, reader, allowed)
        gaps = people.gaps | {(gap["rule"], gap["since"]): gap for gap in reader.gaps()}
        lacking = {name: _lacking(world, reader, gaps.values(), name) for name in world.receivers}
    for name, receiver in world.receivers.items():
        expected = _expected(world, people, lacking[name])
        for stock, amount in altered_and_posted(receiver).items():
            expected[stock] = expected.get(stock, Decimal(0)) + amount
        found += [f"{name}: {one}" for one in differences(expected, receiver.erp.books.balances())]
        found += [f"{name}: {one}" for one in _disagreements(receiver, allowed)]
        found += [f"{name}: {one} was posted twice" for one in receiver.erp.books.posted_twice()]
        found += [f"{name}: {one}" for one in broken_chains(receiver)]
        found += [f"{name}: {one}" for one in _wrong_days(receiver.erp.books.documents())]
    return found


def statuses(world: World) -> Counter[str]:
    """Answers by system and status, as the agent has them."""
    with closing(_open(world)) as connection:
        rows = connection.execute("SELECT system || ' ' || status, count(*) FROM answer GROUP BY 1").fetchall()
    return Counter(dict(rows))


def open_discrepancies(receiver: Receiver) -> Counter[str]:
    return Counter(one["cause"] for one in receiver.erp.discrepancies() if one["closed"] is None)


def broken_chains(receiver: Receiver) -> Iterator[str]:
    """Numbers that are neither there nor accounted for, and events that do not continue the one before.

    What was altered, posted and opened as a discrepancy stands as it came: the chain is that of the original.
    """
    with closing(sqlite3.connect(receiver.erp.folder / "inbox.db")) as connection:
        for number, urn in connection.execute("SELECT number, urn FROM source").fetchall():
            rows = connection.execute("SELECT sequence, payload FROM event WHERE source = ?", (number,)).fetchall()
            events = {sequence: _links(payload) for sequence, payload in rows}
            for sequence, _, original in _altered(connection, number):
                events[sequence] = _links(original)
            rows = connection.execute("SELECT first, last, sha256 FROM hole WHERE source = ?", (number,)).fetchall()
            holes = {one: digest for first, last, digest in rows for one in range(first, last + 1)}
            yield from _broken(urn, events, holes)


def altered_and_posted(receiver: Receiver) -> dict[Stock, Decimal]:
    """What the books have too much, because events were altered on their way and posted before that was known."""
    sums: dict[Stock, Decimal] = defaultdict(Decimal)
    with closing(sqlite3.connect(receiver.erp.folder / "inbox.db")) as connection:
        for (number,) in connection.execute("SELECT number FROM source").fetchall():
            for sign, payload in _signed(_altered(connection, number)):
                for stock, amount in lines_of(json.loads(payload)):
                    sums[stock] += sign * amount
    return {stock: amount for stock, amount in sums.items() if amount}


def _signed(altered: Iterable[tuple[int, bytes, bytes]]) -> Iterator[tuple[int, bytes]]:
    """What was posted counts for, its original against."""
    for _, posted, original in altered:
        yield from ((1, posted), (-1, original))


def _altered(connection: sqlite3.Connection, source: int) -> list[tuple[int, bytes, bytes]]:
    """(sequence, what was posted, the original) of a source."""
    query = """
        SELECT e.sequence, e.payload, v.payload FROM event e JOIN version v
        ON v.source = e.source AND v.sequence = e.sequence WHERE e.source = ? AND e.why = 'changed' AND e.posted = 1"""
    return connection.execute(query, (source,)).fetchall()


def _links(payload: bytes) -> tuple[str, str]:
    """An event's hash, and its word on the hash of the one before."""
    return hashlib.sha256(payload).hexdigest(), json.loads(payload)["prevhash"]


def _broken(urn: str, events: Mapping[int, tuple[str, str]], holes: Mapping[int, str | None]) -> Iterator[str]:
    last: str | None = ZEROS
    for sequence in range(1, max([*events, *holes], default=0) + 1):
        if sequence not in events:
            if sequence not in holes:
                yield f"event {sequence} of {urn} is missing"
            last = holes.get(sequence)
            continue
        digest, before = events[sequence]
        if last is not None and before != last:
            yield f"event {sequence} of {urn} does not continue the chain"
        last = digest


def _open(world: World) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{world.agent.database}?mode=ro", uri=True)


def _waiting(world: World, reader: Reader, allowed: Allowed) -> Iterator[str]:
    """Nothing waits but what is meant to."""
    letters, waiting = reader.dead_letters(), reader.waiting(world.wall)
    found = {
        "rejected": len({(one["source"], one["sequence"]) for one in letters["rejected"]}),
        "unpublishable": len(letters["unpublishable"]),
        "reviews": len(reader.reviews()),
        "corrections waiting": len(waiting["corrections_waiting"]),
        "overdue": len(waiting["overdue"]),
        "busy": len(waiting["busy"]),
    }
    meant = {"rejected": allowed.rejected, "unpublishable": allowed.unpublishable, "reviews": allowed.reviews}
    yield from (
        f"{count} {what}, and not {meant.get(what, 0)}" for what, count in found.items() if count != meant.get(what, 0)
    )
    dead = {(one["source"], one["sequence"]) for one in letters["unpublishable"]}
    with closing(_open(world)) as connection:
        rows = connection.execute(
            "SELECT s.source, a.sequence, a.system, a.status FROM answer a JOIN stream s ON s.id = a.stream"
            " WHERE a.status IN ('awaiting', 'busy', 'retried')"
        ).fetchall()
    yield from (
        f"event {sequence} of {source}: {system} {status}"
        for source, sequence, system, status in rows
        if (source, sequence) not in dead
    )


def _lacking(world: World, reader: Reader, gaps: Iterable[Json], name: str) -> dict[Stock, Decimal]:
    """What a system's books may lack, because it is visibly waiting or in a stated gap."""
    sums: dict[Stock, Decimal] = defaultdict(Decimal)
    letters = reader.dead_letters()
    dead = [one for one in letters["rejected"] if one["system"] == name] + letters["unpublishable"]
    for letter in dead:
        for stock, amount in lines_of(reader.event(f"{letter['source']}/{letter['sequence']}")["event"]):
            sums[stock] += amount
    for review in reader.reviews():
        _add_review(world, review, sums)
    for gap in gaps:
        for stock, amount in missing_in_gap(world, gap).items():
            sums[stock] += amount
    for pallet in world.fell_into_a_gap:
        add(sums, "/".join((*PALLET[:2], "", PALLET[2])), Decimal(pallet.cases * BOTTLES_PER_CASE))
    return sums


def _add_review(world: World, review: Json, sums: dict[Stock, Decimal]) -> None:
    since, until = (datetime.fromisoformat(review[key]) for key in ("since", "until"))
    if review["rule"] not in RULES:
        return
    name = RULES[review["rule"]]
    for order in {way["order"] or "" for way in review["candidates"]}:
        event, material, location = WHAT[name]
        units = world.plant.made_between(name, order, since, until)
        add(sums, f"{event}/{material}/{order}/{location}", Decimal(units))


def lines_of(event: Json) -> Iterator[tuple[Stock, Decimal]]:
    """What a material event would post."""
    data, kind = event["data"], event["type"].split(".")[3]
    for line in data["materialActual"]:
        figure = kind if kind in _FIGURES else {"Consumed": "moved out", "Produced": "moved in"}[line["materialUse"]]
        place, quantity = line.get("storageLocation", {}).get("location", ""), line["quantity"]
        stock = Stock(
            *(figure, line["materialDefinitionID"], data.get("jobOrderID") or "", place),
            *(line.get("materialLotID") or "", quantity["unitOfMeasure"]),
        )
        yield stock, Decimal(quantity["quantityString"])


def _expected(world: World, people: People, lacking: Mapping[Stock, Decimal]) -> dict[Stock, Decimal]:
    sums = stocks(world.plant.ledger)
    for stock, amount in people.entered.items():
        sums[stock] += amount
    for stock, amount in lacking.items():
        sums[stock] -= amount
    return {stock: amount for stock, amount in sums.items() if amount}


def _disagreements(receiver: Receiver, allowed: Allowed) -> Iterator[str]:
    found, meant = open_discrepancies(receiver), allowed.discrepancies.get(receiver.name, Counter())
    if found != meant:
        yield f"open discrepancies {dict(found)}, and not {dict(meant)}"
        yield from (str(one) for one in receiver.erp.discrepancies() if one["closed"] is None)


def _wrong_days(documents: list[Document]) -> Iterator[str]:
    """Every posting is on the day in which its movement ended; what a person put right is on its original's."""
    yield from (
        f"event {one.event} is on {one.day}, and not on {posting_day(datetime.fromisoformat(one.happened))}"
        for one in documents
        if one.reverses is None and one.day != posting_day(datetime.fromisoformat(one.happened))
    )


def units(world: World) -> int:
    """Physical units of the line; of CO2 grams."""
    return sum(int(one) for one in world.plant.ledger.totals().values())
