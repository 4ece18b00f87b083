"""`cmd/ack`: strict in what it takes, and everything it refuses is answered, counted and audited."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import date, timedelta
from typing import Any

import pytest

from edge_agent.broker import Message, Received
from edge_agent.clock import ManualClock
from edge_agent.inbound.acks import Ack, Acknowledging
from edge_agent.inbound.intake import Handled, Intake, Limit
from edge_agent.model.ack import Answer, Answers, AnswerStatus, Code, Taken
from tests.publishing.brokers import until
from tests.publishing.samples import AGENT, NOON, source

TOPIC = "mat/v1/_gateway/l3-edge/cmd/ack"
ID = "0f8fad5b-d9cb-469f-a165-70867728950e"


class Desk:
    """The command over a book that answers as it is told."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOON)
        self.messages: list[Answers] = []
        self.report = Taken(taken=1, up_to=17)
        self.replies: list[Message] = []
        self.audit: list[Handled] = []
        self.counted: list[Taken] = []
        verb = Acknowledging(AGENT, {"mes", "erp"}, self, self.clock, self.counted.append)
        self.intake: Intake[Ack] = Intake(
            TOPIC,
            verb,
            reply=self.replies.append,
            clock=self.clock,
            audit=self.audit.append,
            limit=Limit(burst=400, per_second=1.0, waiting=300),
        )

    async def take(self, message: Answers, now: Any) -> Taken:
        assert now == self.clock.now().wall
        self.messages.append(message)
        return self.report

    def say(self, body: object, *, retained: bool = False) -> None:
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.intake.received(Received(TOPIC, payload, retained))

    async def answer(self) -> dict[str, Any]:
        await until(lambda: bool(self.replies), "it is answered")
        reply = self.replies.pop()
        assert (reply.topic, reply.retain) == (f"{TOPIC}/reply", False)
        return dict(json.loads(reply.payload))


def _ack(**changes: object) -> dict[str, object]:
    body = {
        "system": "mes",
        "nonce": "0123456789abcdef",
        "expires": (NOON + timedelta(minutes=5)).isoformat(),
        "source": source("routine"),
        "upTo": 17,
        **changes,
    }
    return {name: value for name, value in body.items() if value is not None}


def _answer(**changes: object) -> dict[str, object]:
    return {"sequence": 18, "id": ID, "status": "accepted", **changes}


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    task = asyncio.create_task(desk.intake.run())
    yield desk
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_all_that_can_be_said_is_taken(desk: Desk) -> None:
    desk.say(
        _ack(
            answers=[
                _answer(document="4900012345", duplicate=True, postedOn="2026-03-04"),
                _answer(sequence=19, status="rejected", code="unknown_lot", text="lot L7 is not known"),
                _answer(sequence=20, status="busy", retryAfter=30),
            ]
        )
    )
    assert await desk.answer() == {
        "nonce": "0123456789abcdef",
        "system": "mes",
        "source": source("routine"),
        "upTo": 17,
        "taken": 1,
        "repeated": 0,
        "refused": [],
        "reason": None,
    }
    (message,) = desk.messages
    assert (message.system, message.up_to) == ("mes", 17)
    assert message.answers == (
        Answer(18, ID, AnswerStatus.ACCEPTED, "4900012345", duplicate=True, posted_on=date(2026, 3, 4)),
        Answer(19, ID, AnswerStatus.REJECTED, code=Code.UNKNOWN_LOT, text="lot L7 is not known"),
        Answer(20, ID, AnswerStatus.BUSY, retry_after=30),
    )
    assert desk.counted == [desk.report]
    assert desk.audit == [], "answers are kept with their events, not in the audit log"


async def test_it_may_come_as_a_cloudevent(desk: Desk) -> None:
    envelope = {"specversion": "1.0", "type": "io.edgeagent.cmd.ack.v1", "source": "urn:erp", "id": "7"}
    desk.say({**envelope, "data": _ack()})
    assert (await desk.answer())["reason"] is None
    desk.say({**envelope, "type": "io.edgeagent.cmd.replay.v1", "data": _ack()})
    assert "io.edgeagent.cmd.ack.v1" in (await desk.answer())["reason"]


