"""`dead list|show|retry|export`: everything a person needs to know of an event that went wrong, and what it does."""

from __future__ import annotations

import json
import stat
from datetime import timedelta
from pathlib import Path

import pytest

from edge_agent.cli.dead import WHAT_TO_DO
from edge_agent.clock import ManualClock
from edge_agent.model.ack import AnswerStatus, Code
from edge_agent.model.event import Change
from edge_agent.model.reading import Instant
from edge_agent.store.answers import AnswerBook
from edge_agent.store.corrections import Amendment
from edge_agent.store.prune import Pruner
from edge_agent.store.restore import open_store
from edge_agent.store.rows import sha256
from tests.cli.shop import LATER, NOT_DUE, WHO, Agent, Shop, run, run_json
from tests.store.outcomes import AT
from tests.store_faults.outcomes import SideFile, tampering


async def test_nothing_is_dead(shop: Shop) -> None:
    await shop.produce("mes")
    result = await run("dead", "list", "--data", shop.data)
    assert (result.exit_code, result.stdout) == (0, "No dead letters.\n")
    assert await run_json("dead", "list", "--data", shop.data) == {"rejected": [], "unpublishable": []}


async def test_a_rejection_says_everything_and_what_to_do(shop: Shop) -> None:
    await shop.produce("mes", "erp")
    event = await shop.produce("mes", "erp")
    await shop.accept(event, "mes", "4711")
    await shop.reject(event, "erp", Code.UNKNOWN_LOT, "lot [red]L7\x1b[2J is not known")

    found = await run_json("dead", "list", "--data", shop.data)
    (one,) = found["rejected"]
    assert one == {
        "name": "routine/2",
        "source": event.source,
        "sequence": 2,
        "id": event.id,
        "type": "io.edgeagent.material.produced.v1",
        "recorded": "2026-03-02T08:00:00.000000+00:00",
        "system": "erp",
        "code": "unknown_lot",
        "text": "lot [red]L7\x1b[2J is not known",
        "retryable": True,
        "since": "2026-03-02T08:05:00.000000+00:00",
        "correction_waits": False,
        "what_to_do": "create the lot there, then retry",
    }
    text = (await run("dead", "list", "--data", shop.data)).stdout
    assert "routine/2  io.edgeagent.material.produced.v1  rejected by erp since 2026-03-02T08:05" in text
    assert r"unknown_lot (may be accepted when sent again): lot [red]L7\x1b[2J is not known" in text
    assert "create the lot there, then retry" in text
    assert "\x1b" not in text


async def test_what_needs_a_person_says_so(shop: Shop) -> None:
    await shop.reject(await shop.produce("erp"), "erp", Code.CLOSED_PERIOD)
    text = (await run("dead", "list", "--data", shop.data)).stdout
    assert "closed_period (needs a person)\n" in text


@pytest.mark.parametrize("code", list(Code))
def test_every_code_says_what_to_do(code: Code) -> None:
    advice = WHAT_TO_DO[code]
    assert ("retry" in advice) or ("correct" in advice) or code is Code.ID_CONFLICT
    assert not code.retryable or "retry" in advice


async def test_an_unpublishable_event_says_why(shop: Shop) -> None:
    event = await shop.produce("mes", stream="critical")
    await shop.void(event, "the broker takes 256 KiB at most")
    (one,) = (await run_json("dead", "list", "--data", shop.data))["unpublishable"]
    assert (one["name"], one["reason"], one["id"]) == ("critical/1", "the broker takes 256 KiB at most", event.id)
    assert one["since"] == "2026-03-02T08:05:00.000000+00:00"
    text = (await run("dead", "list", "--data", shop.data)).stdout
    assert "critical/1  io.edgeagent.material.produced.v1  unpublishable since" in text
    assert "raise the broker's limit" in text


