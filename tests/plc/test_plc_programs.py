"""The PLC programs of docs/plc: strict structured text, one logic in all dialects, and right against the agent."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_agent.config.loader import load
from edge_agent.config.signals import Handshake, Kind
from edge_agent.config.tagmap import Rule
from edge_agent.model.movement import Flag
from edge_agent.model.reading import TagRef
from edge_agent.sources.handshake_ring import slot
from tests.derivation.confirming_plcs import Plc
from tests.derivation.handshake_world import World
from tests.derivation.latching_line import LatchingLine
from tests.derivation.plant import ACK, BOOTED, CASES, RESULT, SEQ, SSCC, handshake
from tests.derivation.test_latched_count import audit
from tests.plc.structured_text import Block, Record, StructuredTextError, parse

FOLDER = Path(__file__).parents[2] / "docs" / "plc"
KINDS = {"Counter": Kind.TRANSACTION_COUNTER, "Bits": Kind.BITS, "Ring": Kind.RING}
DIALECTS = {"siemens": "scl", "beckhoff": "st", "codesys": "st"}
NUMBER = TagRef("plc", "number")
SIZE = 64
WALKS, STEPS = 12, 250
NO_PLC_FAULT = frozenset({"withdraw", "save", "clear", "stale", "forget"})
"""These programs never take a request back, and keep what they hold."""


def program(dialect: str, name: str) -> str:
    return (FOLDER / dialect / f"EaConfirm{name}.{DIALECTS[dialect]}").read_text("utf-8")


class StPlc(Plc):
    """A function block of docs/plc, scanned by a controller with retentive memory."""

    def __init__(self, kind: Kind, block: Block) -> None:
        self.block = block
        self._kind = kind
        ends = {Kind.TRANSACTION_COUNTER: ("Seq", "Ack"), Kind.BITS: ("Request", "Answer"), Kind.RING: ("Head", "Tail")}
        self._trigger, self._ack = ends[kind]
        super().__init__()
        self.booted = BOOTED

    @property
    def variables(self) -> Any:
        return self.block.variables

    def move(self) -> None:
        super().move()
        self._set(Leaves=True, Cases=40, Sscc=self.moved[-1])
        self.scan()
        self._set(Leaves=False)
        self.scan()

    def scan(self) -> None:
        self.block.milliseconds += 10
        setattr(self._link, self._ack, self.memory[ACK])
        if self._kind is not Kind.RING:
            self._link.Result = self.memory.get(RESULT, 0)
        self.block.scan()
        self.memory[SEQ] = int(getattr(self._link, self._trigger))
        if self._kind is Kind.RING:
            for number, one in enumerate(self._link.Slots):
                self._show(one, number)
        else:
            self._show(self._link, None)
        while len(self.queue) > self.variables.Waiting:
            self.confirmed.append(self.queue.pop(0))

    @property
    def _link(self) -> Any:
        return self.variables.Link

    def _show(self, one: Record, number: int | None) -> None:
        for tag, name in ((CASES, "Cases"), (SSCC, "Sscc"), (NUMBER, "Number")):
            self.memory[tag if number is None else slot(tag, number)] = getattr(one, name, 0)

    def _set(self, **values: object) -> None:
        for name, value in values.items():
            setattr(self.variables, name, value)


def rule_of(kind: Kind) -> Rule:
    rule = handshake()
    assert isinstance(rule.signal, Handshake)
    modulus = {Kind.TRANSACTION_COUNTER: 1 << 32, Kind.BITS: 2, Kind.RING: SIZE}[kind]
    number = None if kind is Kind.TRANSACTION_COUNTER else NUMBER
    return replace(rule, signal=replace(rule.signal, kind=kind, modulus=modulus, number=number, result=None))


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", KINDS)
def test_against_the_agent_every_movement_is_booked_once(dialect: str, name: str) -> None:
    for seed in range(WALKS):
        plc = StPlc(KINDS[name], parse(program(dialect, name)))
        world = World(KINDS[name], seed, plc=plc, rule=rule_of(KINDS[name]))
        world.walk(STEPS, NO_PLC_FAULT)
        journal = world.agent.journal
        assert [mark.line.key.container for mark in journal.lines.values()] == plc.moved
        gaps = [gap.message for gap in journal.gaps if gap.maximum is None]
        # one that restarts before its first movement may have begun anew: nothing tells, so that is said, once
        assert (journal.reviews, [one for one in gaps if "after number 0 and before number 1 " not in one]) == ({}, [])
        assert len(gaps) <= 1


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", KINDS)
def test_an_agent_that_is_away_is_shown_and_a_full_queue_counts_what_it_drops(dialect: str, name: str) -> None:
    plc = StPlc(KINDS[name], parse(program(dialect, name)))
    says = plc.variables
    for _ in range(SIZE + 3):
        plc.move()
    held = SIZE - 1 if name == "Ring" else SIZE
    assert (says.Waiting, says.Dropped, says.Late) == (held, SIZE + 3 - held, False)
    plc.block.milliseconds += 30_000
    plc.scan()
    assert says.Late


@pytest.mark.parametrize("name", KINDS)
def test_the_dialects_are_one_program(name: str) -> None:
    blocks = [parse(program(dialect, name)) for dialect in DIALECTS]
    assert len({block.body for block in blocks}) == 1
    assert len({str(sorted(block.structures.items())) for block in blocks}) == 1
    sections = [
        {
            ("KEPT" if "RETAIN" in head or "PERSISTENT" in head else head): names
            for head, names in block.sections.items()
        }
        for block in blocks
    ]
    assert sections[0] == sections[1] == sections[2]


class StLine(LatchingLine):
    """A line whose controller runs the program of docs/plc in the scan in which the order changes."""

    def __init__(self, block: Block) -> None:
        self.block = block
        super().__init__(number=0)

    def __post_init__(self) -> None:
        self.latch, self.orders = self.first, 1
        self.scan()
        super().__post_init__()

    def scan(self) -> None:
        says: Any = self.block.variables
        says.Order, says.Total = f"O{self.orders}", self.shown
        self.block.scan()
        self.latch, self.number = says.Link.CountAtChange, says.Link.Changes

    def _change(self) -> None:
        before = self.latch
        super()._change()
        self.latch = before
        self.scan()
        self.scan()  # a scan in which nothing changes latches nothing


@pytest.mark.parametrize("dialect", DIALECTS)
def test_with_the_count_at_a_change_every_unit_is_its_orders(dialect: str) -> None:
    text = (FOLDER / dialect / f"EaCountAtChange.{DIALECTS[dialect]}").read_text("utf-8")
    line = StLine(parse(text))
    for n in range(1, 20):
        line.run(5, (1,))
        line.outage(50 + n, (2, 0, 1), (n,))
        line.run(20, (1,), (7,))
    line.run(30, (0,))

    audit(line, in_step=True)
    assert (line.number, line.journal.reviews, line.journal.flags()) == (39, {}, {Flag.SPANNED_OUTAGE})
    assert len(line.without.reviews) == 19


def test_the_dialects_latch_alike() -> None:
    files = [FOLDER / dialect / f"EaCountAtChange.{DIALECTS[dialect]}" for dialect in DIALECTS]
    blocks = [parse(file.read_text("utf-8")) for file in files]
    assert len({(block.body, str(block.structures), str(block.sections)) for block in blocks}) == 1


HEADER = """\
schema: 1
agent: l3-edge
line: {enterprise: acme, site: berlin}
calendar: {time_zone: Europe/Berlin, day_starts: "06:00"}
mqtt: {url: "mqtt://127.0.0.1:1883", root: mat}
buffer: {max_size: 256 MiB, keep_sent: 90 d}
sources:
  filler: {opcua: "opc.tcp://127.0.0.1:4840", security: None, namespaces: {plc: "urn:plc"}, sample: 100 ms}
