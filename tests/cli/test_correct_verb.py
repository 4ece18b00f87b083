"""`correct`: what is asked of the agent, and what is refused before it is asked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edge_agent.model.event import EventDraft, Place, Rendered, StoredEvent
from tests.cli.shop import LATER, WHO, Agent, Shop, run, run_json
from tests.store.events import produced

REVERSAL = "11111111-0000-0000-0000-000000000000"
MADE = {"made": True, "waits_for": [], "events": [REVERSAL]}
WAITS = {"made": False, "waits_for": ["mes", "erp"], "events": []}


async def asked(shop: Shop, *arguments: str) -> dict[str, Any]:
    """What the agent was asked for."""
    agent = Agent(shop.data, {"correct": MADE})
    async with agent.running():
        result = await run("correct", *arguments, *WHO, "--data", shop.data)
    assert result.exit_code == 0, result.output
    (request,) = agent.asked
    return request


async def with_lines(shop: Shop, *lines: dict[str, str]) -> StoredEvent:
    """An event of these lines."""

    def render(draft: EventDraft, place: Place) -> Rendered:
        payload = json.dumps({"data": {"materialActual": lines}}).encode()
        return Rendered(f"id-{place.sequence}", f"io.edgeagent.{draft.type}.v1", "t", payload)

    (event,) = await shop.work.commit(produced(0, 10), render, LATER)
    return event


async def test_a_quantity_is_corrected_in_the_only_line(shop: Shop) -> None:
    event = await shop.produce("mes")
    assert await asked(shop, "routine/1", "--quantity", "12.5") == {
        "do": "correct",
        "source": event.source,
        "sequence": 1,
        "by": "A. Kern",
        "reason": "checked against the bin",
        "void": False,
        "lines": {"1": {"quantity": "12.5"}},
        "order": None,
    }


async def test_an_event_is_corrected_by_its_id(shop: Shop) -> None:
    event = await shop.produce("mes")
    request = await asked(shop, event.id, "--lot", "L7", "--order", "A2")
    assert (request["sequence"], request["lines"], request["order"]) == (1, {"1": {"lot": "L7"}}, "A2")


async def test_void_changes_nothing_and_an_order_no_line(shop: Shop) -> None:
    await shop.produce("mes")
    request = await asked(shop, "routine/1", "--void")
    assert (request["void"], request["lines"], request["order"]) == (True, {}, None)
    request = await asked(shop, "routine/1", "--order", "A2")
    assert (request["void"], request["lines"], request["order"]) == (False, {}, "A2")


async def test_several_lines_are_corrected_at_once_as_there_is_one_reversal(shop: Shop) -> None:
    await with_lines(shop, {"id": "1"}, {"id": "2"}, {"id": "3"})
    request = await asked(
        shop,
        "routine/1",
        "--line",
        "3",
        "--quantity",
        "5",
        "--line",
        "1",
        "--quantity",
        "6",
        "--lot",
        "A",
        "--lot",
        "B",
    )
    assert request["lines"] == {"3": {"quantity": "5", "lot": "A"}, "1": {"quantity": "6", "lot": "B"}}


async def test_the_two_lines_of_a_move_are_one(shop: Shop) -> None:
    await with_lines(shop, {"id": "1", "pairID": "1"}, {"id": "2", "pairID": "1"})
    assert (await asked(shop, "routine/1", "--quantity", "5"))["lines"] == {"1": {"quantity": "5"}}


async def test_which_of_several_lines_is_never_guessed(shop: Shop) -> None:
    await with_lines(shop, {"id": "1"}, {"id": "2"})
    result = await run("correct", "routine/1", "--quantity", "5", *WHO, "--data", shop.data)
    assert (result.exit_code, "routine/1 has lines 1, 2" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--void", "--quantity", "5"),
        ("--void", "--order", "A2"),
        ("--void", "--line", "1"),
        ("--line", "1"),
        ("--line", "1", "--line", "1", "--quantity", "5", "--quantity", "5"),
        ("--line", "1", "--quantity", "5", "--quantity", "6"),
        ("--line", "1", "--line", "2", "--quantity", "5"),
        ("--line", "1", "--order", "A2"),
        ("--quantity", "0"),
        ("--quantity", "0.000"),
        ("--quantity", "-5"),
        ("--quantity", "5,5"),
        ("--quantity", "1e3"),
        ("--quantity", "NaN"),
        ("--quantity", "+5"),
        ("--quantity", "1_0"),
        ("--quantity", " 5"),
        ("--quantity", ""),
        ("--quantity", "5."),
        ("--quantity", "0.1234567891"),
        ("--quantity", "1234567890123456789"),
        ("--quantity", "\u0665"),
    ],
)
async def test_what_makes_no_sense_is_a_usage_error_and_asks_nobody(shop: Shop, arguments: tuple[str, ...]) -> None:
    await shop.produce("mes")
    agent = Agent(shop.data, {"correct": MADE})
    async with agent.running():
        result = await run("correct", "routine/1", *arguments, *WHO, "--data", shop.data)
    assert (result.exit_code, agent.asked) == (2, [])


async def test_who_and_why_are_needed(shop: Shop) -> None:
    await shop.produce("mes")
    assert (await run("correct", "routine/1", "--void", "--by", "A. Kern", "--data", shop.data)).exit_code == 2
    assert (await run("correct", "routine/1", "--void", "--reason", "x", "--data", shop.data)).exit_code == 2


async def test_what_became_of_it_is_said(shop: Shop) -> None:
    await shop.produce("mes")
    async with Agent(shop.data, {"correct": MADE}).running():
        corrected = await run("correct", "routine/1", "--quantity", "5", *WHO, "--data", shop.data)
        voided = await run("correct", "routine/1", "--void", *WHO, "--data", shop.data)
        found = await run_json("correct", "routine/1", "--void", *WHO, "--data", shop.data)
    assert corrected.stdout == f"routine/1: taken back by {REVERSAL}; the corrected one takes its place\n"
    assert voided.stdout == f"routine/1: taken back by {REVERSAL}; nothing takes its place\n"
    assert found["made"] is True
    async with Agent(shop.data, {"correct": WAITS}).running():
        waits = await run("correct", "routine/1", "--void", *WHO, "--data", shop.data)
    assert waits.exit_code == 0
    assert "waits for the answer of mes, erp" in waits.stdout


async def test_a_refusal_is_one_line(shop: Shop) -> None:
    await shop.produce("mes")
    async with Agent(shop.data, {"correct": "event 1 has its correction already"}).running():
        result = await run("correct", "routine/1", "--void", *WHO, "--data", shop.data)
    assert (result.exit_code, result.stderr) == (1, "edge-agent: event 1 has its correction already\n")
    assert (await run("correct", "routine/1", "--void", *WHO, "--data", shop.data)).exit_code == 4
    assert "there is no event" in (await run("correct", "routine/7", "--void", *WHO, "--data", shop.data)).stderr
