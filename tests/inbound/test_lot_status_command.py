"""`cmd/lot-status`: what LIMS says of lots holds, through restarts; all that is not right is refused and counted."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from edge_agent.errors import StoreFull
from edge_agent.inbound.command import read_command
from edge_agent.inbound.lot_status import LotStatus
from edge_agent.inbound.payload import PayloadRefused
from edge_agent.store import messages
from edge_agent.store.reader import open_reader
from tests.inbound.speaking import START, Desk, back_up, desk, put_back, spoken_map, spoken_text, vouch
from tests.publishing.schemas import validator

SCHEMA, REPLY = (validator(f"urn:edgeagent:schema:cmd.lot-status{suffix}:1") for suffix in ("", ".reply"))
_SYRUP = "unit: pcs, lot_tracked: true, lot_status: {from: mes}}\n"
_RULE = """  syrup_used:
    event: consumed
    material: "100200"
    from: L3-SYRUP
    confirmation: {source: mes}
    lot_from: container
"""


def lots_text() -> str:
    """Drums of syrup that SCADA confirms, whose lots MES tells of."""
    text = spoken_text()
    head, _, tail = text.partition("\nmaterials:\n")
    material = f'  "100200": {{name: Base syrup, class: packaging, {_SYRUP}'
    return f"{head}\nmaterials:\n{material}{tail}".replace("\nownership:", f"\n{_RULE}ownership:")


def lot(name: str = "L7", status: str = "RELEASED", **more: Any) -> dict[str, Any]:
    return {"material": "100200", "lot": name, "status": status, **more}


def told(agent: Desk, *lots: dict[str, Any], nonce: str = "nonce-0001", **more: Any) -> dict[str, Any]:
    """What MES says of lots."""
    return {"source": "mes", "nonce": nonce, "expires": agent.soon(), "lots": list(lots), **more}


def drum(agent: Desk, number: int, name: str = "L7") -> dict[str, Any]:
    return agent.movement(f"D{number}", rule="syrup_used", quantity="40", unit="pcs", lot=name)


def exceptions(agent: Desk) -> list[dict[str, Any]]:
    """The data of every exception stored."""
    sql = "SELECT payload FROM event WHERE type = 'io.edgeagent.exception.raised.v1' ORDER BY sequence"
    with open_reader(agent.database.path) as reader:
        rows = reader._connection.execute(sql).fetchall()
    return [json.loads(payload)["data"] for (payload,) in rows]


def causes(agent: Desk) -> list[tuple[str, str | None]]:
    return [(one["cause"], one["key"].get("materialLotID")) for one in exceptions(agent)]


@pytest.fixture
def lots_map(tmp_path: Path) -> Any:
    return spoken_map(tmp_path, lots_text())


async def test_what_is_said_of_lots_holds_through_a_restart(tmp_path: Path, lots_map: Any) -> None:
    async with desk(tmp_path, tag_map=lots_map) as agent:
        said = await agent.say("lot-status", told(agent, lot(), lot("L8", "QA-HOLD")))
        assert said == {"nonce": "nonce-0001", "source": "mes", "taken": 2, "repeated": False, "reason": None}
        REPLY.validate(said)
        await agent.say("confirm", drum(agent, 1))
        await agent.say("confirm", drum(agent, 2, "L8"))
        assert causes(agent) == [("lot-blocked", "L8")]
        clock = agent.clock
    async with desk(tmp_path, clock, tag_map=lots_map) as agent:
        await agent.say("confirm", drum(agent, 3))
        await agent.say("confirm", drum(agent, 4, "L8"))
        assert causes(agent) == [("lot-blocked", "L8")] * 2
        assert await agent.booked() == {"consumed/100200//L3-SYRUP": Decimal(160)}


async def test_a_shelf_life_ends_by_itself(tmp_path: Path, lots_map: Any) -> None:
    async with desk(tmp_path, tag_map=lots_map) as agent:
        until = (agent.clock.now().wall + timedelta(minutes=1)).isoformat()
        assert (await agent.say("lot-status", told(agent, lot(until=until))))["reason"] is None
        await agent.say("confirm", drum(agent, 1))
        agent.clock.advance(timedelta(minutes=1))
        await agent.say("confirm", drum(agent, 2))
        assert causes(agent) == [("lot-expired", "L7")]


async def test_a_hold_that_is_told_late_names_the_events(tmp_path: Path, lots_map: Any) -> None:
    async with desk(tmp_path, tag_map=lots_map) as agent:
        await agent.say("lot-status", told(agent, lot()))
        began = agent.clock.now().wall
        await agent.say("confirm", drum(agent, 1))
        await agent.booked()
        await agent.say("confirm", drum(agent, 2))
        late = told(agent, lot(status="QA-HOLD"), nonce="nonce-0002", time=began.isoformat())
        assert (await agent.say("lot-status", late))["reason"] is None
        (said,) = exceptions(agent)
        assert (said["cause"], said["quantity"]["quantityString"]) == ("lot-blocked", "80")
        with open_reader(agent.database.path) as reader:
            sql = "SELECT id FROM event WHERE type = 'io.edgeagent.material.consumed.v1'"
            (sent,) = reader._connection.execute(sql).fetchall()
        assert [one["id"] for one in said["events"]] == list(sent)


async def test_the_same_again_changes_nothing_and_another_under_its_nonce_is_refused(
    tmp_path: Path, lots_map: Any
) -> None:
    async with desk(tmp_path, tag_map=lots_map) as agent:
        first = told(agent, lot())
        await agent.say("lot-status", first)
        await agent.say("lot-status", told(agent, lot(status="QA-HOLD"), nonce="nonce-0002"))
        assert (await agent.say("lot-status", first))["repeated"] is True
        other = await agent.say("lot-status", first | {"lots": [lot(status="SCRAP")]})
        assert other["reason"] == "refused: its nonce was used for another message"
        await agent.say("context", agent.context("nonce-0001", order_no="A"))  # nonces are each command's own
        await agent.say("confirm", drum(agent, 1))
        assert causes(agent) == [("lot-blocked", "L7")]
        assert next(one.outcome for one in agent.audit if one.command == "lot-status") == "100200 lot L7 = 'RELEASED'"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"source": "lims"}, "the tag map has no source lims that says mqtt: commands"),
        ({"source": "filler"}, "the tag map has no source filler that says mqtt: commands"),
        (
            {"lots": [lot(), {**lot(), "material": "900001"}]},
            "900001: the tag map has no such material with lot_status: {from: mes}",
        ),
        ({"lots": [{**lot(), "material": "4"}]}, "4: the tag map has no such material with lot_status: {from: mes}"),
        ({"time": (START + timedelta(hours=1)).isoformat()}, "its time is in the future; set the clocks"),
        ({"expires": START.isoformat()}, "it has expired"),
        ({"lots": [lot(), lot(status="QA-HOLD")]}, "lots"),
        ({"lots": []}, "lots"),
        ({"lots": [lot(status=" RELEASED")]}, "lots.0.status"),
        ({"lots": [lot(until="2026-03-02")]}, "lots.0.until"),
        ({"lots": [lot(until=17)]}, "lots.0.until"),
        ({"lots": [lot(quantity=1)]}, "lots.0.quantity"),
    ],
)
async def test_what_is_not_right_is_refused_whole(
    tmp_path: Path, lots_map: Any, changes: dict[str, Any], why: str
) -> None:
    async with desk(tmp_path, tag_map=lots_map) as agent:
        answer = await agent.say("lot-status", told(agent, lot()) | changes)
        assert answer["reason"].startswith(f"refused: {why}") or (why == "lots" and "two statuses" in answer["reason"])
        await agent.say("confirm", drum(agent, 1))
        assert causes(agent) == [("lot-not-told", "L7")]


async def test_something_newer_was_said(tmp_path: Path, lots_map: Any) -> None:
    async with desk(tmp_path, tag_map=lots_map) as agent:
        early = agent.clock.now().wall.isoformat()
        await agent.say("lot-status", told(agent, lot(), lot("L8")))
        answer = await agent.say(
            "lot-status", told(agent, lot("L9"), lot("L8", "QA-HOLD"), nonce="nonce-0002", time=early)
        )
        assert "lot L8 of 100200: something newer was said" in answer["reason"]
        await agent.say("confirm", drum(agent, 1, "L9"))
        assert causes(agent) == [("lot-not-told", "L9")]


async def test_a_full_store_takes_nothing_and_says_so(
    tmp_path: Path, lots_map: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(tmp_path, tag_map=lots_map) as agent:
        with monkeypatch.context() as patch:

            def full(*_about: Any) -> Any:
                raise StoreFull("the store is full")

            patch.setattr(messages, "statements", full)
            answer = await agent.say("lot-status", told(agent, lot()))
        assert answer["reason"] == "refused: the store is full; send it again later"
        assert (await agent.say("lot-status", told(agent, lot())))["taken"] == 1


async def test_after_a_restore_it_has_to_be_said_again(tmp_path: Path, lots_map: Any) -> None:
    async with desk(tmp_path, tag_map=lots_map) as agent:
        await agent.say("lot-status", told(agent, lot()))
        clock = agent.clock
    back_up(tmp_path)
    async with desk(tmp_path, clock, tag_map=lots_map) as agent:
        await agent.say("lot-status", told(agent, lot(status="QA-HOLD"), nonce="nonce-0002"))
        await agent.say("confirm", drum(agent, 1))
        await agent.booked()
        vouch(agent)
    put_back(tmp_path)
    async with desk(tmp_path, clock, tag_map=lots_map) as agent:
        clock.advance(timedelta(minutes=1))
        await agent.say("confirm", drum(agent, 2))
        assert causes(agent)[-1] == ("lot-not-told", "L7")
        await agent.say("lot-status", told(agent, lot(), nonce="nonce-0003"))
        await agent.say("confirm", drum(agent, 3))
        assert len(causes(agent)) == 1


def test_nothing_longer_than_the_schema_says_is_read() -> None:
    body = {"source": "mes", "nonce": "nonce-0001", "expires": "2026-03-02T12:00:00Z"}
    for lots in ([lot(str(number)) for number in range(101)], [lot("x" * 257)], [lot(status="x" * 65)]):
        assert list(SCHEMA.iter_errors(body | {"lots": lots}))
        with pytest.raises(PayloadRefused):
            read_command(json.dumps(body | {"lots": lots}).encode(), "lot-status", LotStatus)
