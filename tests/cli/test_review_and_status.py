"""`review show` and `status`: the whole review; and how many dead letters, overdue answers and waiting corrections."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edge_agent.model.ack import Code
from edge_agent.model.movement import Verdict
from edge_agent.model.outcome import Outcome
from tests.cli.shop import NOT_DUE, Shop, run, run_json
from tests.store_faults.outcomes import NOON, RULE, counted, decided, doubted, gap, render, review


async def test_a_review_is_shown_whole(shop: Shop) -> None:
    found = review()
    (event,) = await shop.work.commit(doubted(found), render, NOON)

    shown = await run_json("review", "show", found.id, "--data", shop.data)
    assert [(one["candidate"], one["quantity"], one["key"]) for one in shown["candidates"]] == [
        (1, "20", "produced/900001/4711/L3-OUT"),
        (2, "20", "produced/900001/4712/L3-OUT"),
    ]
    assert shown["raw"] == {"before": "10", "after": "30"}
    assert shown["evidence"] == {
        "epoch": 1,
        "from_position": 10,
        "to_position": 30,
        "first_time": "2026-03-04T12:00:00+00:00",
        "last_time": "2026-03-04T12:00:00+00:00",
        "samples": 1,
        "raw_before": "10",
        "raw_after": "30",
        "status_codes": [],
        "flags": [],
    }
    assert shown["event"] == {"id": event.id, "name": "ops/1", "source": event.source}
    assert (shown["quantity"], shown["quantity_doubted"], shown["status"]) == ("20", False, "open")

    text = (await run("review", "show", found.id, "--data", shop.data)).stdout
    for part in ("2: 20 pcs: order 4712", "raw 10 to 30", "positions 10 to 30 of epoch 1", f"ops/1, id {event.id}"):
        assert part in text


async def test_a_decided_review_shows_who_decided_and_why(shop: Shop) -> None:
    await shop.work.commit(doubted(review()), render, NOON)
    await shop.work.commit(decided(review(), Verdict.ACCEPTED), render, NOON)
    text = (await run("review", "show", review().id, "--data", shop.data)).stdout
    assert "accepted candidate 2, 20 pcs by Ada at 2026-03-04T12:00:00.000000+00:00: as the batch record says" in text
    shown = await run_json("review", "show", review().id, "--data", shop.data)
    assert (shown["candidate"], shown["decided_by"], shown["reason"]) == (2, "Ada", "as the batch record says")


BRACKETS = "[/x] [b]\x1b[31m"
"""What a console that knows markup swallows, or stops at; and a control character."""


async def test_texts_with_brackets_are_shown_as_they_are(shop: Shop) -> None:
    found = review()
    named = replace(found.key, order=BRACKETS, lot="L[1]", container="[/C7]")
    ways = (replace(found.candidates[0], key=named), replace(found.candidates[1], key=named))
    found = replace(found, message=BRACKETS, candidates=ways, line=replace(found.line, key=named))
    await shop.work.commit(doubted(found), render, NOON)
    await shop.work.commit(decided(found, Verdict.ACCEPTED), render, NOON)

    listed = (await run("review", "list", "--all", "--data", shop.data)).stdout
    assert "straddled-order [accepted by Ada: as the batch record says]" in listed
    shown = "[/x] [b]\\x1b[31m"
    assert f"  {shown}  (" in listed
    assert f"order {shown}, lot L[1], container [/C7]" in listed, "a pallet is known by its container"

    status = await run("status", "--data", shop.data)
    assert shown in status.stdout


async def test_status_says_where_reviews_are_shown(shop: Shop) -> None:
    await shop.work.commit(doubted(review()), render, NOON)
    assert "`edge-agent review list` shows what is to review" in (await run("status", "--data", shop.data)).stdout


async def test_gaps_are_shown_with_their_bounds(shop: Shop) -> None:
    assert (await run("gaps", "--data", shop.data)).stdout == "No gaps.\n"
    unbounded = replace(gap(), id="bottles_made/gap/2", maximum=None, message="events [/x] nobody heard")
    await shop.work.commit(Outcome(gaps=[gap(), unbounded], changed=counted(0).changed), render, NOON)

    shown = (await run("gaps", "--data", shop.data)).stdout
    assert "  reset unseen  (2026-03-04T12:00:00" in shown
    assert "\n  from 0 to 12\n" in shown
    assert "  events [/x] nobody heard  (" in shown
    assert "\n  from 0 to unknown\n" in shown
    found = (await run_json("gaps", "--data", shop.data))["gaps"]
    assert [(one["min"], one["max"], one["rule"]) for one in found] == [("0", "12", RULE), ("0", None, RULE)]
    assert "`edge-agent gaps` shows what nobody could see" in (await run("status", "--data", shop.data)).stdout


async def test_a_review_that_is_not_there(shop: Shop) -> None:
    result = await run("review", "show", "none/1/1", "--data", shop.data)
    assert (result.exit_code, "there is no review none/1/1" in result.stderr) == (1, True)


async def test_status_counts_what_waits_and_what_needs_a_person(shop: Shop) -> None:
    nothing = await run_json("status", "--data", shop.data)
    names = ("rejected", "unpublishable", "overdue", "corrections_waiting")
    assert [nothing[name] for name in names] == [0, 0, 0, 0]
    assert "dead list" not in (await run("status", "--data", shop.data)).stdout

    rejected, corrected, voided = [await shop.produce("mes", "erp") for _ in range(3)]
    await shop.produce("mes", recorded=NOT_DUE)
    await shop.reject(rejected, "mes", Code.UNKNOWN_LOT)
    await shop.reject(rejected, "erp", Code.UNKNOWN_LOT)
    await shop.ask_correction(corrected, None)
    await shop.void(voided, "too large")
    found = await run_json("status", "--data", shop.data)
    assert [found[name] for name in names] == [2, 1, 2, 1], "nobody owes an answer to what could not be published"
    text = (await run("status", "--data", shop.data)).stdout
    assert "2 rejected · 1 unpublishable · 2 overdue · 1 corrections waiting" in text
    assert "`edge-agent dead list` says what to do" in text


async def test_status_needs_a_store(tmp_path: Path) -> None:
    assert (await run("status", "--data", tmp_path)).exit_code == 1
