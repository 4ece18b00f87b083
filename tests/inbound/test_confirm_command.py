"""`cmd/confirm`: booked once for ever, answered alike for ever, and what is not right is a person's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.derivation import messages
from edge_agent.derivation.engine import Engine
from edge_agent.errors import StoreFull
from edge_agent.inbound.command import read_command
from edge_agent.inbound.confirm import Confirm
from edge_agent.inbound.payload import PayloadRefused
from edge_agent.model.message import ConfirmationMessage
from edge_agent.pipeline import Swap
from edge_agent.publishing.encoding import Renderer
from edge_agent.store.messages import MessageBook
from tests.inbound.speaking import CONFIG, START, Desk, back_up, desk, put_back, spoken_map, spoken_text, vouch
from tests.publishing.schemas import validator

SCHEMA, REPLY = (validator(f"urn:edgeagent:schema:cmd.confirm{suffix}:1") for suffix in ("", ".reply"))
BOOKED = {"moved/900001/4711/L3-OUT": Decimal(48)}


async def _order(agent: Desk) -> None:
    assert (await agent.say("context", agent.context("nonce-order", order_no="4711")))["reason"] is None


async def test_sent_three_times_it_is_booked_once_and_answered_alike(tmp_path: Path) -> None:
    async with desk(tmp_path) as agent:
        await _order(agent)
        body = agent.movement("AGV-1")
        answers = [await agent.say("confirm", body | {"nonce": f"nonce-000{n}"}) for n in range(3)]
        for answer in answers:
            REPLY.validate(answer)
        assert answers[0] == {
            "nonce": "nonce-0000",
            "rule": "agv_out",
            "id": "AGV-1",
            "result": 0,
            "repeated": False,
            "review": None,
            "reason": None,
        }
        assert [(one["result"], one["repeated"]) for one in answers] == [(0, False), (0, True), (0, True)]
        assert await agent.booked() == BOOKED
        assert await agent.moves() == 1
        clock = agent.clock
    async with desk(tmp_path, clock) as agent:
        agent.clock.advance(timedelta(days=30))
        again = await agent.say("confirm", body | {"nonce": "nonce-0009", "expires": agent.soon()})
        assert (again["result"], again["repeated"]) == (0, True)
        assert await agent.booked() == BOOKED


async def test_killed_between_commit_and_reply_it_answers_the_next_time(tmp_path: Path) -> None:
    async with desk(tmp_path) as agent:
        await _order(agent)
        body = agent.movement("AGV-1")
        committed = asyncio.Event()
        agent.unit_of_work._probe = lambda point: committed.set() if point == "after-commit" else None
        agent.send("confirm", body)
        await committed.wait()
        assert agent.replies == [], "it ends here: nothing was answered"
        clock = agent.clock
    async with desk(tmp_path, clock) as agent:
        answer = await agent.say("confirm", body)
        assert (answer["result"], answer["repeated"]) == (0, True)
        assert await agent.booked() == BOOKED


async def test_what_fails_a_check_is_answered_so_and_goes_to_review_once(tmp_path: Path) -> None:
    async with desk(tmp_path) as agent:
        await _order(agent)
        body = agent.movement("AGV-1", unit="kg")
        first, second = await agent.say("confirm", body), await agent.say("confirm", body)
        assert (first["result"], first["review"]) == (1, "agv_out/1/1")
        assert first["reason"] == "unit kg cannot be converted to pcs, the unit of 900001"
        assert second == first | {"repeated": True}
        REPLY.validate(first)
        (review,) = agent.reviews()
        assert (review["id"], review["cause"]) == ("agv_out/1/1", "failed-check")
        assert review["message"] == f"message AGV-1: {first['reason']}"
        assert await agent.booked() == {}


async def test_another_content_is_a_conflict_once(tmp_path: Path) -> None:
    async with desk(tmp_path) as agent:
        await _order(agent)
        body = agent.movement("AGV-1")
        await agent.say("confirm", body)
        first = await agent.say("confirm", body | {"quantity": "5"})
        again = await agent.say("confirm", body | {"quantity": "5"})
        another = await agent.say("confirm", body | {"quantity": "6"})
        assert (first["result"], first["repeated"], first["review"]) == (2, False, "agv_out/1/1")
        assert again == first | {"repeated": True, "nonce": again["nonce"]}
        assert (another["result"], another["review"]) == (2, "agv_out/1/2")
        assert (await agent.say("confirm", body))["result"] == 0, "what was booked stays so"
        assert [one["cause"] for one in agent.reviews()] == ["conflict", "conflict"]
        assert await agent.booked() == BOOKED


async def test_without_an_order_a_person_decides(tmp_path: Path) -> None:
    async with desk(tmp_path) as agent:
        answer = await agent.say("confirm", agent.movement("AGV-1"))
        assert (answer["result"], answer["reason"]) == (4, "its order was not known then")
        assert (await agent.say("confirm", agent.movement("AGV-2", order="4711")))["result"] == 0
        assert await agent.booked() == BOOKED


async def test_a_full_store_is_busy_and_the_same_message_is_booked_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(tmp_path) as agent:
        await _order(agent)
        body = agent.movement("AGV-1")

        async def full(*_: object) -> None:
            raise StoreFull("the store is full")

        with monkeypatch.context() as patch:
            patch.setattr(agent.unit_of_work, "commit", full)
            answer = await agent.say("confirm", body)
            assert (answer["result"], answer["reason"]) == (3, "the store is full; send it again")
            REPLY.validate(answer)
        answer = await agent.say("confirm", body)
        assert (answer["result"], answer["repeated"]) == (0, False)
        assert await agent.booked() == BOOKED


async def test_another_map_goes_on_for_a_renamed_rule(tmp_path: Path) -> None:
    async with desk(tmp_path) as agent:
        await _order(agent)
        body = agent.movement("AGV-1")
        await agent.say("confirm", body)
        before = await agent.booked()
        clock = agent.clock
    renamed = spoken_map(tmp_path, spoken_text().replace("  agv_out:", "  agv_to_warehouse:\n    was: agv_out"))
    async with desk(tmp_path, clock, tag_map=renamed) as agent:
        answer = await agent.say("confirm", body | {"rule": "agv_to_warehouse"})
        assert (answer["result"], answer["repeated"]) == (0, True)
        assert await agent.booked() == before


async def test_a_rule_that_goes_while_it_is_asked_for_refuses(tmp_path: Path) -> None:
    async with desk(tmp_path) as agent:
        without = spoken_map(tmp_path, CONFIG.read_text(encoding="utf-8"))
        swap = Swap(Engine(without), Renderer(without, "test").render, {}, frozenset())
        swapping = asyncio.create_task(agent.pipeline.ask(swap))
        await asyncio.sleep(0)
        answer = await agent.say("confirm", agent.movement("AGV-1", order="4711"))
        await swapping
        assert (answer["result"], answer["reason"]) == (None, "refused: the tag map has no rule agv_out any more")


async def test_the_same_instant_in_another_zone_is_the_same_content(tmp_path: Path) -> None:
    async with desk(tmp_path) as agent:
        body = agent.movement("AGV-1", order="4711", time="2026-03-02T11:00:00Z")
        await agent.say("confirm", body)
        again = await agent.say("confirm", body | {"time": "2026-03-02T12:00:00.000+01:00"})
        assert (again["result"], again["repeated"]) == (0, True)


async def test_after_a_restore_what_had_happened_is_doubted(tmp_path: Path) -> None:
    async with desk(tmp_path) as agent:
        await _order(agent)
        await agent.say("confirm", agent.movement("AGV-1"))
        clock = agent.clock
    back_up(tmp_path)
    async with desk(tmp_path, clock) as agent:
        lost = agent.movement("AGV-2")
        assert (await agent.say("confirm", lost))["result"] == 0
        vouch(agent)
    put_back(tmp_path)
    clock.advance(timedelta(seconds=30))
    async with desk(tmp_path, clock) as agent:
        assert agent.database.restored is not None
        answer = await agent.say("confirm", lost | {"nonce": "nonce-0009"})
        why = "a store was restored since it happened: it may be booked already"
        assert (answer["result"], answer["reason"]) == (4, why)
        agent.clock.advance(timedelta(seconds=10))
        assert (await agent.say("confirm", agent.movement("AGV-3", order="4711")))["result"] == 0
        assert [one["cause"] for one in agent.reviews()] == ["restored"]


@pytest.mark.parametrize("keep", [True, False], ids=["an empty backup", "no backup at all"])
async def test_a_restored_store_doubts_for_rules_that_it_had_not_known(tmp_path: Path, *, keep: bool) -> None:
    async with desk(tmp_path) as agent:
        clock = agent.clock
    back_up(tmp_path)
    async with desk(tmp_path, clock) as agent:
        lost = agent.movement("AGV-1", order="4711")
        assert (await agent.say("confirm", lost))["result"] == 0
        before = set(agent.lines())
        vouch(agent)
    if not keep:
        for file in (tmp_path / "backup").iterdir():
            file.unlink()
    put_back(tmp_path)
    clock.advance(timedelta(seconds=30))
    async with desk(tmp_path, clock) as agent:
        assert (await agent.say("confirm", lost))["result"] == 4
        agent.clock.advance(timedelta(seconds=10))
        assert (await agent.say("confirm", agent.movement("AGV-2", order="4711")))["result"] == 0
        assert [one["cause"] for one in agent.reviews()] == ["restored"]
        assert not before & set(agent.lines())


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"rule": "pallet_out"}, "the tag map has no rule pallet_out with a confirmation"),
        ({"rule": "nowhere"}, "the tag map has no rule nowhere"),
        ({"rule": None}, "rule: Field required"),
        ({"id": None}, "id: Field required"),
        ({"id": ""}, "id"),
        ({"id": "two words"}, "id"),
        ({"id": "x" * 257}, "id"),
        ({"time": None}, "time: Field required"),
        ({"time": "2026-03-02"}, "time"),
        ({"quantity": None}, "quantity: Field required"),
        ({"quantity": 2}, "quantity"),
        ({"quantity": 2.5}, "2.5 is not a whole number"),
        ({"quantity": "1e3"}, "quantity"),
        ({"quantity": "NaN"}, "quantity"),
        ({"quantity": "1_0"}, "quantity"),
        ({"quantity": "0.0000000001"}, "quantity"),
        ({"quantity": "1" * 19}, "quantity"),
        ({"quantity": True}, "quantity"),
        ({"container": ""}, "container"),
        ({"container": "a\nb"}, "container"),
        ({"lot": "x" * 257}, "lot"),
        ({"nonce": None}, "nonce: Field required"),
        ({"expires": START.isoformat()}, "it has expired"),
        ({"unit": 7}, "unit"),
        ({"phase": "arrived"}, "phase: Extra inputs"),
    ],
)
async def test_what_nobody_can_read_is_refused_and_may_come_again(
    tmp_path: Path, changes: dict[str, Any], why: str
) -> None:
    async with desk(tmp_path) as agent:
        answer = await agent.say("confirm", agent.movement("AGV-1", **changes))
        assert why in answer["reason"]
        assert (answer["result"], agent.counted, agent.reviews()) == (None, ["refused"], [])
        assert why in agent.audit[-1].outcome
        assert (await agent.say("confirm", agent.movement("AGV-1", order="4711")))["result"] == 0


async def test_a_retained_confirmation_is_never_booked(tmp_path: Path) -> None:
    async with desk(tmp_path) as agent:
        agent.send("confirm", agent.movement("AGV-1"), retained=True)
        assert (await agent.say("confirm", agent.movement("AGV-2", order="4711")))["id"] == "AGV-2"
        assert sorted(agent.counted) == ["done", "retained"]


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
_decimals = st.decimals(allow_nan=False, allow_infinity=False).map(lambda number: f"{number:f}")
_GOOD = {
    "rule": "agv_out",
    "id": "1",
    "nonce": "nonce-0001",
    "expires": "2026-03-04T12:00:00Z",
    "time": "2026-03-04T11:00:00Z",
    "quantity": "1",
    "unit": "case",
    "container": "P",
    "lot": "L",
    "order": "O",
    "from": "A",
    "to": "B",
}


@given(st.sampled_from(sorted(_GOOD)), _json | _decimals)
def test_nothing_is_read_that_the_schema_does_not_take(key: str, value: object) -> None:
    body = _GOOD | {key: value}
    try:
        read_command(json.dumps(body).encode(), "confirm", Confirm)
    except PayloadRefused as refused:
        str(refused).encode()
    else:
        SCHEMA.validate({name: said for name, said in body.items() if said is not None})


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_noise_is_refused_and_never_an_error(payload: bytes) -> None:
    with pytest.raises(PayloadRefused):
        read_command(payload, "confirm", Confirm)


def forgets_what_it_answered(patch: pytest.MonkeyPatch) -> None:
    async def answered(*_: object) -> None:
        return None

    patch.setattr(MessageBook, "answered", answered)
    patch.setattr(messages, "_natural_key", lambda _rule, message: str(id(message)))


def takes_the_place_again(patch: pytest.MonkeyPatch) -> None:
    right = messages._keep
    patch.setattr(messages, "_keep", lambda work, rule, after: right(work, rule, after) if not after.latest else None)


def takes_any_content_for_the_same(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ConfirmationMessage, "digest", "same")


@pytest.mark.parametrize("plant", [forgets_what_it_answered, takes_the_place_again, takes_any_content_for_the_same])
async def test_a_planted_bug_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plant(monkeypatch)

    async def all_is_well() -> None:
        async with desk(tmp_path) as agent:
            await _order(agent)
            body = agent.movement("AGV-1")
            for _ in range(3):
                await agent.say("confirm", body)
            assert (await agent.say("confirm", body | {"quantity": "5"}))["result"] == 2
            assert await agent.booked() == BOOKED

    with pytest.raises(AssertionError):
        await all_is_well()
