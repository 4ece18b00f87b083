"""A small plant to fold: a tag map's parts, inputs on a virtual clock, and a journal of everything that came out."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from edge_agent.config.devices import OpcUaAddress, Tag, TagType, Unit
from edge_agent.config.mqtt_reference import Mqtt
from edge_agent.config.signals import Counter, Flow, Handshake, Level
from edge_agent.config.tagmap import Buffer, Cadence, Calendar, Line, Material, Rule, TagMap
from edge_agent.derivation.context import context_tags
from edge_agent.derivation.engine import Engine, Input
from edge_agent.derivation.gating import conditions_of
from edge_agent.model.confirmation import Acknowledge, Block, Released
from edge_agent.model.event import EventDraft
from edge_agent.model.movement import Decision, EventType, Flag, Gap, LineState, Review, Verdict
from edge_agent.model.outcome import EpochMark, LineMark, NaturalKey, Outcome
from edge_agent.model.reading import (
    Cut,
    Instant,
    Link,
    Quality,
    Reading,
    Scalar,
    SourceChange,
    TagRef,
    Tick,
)
from edge_agent.model.state import State
from tests.derivation.stepwise import Stepwise

NOON = datetime(2026, 3, 2, 11, 0, tzinfo=UTC)
"""A Monday, noon in Berlin; the posting day has run since 06:00 local time."""
Number = Decimal | int
SHIFTS = {"early": time(6), "late": time(14), "night": time(22)}
BOOTED = NOON - timedelta(days=3)
COUNT = TagRef("plc", "total")
ORDER = TagRef("plc", "order")
EPOCH = TagRef("plc", "epoch")
FINAL = TagRef("plc", "final")
SECOND = TagRef("meter", "total")
SEQ, ACK, RESULT, CASES, SSCC = (TagRef("plc", name) for name in ("seq", "ack", "result", "cases", "sscc"))

PCS = Unit("pcs", "H87", "pcs", Fraction(1))
CASE = Unit("case", "XCS", "pcs", Fraction(24))
AT_ONCE = Cadence("finished", None, "critical")
EVERY_MINUTE = Cadence("packaging", timedelta(minutes=1), "routine")
_TAG_TYPES = {ORDER: TagType.STRING, SSCC: TagType.STRING, CASES: TagType.INT16}


def counter(name: str = "u16", *, cadence: Cadence = EVERY_MINUTE, **changes: Any) -> Rule:
    """A counter rule of at most 25 pcs/s, sampled every 100 ms, settling in 2 s; `changes` go to rule or counter."""
    of_rule = {field.name: changes.pop(field.name) for field in fields(Rule) if field.name in changes}
    wraps = {"u16": (65536, 0), "u32": (1 << 32, 0), "s16": (32768, -32768), "plain": (None, 0)}
    wraps_at, wraps_to = wraps.get(name, (65536, 0))
    spec: dict[str, Any] = {
        "tag": COUNT,
        "sampling": timedelta(milliseconds=100),
        "settle": timedelta(seconds=2),
        "max_rate": Decimal(25),
        "burst": Decimal(5),
        "wraps_at": wraps_at,
        "wraps_to": wraps_to,
        **changes,
    }
    material = Material("300017", "PET preform 28 g", "packaging", PCS)
    of_rule.setdefault("factor", Fraction(1))
    return Rule(name, EventType.CONSUMED, material, Counter(**spec), source_unit=PCS, cadence=cadence, **of_rule)


def handshake(*, cadence: Cadence = AT_ONCE, modulus: int = 1 << 32, **changes: Any) -> Rule:
    """Pallets of cases of 24 moved to the warehouse, confirmed by a transaction counter."""
    container = changes.pop("container", SSCC)
    spec = Handshake(SEQ, ACK, RESULT, CASES, container, modulus)
    material = Material("900001", "Soda 0.5 L", "finished", PCS)
    return Rule(
        "pallet_out",
        EventType.MOVED,
        material,
        spec,
        **{"factor": Fraction(24), "source_unit": CASE, "from_": "L3-OUT", "to": "WH-01", **changes},
        cadence=cadence,
    )


def tag_map(*rules: Rule, ranges: dict[TagRef, tuple[Decimal, Decimal]] | None = None) -> TagMap:
    """A map of these rules alone."""
    refs = {COUNT, ORDER, EPOCH, FINAL, SECOND, SEQ, ACK, RESULT, CASES, SSCC}
    refs |= {rule.signal.tag for rule in rules if isinstance(rule.signal, Counter | Level | Flow)}
    refs |= {rule.signal.check.tag for rule in rules if isinstance(rule.signal, Flow) and rule.signal.check is not None}
    latches = (rule.signal.at_change for rule in rules if isinstance(rule.signal, Counter))
    refs |= {tag for one in latches if one is not None for tag in (one.count, one.changes)}
    for rule in rules:
        refs |= {*(rule.signal.contents if isinstance(rule.signal, Handshake) else ())}
        refs |= {*context_tags(rule), *(tag for one in conditions_of(rule) for tag in one.tags)}
    address = OpcUaAddress("urn:plant", "s=x")
    return TagMap(
        agent="l3-edge",
        line=Line("acme", "berlin"),
        calendar=Calendar(ZoneInfo("Europe/Berlin"), time(6, 0), SHIFTS),
        mqtt=Mqtt("127.0.0.1", 1883, None, "mat"),
        buffer=Buffer(1 << 28, timedelta(days=90)),
        sources={},
        tags={
            ref: Tag(ref, _TAG_TYPES.get(ref, TagType.UINT32), address, range=(ranges or {}).get(ref)) for ref in refs
        },
        units={"pcs": PCS, "case": CASE},
        materials={rule.material.number: rule.material for rule in rules},
        cadences={rule.cadence.name: rule.cadence for rule in rules},
        rules={rule.name: rule for rule in rules},
        config_hash="0" * 64,
    )


@dataclass
class Journal:
    """What the store would hold: everything that outcomes said, the newest mark of a line winning."""

    lines: dict[tuple[str, int, int], LineMark] = field(default_factory=dict)
    epochs: dict[tuple[str, int], EpochMark] = field(default_factory=dict)
    reviews: dict[str, Review] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    events: list[EventDraft] = field(default_factory=list)
    acknowledgements: list[Acknowledge] = field(default_factory=list)
    natural_keys: list[NaturalKey] = field(default_factory=list)
    counts: Tally[str] = field(default_factory=Tally)

    def take(self, outcome: Outcome) -> None:
        """Store one outcome."""
        self.lines.update(outcome.lines)
        self.epochs.update(outcome.epochs)
        assert not self.reviews.keys() & {review.id for review in outcome.reviews}, "a review's id was used twice"
        self.reviews.update((review.id, review) for review in outcome.reviews)
        self.gaps += outcome.gaps
        self.events += outcome.events
        self.acknowledgements += outcome.acknowledgements
        self.natural_keys += outcome.natural_keys
        for (_, what), number in outcome.counts.items():
            self.counts[what] += number

    def booked(self, order: str | None = None, *, any_order: bool = True) -> Decimal:
        """Everything booked, cut or not, of one order or of all."""
        states = (LineState.PENDING, LineState.CUT, LineState.BOOKED_BY_REVIEW)
        marks = [mark for mark in self.lines.values() if mark.state in states]
        return sum((m.line.quantity for m in marks if any_order or m.line.key.order == order), Decimal(0))

    def sent(self) -> Decimal:
        """What the material events carry."""
        return sum((line.quantity for event in self.events for line in event.lines), Decimal(0))

    def in_state(self, state: LineState) -> Decimal:
        """What the lines of a state come to."""
        return sum((mark.line.quantity for mark in self.lines.values() if mark.state is state), Decimal(0))

    def flags(self) -> set[Flag]:
        """Every flag of every line."""
        return {flag for mark in self.lines.values() for flag in mark.line.evidence.flags}

    def check(self) -> None:
        """The accounting identity by rule and epoch, and each line in one event at the most."""
        spans: dict[tuple[str, int], list[tuple[int, int]]] = {}
        for (rule, epoch, start), mark in self.lines.items():
            proof = mark.line.evidence
            assert (rule, epoch, start) == (mark.line.key.rule, proof.epoch, proof.from_position)
            spans.setdefault((rule, epoch), []).append((start, proof.to_position))
        for name, seen in self.epochs.items():
            ran = seen.last_raw - seen.first_raw + seen.wraps * seen.modulus
            ranges = sorted(spans.pop(name, []))
            assert sum(end - start for start, end in ranges) == ran, f"{name}: {ranges} but {ran} ran through it"
            assert all(a[1] <= b[0] for a, b in pairwise(ranges)), f"{name}: {ranges} overlap"
        assert not spans, "lines of an epoch that has no mark"
        carried = Tally(
            (line.key.rule, line.evidence.epoch, line.evidence.from_position)
            for event in self.events
            for line in event.lines
        )
        done = {n for n, m in self.lines.items() if m.state in (LineState.CUT, LineState.BOOKED_BY_REVIEW)}
        assert carried.keys() == done
        assert set(carried.values()) <= {1}, "a line was carried by two events"
        assert self.sent() == sum((self.lines[name].line.quantity for name in done), Decimal(0))


class Bench:
    """An engine on a virtual clock. Every method that feeds something returns the bench, so that scripts read along."""

    def __init__(self, *rules: Rule, ranges: dict[TagRef, tuple[Decimal, Decimal]] | None = None) -> None:
        self.map = tag_map(*rules, ranges=ranges)
        self.engine = Engine(self.map)
        self.state = State()
        self.journal = Journal()
        self.now = Instant(NOON, 10**12, "boot-1")
        self.feed(SourceChange("plc", Link.UP, self.now, BOOTED))

    def after(self, seconds: float) -> Bench:
        """Let time pass, unseen."""
        by = timedelta(seconds=seconds)
        self.now = Instant(self.now.wall + by, self.now.monotonic_ns + round(seconds * 10**9), self.now.boot_id)
        return self

    def reboot(self, seconds: float) -> Bench:
        """The machine is down for a while and counts its monotonic clock anew."""
        self.now = Instant(self.now.wall + timedelta(seconds=seconds), 10**9, self.now.boot_id + "'")
        return self

    def feed(self, *inputs: Input) -> Bench:
        """Fold, twice as after a failed commit and the second time without the short cut, then commit."""
        outcome = self.engine.fold(self.state, inputs)
        assert Stepwise(self.engine._map).fold(self.state, inputs) == outcome
        self.journal.take(outcome)
        self.state.adopt(outcome.changed)
        self.journal.check()
        return self

    def reading(self, value: Scalar | None, tag: TagRef = COUNT, **about: Any) -> Reading:
        """A reading of now, good and continuous unless told otherwise; its source time lies `age` seconds back."""
        age = about.pop("age", 0)
        about.setdefault("source_time", self.now.wall - timedelta(seconds=age))
        return Reading(tag, value, **{"quality": Quality.GOOD, "received": self.now, "continuous": True, **about})

    def read(self, value: Scalar | None, tag: TagRef = COUNT, **about: Any) -> Bench:
        """One reading by itself."""
        return self.feed(self.reading(value, tag, **about))

    def order(self, number: str, **about: Any) -> Bench:
        """The order tag shows a new value."""
        return self.read(number, ORDER, **about)

    def tick(self) -> Bench:
        """Time passes, and the engine is told."""
        return self.feed(Tick(self.now))

    def rest(self, seconds: float) -> Bench:
        """Ticks of 200 ms for a while, nothing else."""
        for _ in range(round(seconds / 0.2)):
            self.after(0.2).tick()
        return self

    def lost(self) -> Bench:
        """The session ends."""
        return self.feed(SourceChange("plc", Link.LOST, self.now))

    def up(self, start_time: datetime | None = BOOTED) -> Bench:
        """A new session; the server started at `start_time`."""
        return self.feed(SourceChange("plc", Link.UP, self.now, start_time))

    def away(self, seconds: float, start_time: datetime | None = BOOTED) -> Bench:
        """An outage."""
        return self.lost().after(seconds).up(start_time)

    def restarted(self, seconds: float) -> Bench:
        """An outage in which the server restarted."""
        return self.away(seconds, self.now.wall + timedelta(seconds=seconds / 2))

    def cut(self) -> Bench:
        """Cut everything now."""
        return self.feed(Cut(self.now))

    def map_is(self, *rules: Rule) -> Bench:
        """Another map takes the place of this one; the state stays."""
        self.map = tag_map(*rules)
        self.engine = Engine(self.map)
        return self

    def block(
        self, number: int, ack: int | None, cases: Scalar | None = 40, sscc: str | None = "P1", **about: Any
    ) -> Bench:
        """A handshake's block."""
        conflicting = about.pop("conflicting", False)
        values = {CASES: self.reading(cases, CASES, **about), SSCC: self.reading(sscc, SSCC, **about)}
        return self.feed(Block("pallet_out", number, ack, values, self.now, conflicting))

    def lot_block(self, number: int, lot: str, tag: TagRef) -> Bench:
        """A block that states its lot, acknowledged at once."""
        values = {ref: self.reading(value, ref) for ref, value in ((CASES, 40), (SSCC, f"P{number}"), (tag, lot))}
        return self.feed(Block("pallet_out", number, number - 1, values, self.now)).released(number)

    def released(self, number: int) -> Bench:
        """Our acknowledgement has been written."""
        return self.feed(Released("pallet_out", number, self.now))

    def decide(self, candidate: int | None, review: str | None = None, found: Number | None = None) -> Bench:
        """A person accepts a candidate of the only review, as it is or as much as was `found`; None rejects it."""
        one = self.journal.reviews[review] if review else next(iter(self.journal.reviews.values()))
        verdict = Verdict.REJECTED if candidate is None else Verdict.ACCEPTED
        quantity = None if found is None else Decimal(found)
        return self.feed(Decision(one, verdict, candidate, "anna", "looked", self.now.wall, quantity))

    @property
    def excluded(self) -> Number:
        """Everything left out so far."""
        return self.journal.in_state(LineState.EXCLUDED)

    @property
    def booked(self) -> Number:
        """Everything booked so far."""
        return self.journal.booked()

    def of(self, order: str | None) -> Number:
        """What is booked for one order."""
        return self.journal.booked(order, any_order=False)

    def doubts(self) -> list[tuple[str, list[int]]]:
        """Each review as its cause and its candidates' quantities, ascending."""
        return [(str(r.cause), quantities(r)) for r in self.journal.reviews.values()]

    def holes(self) -> list[tuple[str, Number, Number | None]]:
        """Each gap as its cause and bounds."""
        return [(str(gap.cause), gap.minimum, gap.maximum) for gap in self.journal.gaps]

    def material_events(self) -> Sequence[EventDraft]:
        """The events that carry lines."""
        return [event for event in self.journal.events if event.lines]


def quantities(review: Review) -> list[int]:
    """A review's candidates, ascending."""
    return sorted(int(candidate.quantity) for candidate in review.candidates)