async def test_all_shows_what_waits_for_others(shop: Shop) -> None:
    first, second, third = [await shop.produce("mes", "erp") for _ in range(3)]
    future = await shop.produce("mes", recorded=NOT_DUE)
    await shop.answer(first, "erp", AnswerStatus.BUSY, retry_after=60)
    await shop.reject(second, "mes", Code.ORDER_CLOSED)
    await shop.ask_correction(second, Amendment(order="A2"))
    await shop.answer(future, "mes", AnswerStatus.BUSY)

    assert set(await run_json("dead", "list", "--data", shop.data)) == {"rejected", "unpublishable"}
    found = await run_json("dead", "list", "--all", "--data", shop.data)
    (waits,) = found["corrections_waiting"]
    assert (waits["name"], waits["waits_for"], waits["by"]) == ("routine/2", ["erp"], "anna")
    assert waits["changes"] == {"lines": {}, "order": "A2"}
    assert [(one["system"], one["count"], one["first"], one["last"]) for one in found["overdue"]] == [
        ("erp", 3, "routine/1", "routine/3"),
        ("mes", 2, "routine/1", "routine/3"),
    ]
    assert {one["since"] for one in found["overdue"]} == {"2026-03-02T08:30:00.000000+00:00"}
    assert [(one["system"], one["count"], one["first"]) for one in found["busy"]] == [
        ("erp", 1, "routine/1"),
        ("mes", 1, "routine/4"),
    ]
    assert found["busy"][0]["resend_at"] == "2026-03-02T08:06:00.000000+00:00"
    assert found["rejected"][0]["what_to_do"].startswith("nothing")

    text = (await run("dead", "list", "--all", "--data", shop.data)).stdout
    assert "routine/2  correction asked by anna at 2026-03-02T08:05:00.000000+00:00 waits for erp" in text
    assert "erp  3 overdue: routine/1 to routine/3, since 2026-03-02T08:30" in text
    assert "mes  1 busy: routine/4, since" in text
    assert third.sequence == 3


async def test_a_retried_or_corrected_event_is_dead_no_more(shop: Shop) -> None:
    retried, corrected, voided = [await shop.produce("mes") for _ in range(3)]
    for event in (retried, corrected):
        await shop.reject(event, "mes", Code.UNKNOWN_LOT)
    await shop.void(voided, "too large")
    assert len((await run_json("dead", "list", "--data", shop.data))["rejected"]) == 2

    await shop.accept(voided, "mes", "d-1")
    for event in (corrected, voided):
        await shop.ask_correction(event, None)
    await shop.make_corrections()
    await AnswerBook(shop.database).retry(retried.source, retried.sequence, timedelta(hours=1), LATER)
    assert await run_json("dead", "list", "--data", shop.data) == {"rejected": [], "unpublishable": []}


async def test_show_prints_the_whole_event(shop: Shop) -> None:
    event = await shop.produce("mes", "erp", "wms")
    await shop.accept(event, "mes", "4711")
    await shop.reject(event, "erp", Code.QUANTITY_PRECISION, "3 decimals")
    await shop.outbox.mark({"routine": 1})
    await shop.ask_correction(event, Amendment({"1": Change(lot="L7")}))

    found = await run_json("dead", "show", "routine/1", "--data", shop.data)
    assert found["event"] == json.loads(event.payload)
    assert (found["id"], found["sha256"], found["topic"]) == (event.id, sha256(event.payload), event.topic)
    assert (found["published"], found["unpublishable"]) == (True, None)
    erp, mes, wms = found["answers"]
    assert (mes["system"], mes["status"], mes["document"], mes["posted_on"]) == (
        "mes",
        "accepted",
        "4711",
        "2026-03-02",
    )
    assert (erp["status"], erp["code"], erp["text"]) == ("rejected", "quantity_precision", "3 decimals")
    assert (wms["status"], wms["at"], wms["due"]) == ("awaiting", None, "2026-03-02T08:30:00.000000+00:00")
    assert found["correction"]["changes"]["lines"] == {"1": {"quantity": None, "lot": "L7"}}
    assert found["correction"]["waits_for"] == ["wms"]

    text = (await run("dead", "show", "routine/1", "--data", shop.data)).stdout
    for part in ("mes: accepted", "as document 4711", "on 2026-03-02", "wms: awaiting", "waits for wms", "published"):
        assert part in text
    assert json.loads(text[text.index("\n{") :]) == json.loads(event.payload)


async def test_show_tells_a_correction_that_was_made_and_a_dead_letter(shop: Shop) -> None:
    event = await shop.produce()
    await shop.void(event, "too large")
    text = (await run("dead", "show", "routine/1", "--data", shop.data)).stdout
    assert "not published" in text
    assert "unpublishable since 2026-03-02T08:05:00.000000+00:00 (open): too large" in text
    assert "no system's word is needed" in text
    await shop.ask_correction(event, None)
    (reversal,) = await shop.make_corrections()
    text = (await run("dead", "show", "routine/1", "--data", shop.data)).stdout
    assert f"correction by anna at 2026-03-02T08:05:00.000000+00:00: void, counted; made as {reversal.id}" in text
    assert "(corrected): too large" in text


