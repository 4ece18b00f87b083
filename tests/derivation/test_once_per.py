"""`once_per`: a pallet that comes back from rework counts once, and each suppression is seen."""

from __future__ import annotations

import copy
import dataclasses
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from edge_agent.config.tagmap import Rule
from edge_agent.derivation import once_per
from edge_agent.model.confirmation import Result
from edge_agent.model.movement import LineState
from edge_agent.model.signal_state import ConfirmationState
from edge_agent.model.state import RESTORES, RuleState
from tests.derivation.confirming_plant import Talk, confirmed, once
from tests.derivation.plant import NOON, Bench, handshake

HOUR = 3600
DONE, FAILED, IN_REVIEW = Result.DONE, Result.FAILED_CHECK, Result.IN_REVIEW
REVIEW, EXCLUDE = confirmed(once_per=once()), confirmed(once_per=once(exclude=True))
AGAIN = ("passed-again", [0, 960])


def _pass(talk: Talk, *passes: tuple[float, str]) -> Talk:
    """Containers pass at these hours; each is confirmed at once, by a message of its own."""
    for number, (hour, container) in enumerate(passes):
        talk.after(hour * HOUR - (talk.now.wall - NOON).total_seconds())
        talk.confirm(f"m{number}", container=container, age=0)
    return talk


@dataclass(frozen=True)
class Row:
    name: str
    passes: list[tuple[float, str]]
    booked: int
    results: list[Result]
    again: int


