"""An event that cannot be published is accounted for once; its stream and the others go on (invariant 9)."""

from __future__ import annotations

import asyncio

import pytest

from edge_agent.model.event import StoredEvent
from edge_agent.mqtt.memory import MemoryBroker
from edge_agent.publishing.lanes import Replays
from tests.publishing.brokers import until
from tests.publishing.conftest import Relaying
from tests.publishing.fakes import Board, MemoryOutbox
from tests.publishing.ledger import all_marked

VOIDED = "io.edgeagent.sequence.voided.v1"


class Clerk:
    """Accounts for events as `settling.void` does; `stops` keeps it from getting on."""

    def __init__(self) -> None:
        self.voided: list[tuple[int, str]] = []
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    async def void(self, event: StoredEvent, why: str) -> None:
        await self.goes_on.wait()
        self.voided.append((event.sequence, why))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"topic": "a/+/b"}, "its topic is unfit"),
        ({"payload": b"x" * 70_000}, "it has 70000 bytes, more than 65536"),
        ({"payload": b"x" * 5_000}, "the connection ends whenever it is sent"),
    ],
)
async def test_poison_becomes_a_dead_letter_and_nobody_waits(
    relaying: Relaying, outbox: MemoryOutbox, board: Board, changes: dict[str, str | bytes], why: str
) -> None:
    broker, clerk = MemoryBroker(drops_over=4096), Clerk()
    outbox.add("routine", 40)
    outbox.alter_last("routine", **changes)
    outbox.add("routine", 40)
    outbox.add("bulk", 100)
    async with relaying(broker.client("agent"), void=clerk.void) as relay:
        await until(lambda: all_marked(outbox), "all but the poison went out, and the cursor passed it")
        assert relay.report().counts["unpublishable"] == 1
    ((sequence, said),) = clerk.voided
    assert (sequence, said.startswith(why)) == (40, True)
    state, detail = board.lately("stream routine")
    assert (state, detail.startswith("event 40 is a dead letter")) == ("up", True)


async def test_its_stream_waits_until_it_is_accounted_for(relaying: Relaying, outbox: MemoryOutbox) -> None:
    broker, clerk = MemoryBroker(), Clerk()
    clerk.goes_on.clear()
    outbox.add("routine", 1)
    outbox.alter_last("routine", topic="a/+/b")
    outbox.add("routine", 5)
    outbox.add("bulk", 50)
    async with relaying(broker.client("agent"), void=clerk.void):
        await until(lambda: outbox.delivered("bulk") == 50, "the others go on")
        assert outbox.delivered("routine") == 0
        clerk.goes_on.set()
        await until(lambda: all_marked(outbox), "it goes on")


async def test_poison_that_is_asked_for_again_is_given_up(relaying: Relaying, outbox: MemoryOutbox) -> None:
    """Else the session would end over it for ever."""
    broker = MemoryBroker(drops_over=4096)
    outbox.add("routine", 1)
    outbox.alter_last("routine", payload=b"x" * 5_000)
    poison = outbox.events["routine"][0]
    async with relaying(broker.client("agent"), void=Clerk().void) as relay:
        await until(lambda: all_marked(outbox), "it is a dead letter")
        async with asyncio.timeout(20):
            assert await relay.resend([poison]) == 0
        outbox.add("bulk", 50)
        await until(lambda: outbox.delivered("bulk") == 50, "the others go on")


async def test_a_relay_that_never_gives_up_is_noticed(
    relaying: Relaying, outbox: MemoryOutbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted bug for the test above: what was in flight is always sent again."""

    def rewind(replays: Replays) -> None:
        replays._todo.extendleft(reversed(replays._in_flight))
        replays._in_flight.clear()

    monkeypatch.setattr(Replays, "rewind", rewind)
    broker = MemoryBroker(drops_over=4096)
    outbox.add("routine", 1)
    outbox.alter_last("routine", payload=b"x" * 5_000)
    async with relaying(broker.client("agent"), void=Clerk().void) as relay:
        await until(lambda: all_marked(outbox), "it is a dead letter")
        births = _births(broker)
        asked = asyncio.create_task(relay.resend([outbox.events["routine"][0]]))
        await until(lambda: _births(broker) > births + 6, "session after session ends over it")
        assert not asked.done()
        asked.cancel()


def _births(broker: MemoryBroker) -> int:
    return sum(b"gateway.birth" in message.payload for message in broker.log)


async def test_what_accounts_for_another_is_never_voided_itself(relaying: Relaying, outbox: MemoryOutbox) -> None:
    """Else a broker that takes nothing would have it go on for ever."""
    broker, clerk = MemoryBroker(), Clerk()
    outbox.add("ops", 1)
    outbox.alter_last("ops", topic="a/+/b", type=VOIDED)
    outbox.add("bulk", 50)
    async with relaying(broker.client("agent"), void=clerk.void) as relay:
        await until(lambda: outbox.delivered("bulk") == 50, "the others go on")
        await until(lambda: relay.report().streams["ops"].held, "it is held, visibly")
    assert clerk.voided == []
