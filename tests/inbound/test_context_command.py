"""`cmd/context`: what MES says changes what is booked; all that is not right is refused, answered and counted."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import StoreFull
from edge_agent.inbound.command import read_command
from edge_agent.inbound.context import Context, _scalar
from edge_agent.inbound.payload import PayloadRefused
from edge_agent.model.reading import TagRef
from edge_agent.store import messages
from tests.inbound.speaking import START, Desk, back_up, desk, put_back, spoken_map, vouch
from tests.publishing.schemas import validator

SCHEMA, REPLY = (validator(f"urn:edgeagent:schema:cmd.context{suffix}:1") for suffix in ("", ".reply"))


async def test_the_order_of_what_is_booked_is_the_one_that_mes_said(tmp_path: Path) -> None:
    async with desk(tmp_path) as agent:
        assert (await agent.say("context", agent.context(order_no="4711")))["reason"] is None
        await agent.say("confirm", agent.movement("1"))
        said = await agent.say("context", agent.context("nonce-0002", order_no="4712", lot="L7"))
        assert said == {"nonce": "nonce-0002", "source": "mes", "taken": 2, "repeated": False, "reason": None}
        await agent.say("confirm", agent.movement("2", quantity="3"))
        clock = agent.clock
    async with desk(tmp_path, clock) as agent:  # the order runs on
        await agent.say("confirm", agent.movement("3"))
        assert await agent.booked() == {
            "moved/900001/4711/L3-OUT": Decimal(48),
            "moved/900001/4712/L3-OUT": Decimal(120),
        }
        assert agent.reviews() == []


async def test_no_order_is_an_empty_one(tmp_path: Path) -> None:
    async with desk(tmp_path) as agent:
        await agent.say("context", agent.context(order_no=""))
        await agent.say("confirm", agent.movement("1"))
        assert list(await agent.booked()) == ["moved/900001//L3-OUT"]


async def test_it_holds_since_the_time_that_mes_says(tmp_path: Path) -> None:
    async with desk(tmp_path) as agent:
        await agent.say("context", agent.context(order_no="A"))
        agent.clock.advance(timedelta(seconds=60))
        early, late = agent.movement("1"), agent.clock.now().wall
        agent.clock.advance(timedelta(seconds=30))
        changed = agent.context("nonce-0002", order_no="B") | {"time": (late + timedelta(seconds=10)).isoformat()}
        assert (await agent.say("context", changed))["reason"] is None
        await agent.say("confirm", early)
        await agent.say("confirm", agent.movement("2", time=(late + timedelta(seconds=11)).isoformat()))
        assert set(await agent.booked()) == {"moved/900001/A/L3-OUT", "moved/900001/B/L3-OUT"}


async def test_the_same_message_again_changes_nothing_even_later(tmp_path: Path) -> None:
    """A message that the broker delivers again must not bring an old order back."""
    async with desk(tmp_path) as agent:
        first = agent.context("nonce-0001", order_no="A")
        await agent.say("context", first)
        await agent.say("context", agent.context("nonce-0002", order_no="B"))
        assert (await agent.say("context", first))["repeated"] is True
        clock = agent.clock
    async with desk(tmp_path, clock) as agent:
        reordered = json.dumps(dict(reversed(first.items()))).encode()
        again = await agent.say("context", reordered)
        assert (again["taken"], again["repeated"], again["reason"]) == (1, True, None)
        other = await agent.say("context", first | {"values": {"order_no": "C"}})
        assert other["reason"] == "refused: its nonce was used for another message"
        await agent.say("confirm", agent.movement("1"))
        assert list(await agent.booked()) == ["moved/900001/B/L3-OUT"]
    assert "refused: its nonce was used" in agent.audit[-1].outcome


async def test_what_comes_late_does_not_take_the_place_of_something_newer(tmp_path: Path) -> None:
    async with desk(tmp_path) as agent:
        late = agent.context("nonce-0001", order_no="A", lot="L1") | {"time": START.isoformat()}
        agent.clock.advance(timedelta(seconds=60))
        await agent.say("context", agent.context("nonce-0002", order_no="B"))
        answer = await agent.say("context", late)
        assert answer["taken"] == 0
        assert answer["reason"].startswith(
            "refused: order_no: something newer was said, which holds since 2026-03-02T11:"
        )
        assert _runs(agent) == "B"
        assert (await agent.say("context", agent.context("nonce-0001", lot="L1")))["taken"] == 1


async def test_a_restored_store_does_not_know_what_mes_said_since(tmp_path: Path) -> None:
    """It would take the order of the backup for the one that runs; nobody shows it the right one, as a PLC would."""
    async with desk(tmp_path) as agent:
        await agent.say("context", agent.context("nonce-0001", order_no="A"))
        await agent.say("confirm", agent.movement("1"))
        clock = agent.clock
    back_up(tmp_path)
    async with desk(tmp_path, clock) as agent:
        await agent.say("context", agent.context("nonce-0002", order_no="B"))
        await agent.say("confirm", agent.movement("2"))
        vouch(agent)
    put_back(tmp_path)
    async with desk(tmp_path, clock) as agent:
        assert agent.database.restored is not None
        agent.clock.advance(timedelta(seconds=60))
        answer = await agent.say("confirm", agent.movement("3"))
        assert (answer["result"], answer["reason"]) == (4, "its order was not known then")
        await agent.say("context", agent.context("nonce-0003", order_no="B"))
        assert (await agent.say("confirm", agent.movement("4")))["result"] == 0
        assert set(await agent.booked()) == {"moved/900001/A/L3-OUT", "moved/900001/B/L3-OUT"}


async def test_what_it_says_is_audited(tmp_path: Path) -> None:
    async with desk(tmp_path) as agent:
        await agent.say("context", agent.context(order_no="A", crew=7))
        assert (agent.audit[-1].command, agent.audit[-1].outcome) == ("context", "order_no = 'A', crew = 7")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"source": "filler"}, "the tag map has no source filler that says mqtt: commands"),
        ({"source": "scada"}, "the tag map has no source scada"),
        ({"values": {"order": "1"}}, "order: the source has no such tag"),
        ({"values": {"order_no": "1", "lot": 7}}, "lot: it is a string"),
        ({"values": {"order_no": "a\u0000b"}}, "order_no: it holds control characters"),
        ({"values": {"order_no": "x" * 257}}, "values.order_no"),
        ({"values": {"crew": "7"}}, "crew: it is a whole number from 0 to 65535"),
        ({"values": {"crew": 65536}}, "crew: it is a whole number"),
        ({"values": {"crew": -1}}, "crew: it is a whole number"),
        ({"values": {"crew": True}}, "crew: it is a whole number"),
        ({"values": {"recipe": 10000}}, "recipe: it is a whole number from 0 to 9999"),
        ({"values": {"running": 1}}, "running: it is true or false"),
        ({"values": {"target": "1e3"}}, "target: it is a number"),
        ({"values": {"target": "NaN"}}, "target: it is a number"),
        ({"values": {"target": "1000.5"}}, "target: it is not in the range of the tag"),
        ({"values": {"target": 1.5}}, "1.5 is not a whole number"),
        ({"values": {"order_no": None}}, "values.order_no"),
        ({"values": {}}, "values: Dictionary should have at least 1 item"),
        ({"values": {f"tag{n}": "1" for n in range(101)}}, "values: Dictionary should have at most 100"),
        ({"values": "order_no=1"}, "values: Input should be a valid dictionary"),
        ({"time": (START + timedelta(seconds=60)).isoformat()}, "its time is in the future"),
        ({"time": "12:00"}, "time"),
        ({"expires": START.isoformat()}, "it has expired"),
        ({"expires": (START + timedelta(days=2)).isoformat()}, "more than 24 hours"),
        ({"nonce": "short"}, "nonce"),
        ({"order_no": "1"}, "order_no: Extra inputs"),
    ],
)
async def test_what_is_not_right_is_refused_whole(tmp_path: Path, changes: dict[str, Any], why: str) -> None:
    async with desk(tmp_path) as agent:
        answer = await agent.say("context", agent.context(order_no="A") | changes)
        assert why in answer["reason"]
        assert (answer["taken"], agent.counted) == (0, ["refused"])
        assert why in agent.audit[-1].outcome
        REPLY.validate(answer)
        assert agent.pipeline.state.contexts == {}


async def test_a_retained_message_is_never_obeyed_and_counted(tmp_path: Path) -> None:
    async with desk(tmp_path) as agent:
        agent.send("context", agent.context(order_no="A"), retained=True)
        assert (await agent.say("context", agent.context("nonce-0002", order_no="B")))["nonce"] == "nonce-0002"
        assert sorted(agent.counted) == ["done", "retained"]
        (order,) = agent.pipeline.state.contexts.values()
        assert [name for name, _ in order.history] == ["B"]


async def test_while_the_store_is_full_it_is_refused_and_taken_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(tmp_path) as agent:

        async def full(*_: object) -> None:
            raise StoreFull("the store is full")

        with monkeypatch.context() as patch:
            patch.setattr(agent.unit_of_work, "commit", full)
            answer = await agent.say("context", agent.context(order_no="A"))
            assert answer["reason"] == "refused: the store is full; send it again later"
        assert (await agent.say("context", agent.context(order_no="A")))["taken"] == 1


def test_values_are_what_a_source_would_have_read(tmp_path: Path) -> None:
    tags = spoken_map(tmp_path).tags
    said: list[tuple[str, str | int | bool, object]] = [
        *(("order_no", " 4711 ", " 4711 "), ("crew", 7, 7), ("recipe", 9999, 9999), ("running", False, False)),
        *(("target", "17.5", Decimal("17.5")), ("target", 17, Decimal(17))),
    ]
    for name, value, read in said:
        found = _scalar(tags[TagRef("mes", name)], value)
        assert (found, type(found)) == (read, type(read))


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
_GOOD = {
    "source": "mes",
    "nonce": "nonce-0001",
    "expires": "2026-03-04T12:00:00Z",
    "time": "2026-03-04T11:00:00Z",
    "values": {"order_no": "1"},
}


def _agrees(body: dict[str, Any]) -> None:
    """What the agent reads is what its schema takes; all else is refused in words that can be sent."""
    try:
        read_command(json.dumps(body).encode(), "context", Context)
    except PayloadRefused as refused:
        str(refused).encode()
    else:
        SCHEMA.validate({key: value for key, value in body.items() if value is not None})


@given(st.sampled_from(sorted(_GOOD)), _json)
def test_nothing_is_read_that_the_schema_does_not_take(key: str, value: object) -> None:
    _agrees(_GOOD | {key: value})


@given(st.dictionaries(st.text(max_size=8), _json, max_size=4))
def test_nor_are_any_values(values: dict[str, Any]) -> None:
    _agrees(_GOOD | {"values": values})


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_noise_is_refused_and_never_an_error(payload: bytes) -> None:
    with pytest.raises(PayloadRefused):
        read_command(payload, "context", Context)


async def test_a_forgotten_nonce_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted bug: an agent without a memory lets an old order return. Either half of it alone would not."""

    async def never(*_: object) -> None:
        return None

    async with desk(tmp_path) as agent:
        first = agent.context("nonce-0001", order_no="A")
        await agent.say("context", first)
        await agent.say("context", agent.context("nonce-0002", order_no="B"))
        monkeypatch.setattr(agent.telling._memory, "nonce", never)
        assert "refused" in (await agent.say("context", first))["reason"]
        assert _runs(agent) == "B"
        monkeypatch.setattr(messages, "statements", lambda _nonces, _now: ())
        await agent.say("context", first)
        assert _runs(agent) == "A"


def _runs(agent: Desk) -> str | None:
    (order,) = agent.pipeline.state.contexts.values()
    return order.history[-1][0]
