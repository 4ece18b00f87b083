"""A recording derived is what the agent would have booked from the line itself, with its clock ticking all the time."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from edge_agent.config.tagmap import TagMap
from edge_agent.derivation.engine import Engine, Input
from edge_agent.model.confirmation import Block
from edge_agent.model.reading import Instant, Link, Quality, Reading, SourceChange, TagRef, Tick
from edge_agent.model.state import State
from edge_agent.workbench import confirmations, deriving
from edge_agent.workbench.deriving import derive
from edge_agent.workbench.maps import load_map, load_recording
from edge_agent.workbench.view import view
from edge_agent_simulators.plc import FILLER, INFEED, ORDER, PAL_ACK, PAL_CASES, PAL_SEQ, PAL_SSCC
from edge_agent_simulators.virtual import Change, Lost, Up, VirtualLine
from tests.derivation.plant import Journal
from tests.workbench.example import START, recorded
from tests.workbench.recordings import MAP

_STEP = timedelta(milliseconds=100)
_SECONDS = 60
_SEEDS = (1, 3, 7)
_TAGS = {ORDER: "order_no", INFEED: "preforms_in", FILLER: "bottles_out"}
Result = dict[str, Any]


class Agent:
    """The engine beside the line: it reads blocks when they are raised, acknowledges them, and ticks at every step."""

    def __init__(self, tag_map: TagMap, line: VirtualLine) -> None:
        self.journal = Journal()
        self._engine, self._state, self._line = Engine(tag_map), State(), line

    def run(self) -> Result:
        """The line's whole script, and ten seconds of rest; what is in the books then."""
        self._fold(self._connected())
        self._line.start()
        waited = rested = 0
        while rested < 100:
            rested += self._line.at_rest and self._line.done
            inputs: list[Input] = []
            for event in self._line.advance(_STEP):
                match event:
                    case Lost():
                        inputs.append(SourceChange("filler", Link.LOST, self._now()))
                    case Up():
                        inputs += self._connected()
                    case Change() if event.name in _TAGS:
                        inputs.append(self._reading(event, _TAGS[event.name]))
                    case Change() if event.name == PAL_SEQ and self._line.online:
                        inputs.append(self._block())
            self._fold([*inputs, Tick(self._now())])
            if self._line.online:
                block = self._line.read_block()
                waited = waited + 1 if block[PAL_SEQ].value != block[PAL_ACK].value else 0
                if waited == 3:
                    self._line.write_ack(int(block[PAL_SEQ].value), 0)
        return _books(self.journal)

    def _fold(self, inputs: list[Input]) -> None:
        outcome = self._engine.fold(self._state, inputs)
        self._state.adopt(outcome.changed)
        self.journal.take(outcome)

    def _now(self) -> Instant:
        return Instant(self._line.now, (self._line.now - START) // timedelta(microseconds=1) * 1000, "boot")

    def _connected(self) -> list[Input]:
        shown = self._line.snapshot()
        readings = [self._reading(shown[name], tag, continuous=False) for name, tag in _TAGS.items()]
        change = SourceChange("filler", Link.UP, self._now(), self._line.start_time)
        return [change, *readings, self._block()]

    def _reading(self, change: Change, tag: str, *, continuous: bool = True) -> Reading:
        ref, stamp = TagRef("filler", tag), change.timestamp
        return Reading(ref, change.value, Quality.GOOD, self._now(), source_time=stamp, continuous=continuous)

    def _block(self) -> Block:
        shown = self._line.read_block()
        tags = {PAL_CASES: "pal_cases", PAL_SSCC: "pal_sscc"}
        values = {
            TagRef("filler", tag): self._reading(shown[name], tag, continuous=False) for name, tag in tags.items()
        }
        return Block("pallet_out", int(shown[PAL_SEQ].value), int(shown[PAL_ACK].value), values, self._now())


def _books(journal: Journal) -> Result:
    booked: dict[str, dict[str, Decimal]] = {}
    for mark in journal.lines.values():
        if mark.state in deriving.BOOKED:
            by_order = booked.setdefault(mark.line.key.rule, {})
            order = mark.line.key.order or ""
            by_order[order] = by_order.get(order, Decimal(0)) + mark.line.quantity
    return {
        "booked": booked,
        "review": [
            (one.key.rule, one.cause, one.line.start_time, one.line.time, [way.quantity for way in one.candidates])
            for one in journal.reviews.values()
        ],
        "gaps": [(gap.key.rule, gap.cause, gap.minimum, gap.maximum, gap.since, gap.until) for gap in journal.gaps],
    }


def _by_tag(text: str) -> str:
    """Within a delivery, tags in the order of their names, backwards: no historian keeps the one in which they came."""
    turned: list[str] = []
    for _, together in groupby(text.splitlines(keepends=True), lambda line: (json.loads(line)["t"], '"tag"' in line)):
        turned += sorted(together, key=lambda line: str(json.loads(line).get("tag")), reverse=True)
    return "".join(turned)


def _derived(folder: Path, seed: int, tag_map: TagMap) -> Result:
    path = folder / f"{seed}.jsonl"
    path.write_text(_by_tag(recorded(seed, _SECONDS)[1]), encoding="utf-8")
    found = derive(tag_map, load_recording(path, tag_map).deliveries)
    journal = Journal()
    journal.lines, journal.gaps = found.lines, found.gaps
    journal.reviews = {review.id: review for review in found.reviews}
    assert view(tag_map, found).keys() == tag_map.rules.keys()
    return _books(journal)


@pytest.fixture(scope="module")
def line_map() -> TagMap:
    return load_map([MAP])


@pytest.fixture(scope="module")
def live(line_map: TagMap) -> dict[int, Result]:
    """What the agent books beside the line, by seed."""
    return {seed: Agent(line_map, VirtualLine(seed, timedelta(seconds=_SECONDS), START)).run() for seed in _SEEDS}


@pytest.mark.parametrize("seed", _SEEDS)
def test_a_recording_is_booked_as_the_line_itself(
    tmp_path: Path, line_map: TagMap, live: dict[int, Result], seed: int
) -> None:
    found = _derived(tmp_path, seed, line_map)

    assert found == live[seed]
    assert found["booked"].keys() == line_map.rules.keys()


def _no_blocks(_tag_map: object, deliveries: Any) -> Any:
    """Planted: readings are never put together to blocks."""
    return deliveries


def _at_once(self: Any, delivery: Any) -> Any:
    """Planted: a block is made at the line of the trigger, of values that may be those of the pallet before."""
    for item in delivery.inputs:
        if isinstance(item, Reading):
            self.latest[item.tag] = item
            if item.tag == self.handshake.trigger and (ack := self._acknowledged()) is not None:
                yield self._block(item.value, ack, delivery.at)


@pytest.mark.parametrize(
    ("module", "name", "planted"),
    [
        (deriving, "confirmed", _no_blocks),
        (confirmations._Watched, "see", _at_once),
    ],
)
def test_planted_bugs_are_found(
    tmp_path: Path,
    line_map: TagMap,
    live: dict[int, Result],
    monkeypatch: pytest.MonkeyPatch,
    module: object,
    name: str,
    planted: object,
) -> None:
    monkeypatch.setattr(module, name, planted)

    assert [seed for seed in _SEEDS if _derived(tmp_path, seed, line_map) != live[seed]]
