"""The saboteur falsifies one event, the same way each time, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edge_agent_simulators.sabotage import Action, Sabotage, Saboteur


def delivered(saboteur: Saboteur, payloads: list[bytes]) -> list[bytes]:
    """What comes through; a held message counts as not delivered."""
    found = []
    for payload in payloads:
        verdict = saboteur.judge(payload)
        if verdict.action is Action.PASS:
            found.append(payload)
        elif verdict.action is Action.REPLACE:
            found.append(verdict.payload)
    return found


def run_of(maker: Any) -> list[bytes]:
    events = maker()
    for number in range(12):
        events.make(("consumed", "produced")[number % 2], str(number + 1), order="A" if number < 6 else "B")
    events.make("moved", "96", order=None)
    return list(events.sent)


@pytest.mark.parametrize("kind", list(Sabotage))
def test_only_one_event_is_touched_and_every_copy_of_it_alike(maker: Any, kind: Sabotage) -> None:
    payloads, saboteur = run_of(maker), Saboteur(kind)
    first = delivered(saboteur, payloads)
    again = delivered(saboteur, payloads)
    assert again == first
    untouched = [payload for payload in payloads if payload in first]
    assert len(untouched) == len(payloads) - (kind is not Sabotage.NONE)
    if kind is Sabotage.NONE:
        assert saboteur.victim is None
    else:
        assert saboteur.victim is not None
        assert saboteur.victim.times == 2


def test_double_doubles_the_line_that_counts(maker: Any) -> None:
    events = maker()
    for _ in range(3):
        events.make("moved", "1.50", order=None)
    changed = json.loads(delivered(Saboteur(Sabotage.DOUBLE), events.sent)[2])
    lines = changed["data"]["materialActual"]
    assert [line["quantity"]["quantityString"] for line in lines] == ["3", "1.50"]
    original = json.loads(events.sent[2])
    original["data"]["materialActual"][0]["quantity"]["quantityString"] = "3"
    assert changed == original


def test_wrong_order_waits_for_a_second_order(maker: Any) -> None:
    payloads, saboteur = run_of(maker), Saboteur(Sabotage.WRONG_ORDER)
    changed = delivered(saboteur, payloads)
    place = next(place for place, pair in enumerate(zip(payloads, changed, strict=True)) if pair[0] != pair[1])
    assert place == 6
    assert json.loads(payloads[place])["data"]["jobOrderID"] == "B"
    assert json.loads(changed[place])["data"]["jobOrderID"] == "A"


def test_skip_lets_that_many_events_pass_and_copies_do_not_count(maker: Any) -> None:
    payloads, saboteur = run_of(maker), Saboteur(Sabotage.DROP, skip=3)
    assert delivered(saboteur, [payloads[0]] * 9) == [payloads[0]] * 9
    assert delivered(saboteur, payloads[1:]) == [*payloads[1:3], *payloads[4:]]


def test_what_has_come_through_once_is_never_chosen(maker: Any) -> None:
    payloads, saboteur = run_of(maker), Saboteur(Sabotage.DROP, skip=2)
    assert delivered(saboteur, [*payloads[:2], *payloads[:3]]) == [*payloads[:2], *payloads[:2]]


def test_a_late_unit_is_held_once_and_passes_after_its_release(maker: Any) -> None:
    payloads, saboteur = run_of(maker), Saboteur(Sabotage.LATE_UNIT)
    actions = [saboteur.judge(payload).action for payload in (*payloads[:3], payloads[2], payloads[2])]
    assert actions == [Action.PASS, Action.PASS, Action.HOLD, Action.SWALLOW, Action.SWALLOW]
    saboteur.released = True
    assert saboteur.judge(payloads[2]).action is Action.PASS


def test_what_is_no_material_event_that_counts_always_passes(maker: Any) -> None:
    saboteur = Saboteur(Sabotage.DROP, skip=0)
    review = b'{"type":"io.edgeagent.movement.inreview.v1","source":"s","id":"1","data":{}}'
    backflush = maker().make(posting="backflush")
    for payload in (b"", b"\xff", b"[]", b"{}", b"[" * 200_000, review, backflush):
        assert saboteur.judge(payload).action is Action.PASS
    assert saboteur.victim is None