async def test_an_event_has_three_names(shop: Shop) -> None:
    event = await shop.produce("mes")
    for name in ("routine/1", f"routine/{1:020}", f"{event.source}/1", event.id, event.id.upper()):
        assert (await run_json("dead", "show", name, "--data", shop.data))["id"] == event.id


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("routine", "names no event"),
        ("routine/x", "names no event"),
        ("/1", "names no event"),
        ("routine/-1", "names no event"),
        ("routine/0", "routine has events 1 to 1"),
        ("routine/2", "routine has events 1 to 1"),
        ("routine/99999999999999999999", "routine has events 1 to 1"),
        ("nothing/1", "there is no stream nothing; there are critical, routine, ops"),
        ("0f8fad5b-d9cb-469f-a165-70867728950e", "there is no event"),
    ],
)
async def test_a_name_of_nothing_is_refused_with_the_reason(shop: Shop, name: str, why: str) -> None:
    await shop.produce("mes")
    result = await run("dead", "show", name, "--data", shop.data)
    assert (result.exit_code, result.stdout) == (1, "")
    assert why in result.stderr


async def test_an_event_of_a_former_store_has_its_source_for_a_name(shop: Shop) -> None:
    former = await shop.produce("mes")
    await shop.reject(former, "mes", Code.UNKNOWN_LOT)
    await shop.database.close()
    SideFile(shop.path, ".anchor").remove()
    again = Shop(shop.data, await open_store(shop.path, agent="l3-edge", max_size=64 << 20, now=Instant(AT, 0, "b")))
    try:
        await again.outbox.load()
        event = await again.produce("mes")
        await again.reject(event, "mes", Code.UNKNOWN_LOT)
        found = await run_json("dead", "list", "--data", shop.data)
        assert {one["name"] for one in found["rejected"]} == {f"{former.source}/1", "routine/1"}
        assert (await run_json("dead", "show", "routine/1", "--data", shop.data))["id"] == event.id
        assert (await run_json("dead", "show", f"{former.source}/1", "--data", shop.data))["id"] == former.id
    finally:
        await again.database.close()


async def test_a_pruned_event_is_said_to_be_pruned(shop: Shop) -> None:
    event = await shop.produce("mes")
    await shop.accept(event, "mes", "4711")
    await shop.outbox.mark({"routine": 1})
    clock = ManualClock(AT)
    pruner = Pruner(shop.database, timedelta(days=1), clock)
    await pruner.prune()
    clock.advance(timedelta(days=3))
    assert await pruner.prune() == 1
    result = await run("dead", "show", "routine/1", "--data", shop.data)
    assert "event routine/1 was pruned on 2026-03-05" in result.stderr


async def test_export_has_the_original_bytes_and_replaces_the_file_whole(shop: Shop) -> None:
    first, second = await shop.produce("mes", "erp"), await shop.produce("mes")
    await shop.reject(first, "mes", Code.UNKNOWN_LOT, "L7")
    await shop.reject(first, "erp", Code.MALFORMED)
    await shop.void(second, "too large")
    file = shop.data / "out.jsonl"
    file.write_text("old")

    result = await run("dead", "export", file, "--data", shop.data)
    assert (result.exit_code, result.stdout) == (0, f"{file}: 2 events\n")
    one, two = map(json.loads, file.read_text().splitlines())
    assert [one["payload"].encode(), two["payload"].encode()] == [first.payload, second.payload]
    assert [(found["system"], found["code"]) for found in one["rejections"]] == [
        ("erp", "malformed"),
        ("mes", "unknown_lot"),
    ]
    assert (one["unpublishable"], two["rejections"], two["unpublishable"]["reason"]) == (None, [], "too large")
    assert sha256(one["payload"].encode()) == one["sha256"]
    assert [path.name for path in shop.data.iterdir() if path.name.endswith(".new")] == []

    streamed = await run("dead", "export", "--data", shop.data)
    assert streamed.stdout == file.read_text()
    assert await run_json("dead", "export", file, "--data", shop.data) == {"file": str(file), "events": 2}


async def test_an_export_that_cannot_be_written_leaves_nothing(shop: Shop) -> None:
    result = await run("dead", "export", shop.data / "none" / "out.jsonl", "--data", shop.data)
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr
    target = shop.data / "taken"
    target.mkdir()
    assert (await run("dead", "export", target, "--data", shop.data)).exit_code == 1
    assert sorted(path.name for path in target.parent.iterdir() if "taken" in path.name) == ["taken"]


