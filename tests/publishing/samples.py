"""A bottling line's map, drafts and stored events for the tests of publishing and inbound."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

from edge_agent.config.devices import ModbusAddress, ModbusSource, OpcUaAddress, OpcUaSource, Tag, TagType, Unit
from edge_agent.config.mqtt_reference import Mqtt
from edge_agent.config.signals import Counter, Handshake
from edge_agent.config.tagmap import Buffer, Cadence, Calendar, Line, Material, Rule, TagMap
from edge_agent.model import movement
from edge_agent.model.event import FIRST_PREVHASH, EventDraft, Place, StoredEvent, source_urn
from edge_agent.model.movement import EventType, Evidence, Flag, Key
from edge_agent.model.reading import TagRef
from edge_agent.publishing.encoding import Renderer

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
STORE = "0b7d2f4e-7f0c-4a0a-9a38-6f3f0a1b2c3d"
AGENT = "l3-edge"
STREAMS = ("critical", "routine", "bulk", "ops")

PCS = Unit("pcs", "H87", "pcs", Fraction(1))
CASE = Unit("case", "XCS", "pcs", Fraction(24))
LITRE = Unit("L", "LTR", "L", Fraction(1))
UNITS = {unit.name: unit for unit in (PCS, CASE, LITRE)}
PREFORM = Material("300017", "PET preform 28 g", "packaging", PCS)
SODA = Material("900001", "Soda 0.5 L", "finished", PCS)
WATER = Material("100100", "Water", "bulk", LITRE)
MATERIALS = {material.number: material for material in (PREFORM, SODA, WATER)}
URI = "urn:example:bottling-line"


def source(stream: str, store: str = STORE) -> str:
    return source_urn(AGENT, store, stream)


def _tags() -> dict[TagRef, Tag]:
    nodes = {
        "preforms_in": TagType.UINT16,
        "bottles_out": TagType.UINT32,
        "pal_seq": TagType.UINT32,
        "pal_ack": TagType.UINT32,
        "pal_cases": TagType.INT16,
        "pal_sscc": TagType.STRING,
    }
    tags = [Tag(TagRef("filler", name), kind, OpcUaAddress(URI, f"s=::{name}")) for name, kind in nodes.items()]
    tags.append(Tag(TagRef("tanks", "dosed"), TagType.UINT32, ModbusAddress("hr", 104)))
    return {tag.ref: tag for tag in tags}


def _counter(tag: str, wraps_at: int) -> Counter:
    at_rate = Decimal(25)
    return Counter(TagRef(*tag.split(".")), timedelta(seconds=0.1), timedelta(seconds=2), at_rate, Decimal(5), wraps_at)


def _rules() -> dict[str, Rule]:
    often = Cadence("packaging", timedelta(seconds=5), "routine")
    at_once = Cadence("finished", None, "critical")
    pallet = Handshake(
        TagRef("filler", "pal_seq"),
        TagRef("filler", "pal_ack"),
        None,
        TagRef("filler", "pal_cases"),
        TagRef("filler", "pal_sscc"),
        2**32,
    )
    preforms, bottles = _counter("filler.preforms_in", 65536), _counter("filler.bottles_out", 2**32)
    water = _counter("tanks.dosed", 2**32)
    consumed, produced, moved = EventType.CONSUMED, EventType.PRODUCED, EventType.MOVED
    rules = (
        Rule("preforms_used", consumed, PREFORM, preforms, Fraction(1), PCS, often, from_="L3-HOPPER"),
        Rule("bottles_made", produced, SODA, bottles, Fraction(1), PCS, often, to="L3-OUT"),
        Rule("pallet_out", moved, SODA, pallet, Fraction(24), CASE, at_once, from_="L3-OUT", to="WH-01"),
        Rule("water_used", consumed, WATER, water, Fraction(1, 10), LITRE, often, from_="TANK"),
    )
    return {rule.name: rule for rule in rules}


def tag_map(host: str = "127.0.0.1", port: int = 1883, *, config_hash: str = "c0" * 32) -> TagMap:
    filler = OpcUaSource("filler", "opc.tcp://127.0.0.1:4840", {"pv": URI}, timedelta(seconds=0.1))
    tanks = ModbusSource("tanks", "tcp://127.0.0.1:502", 1, "CDAB", timedelta(seconds=2))
    rules = _rules()
    return TagMap(
        agent=AGENT,
        line=Line("acme", "berlin", "filling", "L3"),
        calendar=Calendar(ZoneInfo("Europe/Berlin"), time(6)),
        mqtt=Mqtt(host, port, None, "mat"),
        buffer=Buffer(2**28, timedelta(days=90)),
        sources={"filler": filler, "tanks": tanks},
        tags=_tags(),
        units=UNITS,
        materials=MATERIALS,
        cadences={rule.cadence.name: rule.cadence for rule in rules.values()},
        rules=rules,
        config_hash=config_hash,
    )


def key(rule: str = "preforms_used", order: str | None = "4711", container: str | None = None) -> Key:
    of = _rules()[rule]
    return Key(rule, of.event, of.material.number, order, of.from_, of.to, date(2026, 3, 4), container)


def line(quantity: Decimal = Decimal(17), of: Key | None = None) -> movement.Line:
    about = of or key()
    proof = Evidence(1, 100, 117, NOON - timedelta(seconds=5), NOON, 50, "100", "117", (0,), (Flag.WRAPPED,))
    rule = _rules()[about.rule]
    unit = rule.material.unit.name
    return movement.Line(about, quantity, unit, Decimal(17), rule.source_unit.name, proof.first_time, NOON, proof)


def draft(quantity: Decimal = Decimal(17), stream: str = "routine") -> EventDraft:
    return EventDraft(EventType.CONSUMED, stream, NOON, (line(quantity),))


def stored_events(stream: str, first: int = 1, prevhash: str = FIRST_PREVHASH) -> Iterator[StoredEvent]:
    """Events of one stream as a store would keep them, for ever."""
    renderer, sequence = Renderer(tag_map(), "1.0.0"), first
    while True:
        recorded = NOON + timedelta(milliseconds=sequence)
        place = Place(source(stream), sequence, prevhash, recorded)
        of = renderer.render(draft(Decimal(sequence), stream), place)
        prevhash = hashlib.sha256(of.payload).hexdigest()
        yield StoredEvent(place.source, stream, sequence, of.id, of.type, of.topic, of.payload, recorded)
        sequence += 1
