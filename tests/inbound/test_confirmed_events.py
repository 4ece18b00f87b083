"""Whatever event a rule confirms: it is valid on the wire, and the agent's figures are a receiver's."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from edge_agent.model.event import Figure
from edge_agent.model.outcome import Outcome
from edge_agent_receiver.event import read_event
from edge_agent_receiver.figures import figures
from edge_agent_simulators.posting import postings
from tests.inbound.speaking import Desk, desk, spoken_map, spoken_text
from tests.publishing.schemas import ENVELOPE

EVENTS = {
    "consumed": ("from", Figure.CONSUMED, "Production"),
    "produced": ("to", Figure.PRODUCED, "Production"),
    "returned": ("to", Figure.RETURNED, "Production"),
    "scrapped": ("from", Figure.SCRAPPED, "Inventory"),
    "sampled": ("from", Figure.SAMPLED, "Quality"),
}


async def _stored(agent: Desk, kind: str) -> tuple[str, dict[str, Any]]:
    """Topic and content of the only event of a kind."""
    sql = "SELECT topic, payload FROM event WHERE type = ?"
    async with agent.database._connection.execute(sql, (kind,)) as cursor:
        ((topic, payload),) = await cursor.fetchall()
    return topic, json.loads(payload)


@pytest.mark.parametrize("event", EVENTS)
async def test_a_confirmation_becomes_this_event(tmp_path: Path, event: str) -> None:
    side, figure, operations = EVENTS[event]
    head, _, tail = spoken_text().partition("  agv_out:")
    tail = tail.replace("event: moved", f"event: {event}", 1)
    tail = tail.replace("    from: L3-OUT\n    to: WH-01\n", f"    {side}: WH-01\n", 1)
    tag_map = spoken_map(tmp_path, f"{head}  agv_out:{tail}")
    async with desk(tmp_path, tag_map=tag_map) as agent:
        answer = await agent.say("confirm", agent.movement("1", order="4711", lot="L7"))
        assert answer["result"] == 0, answer
        assert await agent.booked() == {f"{event}/900001/4711/WH-01": Decimal(48)}
        await agent.pipeline.ask(Outcome(snapshot=True))
        topic, made = await _stored(agent, f"io.edgeagent.material.{event}.v1")
        _, snapshot = await _stored(agent, "io.edgeagent.stock.snapshot.v1")

    ENVELOPE.validate(made)
    (line,) = made["data"]["materialActual"]
    assert made["data"]["operationsType"] == operations
    assert (line["materialLotID"], line["containerID"], line["posting"]) == ("L7", "P1", "actual")
    assert line["evidence"]["rawAfter"] == "1"
    assert (line["evidence"]["source"], line["evidence"]["rule"]) == ("mes", "agv_out")
    assert "node" not in line["evidence"]
    (stock,) = snapshot["data"]["stock"]
    assert stock["cumulative"] == {figure.value: "48"}
    assert stock["storageLocation"]["location"] == "WH-01"

    ((key, quantity),) = figures(read_event(topic, json.dumps(made).encode()))
    assert (key.location, key.lot, key.figure, quantity) == ("WH-01", "L7", figure.value, Decimal(48))
    (posting,) = postings(made["type"], made["data"])
    assert (posting.key, posting.quantity) == (f"{event}/900001/4711/WH-01", Decimal(48))