async def test_the_same_message_has_the_same_content_whatever_its_form(desk: Desk) -> None:
    desk.say(_ack())
    await desk.answer()
    desk.say(json.dumps(dict(reversed(_ack().items())), indent=1).encode())
    await desk.answer()
    assert desk.messages[0] == desk.messages[1]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"system": "wms"}, "no event needs the word of system wms"),
        ({"source": "urn:edgeagent:other:u:routine"}, "its source is not one of this agent"),
        ({"expires": NOON.isoformat()}, "it has expired"),
        ({"expires": (NOON + timedelta(hours=25)).isoformat()}, "it expires more than 24 hours from now"),
        ({"expires": "2026-03-04T12:05:00"}, "expires: Input should have timezone info"),
        ({"expires": 1_772_000_000}, "expires: Value error, is not RFC 3339 text"),
        ({"expires": None}, "expires: Field required"),
        ({"nonce": None}, "nonce: Field required"),
        ({"nonce": "short"}, "nonce: String should have at least 8 characters"),
        ({"nonce": "with a space in it"}, "nonce: String should match pattern"),
        ({"upTo": 0}, "upTo: Input should be greater than or equal to 1"),
        ({"upTo": True}, "upTo: Input should be a valid integer"),
        ({"upTo": None}, "neither upTo nor answers"),
        ({"sequence": 4}, "sequence: Extra inputs are not permitted"),
        ({"answers": [_answer(), _answer()]}, "two answers to one event"),
        ({"answers": [_answer(status="maybe")]}, "answers.0: Input tag 'maybe'"),
        ({"answers": [_answer(code="unknown_lot")]}, "answers.0.accepted.code: Extra inputs are not permitted"),
        ({"answers": [_answer(status="rejected")]}, "answers.0.rejected.code: Field required"),
        ({"answers": [_answer(status="rejected", code="no idea")]}, "'no idea' is not a valid Code"),
        ({"answers": [_answer(id="18")]}, "answers.0.accepted.id: String should match pattern"),
        ({"answers": [_answer(postedOn="yesterday")]}, "postedOn"),
        ({"answers": [_answer(status="busy", retryAfter=-1)]}, "retryAfter: Input should be greater"),
        ({"answers": [_answer(sequence=number) for number in range(1, 202)]}, "answers: List should have at most 200"),
    ],
)
async def test_what_is_not_right_is_refused_with_a_reason_and_audited(
    desk: Desk, changes: dict[str, object], why: str
) -> None:
    desk.say(_ack(**changes))
    assert why in (await desk.answer())["reason"]
    assert desk.messages == []
    assert desk.intake.counts["refused"] == 1
    assert why in desk.audit[0].outcome


@pytest.mark.parametrize("payload", [b"", b"\xff", b"[]", b"{" * 70_000, b'{"system": 1e999}', b'{"a": 1, "a": 2}'])
async def test_junk_is_refused(desk: Desk, payload: bytes) -> None:
    desk.say(payload)
    assert (await desk.answer())["reason"].startswith("refused: ")


async def test_what_the_book_refuses_is_answered_and_audited(desk: Desk) -> None:
    beyond = "upTo 17 is beyond the last event, 9"
    desk.report = Taken(refused=((18, "it was rejected before"), (None, beyond)), up_to=9)
    desk.say(_ack())
    answer = await desk.answer()
    assert answer["refused"] == [
        {"sequence": 18, "reason": "it was rejected before"},
        {"sequence": None, "reason": beyond},
    ]
    await until(lambda: bool(desk.audit), "it is audited")
    assert "18: it was rejected before" in desk.audit[0].outcome
    desk.report = Taken(reason="its nonce was used for another message")
    desk.say(_ack())
    assert (await desk.answer())["reason"] == "refused: its nonce was used for another message"


async def test_a_retained_message_is_never_obeyed(desk: Desk) -> None:
    desk.say(_ack(), retained=True)
    desk.say(_ack(nonce="another-one"))
    assert (await desk.answer())["nonce"] == "another-one"
    assert (len(desk.messages), desk.intake.counts["retained"]) == (1, 1)


async def test_a_flood_is_limited_and_does_not_flood_the_audit(desk: Desk) -> None:
    for number in range(500):
        desk.say(_ack(system=f"stranger-{number}"))
    assert (desk.intake.counts["refused"], desk.intake.counts["limited"]) == (400, 100)
    assert len(desk.audit) == 100, "refusals beyond the first hundred are counted in the next entry"
    desk.clock.advance(timedelta(seconds=2))
    desk.say(_ack(system="stranger"))
    assert desk.audit[-1].outcome.endswith("(300 more before it were not noted)")