async def test_retry_asks_the_agent_for_each_event(shop: Shop) -> None:
    events = [await shop.produce("mes") for _ in range(2)]
    agent = Agent(shop.data, {"dead.retry": {"sent": 1, "systems": ["mes"], "why": None}})
    async with agent.running():
        result = await run("dead", "retry", "routine/1", events[1].id, *WHO, "--data", shop.data)
        found = await run_json("dead", "retry", "routine/1", *WHO, "--data", shop.data)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines()[0] == "routine/1: sent again; the word of mes is awaited"
    assert agent.asked[0] == {
        "do": "dead.retry",
        "source": events[0].source,
        "sequence": 1,
        "by": "A. Kern",
        "reason": "checked against the bin",
    }
    assert agent.asked[1]["sequence"] == 2
    assert found["retried"][0]["systems"] == ["mes"]


async def test_a_retry_that_sends_nothing_is_a_finding(shop: Shop) -> None:
    await shop.produce("mes")
    agent = Agent(shop.data, {"dead.retry": {"sent": 0, "systems": [], "why": "there was no broker for 20 s"}})
    async with agent.running():
        result = await run("dead", "retry", "routine/1", "routine/9", *WHO, "--data", shop.data)
        found = await run_json("dead", "retry", "routine/9", *WHO, "--data", shop.data, code=1)
    assert result.exit_code == 1
    assert "routine/1: not sent: there was no broker for 20 s" in result.stdout
    assert "routine/9: not sent: there is no event routine/9" in result.stdout
    assert found["retried"][0]["sent"] == 0
    refusing = Agent(shop.data, {"dead.retry": "event 1 is neither rejected nor unpublishable"})
    async with refusing.running():
        result = await run("dead", "retry", "routine/1", *WHO, "--data", shop.data)
    assert (result.exit_code, "neither rejected nor unpublishable" in result.stdout) == (1, True)


async def test_without_an_agent_a_retry_is_unreachable(shop: Shop) -> None:
    await shop.produce("mes")
    result = await run("dead", "retry", "routine/1", *WHO, "--data", shop.data)
    assert (result.exit_code, "is it running" in result.stderr) == (4, True)


DAMAGE: list[tuple[str, str]] = [
    ("answer", "UPDATE answer SET code = 'malformed'"),
    ("answer", "UPDATE answer SET text = 'other'"),
    ("answer", "UPDATE answer SET status = 'retried'"),
    ("answer", "UPDATE answer SET answered = due"),
    ("event", "UPDATE event SET payload = x'7b7d' WHERE sequence = 1"),
    ("event", "UPDATE event SET type = 'x' WHERE sequence = 1"),
    ("is gone", "DELETE FROM event WHERE sequence = 1"),
    ("stream", "UPDATE stream SET head = 7"),
    ("dead letter", "UPDATE dead SET reason = 'other'"),
    ("dead letter", "UPDATE dead SET status = 'sent'"),
    ("correction", "UPDATE correction SET reason = 'other'"),
    ("correction", "UPDATE correction SET reversal = 'x'"),
]


@pytest.mark.parametrize(("what", "damage"), DAMAGE)
async def test_a_row_that_was_changed_is_named(shop: Shop, what: str, damage: str) -> None:
    rejected, voided, corrected = [await shop.produce("mes") for _ in range(3)]
    await shop.reject(rejected, "mes", Code.UNKNOWN_LOT)
    await shop.void(voided, "too large")
    await shop.ask_correction(corrected, None)
    await shop.database.close()
    with tampering(shop.path) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute(damage)
    result = await run("dead", "list", "--all", "--data", shop.data)
    assert (result.exit_code, result.stdout) == (1, "")
    assert what in result.stderr
    assert "restore the database from a backup" in result.stderr


async def test_reading_leaves_nothing_beside_a_closed_store(shop: Shop) -> None:
    await shop.reject(await shop.produce("mes"), "mes", Code.UNKNOWN_LOT)
    await shop.database.close()
    before = _files(shop.data)
    for verb in (("dead", "list", "--all"), ("dead", "show", "routine/1"), ("dead", "export"), ("audit", "verify")):
        assert (await run(*verb, "--data", shop.data)).exit_code == 0
    assert _files(shop.data) == before


async def test_a_store_of_another_version_is_said_to_be_one(shop: Shop) -> None:
    await shop.database.close()
    for version, advice in ((1, "start the agent"), (99, "newer edge-agent")):
        with tampering(shop.path) as connection:
            connection.execute(f"PRAGMA user_version = {version}")
        result = await run("dead", "list", "--data", shop.data)
        assert (result.exit_code, advice in result.stderr) == (1, True)


def _files(directory: Path) -> list[tuple[str, int, int]]:
    return sorted((one.name, one.stat().st_size, stat.S_IMODE(one.stat().st_mode)) for one in directory.iterdir())
