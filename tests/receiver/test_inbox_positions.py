"""Positions over all stores of an agent: what a restored agent books again is not posted again."""

from __future__ import annotations

from decimal import Decimal

import pytest

from edge_agent_receiver import sql
from edge_agent_receiver.store import Store
from tests.receiver.agent_log import AgentLog, Sent, changed, evidence
from tests.receiver.plant import Plant


def _span(log: AgentLog, first: int, last: int, *, rule: str = "pet_used", epoch: int = 1, **envelope: str) -> Sent:
    return log.consumed(
        str(min(last - first, 10**17)), envelope=dict(envelope), evidence=evidence(first, last, rule=rule, epoch=epoch)
    )


@pytest.fixture
def old() -> AgentLog:
    return AgentLog(store="old")


@pytest.fixture
def new() -> AgentLog:
    return AgentLog(store="new")


@pytest.fixture
def plant(store: Store, old: AgentLog, new: AgentLog) -> Plant:
    made = Plant(store, old, new)
    made.deliver(_span(old, 0, 100), _span(old, 100, 200))
    made.settle(3)
    return made


def test_what_another_store_holds_is_not_posted_again(plant: Plant, new: AgentLog) -> None:
    plant.deliver(_span(new, 150, 250))
    plant.settle(3)
    assert plant.states(new) == {1: "received"}  # nothing has proven yet that it says so

    plant.deliver(_span(new, 250, 300))
    plant.settle(5)

    assert plant.states(new) == {1: "withheld", 2: "accepted"}
    assert plant.ledger.sums == {"silo/PET/Consumed": Decimal(250)}
    (said,) = plant.published
    assert (said["cause"], said["sequence"], said["source"]) == ("overlap", 1, new.source())
    assert new.answers["erp", new.source()].single[1]["code"] == "id_conflict"


@pytest.mark.parametrize(
    ("first", "last", "rule", "epoch"),
    [(200, 250, "pet_used", 1), (0, 100, "pet_used", 2), (0, 100, "caps_used", 1), (-50, 0, "pet_used", 1)],
)
def test_what_no_other_store_holds_is_posted(
    plant: Plant, new: AgentLog, first: int, last: int, rule: str, epoch: int
) -> None:
    plant.deliver(_span(new, first, last, rule=rule, epoch=epoch))
    plant.settle(3)

    assert plant.states(new) == {1: "accepted"}


def test_a_late_event_of_the_old_store_is_judged_by_its_own_positions(
    plant: Plant, old: AgentLog, new: AgentLog
) -> None:
    late, double = _span(old, 200, 220), _span(old, 220, 260)
    plant.deliver(_span(new, 220, 250), new.heartbeat())
    plant.deliver(late, double, old.heartbeat())
    plant.settle(5)

    assert plant.states(new) == {1: "accepted"}
    assert plant.states(old) == {1: "accepted", 2: "accepted", 3: "accepted", 4: "withheld"}


def test_within_one_store_nothing_overlaps(plant: Plant, old: AgentLog) -> None:
    plant.deliver(_span(old, 150, 250), _span(old, 0, 10))
    plant.settle(3)

    assert plant.states(old) == dict.fromkeys(range(1, 5), "accepted")


def test_another_agent_has_positions_of_its_own(plant: Plant, store: Store) -> None:
    other = AgentLog("l4-edge", "other")
    plant.logs.append(other)
    plant.deliver(_span(other, 0, 100))
    plant.settle(3)

    assert plant.states(other) == {1: "accepted"}
    assert [name for name, _ in other.commands] == ["ack"]


def test_reversals_and_what_a_person_decided_are_exempt(plant: Plant, old: AgentLog, new: AgentLog) -> None:
    reversal = new.reverse(old.at(1), stream="routine", envelope={"correlationid": "c"})
    corrected = _span(new, 0, 100, correlationid="c", causationid=reversal.id)
    plant.deliver(reversal, corrected, new.heartbeat())
    plant.settle(5)

    assert plant.states(new) == {1: "accepted", 2: "accepted"}
    assert plant.ledger.sums == {"silo/PET/Consumed": Decimal(200)}


def test_a_causation_alone_is_no_correction(plant: Plant, new: AgentLog) -> None:
    plant.deliver(_span(new, 0, 100, causationid="c"), new.heartbeat())
    plant.settle(5)

    assert plant.states(new) == {1: "withheld"}


def test_an_agent_with_a_new_store_is_told_how_far_the_others_got(plant: Plant, old: AgentLog, new: AgentLog) -> None:
    assert old.positions == []
    plant.logs = [new]
    plant.mute.add("positions")
    plant.deliver(new.heartbeat(what="state"))  # its streams are empty, so it has said nothing
    new.review()
    plant.deliver(new.heartbeat(what="state"))
    plant.settle(20)
    lost = [body for name, body in plant.commands if name == "positions"]
    assert 3 <= len(lost) <= 6
    assert len({body["nonce"] for body in lost}) == len(lost)

    plant.mute.clear()
    plant.settle(30)

    (told,) = new.positions
    assert told["agent"] == "l3-edge"
    assert told["positions"] == [{"rule": "pet_used", "epoch": 1, "position": 200}]


def test_an_agent_that_never_answered_is_told_after_a_restart_too(plant: Plant, new: AgentLog) -> None:
    plant.mute.add("positions")
    plant.deliver(_span(new, 200, 210))
    plant.settle(5)
    plant.open()
    plant.mute.clear()
    plant.settle(5)

    assert len(new.positions) == 1
    plant.open()
    plant.settle(5)
    assert len(new.positions) == 1


def test_many_positions_go_in_several_commands(store: Store, new: AgentLog, old: AgentLog) -> None:
    plant = Plant(store, old, new)
    plant.deliver_all([_span(old, 0, number + 1, rule=f"rule{number:04d}") for number in range(1100)])
    plant.logs = [new]
    plant.deliver(_span(new, 0, 1, rule="another"))
    plant.settle(30)

    assert [len(body["positions"]) for body in new.positions] == [500, 500, 101]
    assert len({(one["rule"], one["epoch"]) for body in new.positions for one in body["positions"]}) == 1101


def test_the_highest_position_counts_every_epoch_and_store(plant: Plant, new: AgentLog) -> None:
    plant.deliver(_span(new, 200, 10**19), _span(new, -(10**19), -5, epoch=2))
    plant.settle(3)

    with plant.store.transaction() as db:
        rows = db.rows(sql.HIGHEST_POSITIONS, "l3-edge")
    assert [(rule, epoch, int(last) - 10**20) for rule, epoch, last in rows] == [
        ("pet_used", 1, 10**19),
        ("pet_used", 2, -5),
    ]


def test_positions_changed_on_their_way_are_forgotten_with_the_change(
    store: Store, old: AgentLog, new: AgentLog
) -> None:
    plant = Plant(store, old, new, prove=True)
    sent, after = _span(old, 0, 100), old.consumed()
    plant.deliver(changed(sent, old=b'"toPosition": 100', new=b'"toPosition": 900'), after, old.heartbeat())
    plant.settle(5)
    plant.deliver(_span(new, 100, 200), new.heartbeat())
    plant.settle(5)

    assert plant.states(new) == {1: "accepted"}
    assert new.positions[0]["positions"][0]["position"] in {100, 200}
