"""The people of the plant: once an hour somebody looks at reviews, dead letters and what is to be corrected.

They know what really happened (the plant's ledger), what they did before (a notebook that no restore takes away), and
what stands in the ERP's books. They act over the agent's control socket alone.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from edge_agent.errors import ControlError
from edge_agent.store.reader import open_reader
from edge_agent_simulators.erp_books import Stock
from tests.system_week.plant import BOTTLES, CAPS, CO2, PREFORMS, TICK, WHAT
from tests.system_week.truth import UNITS, add, in_unit
from tests.system_week.world import World

RULES = {"preforms_used": PREFORMS, "bottles_made": BOTTLES, "caps_used": CAPS, "co2_used": CO2}
BY = "A. Kern"
TO_CORRECT = frozenset({"unit_mismatch", "quantity_precision", "id_conflict", "malformed"})
"""After these the event is corrected; after the others it is sent again, once the receiver's side is put right."""
Json = Mapping[str, Any]


@dataclass
class Miscount:
    """A counter counted `units` too many in the half minute from `at` on; `done` once its correction is asked for."""

    rule: str
    units: int
    at: datetime
    done: bool = False


@dataclass
class Typed:
    """An entry in which a person wrote `typed` instead of `right`; `right` None: it should not be there at all."""

    source: str
    sequence: int
    right: Decimal | None
    not_before: datetime
    done: bool = False


