"""`cmd/replay`: answered with the stored bytes, once, and never in the way of anything."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from edge_agent.broker import Message, Received
from edge_agent.clock import ManualClock
from edge_agent.inbound.intake import Handled, Intake
from edge_agent.inbound.replaying import Asked, Replaying
from edge_agent.model.event import StoredEvent
from tests.publishing.brokers import until
from tests.publishing.fakes import MemoryOutbox
from tests.publishing.samples import AGENT, NOON, STREAMS, source

TOPIC = "mat/v1/_gateway/l3-edge/cmd/replay"


class Desk:
    """Commands over an outbox in memory; what they resend and answer is kept."""

    def __init__(self) -> None:
        self.outbox = MemoryOutbox()
        self.clock = ManualClock(NOON)
        self.resent: list[StoredEvent] = []
        self.replies: list[Message] = []
        self.audit: list[Handled] = []
        self.refused_by_broker = 0
        self.may_send = asyncio.Event()
        self.may_send.set()
        self.commands: Intake[Asked] = Intake(
            TOPIC,
            Replaying(AGENT, STREAMS, self.outbox, self._resend),
            reply=self.replies.append,
            clock=self.clock,
            audit=self.audit.append,
        )

    async def _resend(self, events: Sequence[StoredEvent]) -> int:
        await self.may_send.wait()
        self.resent.extend(events)
        return len(events) - self.refused_by_broker

    async def deliver(self, stream: str, count: int) -> None:
        self.outbox.add(stream, count)
        await self.outbox.anchor()
        await self.outbox.mark({stream: self.outbox.head(stream)})

    def ask(self, body: object, *, retained: bool = False) -> None:
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.commands.received(Received(TOPIC, payload, retained))

    async def answers(self, count: int) -> list[dict[str, Any]]:
        await until(lambda: len(self.replies) >= count, f"{count} answers are given")
        assert all(reply.topic == f"{TOPIC}/reply" and not reply.retain for reply in self.replies)
        return [json.loads(reply.payload) for reply in self.replies]


def _ask(first: int, last: int, stream: str = "routine", **more: object) -> dict[str, object]:
    return {"source": source(stream), "from": first, "to": last, **more}


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    task = asyncio.create_task(desk.commands.run())
    yield desk
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_the_stored_bytes_go_out_on_their_own_topics(desk: Desk) -> None:
    await desk.deliver("routine", 300)
    desk.ask(_ask(20, 260, id="n-1"))
    (answer,) = await desk.answers(1)

    assert answer == {
        "id": "n-1",
        "source": source("routine"),
        "from": 20,
        "to": 260,
        "sent": 241,
        "unavailable": [],
        "reason": None,
    }
    stored = desk.outbox.events["routine"][19:260]
    assert [hashlib.sha256(e.payload).digest() for e in desk.resent] == [
        hashlib.sha256(e.payload).digest() for e in stored
    ]
    assert [e.topic for e in desk.resent] == [e.topic for e in stored]
    assert [(note.command, note.outcome) for note in desk.audit] == [("replay", "sent 241, unavailable []")]


async def test_pruned_sequences_are_unavailable(desk: Desk) -> None:
    await desk.deliver("routine", 50)
    desk.outbox.pruned["routine"] = 30
    desk.ask(_ask(11, 40))
    desk.ask(_ask(1, 20))
    part, none = await desk.answers(2)

    assert (part["sent"], part["unavailable"]) == (10, [[11, 30]])
    assert "no longer" in part["reason"]
    assert (none["sent"], none["unavailable"]) == (0, [[1, 20]])


async def test_what_no_broker_takes_is_left_out_of_a_range_and_sent_where_asked_for_alone(desk: Desk) -> None:
    await desk.deliver("routine", 130)
    desk.outbox.pruned["routine"] = 2
    desk.outbox.dead = {("routine", 7), ("routine", 101), ("critical", 5), ("routine", 130)}
    desk.ask(_ask(1, 120))
    desk.ask(_ask(7, 7))
    ranged, alone = await desk.answers(2)

    assert ranged["unavailable"] == [[1, 2], [7, 7], [101, 101]]
    assert ranged["sent"] == 120 - 4
    assert "no broker takes 7, 101: see sequence.voided" in ranged["reason"]
    assert "no longer" in ranged["reason"]
    assert (alone["sent"], alone["unavailable"], alone["reason"]) == (1, [], None)
    wanted = [n for n in range(3, 121) if n not in {7, 101}]
    assert [event.sequence for event in desk.resent] == [*wanted, 7]


async def test_a_range_of_which_no_broker_takes_anything_sends_nothing(desk: Desk) -> None:
    await desk.deliver("routine", 5)
    desk.outbox.dead = {("routine", 2), ("routine", 3)}
    desk.ask(_ask(2, 3))
    (answer,) = await desk.answers(1)

    assert (answer["sent"], answer["unavailable"], desk.resent) == (0, [[2, 2], [3, 3]], [])
    assert "no longer" not in answer["reason"]


async def test_what_is_not_delivered_yet_comes_by_itself(desk: Desk) -> None:
    await desk.deliver("routine", 5)
    desk.outbox.add("routine", 5)
    desk.ask(_ask(4, 10**18))
    desk.ask(_ask(7, 8))
    beyond, ahead = await desk.answers(2)

    assert [event.sequence for event in desk.resent] == [4, 5]
    assert (beyond["sent"], beyond["unavailable"]) == (2, [[6, 10**18]])
    assert beyond["reason"] == "from 6 on nothing is delivered yet; it comes by itself"
    assert (ahead["sent"], ahead["unavailable"]) == (0, [[7, 8]])


async def test_an_old_store_of_this_agent_may_be_asked_for(desk: Desk) -> None:
    desk.ask({"source": f"urn:edgeagent:{AGENT}:an-older-store:routine", "from": 1, "to": 3})
    (answer,) = await desk.answers(1)

    assert (answer["sent"], answer["unavailable"]) == (0, [[1, 3]])


async def test_the_same_command_is_answered_once(desk: Desk) -> None:
    await desk.deliver("routine", 5)
    for _ in range(3):
        desk.ask(_ask(1, 5, id="n-1"))
    desk.ask(_ask(1, 4, id="n-1"))
    desk.ask(_ask(1, 1, id="n-2"))
    answers = await desk.answers(3)

    assert [(answer["id"], answer["sent"]) for answer in answers] == [("n-1", 0), ("n-1", 5), ("n-2", 1)]
    assert "used for another command" in answers[0]["reason"]
    assert desk.commands.counts == {"repeated": 2, "refused": 1, "done": 2}


async def test_equal_ids_of_two_senders_are_two_commands(desk: Desk) -> None:
    await desk.deliver("routine", 5)
    for sender in ("urn:mes", "urn:erp"):
        event = {"specversion": "1.0", "type": "io.edgeagent.cmd.replay.v1", "source": sender, "id": "1"}
        desk.ask(event | {"data": _ask(1, 2)})
    answers = await desk.answers(2)

    assert [answer["sent"] for answer in answers] == [2, 2]


async def test_retained_commands_are_ignored_and_counted(desk: Desk) -> None:
    desk.ask(_ask(1, 5), retained=True)

    assert desk.commands.counts == {"retained": 1}
    assert desk.replies == []


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"nonsense", "not JSON"),
        (b"x" * 70_000, "more than 65536"),
        (_ask(5, 1), "from 5 is above to 1"),
        ({"source": "urn:edgeagent:l4-edge:store:routine", "from": 1, "to": 2}, "not one of this agent"),
        (_ask(1, 2, expires="2026-03-04T11:59:59Z"), "expired"),
    ],
)
async def test_bad_commands_are_answered_with_the_reason(desk: Desk, body: object, why: str) -> None:
    desk.ask(body)
    (answer,) = await desk.answers(1)

    assert answer["sent"] == 0
    assert answer["reason"].startswith("refused: ")
    assert why in answer["reason"]
    assert desk.commands.counts == {"refused": 1}
    assert [note.outcome for note in desk.audit] == [answer["reason"]]
    assert desk.resent == []


async def test_a_flood_is_limited_and_hushed(desk: Desk) -> None:
    for _ in range(1000):
        desk.ask(b"nonsense")
    assert desk.commands.counts == {"refused": 20, "limited": 980}
    assert len(desk.replies) == 21
    assert "too many commands" in json.loads(desk.replies[-1].payload)["reason"]

    desk.clock.advance(timedelta(seconds=1))
    await desk.deliver("routine", 1)
    desk.ask(_ask(1, 1))
    answers = await desk.answers(22)
    assert answers[-1]["sent"] == 1


async def test_commands_wait_their_turn_and_too_many_are_refused(desk: Desk) -> None:
    await desk.deliver("routine", 1)
    desk.may_send.clear()
    for number in range(50):
        desk.ask(_ask(1, 1, id=f"n-{number}"))
        desk.clock.advance(timedelta(seconds=1))
        await asyncio.sleep(0)
    refused = [json.loads(reply.payload) for reply in desk.replies]
    assert len(refused) in {50 - 32, 50 - 33}  # one may already be in hand
    assert all("waiting already" in answer["reason"] for answer in refused)
    desk.may_send.set()
    await desk.answers(50)

    assert desk.commands.counts["done"] + desk.commands.counts["refused"] == 50


async def test_what_the_broker_refuses_is_told(desk: Desk) -> None:
    await desk.deliver("routine", 3)
    desk.refused_by_broker = 1
    desk.ask(_ask(1, 3))
    (answer,) = await desk.answers(1)

    assert (answer["sent"], answer["reason"]) == (2, "the broker refused 1")