units: {pcs: {code: H87}, case: {code: XCS, of: 24 pcs}}
materials: {"900001": {name: Soda, class: finished, unit: pcs}}
cadence: {finished: {send: at-once, stream: critical}}
"""


@pytest.mark.parametrize("place", range(len(KINDS)), ids=KINDS)
def test_the_tag_maps_of_the_document_are_right_and_run(place: int, tmp_path: Path) -> None:
    snippets = re.findall(r"```yaml\n(.*?)```", (FOLDER / "README.md").read_text("utf-8"), re.DOTALL)
    assert len(snippets) == len(KINDS)
    file = tmp_path / "map.yaml"
    file.write_text(HEADER + snippets[place], "utf-8")
    loaded = load([file])
    assert [finding.render() for finding in loaded.findings] == []
    assert loaded.tag_map is not None
    signal = loaded.tag_map.rules["pallet_out"].signal
    assert isinstance(signal, Handshake)
    assert signal.kind is list(KINDS.values())[place]
    assert signal.kind is not Kind.RING or signal.modulus == SIZE


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Dropped := Dropped + 1;", "Dropped := Dropped + 1"),
        ("Dropped := Dropped + 1;", "Dropt := Dropped + 1;"),
        ("Before := Leaves;", "Before = Leaves;"),
        ("END_IF;\nBefore", "Before"),
        ("SIZE : INT := 64", "SIZE : WORT := 64"),
        ("Before : BOOL;", "Before : BOOL"),
        ("END_FUNCTION_BLOCK", ""),
        ("First) MOD", "First MOD"),
    ],
)
def test_what_is_no_structured_text_is_refused(old: str, new: str) -> None:
    text = program("beckhoff", "Counter").replace("(First + Count) MOD", "(Count + First) MOD")
    assert old in text
    with pytest.raises(StructuredTextError):
        parse(text.replace(old, new, 1))
