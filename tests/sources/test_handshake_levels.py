"""When bits and rings are looked at, what of them is told, and which acknowledgement is written at all."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from edge_agent.config.signals import Handshake, Kind
from edge_agent.errors import SourceError
from edge_agent.model.confirmation import Acknowledge, Block, Result
from edge_agent.model.reading import Instant, Quality, Reading, Scalar, TagRef
from edge_agent.sources.handshake import NEVER
from edge_agent.sources.handshake_bits import BitsWatch
from edge_agent.sources.handshake_ring import RingWatch, slot

T, A, RESULT, CASES = (TagRef("filler", name) for name in ("trigger", "ack", "result", "cases"))
BITS = Handshake(T, A, RESULT, CASES, None, 2, Kind.BITS)
RING = Handshake(T, A, None, CASES, None, 4, Kind.RING)


class Plc:
    """Memory on a clock that the test turns."""

    def __init__(self, **values: Scalar) -> None:
        self.now = 100.0
        self.memory: dict[TagRef, Scalar] = {}
        self.written: list[tuple[TagRef, int]] = []
        self.put(**values)

    def put(self, **values: Scalar) -> None:
        self.memory |= {
            TagRef("filler", name.replace("_at_", "[") + "]" * ("_at_" in name)): value
            for name, value in values.items()
        }

    async def read(self, tags: Sequence[TagRef]) -> list[Reading]:
        received = Instant(datetime(2026, 3, 1, 12, tzinfo=UTC), round(self.now * 10**9), "boot")
        return [Reading(tag, self.memory[tag], Quality.GOOD, received) for tag in tags]

    async def write(self, values: Sequence[tuple[TagRef, int]]) -> None:
        self.written += values
        self.memory |= dict(values)


async def looked(watch: BitsWatch | RingWatch, plc: Plc) -> Block:
    block = await watch.look(plc.read, plc.now)
    assert block is not None
    return block


async def answer(watch: BitsWatch | RingWatch, plc: Plc, block: Block) -> None:
    await watch.acknowledge(Acknowledge("r", block.number, Result.DONE, block.received), plc.read, plc.write, plc.now)


def seen(watch: BitsWatch | RingWatch, plc: Plc, tag: TagRef, value: Scalar) -> None:
    received = Instant(datetime(2026, 3, 1, 12, tzinfo=UTC), round(plc.now * 10**9), "boot")
    watch.seen(Reading(tag, value, Quality.GOOD, received), plc.now)


@pytest.fixture
def bits() -> BitsWatch:
    watch = BitsWatch("r", BITS)
    watch.connected(100.0)
    return watch


@pytest.fixture
def ring() -> RingWatch:
    watch = RingWatch("r", RING)
    watch.connected(100.0)
    return watch


async def test_bits_go_through_their_four_phases(bits: BitsWatch) -> None:
    plc = Plc(trigger=True, ack=False, cases=40)
    block = await looked(bits, plc)
    assert (block.number, block.acknowledged, block.values[CASES].value) == (1, 0, 40)
    await answer(bits, plc, block)
    assert plc.written == [(RESULT, 0), (A, 1)]
    plc.put(trigger=False)
    seen(bits, plc, T, False)
    assert await bits.look(plc.read, plc.now) is None, "our bit stands a while"
    plc.now = bits.due
    block = await looked(bits, plc)
    assert (block.number, block.acknowledged, block.values) == (0, 1, {})
    await answer(bits, plc, block)
    assert plc.written[2:] == [(A, 0)], "the result stays"
    assert (bits.due, bits.late_at) == (NEVER, NEVER)


async def test_whole_numbers_0_and_1_are_bits_and_others_are_not(bits: BitsWatch) -> None:
    plc = Plc(trigger=1, ack=0, cases=40)
    assert (await looked(bits, plc)).number == 1
    plc.put(trigger=2)
    assert await bits.look(plc.read, plc.now) is None
    assert bits.unreadable == "filler.trigger is 2"


async def test_a_low_phase_seen_in_passing_is_told(bits: BitsWatch) -> None:
    plc = Plc(trigger=True, ack=False, cases=40)
    await answer(bits, plc, await looked(bits, plc))
    seen(bits, plc, T, False)
    seen(bits, plc, T, True)
    assert (await looked(bits, plc)).fell
    seen(bits, plc, CASES, 40)
    assert bits.due == NEVER


async def test_a_block_that_changes_while_the_request_stands_is_told(bits: BitsWatch) -> None:
    plc = Plc(trigger=True, ack=False, cases=40)
    await answer(bits, plc, await looked(bits, plc))
    plc.put(cases=12)
    seen(bits, plc, CASES, 12)
    assert bits.due == plc.now
    assert (await looked(bits, plc)).values[CASES].value == 12


@pytest.mark.parametrize("what", ["other content", "withdrawn", "an older block", "before a reconnect"])
async def test_an_acknowledgement_of_what_no_longer_stands_is_not_written(bits: BitsWatch, what: str) -> None:
    plc = Plc(trigger=True, ack=False, cases=40)
    block = await looked(bits, plc)
    plc.now += 1
    if what == "other content":
        plc.put(cases=12)
    elif what == "withdrawn":
        plc.put(trigger=False)
    elif what == "an older block":
        plc.put(cases=12)
        await looked(bits, plc)
    else:
        bits.connected(plc.now)
    with pytest.raises(SourceError, match="has moved on"):
        await answer(bits, plc, block)
    assert (plc.written, bits.due) == ([], plc.now)


async def test_the_side_that_waits_too_long_is_named(bits: BitsWatch) -> None:
    plc = Plc(trigger=True, ack=False, cases=40)
    block = await looked(bits, plc)
    assert bits.late_at == plc.now + 30
    assert "the PLC has waited for the acknowledgement for 30 s" in bits.late()
    await answer(bits, plc, block)
    assert (bits.is_late, bits.late_at) == (False, plc.now + 30)
    assert "the PLC has not taken its request back" in bits.late()
    assert (bits.is_late, bits.late_at) == (True, NEVER)


async def test_a_rings_entries_are_told_one_after_the_other(ring: RingWatch) -> None:
    plc = Plc(trigger=1, ack=3, cases_at_3=40, cases_at_0=12)
    block = await looked(ring, plc)
    assert (block.number, block.acknowledged, block.waiting, block.values[CASES].value) == (0, 3, 2, 40)
    assert block.values[CASES].tag == CASES
    seen(ring, plc, T, 2)
    assert ring.due > plc.now, "the others wait until this one is taken"
    await answer(ring, plc, block)
    assert (plc.written, ring.due) == ([(A, 0)], plc.now)
    assert (await looked(ring, plc)).values[CASES].value == 12


async def test_an_empty_ring_is_left_alone_until_its_head_moves(ring: RingWatch) -> None:
    plc = Plc(trigger=2, ack=2)
    block = await looked(ring, plc)
    assert (block.number, block.acknowledged, block.waiting, ring.due) == (2, 2, 0, NEVER)
    seen(ring, plc, T, 3)
    assert ring.due == plc.now


@pytest.mark.parametrize(
    ("values", "said"), [({"trigger": 4, "ack": 0}, "trigger is 4"), ({"trigger": 0, "ack": -1}, "ack is -1")]
)
async def test_a_head_or_tail_that_is_no_slot_is_said(ring: RingWatch, values: dict[str, int], said: str) -> None:
    plc = Plc(**values)
    assert await ring.look(plc.read, plc.now) is None
    assert ring.unreadable == f"filler.{said}: no slot of 0 to 3"


async def test_a_tail_is_not_written_into_a_ring_that_began_anew(ring: RingWatch) -> None:
    plc = Plc(trigger=3, ack=2, cases_at_2=40)
    block = await looked(ring, plc)
    plc.put(trigger=0, ack=0)
    with pytest.raises(SourceError, match="has moved on"):
        await answer(ring, plc, block)
    assert plc.written == []
    assert slot(CASES, 2) in plc.memory