@dataclass
class People:
    world: World
    happened: Counter[str] = field(default_factory=Counter)
    entered: dict[Stock, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    """What was moved by hand, in truth."""
    miscounts: list[Miscount] = field(default_factory=list)
    typed: list[Typed] = field(default_factory=list)
    off_duty: bool = False
    stubborn: set[str] = field(default_factory=set)
    """Ids of events that were sent again before anything was put right."""
    gaps: dict[tuple[str, str], Json] = field(default_factory=dict)
    """Every gap that was ever stated: a restore takes none of them away."""
    _notebook: dict[tuple[str, str, str], str] = field(default_factory=dict)
    _wanted: dict[str, Decimal] = field(default_factory=dict)
    """What an event of a review is to be corrected to, by the review."""
    _forms: int = 0

    async def look(self) -> None:
        """Once an hour."""
        if self.off_duty or not self.world.agent.is_open:
            return
        with open_reader(self.world.agent.database) as reader:
            reviews, letters = reader.reviews(), reader.dead_letters()
            self.gaps |= {(gap["rule"], gap["since"]): gap for gap in reader.gaps()}
        for review in reviews:
            await self._decide(review)
        await self._after_reviews()
        await self._unpublishable(letters["unpublishable"])
        await self._rejected(letters["rejected"])
        await self._corrections()

    # reviews

    async def _decide(self, review: Json) -> None:
        fact = (review["rule"], review["since"], review["until"])
        if fact in self._notebook and self._notebook[fact] != self.world.agent.store.store_uuid:
            await self._say("reject", review, None, "decided before the restore")
        elif review["rule"] == "pallet_out":
            await self._decide_pallet(review)
        elif review["cause"] == "restored":
            await self._decide_restored(review)
        else:
            await self._decide_counter(review)
        self._notebook.setdefault(fact, self.world.agent.store.store_uuid)

    async def _decide_pallet(self, review: Json) -> None:
        """Its label is on the pallet in the warehouse; has the ERP had it?"""
        number = int(review["raw"]["after"])
        pallet = next(one for one in self.world.plant.pallets if one.number == number)
        known = any(one.erp.books.holds_container(pallet.sscc) for one in self._asked())
        if known or review["cause"] == "conflict":
            await self._say("reject", review, None, "the pallet is booked already")
        else:
            await self._say("accept", review, 1, "the pallet stands in the warehouse")

    async def _decide_counter(self, review: Json) -> None:
        made = {order: units for order, units in self._made(review).items() if units}
        await self._book(review, made, "counted at the machine")

    async def _decide_restored(self, review: Json) -> None:
        """What the ERP lacks of all that had run by then."""
        name, until = RULES[review["rule"]], datetime.fromisoformat(review["until"])
        _, material, _ = WHAT[name]
        if self._sent_since(review, name, until):
            await self._book(review, {}, "the lost store has sent it, and later ones")
            return
        posted = self._posted(name, until)
        lacking: dict[str, int] = {}
        for order in self._orders():
            made = self.world.plant.made_between(name, order, self.world.plant.start, until)
            left = in_unit(material, made) - posted.get(order, Decimal(0)) - self._in_gaps(name, order, until)
            if left:
                lacking[order] = int(left / in_unit(material, 1))
        await self._book(review, lacking, "compared with the ERP's books")

    def _in_gaps(self, name: str, order: str, until: datetime) -> Decimal:
        """What nobody saw of a counter by then, and is stated as a gap."""
        gaps = [gap for gap in self.gaps.values() if RULES.get(gap["rule"]) == name]
        missed = [missing_in_gap(self.world, gap) for gap in gaps if datetime.fromisoformat(gap["until"]) <= until]
        return sum((amount for one in missed for stock, amount in one.items() if stock.order == order), Decimal(0))

    async def _book(self, review: Json, made: Mapping[str, int], reason: str) -> None:
        """One candidate that fits, or one that is corrected afterwards, or none."""
        material = WHAT[RULES[review["rule"]]][1]
        ways = review["candidates"]
        if not made:
            nothing = [way["candidate"] for way in ways if Decimal(way["quantity"]) == 0]
            verb = ("accept", nothing[0]) if nothing else ("reject", None)
            await self._say(verb[0], review, verb[1], reason)
            return
        ((order, units),) = made.items()
        amount = in_unit(material, units)
        some = [way for way in ways if Decimal(way["quantity"]) > 0 and (way["order"] or "") == order]
        fitting = [way for way in some if Decimal(way["quantity"]) == amount]
        if fitting:
            await self._say("accept", review, fitting[0]["candidate"], reason)
        elif some:
            await self._say("accept", review, some[0]["candidate"], reason)
            self._wanted[review["id"]] = amount
        else:
            await self._say("reject", review, None, f"{reason}: none of these")
            location = WHAT[RULES[review["rule"]]][2]
            await self.enter("consumed", material, str(amount), order=order, from_=location, truth=False)

    async def _say(self, verb: str, review: Json, candidate: int | None, reason: str) -> None:
        more = {} if candidate is None else {"candidate": candidate}
        await self.world.agent.ask(f"review.{verb}", id=review["id"], by=BY, reason=reason, **more)
        self.happened[f"review {verb}ed: {review['cause']}"] += 1

    def _made(self, review: Json) -> dict[str, int]:
        name = RULES[review["rule"]]
        since, until = (datetime.fromisoformat(review[key]) for key in ("since", "until"))
        return {order: self.world.plant.made_between(name, order, since, until) for order in self._orders()}

    def _orders(self) -> set[str]:
        return {key.split("/")[2] for key in self.world.plant.ledger.totals()}

    def _posted(self, name: str, until: datetime) -> dict[str, Decimal]:
        """What the ERP has posted of a counter's movements that had ended by then, by order."""
        event, material, location = WHAT[name]
        sums: dict[str, Decimal] = defaultdict(Decimal)
        books = self.world.receivers["erp"].erp.books.documents()
        by_number = {one.number: one for one in books}
        for document in books:
            original = document if document.reverses is None else by_number[document.reverses]
            if datetime.fromisoformat(original.happened) > until:
                continue
            for line in document.lines:
                stock = line.stock
                if (stock.figure, stock.material, stock.location, stock.lot) == (event, material, location, ""):
                    sums[stock.order] += line.quantity
        return sums

    def _sent_since(self, review: Json, name: str, until: datetime) -> bool:
        """Whether what waited in the backup was sent by the lost store: the ERP has later movements from there."""
        with open_reader(self.world.agent.database) as reader:
            proof = reader.review(review["id"])["evidence"]
        if proof["from_position"] == proof["to_position"]:
            return False
        event, material, location = WHAT[name]
        present = f":{self.world.agent.store.store_uuid}:"
        return any(
            present not in one.source and datetime.fromisoformat(one.happened) > until
            for one in self.world.receivers["erp"].erp.books.documents()
            for line in one.lines
            if line.stock[:2] == (event, material) and line.stock.location == location and not line.stock.lot
        )

    def _asked(self) -> list[Any]:
        return [self.world.receivers[name] for name in ("mes", "erp")]

    async def _after_reviews(self) -> None:
        """Correct what a review could only book too much of."""
        for review, amount in list(self._wanted.items()):
            for source, event in self._events():
                decision = event["data"].get("decision", {})
                if decision.get("reviewID") == review and event["type"].startswith("io.edgeagent.material."):
                    await self._correct(source, event, "1", amount)
                    del self._wanted[review]
                    break

    # dead letters

    async def _unpublishable(self, letters: Sequence[Json]) -> None:
        for letter in letters:
            poison = self.world.poisoned.get(letter["id"])
            if poison == "leave":
                continue
            if poison == "correct":
                event = self._event(letter["source"], letter["sequence"])
                await self._correct(letter["source"], event, "1", self._right(event, "1"))
                self.happened["unpublishable corrected"] += 1
                continue
            if letter["id"] in self.stubborn:
                self.world.poisoned.pop(letter["id"], None)
            self.stubborn.add(letter["id"])
            reply = await self.world.agent.ask("dead.retry", **_place(letter), by=BY, reason="the broker is put right")
            self.happened[f"unpublishable retried: {'sent' if reply['sent'] else 'in vain'}"] += 1

    async def _rejected(self, letters: Sequence[Json]) -> None:
        for letter in letters:
            if letter["correction_waits"]:
                continue
            if letter["code"] in TO_CORRECT:
                await self._correct_rejected(letter)
            else:
                await self._retry(letter)

    async def _retry(self, letter: Json) -> None:
        """Put right what is wrong at the receiver, and have the event sent again; the impatient do that first."""
        receiver = self.world.receivers[letter["system"]]
        fault = receiver.erp.faults.fault_of(letter["id"])
        if fault in receiver.erp.faults.names() and letter["id"] not in self.stubborn and fault.startswith("stubborn"):
            self.stubborn.add(letter["id"])
            self.happened["retried before it was put right"] += 1
        elif fault is not None:
            receiver.erp.faults.put_right(fault)
        await self.world.agent.ask("dead.retry", **_place(letter), by=BY, reason="master data are put right")
        self.happened["retried"] += 1

    async def _correct_rejected(self, letter: Json) -> None:
        receiver = self.world.receivers[letter["system"]]
        fault = receiver.erp.faults.fault_of(letter["id"])
        receiver.erp.faults.put_right(fault)
        event = self._event(letter["source"], letter["sequence"])
        if await self._correct(letter["source"], event, "1", self._right(event, "1")):
            self.happened["rejected corrected"] += 1

    # corrections

    async def _corrections(self) -> None:
        for one in self.miscounts:
            if not one.done:
                await self._correct_miscount(one)
        for entry in self.typed:
            if not entry.done and self.world.wall >= entry.not_before:
                entry.done = True
                await self._correct(entry.source, self._event(entry.source, entry.sequence), "1", entry.right)

    async def _correct_miscount(self, one: Miscount) -> None:
        for source, event in self._events():
            for line in event["data"].get("materialActual", []) if not _is_amended(event) else []:
                if one.done or not _covers(line, one):
                    continue
                await self._correct(source, event, line["id"], self._right(event, line["id"]))

    def _right(self, event: Json, line_id: str) -> Decimal:
        """What a line should say; what was miscounted in it is put right with that."""
        line = next(one for one in event["data"]["materialActual"] if one["id"] == line_id)
        amount = Decimal(line["quantity"]["quantityString"])
        for one in self.miscounts:
            if not one.done and _covers(line, one):
                amount -= in_unit(line["materialDefinitionID"], one.units)
                one.done = True
        return amount

    async def _correct(self, source: str, event: Json, line: str, amount: Decimal | None) -> bool:
        """Ask for a correction; `amount` None takes the event back. Whether it was taken."""
        what = {"void": True} if amount is None else {"lines": {line: {"quantity": f"{amount.normalize():f}"}}}
        place = {"source": source, "sequence": int(event["sequence"])}
        try:
            reply = await self.world.agent.ask("correct", **place, **what, by=BY, reason="counted again")
        except ControlError:
            self.happened["correction refused"] += 1
            return False
        self.happened["correction asked" if reply["made"] else "correction waits"] += 1
        return True

    # entries

    async def enter(
        self,
        event: str,
        material: str,
        quantity: str,
        *,
        typed: str | None = None,
        order: str | None = None,
        lot: str | None = None,
        from_: str | None = None,
        to: str | None = None,
        process: bool = False,
        mistake: bool = False,
        truth: bool = True,
        times: int = 1,
    ) -> None:
        """Move material by hand and enter it, as `typed` where that is wrong; `mistake`: nothing was moved at all.

        `times`: the form is sent so often. Without `truth` the ledger counts it already.
        """
        self._forms += 1
        sides = {"from": from_, "to": to, "order": order, "lot": lot, "process": process or None}
        request = {name: value for name, value in sides.items() if value is not None}
        for number in range(times):
            reply = await self.world.agent.ask(
                "enter",
                **request,
                event=event,
                material=material,
                quantity=typed or quantity,
                form=f"form-{self._forms}",
                by=BY,
                reason="by hand",
            )
            assert reply["repeated"] == (number > 0)
            self.happened["form sent twice" if number else f"entered: {event}"] += 1
        if truth and not mistake:
            location = "" if process else from_ or to or ""
            self.entered[Stock(event, material, order or "", location, lot or "", UNITS[material])] += Decimal(quantity)
        if typed is not None or mistake:
            right = None if mistake else Decimal(quantity)
            later = self.world.wall + timedelta(hours=1)
            self.typed.append(Typed(reply["source"], reply["sequence"], right, later))

    # what they read

    def _event(self, source: str, sequence: int) -> Json:
        with open_reader(self.world.agent.database) as reader:
            event: Json = reader.event(f"{source}/{sequence}")["event"]
        return event

    def _events(self) -> Iterator[tuple[str, Json]]:
        """The material events of the last day that are still in the agent's store."""
        sql = "SELECT s.source, e.payload FROM event e JOIN stream s ON s.id = e.stream WHERE e.recorded >= ?"
        since = (self.world.wall - timedelta(hours=26)).isoformat()
        with closing(sqlite3.connect(f"file:{self.world.agent.database}?mode=ro", uri=True)) as connection:
            rows = connection.execute(sql, (since,)).fetchall()
        return ((source, json.loads(payload)) for source, payload in rows)


def _place(letter: Json) -> dict[str, Any]:
    return {"source": letter["source"], "sequence": letter["sequence"]}


def _covers(line: Json, one: Miscount) -> bool:
    proof = line["evidence"]
    first, last = (datetime.fromisoformat(proof[name]) for name in ("firstSourceTime", "lastSourceTime"))
    return bool(proof["rule"] == one.rule and first <= one.at and one.at + TICK <= last)


def _is_amended(event: Json) -> bool:
    return event["type"] == "io.edgeagent.event.reversed.v1" or "correction" in event["data"]


def missing_in_gap(world: World, gap: Json) -> dict[Stock, Decimal]:
    """What ran in a stated gap and was not seen, in truth. Raises AssertionError where its bounds do not hold it."""
    found: dict[Stock, Decimal] = defaultdict(Decimal)
    name = RULES.get(gap["rule"])
    beside_a_review = gap["message"].startswith(
        "if it was reset"
    )  # what the review is about is decided there, all of it
    if name is None or gap["cause"] != "reset" or beside_a_review:
        return found
    since, until = (datetime.fromisoformat(gap[key]) for key in ("since", "until"))
    event, material, order, location = gap["key"].split("/")
    ran = world.plant.made_between(name, order, since, until)
    missed = in_unit(material, ran) - Decimal(gap["seen"])
    assert Decimal(gap["min"]) <= missed <= Decimal(gap["max"] or missed), gap
    add(found, f"{event}/{material}/{order}/{location}", Decimal(int(missed / in_unit(material, 1))))
    return found