ROWS = [
    Row("once", [(0, "P")], 960, [DONE], 0),
    Row("two containers", [(0, "P"), (1, "Q")], 1920, [DONE, DONE], 0),
    Row("twice", [(0, "P"), (1, "P")], 960, [DONE, IN_REVIEW], 1),
    Row("just within", [(0, "P"), (11.999, "P")], 960, [DONE, IN_REVIEW], 1),
    Row("when the time is over", [(0, "P"), (12, "P")], 1920, [DONE, DONE], 0),
    Row("what is suppressed puts nothing off", [(0, "P"), (8, "P"), (13, "P")], 1920, [DONE, IN_REVIEW, DONE], 1),
    Row("three times", [(0, "P"), (1, "P"), (2, "P")], 960, [DONE, IN_REVIEW, IN_REVIEW], 2),
    Row("much later", [(0, "P"), (500, "P"), (501, "P")], 1920, [DONE, DONE, IN_REVIEW], 1),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_person_decides_on_the_second(row: Row) -> None:
    talk = _pass(Talk(REVIEW), *row.passes)
    assert (talk.booked, talk.results, talk.doubts()) == (row.booked, row.results, [AGAIN] * row.again)
    assert talk.journal.counts["once_per"] == row.again


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_or_it_is_excluded_and_counted(row: Row) -> None:
    talk = _pass(Talk(EXCLUDE), *row.passes)
    excluded = [mark for mark in talk.journal.lines.values() if mark.state is LineState.EXCLUDED]
    assert (talk.booked, talk.results) == (row.booked, [DONE] * len(row.results))
    assert (len(excluded), talk.journal.counts["once_per"], talk.doubts()) == (row.again, row.again, [])
    assert all(mark.line.quantity == 960 for mark in excluded)


def test_a_restart_forgets_nothing() -> None:
    talk = _pass(Talk(REVIEW), (0, "P"))
    again = Talk(REVIEW)
    again.state, again.now, again.journal = copy.deepcopy(talk.state), talk.now, talk.journal
    again.after(11 * HOUR).confirm("other", container="P")
    assert again.results == [IN_REVIEW]


def test_what_is_confirmed_late_is_compared_with_its_own_time() -> None:
    talk = _pass(Talk(REVIEW), (0, "P"), (20, "Q"))
    talk.confirm("late", container="P", age=11 * HOUR).confirm("later", container="P", age=2 * HOUR)
    assert talk.results[2:] == [IN_REVIEW, DONE], "at 9 h again; at 18 h for the first time in 12 h"
    talk.confirm("before it", container="P", age=4 * HOUR)
    assert talk.results[4] is IN_REVIEW, "what passed after it counts too"
    talk.confirm("too late", container="R", age=13 * HOUR)
    assert talk.results[5] is IN_REVIEW
    assert "nobody remembers" in str(talk.answers[5].reason)


def test_what_nobody_remembers_is_for_a_person_even_where_the_map_excludes() -> None:
    talk = _pass(Talk(EXCLUDE), (0, "P"), (20, "Q"))
    talk.confirm("too late", container="R", age=13 * HOUR)
    assert (talk.results[2], talk.doubts()) == (IN_REVIEW, [AGAIN])


@pytest.mark.parametrize("rule", [REVIEW, EXCLUDE], ids=["review", "exclude"])
def test_what_a_restored_store_has_forgotten_is_for_a_person(rule: Rule) -> None:
    """P, Q and R pass; the backup has P. By the lost store's books Q counted at 1 h, and not again until 13 h."""
    talk = _pass(Talk(rule), (0, "P"))
    backup = copy.deepcopy(talk.state)
    _pass(talk, (1, "Q"), (1.5, "R"))
    talk.restore(backup).after(2 * HOUR - (talk.now.wall - NOON).total_seconds()).tick()
    before = len(talk.results)
    for hour, container in ((3, "P"), (4, "Q"), (5, "S"), (13.9, "Q"), (14.1, "R"), (15, "Q"), (27, "Q"), (28, "Q")):
        talk.after(hour * HOUR - (talk.now.wall - NOON).total_seconds())
        talk.confirm(f"after {hour}", container=container, age=0)
    known = IN_REVIEW if rule is REVIEW else DONE
    assert talk.results[before:] == [known, IN_REVIEW, IN_REVIEW, IN_REVIEW, DONE, IN_REVIEW, DONE, known]
    assert "the store was restored" in str(talk.answers[before + 1].reason)
    assert "a person decides on it" in str(talk.answers[before + 5].reason)


def _restored(bench: Bench) -> Bench:
    for name, rule in bench.state.rules.items():
        assert rule.signal is not None
        bench.state.rules[name] = dataclasses.replace(rule, signal=dataclasses.replace(rule.signal, restored=True))
    return bench


def test_a_handshake_that_goes_on_where_the_backup_left_off_has_lost_nothing() -> None:
    bench = _restored(Bench(handshake(once_per=once())).block(6, 6).block(7, 6, sscc="P1"))
    bench.block(7, 6, sscc="P1").block(8, 7, sscc="P2").block(9, 8, sscc="P1")
    assert (bench.booked, bench.doubts()) == (1920, [AGAIN])


@pytest.mark.parametrize("exclude", [False, True], ids=["review", "exclude"])
def test_after_lost_numbers_any_container_may_have_passed(exclude: bool) -> None:
    """The lost store booked P2 as number 8 and P3 as number 9; 9 is shown, and P2 comes again as 10."""
    bench = _restored(Bench(handshake(once_per=once(exclude=exclude))).block(6, 6).block(7, 6, sscc="P1"))
    bench.block(9, 8, sscc="P3").block(10, 9, sscc="P2").block(11, 10, sscc="P3")
    assert bench.booked == 960
    assert bench.doubts() == [("restored", [0, 960]), AGAIN, AGAIN]
    bench.after(12 * HOUR + 1).block(12, 11, sscc="P4")
    assert bench.booked == 1920


def test_a_rule_that_the_backup_did_not_know_remembers_nothing_of_the_lost_time() -> None:
    bench = Bench(handshake(once_per=once()))
    bench.state.rules[RESTORES] = RuleState(ConfirmationState(0, restored=True))
    bench.block(7, 7, sscc="P1").block(8, 7, sscc="P2")
    assert (bench.booked, bench.doubts()) == (0, [AGAIN])


def test_what_a_person_has_not_decided_may_have_passed() -> None:
    bench = Bench(handshake(once_per=once(exclude=True))).block(7, 7, sscc="P0")
    bench.block(3, 2, sscc="P1").block(4, 3, sscc="P1").block(5, 4, sscc="P2")
    assert (bench.booked, bench.doubts()) == (960, [("number-fell", [0, 960])] * 2)
    bench.block(6, 5, sscc="P1")
    assert bench.doubts()[2:] == [AGAIN]


def test_a_container_must_be_named() -> None:
    talk = Talk(REVIEW).confirm("1", container=None)
    assert (talk.booked, talk.results, talk.doubts()) == (0, [FAILED], [("failed-check", [0, 960])])
    bench = Bench(handshake(once_per=once())).block(6, 6).block(7, 6, sscc=" ")
    assert (bench.booked, bench.doubts()) == (0, [("failed-check", [0, 960])])
    assert [one.result for one in bench.journal.acknowledgements] == [IN_REVIEW]


def test_a_handshake_is_suppressed_and_acknowledged_alike() -> None:
    bench = Bench(handshake(once_per=once())).block(6, 6)
    bench.block(7, 6).block(8, 7).block(8, 7).block(9, 8, sscc="P2")
    assert bench.booked == 1920
    assert bench.doubts() == [AGAIN]
    answers = [(one.number, one.result) for one in bench.journal.acknowledgements]
    assert answers == [(7, DONE), (8, IN_REVIEW), (8, IN_REVIEW), (9, DONE)]
    bench = Bench(handshake(once_per=once(exclude=True))).block(6, 6).block(7, 6).block(8, 7)
    assert (bench.booked, bench.doubts()) == (960, [])
    assert [one.result for one in bench.journal.acknowledgements] == [DONE, DONE]


def test_another_map_forgets_nothing_that_it_asks_for() -> None:
    talk = _pass(Talk(REVIEW), *((hour / 10, f"P{hour}") for hour in range(100)))
    for hours in (5, 36, 11):
        changed = Talk(confirmed(once_per=once(hours)))
        changed.state, changed.now, changed.journal = talk.state, talk.now, talk.journal
        changed.confirm("x", container="P95", age=0)
        assert changed.results == [IN_REVIEW]
        talk = changed


def _script(seed: int) -> list[tuple[float, str]]:
    chance = random.Random(seed)
    hour, passes = 0.0, []
    for _ in range(300):
        hour += chance.expovariate(1 / 0.7)
        passes.append((round(hour, 3), f"P{chance.randrange(12)}"))
    return passes


def _counts(passes: list[tuple[float, str]], hours: float) -> list[tuple[float, str]]:
    """The truth, by hand: a container counts if it last counted at least so many hours ago."""
    counted: dict[str, float] = {}
    found = []
    for hour, container in passes:
        if container not in counted or round(hour - counted[container], 6) >= hours:
            counted[container] = hour
            found.append((hour, container))
    return found


def _agrees(seed: int) -> None:
    passes = _script(seed)
    talk = _pass(Talk(EXCLUDE), *passes)
    assert talk.booked == 960 * len(_counts(passes, 12))
    assert len(talk.state.seen) <= once_per.SLOTS
    for slot in talk.state.seen.values():
        times = [at for _, at in slot.passed]
        assert max(times) - min(times) <= timedelta(hours=24), "what is of the ring's last turn goes"


@pytest.mark.parametrize("seed", range(4))
def test_a_long_shift_agrees_with_a_list_by_hand(seed: int) -> None:
    _agrees(seed)


def forgets(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(once_per, "_remember", lambda *_, **__: None)


def puts_off(patch: pytest.MonkeyPatch) -> None:
    def again(work: Any, rule: Rule, once: Any, line: Any) -> once_per.Again | None:
        found = right(work, rule, once, line)
        if found is not None:
            once_per._remember(work, rule, once, line.key.container, line.time, doubted=False)
        return found

    right = once_per.again
    patch.setattr(once_per, "again", again)


def remembers_no_restore(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(once_per, "forget", lambda *_: None)


@pytest.mark.parametrize("plant", [remembers_no_restore, forgets])
def test_a_planted_restore_bug_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        test_what_a_restored_store_has_forgotten_is_for_a_person(EXCLUDE)


def books_the_second(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(once_per, "suppress", lambda work, rule, _once, line, _why: work.book(rule, line))


@pytest.mark.parametrize("plant", [forgets, puts_off, books_the_second])
def test_a_planted_bug_is_found(plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        _agrees(0)
