"""When a transaction counter's block is looked at, and whether what was read belongs together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pytest

from edge_agent.config.signals import Handshake
from edge_agent.errors import SourceError
from edge_agent.model.confirmation import Block
from edge_agent.model.reading import Instant, Quality, Reading, Scalar, TagRef
from edge_agent.sources.handshake import NEVER, Watch

NOW = Instant(datetime(2026, 3, 1, 12, tzinfo=UTC), 0, "boot")
SEQ, ACK, RESULT, CASES, SSCC = (TagRef("filler", name) for name in ("seq", "ack", "result", "cases", "sscc"))
HANDSHAKE = Handshake(SEQ, ACK, RESULT, CASES, SSCC, 1 << 32)


class Plc:
    """Registers that can be read in one request, with a hook that runs in the middle of it."""

    def __init__(self, seq: Scalar | None, ack: Scalar | None) -> None:
        self.values: dict[TagRef, Scalar | None] = {SEQ: seq, ACK: ack, CASES: 48, SSCC: "S"}
        self.requests: list[list[TagRef]] = []
        self.meanwhile: Callable[[], None] = lambda: None

    async def read(self, tags: Sequence[TagRef]) -> Sequence[Reading]:
        self.requests.append(list(tags))
        readings = [reading(tags[0], self.values[tags[0]])]
        self.meanwhile()
        return [*readings, *(reading(tag, self.values[tag]) for tag in tags[1:])]


def reading(tag: TagRef, value: Scalar | None) -> Reading:
    if value is None:
        return Reading(tag, None, Quality.BAD, NOW, 0x8034_0000)
    return Reading(tag, value, Quality.GOOD, NOW)


@pytest.fixture
def watch() -> Watch:
    watch = Watch("pallet_out", HANDSHAKE)
    watch.connected(100.0)
    return watch


async def test_the_block_is_read_in_one_request_with_the_trigger_first_and_last(watch: Watch) -> None:
    plc = Plc(8, 7)
    block = await watch.look(plc.read, 100.0)
    assert plc.requests == [[SEQ, CASES, SSCC, ACK, SEQ]]
    assert block is not None
    assert (block.rule, block.number, block.acknowledged, block.conflicting) == ("pallet_out", 8, 7, False)
    assert {tag: one.value for tag, one in block.values.items()} == {CASES: 48, SSCC: "S"}


async def test_without_a_container_only_the_quantity_is_read() -> None:
    watch = Watch("r", Handshake(SEQ, ACK, None, CASES, None, 1 << 16))
    plc = Plc(8, 8)
    block = await watch.look(plc.read, 0.0)
    assert plc.requests == [[SEQ, CASES, ACK, SEQ]]
    assert block is not None
    assert list(block.values) == [CASES]


async def test_a_closed_handshake_is_delivered_once_after_each_connect_and_then_left_alone(watch: Watch) -> None:
    plc = Plc(7, 7)
    assert watch.due == 100.0
    assert isinstance(await watch.look(plc.read, 100.0), Block)
    assert watch.due == NEVER
    watch.seen(reading(SEQ, 7), 101.0)
    assert watch.due == NEVER
    watch.connected(200.0)
    assert watch.due == 200.0
    assert isinstance(await watch.look(plc.read, 200.0), Block)


async def test_a_new_number_is_looked_at_at_once(watch: Watch) -> None:
    await watch.look(Plc(7, 7).read, 100.0)
    watch.seen(reading(SEQ, 8), 101.0)
    assert watch.due == 101.0
    for useless in (reading(SEQ, None), reading(SEQ, "8"), reading(SEQ, True)):
        watch.connected(NEVER)
        watch.seen(useless, 102.0)
        assert watch.due == NEVER


async def test_a_late_notification_of_what_was_delivered_delivers_nothing(watch: Watch) -> None:
    plc = Plc(8, 8)
    await watch.look(plc.read, 100.0)
    watch.seen(reading(SEQ, 6), 101.0)
    assert await watch.look(plc.read, 101.0) is None
    assert watch.due == NEVER


async def test_a_torn_block_is_read_again(watch: Watch) -> None:
    plc = Plc(8, 7)

    def move_on() -> None:
        plc.values |= {SEQ: 9, CASES: 30}
        plc.meanwhile = lambda: None

    plc.meanwhile = move_on
    block = await watch.look(plc.read, 100.0)
    assert block is not None
    assert (block.number, block.values[CASES].value) == (9, 30)
    assert watch.torn == 1


async def test_a_block_that_is_always_torn_is_left_for_a_second(watch: Watch) -> None:
    plc = Plc(8, 7)

    def move_on() -> None:
        plc.values[SEQ] = int(plc.values[SEQ] or 0) + 1

    plc.meanwhile = move_on
    assert await watch.look(plc.read, 100.0) is None
    assert (len(plc.requests), watch.torn, watch.due) == (3, 3, 101.0)


async def test_an_unanswered_number_is_delivered_again_ever_more_seldom(watch: Watch) -> None:
    plc, pauses, now = Plc(8, 7), [], 100.0
    for _ in range(6):
        block = await watch.look(plc.read, now)
        assert block is not None
        assert block.number == 8
        pauses.append(watch.due - now)
        now = watch.due
    assert pauses == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
    plc.values[SEQ] = 9
    await watch.look(plc.read, now)
    assert watch.due - now == 5.0


async def test_our_acknowledgement_ends_it(watch: Watch) -> None:
    await watch.look(Plc(8, 7).read, 100.0)
    watch.acknowledged(8, 101.0)
    assert watch.due == NEVER


async def test_the_acknowledgement_of_an_earlier_number_does_not(watch: Watch) -> None:
    await watch.look(Plc(8, 7).read, 100.0)
    watch.acknowledged(7, 101.0)
    assert watch.due == 105.0


async def test_an_acknowledgement_by_somebody_else_is_delivered_once(watch: Watch) -> None:
    plc = Plc(8, 7)
    await watch.look(plc.read, 100.0)
    plc.values[ACK] = 8
    block = await watch.look(plc.read, 105.0)
    assert block is not None
    assert block.acknowledged == 8
    assert watch.due == NEVER


async def test_a_trigger_that_cannot_be_read_is_reported_and_tried_again(watch: Watch) -> None:
    plc = Plc(None, 7)
    assert await watch.look(plc.read, 100.0) is None
    assert watch.unreadable == "filler.seq cannot be read (status 0x80340000)"
    assert watch.due == 105.0
    plc.values[SEQ] = "8"
    assert await watch.look(plc.read, 105.0) is None
    assert watch.unreadable == "filler.seq is '8'"
    plc.values[SEQ] = 8
    assert isinstance(await watch.look(plc.read, 115.0), Block)
    assert watch.unreadable is None


async def test_an_acknowledgement_tag_that_cannot_be_read_is_said_in_the_block(watch: Watch) -> None:
    block = await watch.look(Plc(8, None).read, 100.0)
    assert block is not None
    assert block.acknowledged is None
    assert watch.unreadable == "filler.ack cannot be read (status 0x80340000)"
    assert watch.due == 105.0


async def test_a_failed_read_is_tried_again(watch: Watch) -> None:
    async def fail(_tags: Sequence[TagRef]) -> Sequence[Reading]:
        raise SourceError("gone")

    with pytest.raises(SourceError):
        await watch.look(fail, 100.0)
    assert watch.due == 101.0
